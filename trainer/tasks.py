"""What is learned and how it is judged: segmentation and restoration, by the field's losses and metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from monai.losses import DiceCELoss
from torch.nn.functional import mse_loss
from torchmetrics import MeanSquaredError
from torchmetrics.classification import MulticlassStatScores
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure

from trainer.errors import ConfigError, DataError

PSNR_CAP_DB = 100.0


class Metrics(ABC):
    """An accumulator over the test images of one client; the split into batches does not matter."""

    @abstractmethod
    def update(self, prediction: torch.Tensor, target: torch.Tensor) -> None:
        """Add a batch: `prediction` is the network's output, or what the task's `predict` made of it."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The figures so far, finite numbers only. Raises DataError before the first batch."""


class Task(ABC):
    """A task; `primary` names the metric that ranks models, higher being better."""

    name: ClassVar[str]
    primary: ClassVar[str]
    out_channels: int

    @abstractmethod
    def loss(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The training loss of a batch, a scalar with a gradient."""

    @abstractmethod
    def predict(self, output: torch.Tensor) -> torch.Tensor:
        """The network's output `[n, C, H, W]` as what a reader looks at."""

    @abstractmethod
    def metrics(self) -> Metrics:
        """A new, empty accumulator."""


class Segmentation(Task):
    """Each pixel one of `class_names`, of which the first is the background.

    Outputs are logits float32 `[n, classes, H, W]`, targets labels int64 `[n, H, W]`.
    The loss is Dice plus cross-entropy. Dice leaves out the background, which fills most of a slice, is near
    1 whatever the network does and so would only dilute the classes of interest; the cross-entropy still
    punishes errors on it. Dice is taken over the batch, not per slice: many slices lack a class, and per
    slice each would score nearly 0 for a class that is rightly absent.
    """

    name = "segmentation"
    primary = "dice"

    def __init__(self, class_names: Sequence[str]) -> None:
        if len(class_names) < 2 or len(set(class_names)) != len(class_names):
            raise ConfigError(
                f"segmentation needs a background and at least one more class, each with its own name, not "
                f"{list(class_names)}: set data.classes"
            )
        self.class_names = tuple(class_names)
        self.out_channels = len(class_names)
        self._loss = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)

    def loss(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Dice plus cross-entropy of logits `[n, classes, H, W]` and labels `[n, H, W]`."""
        return self._loss(prediction, target.unsqueeze(1))

    def predict(self, output: torch.Tensor) -> torch.Tensor:
        """The most likely class of each pixel, labels int64 `[n, H, W]`."""
        return output.argmax(dim=1)

    def metrics(self) -> Metrics:
        """`dice`, and `dice/CLASS` per foreground class."""
        return DiceMetrics(self.class_names)


class DiceMetrics(Metrics):
    """Dice 2TP / (2TP + FP + FN) per foreground class, over the pixels of all images together.

    Pooled, because per slice it is 0 or undefined wherever a class is absent, and a mean over such slices
    tells more about how many there are than about the network. A class absent from all labels and all
    predictions has no Dice: it gets no entry and no share in the mean `dice`. With every foreground class
    absent, `dice` is 1: nothing was there and nothing was found.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self._class_names = tuple(class_names)
        self._counts = MulticlassStatScores(len(class_names), average=None)
        self._images = 0

    def update(self, prediction: torch.Tensor, target: torch.Tensor) -> None:
        """Add logits `[n, classes, H, W]` or labels int64 `[n, H, W]`, against labels int64 `[n, H, W]`."""
        self._counts.update(prediction.detach().cpu(), target.cpu())
        self._images += len(target)

    def compute(self) -> dict[str, float]:
        """`{"dice": mean, "dice/CLASS": ..}`, each in [0, 1]."""
        _require_images(self._images)
        per_class = {}
        for name, (tp, fp, _, fn, _) in zip(self._class_names[1:], self._counts.compute().tolist()[1:], strict=True):
            if tp + fp + fn:
                per_class[f"dice/{name}"] = 2 * tp / (2 * tp + fp + fn)
        mean = sum(per_class.values()) / len(per_class) if per_class else 1.0
        return {"dice": mean, **per_class}


class Restoration(Task):
    """A clean image from a degraded one, float32 `[n, 1, H, W]` in [0, 1] both. The loss is the MSE."""

    name = "restoration"
    primary = "psnr"
    out_channels = 1

    def loss(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Mean squared error over all pixels of images `[n, 1, H, W]`."""
        return mse_loss(prediction, target)

    def predict(self, output: torch.Tensor) -> torch.Tensor:
        """The image, float32 `[n, 1, H, W]`, limited to [0, 1]."""
        return output.clamp(0, 1)

    def metrics(self) -> Metrics:
        """`psnr`, `ssim` and `rmse` of the images limited to [0, 1]."""
        return RestorationMetrics()


class RestorationMetrics(Metrics):
    """PSNR in dB and SSIM (Gaussian window, sigma 1.5), per image and averaged; RMSE over all pixels; data
    range 1.

    An image's PSNR counts as at most 100 dB, far above anything restored: a blank slice reproduced exactly
    would otherwise make the mean infinite.
    """

    def __init__(self) -> None:
        self._psnr = PeakSignalNoiseRatio(data_range=1.0, reduction="none", dim=(1, 2, 3))
        self._ssim = StructuralSimilarityIndexMeasure(data_range=1.0)
        self._rmse = MeanSquaredError(squared=False)
        self._images = 0

    def update(self, prediction: torch.Tensor, target: torch.Tensor) -> None:
        """Add images float32 `[n, 1, H, W]`; predictions are limited to [0, 1] here."""
        restored, clean = prediction.detach().cpu().clamp(0, 1), target.cpu()
        self._psnr.update(restored, clean)
        self._ssim.update(restored, clean)
        self._rmse.update(restored, clean)
        self._images += len(target)

    def compute(self) -> dict[str, float]:
        """`{"psnr": dB, "ssim": .., "rmse": ..}`."""
        _require_images(self._images)
        return {
            "psnr": float(self._psnr.compute().clamp(max=PSNR_CAP_DB).mean()),
            "ssim": float(self._ssim.compute()),
            "rmse": float(self._rmse.compute()),
        }


_TASKS: dict[str, Callable[[Sequence[str]], Task]] = {
    "segmentation": Segmentation,
    "restoration": lambda _: Restoration(),
}


def task_for(name: str, class_names: Sequence[str]) -> Task:
    """The task called `name`; `class_names`, background first, for segmentation. Raises ConfigError."""
    if name not in _TASKS:
        raise ConfigError(f"unknown training.task={name!r}; known: {', '.join(_TASKS)}")
    return _TASKS[name](class_names)


def _require_images(images: int) -> None:
    if not images:
        raise DataError("no test images were evaluated: give every client some, with data.test_fraction")

"""What is learned and how it is judged: segmentation and restoration, by the field's losses and metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar

import torch
from monai.losses import DiceCELoss, DiceLoss
from torch.nn.functional import cross_entropy, l1_loss, mse_loss

from trainer.config import TrainingConfig
from trainer.data.federated import SampleSet
from trainer.errors import ConfigError, DataError
from trainer.metrics import Metrics, RestorationMetrics, SegmentationMetrics

METRIC_NAMES = ("psnr", "ssim", "rmse")
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Task(ABC):
    """A task; `primary` names the metric that ranks models, higher being better.

    `LOSSES`: what `training.loss` may name, the default first. `adds_input`: whether networks learn what to add to
    the image rather than the output itself.
    """

    name: ClassVar[str]
    primary: ClassVar[str]
    adds_input: ClassVar[bool]
    LOSSES: ClassVar[Mapping[str, Callable[[], Loss]]]
    out_channels: int

    def __init__(self, loss: str | None = None) -> None:
        chosen = loss or next(iter(self.LOSSES))
        if chosen not in self.LOSSES:
            raise ConfigError(f"training.loss={chosen} is not one of {self.name}'s: {', '.join(self.LOSSES)}")
        self._loss = self.LOSSES[chosen]()

    @abstractmethod
    def loss(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The training loss of a batch, a scalar with a gradient."""

    @abstractmethod
    def predict(self, output: torch.Tensor) -> torch.Tensor:
        """The network's output `[n, C, *size]` as what a reader looks at."""

    @abstractmethod
    def metrics(self) -> Metrics:
        """A new, empty accumulator."""

    def check_targets(self, test_targets: Iterable[torch.Tensor]) -> None:
        """Raise DataError unless the clients' test targets can judge a model."""
        return None

    def notes(self, test_sets: Mapping[str, SampleSet]) -> tuple[str, ...]:
        """What a reader of the results must know of the clients' test images, by client."""
        return ()


def _monai(kind: type) -> Callable[[], Loss]:
    def make() -> Loss:
        loss = kind(include_background=False, to_onehot_y=True, softmax=True, batch=True)
        return lambda prediction, target: loss(prediction, target.unsqueeze(1))

    return make


class Segmentation(Task):
    """Each pixel one of `class_names`, of which the first is the background.

    Outputs are logits float32 `[n, classes, *size]`, targets labels int64 `[n, *size]`.
    `voxel_mm`: of volumes, the sides of a voxel along the axes of `size`; distances are in mm then, else in pixels.
    The losses are Dice plus cross-entropy (the default), Dice alone, and cross-entropy alone. Dice leaves
    out the background, which fills most of a slice, is near 1 whatever the network does and so would only dilute
    the classes of interest; the cross-entropy still punishes errors on it. Dice is taken over the batch, not per
    slice: many slices lack a class, and per slice each would score nearly 0 for a class that is rightly absent.
    """

    name = "segmentation"
    primary = "dice"
    adds_input = False
    LOSSES: ClassVar = {
        "dice-ce": _monai(DiceCELoss),
        "dice": _monai(DiceLoss),
        "cross-entropy": lambda: cross_entropy,
    }

    def __init__(
        self,
        class_names: Sequence[str],
        loss: str | None = None,
        hd95: bool = True,
        voxel_mm: Sequence[float] | None = None,
    ) -> None:
        super().__init__(loss)
        if len(class_names) < 2 or len(set(class_names)) != len(class_names):
            raise ConfigError(
                f"segmentation needs a background and at least one more class, each with its own name, not "
                f"{list(class_names)}: set data.classes"
            )
        self.class_names = tuple(class_names)
        self.out_channels = len(class_names)
        self._hd95 = hd95
        self._voxel_mm = voxel_mm

    def loss(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The chosen loss of logits `[n, classes, *size]` and labels `[n, *size]`."""
        return self._loss(prediction, target)

    def predict(self, output: torch.Tensor) -> torch.Tensor:
        """The most likely class of each pixel, labels int64 `[n, *size]`."""
        return output.argmax(dim=1)

    def metrics(self) -> Metrics:
        """`dice`, `iou` and, if asked for, `hd95`, of volumes `hd95_mm`; and each per foreground class."""
        return SegmentationMetrics(self.class_names, self._hd95, self._voxel_mm)

    def check_targets(self, test_targets: Iterable[torch.Tensor]) -> None:
        """Raise DataError where no client's test labels hold anything but background: no Dice could be given."""
        if not any(bool(targets.any()) for targets in test_targets):
            raise DataError(
                "no client's test images hold a class other than the background, so nothing could be judged: check "
                "the masks, or hold out more with data.test_fraction"
            )


class Restoration(Task):
    """A clean image from a degraded one, float32 `[n, 1, *size]` in [0, 1] both; the losses: MSE, or L1."""

    name = "restoration"
    primary = "psnr"
    adds_input = True
    LOSSES: ClassVar = {"mse": lambda: mse_loss, "l1": lambda: l1_loss}
    out_channels = 1

    def loss(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The chosen loss, a mean over all pixels of images `[n, 1, *size]`."""
        return self._loss(prediction, target)

    def predict(self, output: torch.Tensor) -> torch.Tensor:
        """The image, float32 `[n, 1, *size]`, limited to [0, 1]."""
        return output.clamp(0, 1)

    def metrics(self) -> Metrics:
        """`psnr`, `ssim` and `rmse` of the images limited to [0, 1]."""
        return RestorationMetrics()

    def notes(self, test_sets: Mapping[str, SampleSet]) -> tuple[str, ...]:
        """What the images score as they are: a network that does not do better restores nothing."""
        scores = {}
        for name, samples in test_sets.items():
            metrics = RestorationMetrics()
            metrics.update(samples.images, samples.targets)
            scores[name] = metrics.compute()
        means = (f"{key} {sum(score[key] for score in scores.values()) / len(scores):.4g}" for key in METRIC_NAMES)
        each = (f"{name} {score['psnr']:.2f} dB" for name, score in scores.items())
        return (f"unrestored, the test images score {', '.join(means)} (mean over clients): {', '.join(each)}",)


_TASKS: dict[str, Callable[[Sequence[str], TrainingConfig, Sequence[float] | None], Task]] = {
    "segmentation": lambda names, training, voxel_mm: Segmentation(names, training.loss, training.hd95, voxel_mm),
    "restoration": lambda _, training, __: Restoration(training.loss),
}


def task_for(
    name: str,
    class_names: Sequence[str],
    training: TrainingConfig | None = None,
    voxel_mm: Sequence[float] | None = None,
) -> Task:
    """The task called `name`; `class_names`, background first, for segmentation. Raises ConfigError.

    `training` chooses the loss, and whether HD95 is measured; its defaults if not given. `voxel_mm`: of volumes, see
    `DataConfig.voxel_mm`.
    """
    if name not in _TASKS:
        raise ConfigError(f"unknown training.task={name!r}; known: {', '.join(_TASKS)}")
    return _TASKS[name](class_names, training or TrainingConfig(), voxel_mm)

"""How a task is judged: accumulators over the test images of one client, by the field's libraries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from monai.metrics.utils import get_mask_edges, get_surface_distance
from torchmetrics import MeanSquaredError
from torchmetrics.classification import MulticlassStatScores
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure

from trainer.errors import DataError

PSNR_CAP_DB = 100.0


class Metrics(ABC):
    """An accumulator over the test images of one client; the split into batches does not matter."""

    @abstractmethod
    def update(self, prediction: torch.Tensor, target: torch.Tensor) -> None:
        """Add a batch: `prediction` is the network's output, or what the task's `predict` made of it."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The figures so far, finite numbers only. Raises DataError before the first batch."""


class SegmentationMetrics(Metrics):
    """Per foreground class: Dice 2TP / (2TP + FP + FN), IoU TP / (TP + FP + FN), and HD95.

    Dice and IoU are over the pixels of all images together: per slice they are 0 or undefined wherever a class is
    absent, and a mean over such slices tells more about how many there are than about the network. HD95, the
    larger of the two directed 95th percentiles of the distances between outlines, is per image, and averaged over
    the images whose label and prediction both hold the class; MONAI has no number for the others. Its unit is in its
    name: `hd95_mm` where `voxel_mm`, the sides of a voxel along the axes of `size`, is given; else `hd95`, in pixels.

    A class absent from all labels has no figure, whatever is predicted (MONAI's `ignore_empty`), and no share in
    the means: a client without it says nothing about how well it is found. It gets no entry.
    """

    def __init__(
        self, class_names: Sequence[str], hd95: bool = True, voxel_mm: Sequence[float] | None = None
    ) -> None:
        self._class_names = tuple(class_names)
        self._counts = MulticlassStatScores(len(class_names), average=None)
        self._hd95 = hd95
        self._voxel_mm = voxel_mm
        self._distances: dict[str, list[float]] = {name: [] for name in class_names[1:]}
        self._images = 0

    def update(self, prediction: torch.Tensor, target: torch.Tensor) -> None:
        """Add logits `[n, classes, *size]` or labels int64 `[n, *size]`, against labels int64 `[n, *size]`."""
        predicted, truth = prediction.detach().cpu(), target.cpu()
        if predicted.is_floating_point():
            predicted = predicted.argmax(dim=1)
        self._counts.update(predicted, truth)
        self._images += len(truth)
        if self._hd95:
            for label, name in enumerate(self._class_names[1:], start=1):
                found = (
                    hd95(mine == label, there == label, self._voxel_mm)
                    for mine, there in zip(predicted, truth, strict=True)
                )
                self._distances[name] += [distance for distance in found if distance is not None]

    def compute(self) -> dict[str, float]:
        """`dice`, `iou` in [0, 1] and `hd95` or `hd95_mm`, means over the classes that have one; `dice/CLASS`, .."""
        _require_images(self._images)
        distance = "hd95" if self._voxel_mm is None else "hd95_mm"
        per_class: dict[str, dict[str, float]] = {"dice": {}, "iou": {}, distance: {}}
        for name, (tp, fp, _, fn, _) in zip(self._class_names[1:], self._counts.compute().tolist()[1:], strict=True):
            if tp + fn:
                per_class["dice"][name] = 2 * tp / (2 * tp + fp + fn)
                per_class["iou"][name] = tp / (tp + fp + fn)
            if self._distances[name]:
                per_class[distance][name] = _mean(self._distances[name])
        means = {metric: _mean(list(figures.values())) for metric, figures in per_class.items() if figures}
        return means | {f"{metric}/{name}": value for metric in means for name, value in per_class[metric].items()}


class RestorationMetrics(Metrics):
    """PSNR in dB and SSIM (Gaussian window, sigma 1.5), per image and averaged; RMSE over all pixels; data
    range 1.

    An image's PSNR counts as at most 100 dB, far above anything restored: a blank slice reproduced exactly
    would otherwise make the mean infinite.
    """

    def __init__(self) -> None:
        self._psnr: list[torch.Tensor] = []
        self._ssim = StructuralSimilarityIndexMeasure(data_range=1.0)
        self._rmse = MeanSquaredError(squared=False)

    def update(self, prediction: torch.Tensor, target: torch.Tensor) -> None:
        """Add images float32 `[n, 1, *size]`; predictions are limited to [0, 1] here."""
        restored, clean = prediction.detach().cpu().clamp(0, 1), target.cpu()
        psnr = PeakSignalNoiseRatio(data_range=1.0, reduction="none", dim=tuple(range(1, clean.ndim)))
        self._psnr.append(
            psnr(restored, clean).reshape(-1).clamp(max=PSNR_CAP_DB)
        )  # a number alone for a single image
        self._ssim.update(restored, clean)
        self._rmse.update(restored, clean)

    def compute(self) -> dict[str, float]:
        """`{"psnr": dB, "ssim": .., "rmse": ..}`."""
        _require_images(len(self._psnr))
        return {
            "psnr": float(torch.cat(self._psnr).mean()),
            "ssim": float(self._ssim.compute()),
            "rmse": float(self._rmse.compute()),
        }


def hd95(prediction: torch.Tensor, target: torch.Tensor, spacing: Sequence[float] | None = None) -> float | None:
    """Hausdorff distance of two masks bool[*size], 95th percentile; None if either is empty.

    In units of `spacing`, the sides of a voxel along the axes of `size`; in pixels without. As MONAI's
    `compute_hausdorff_distance`, out of the same parts but for its cropping, which takes most of the time on slices.
    """
    if not (prediction.any() and target.any()):
        return None
    edges = get_mask_edges(prediction.numpy(), target.numpy(), crop=False)
    directed = (get_surface_distance(here, there, spacing=spacing) for here, there in (edges, edges[::-1]))
    return max(float(torch.quantile(torch.as_tensor(distances), 0.95)) for distances in directed)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _require_images(images: int) -> None:
    if not images:
        raise DataError("no test images were evaluated: give every client some, with data.test_fraction")

"""How near a reconstruction is to the image: PSNR and SSIM, by the field's library."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from trainer.metrics import PSNR_CAP_DB


@dataclass(frozen=True)
class Scores:
    """SSIM (Gaussian window, sigma 1.5) and PSNR in dB, of each image."""

    ssim: tuple[float, ...]
    psnr: tuple[float, ...]

    @property
    def mean_ssim(self) -> float:
        return sum(self.ssim) / len(self.ssim)

    @property
    def mean_psnr(self) -> float:
        return sum(self.psnr) / len(self.psnr)


def to_unit_range(images: Tensor, originals: Tensor) -> Tensor:
    """`images` [n, 1, *size] on the scale on which each original's lowest value is 0 and its highest 1, limited."""
    axes = tuple(range(1, originals.ndim))
    low, high = originals.amin(axes, keepdim=True), originals.amax(axes, keepdim=True)
    return ((images - low) / (high - low).clamp(min=torch.finfo(torch.float32).tiny)).clamp(0, 1)


def score(reconstructions: Tensor, originals: Tensor) -> Scores:
    """Of float32 [n, 1, *size] both, on each original's own scale (`to_unit_range`), so data range 1."""
    guess, truth = to_unit_range(reconstructions, originals), to_unit_range(originals, originals)
    axes = tuple(range(1, truth.ndim))
    ssim = structural_similarity_index_measure(guess, truth, data_range=1.0, reduction="none")
    psnr = peak_signal_noise_ratio(guess, truth, data_range=1.0, reduction="none", dim=axes)
    return Scores(
        tuple(torch.as_tensor(ssim).reshape(-1).tolist()),
        tuple(psnr.reshape(-1).clamp(max=PSNR_CAP_DB).tolist()),
    )

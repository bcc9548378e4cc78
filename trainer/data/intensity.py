"""From stored values to what a network sees: z-scores, or a window or percentiles mapped to [0, 1], by MONAI.

MONAI is imported where it is first needed: it takes seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from trainer.config import DataConfig
from trainer.data.federated import Task
from trainer.data.slices import Image, unit_range, zscore
from trainer.errors import DataError

Rule = Literal["zscore", "range", "window", "percentile"]
DEFAULT_RULES: dict[Task, Rule] = {"segmentation": "zscore", "restoration": "range"}


@dataclass(frozen=True)
class Intensity:
    """`rule` says which of the bounds is in use: `window` in stored units (HU for CT), `percentiles` in per cent."""

    rule: Rule
    window: tuple[float, float]
    percentiles: tuple[float, float]

    @classmethod
    def of(cls, data: DataConfig, task: Task) -> Intensity:
        """What `data` asks for. Raises DataError for z-scores in restoration, whose measures need a fixed range."""
        if task == "restoration" and data.intensity == "zscore":
            raise DataError(
                "data.intensity=zscore gives no fixed range, which PSNR and SSIM need; restoration takes range, "
                "window or percentile"
            )
        return cls(data.intensity or DEFAULT_RULES[task], data.window, data.percentiles)

    def normalise(self, *images: npt.NDArray[Any]) -> tuple[Image, ...]:
        """`images` (one volume or picture, or a noisy one and its clean one) as float32, by one mapping for all.

        zscore: mean 0, spread 1 of each. range: smallest to largest value of all. percentile: of the first image.
        All but zscore map to [0, 1] and cut off what lies beyond.
        """
        if self.rule == "zscore":
            return tuple(zscore(image) for image in images)
        if self.rule == "range":
            return unit_range(*images)
        low, high = self.window if self.rule == "window" else np.percentile(images[0], self.percentiles)
        return tuple(_scaled(image, float(low), float(high)) for image in images)

    def describe(self, task: Task) -> str:
        """A phrase for the provenance."""
        if self.rule == "zscore":
            return "each image (volume or picture) z-scored"
        together = "each noisy and clean pair mapped to [0, 1] together, by "
        mapped = together if task == "restoration" else "each image (volume or picture) mapped to [0, 1] by "
        return (
            mapped
            + {
                "range": "their smallest and largest value"
                if task == "restoration"
                else "its smallest and largest value",
                "window": f"the window {self.window[0]:g} to {self.window[1]:g}, cut off beyond",
                "percentile": f"its percentiles {self.percentiles[0]:g} and {self.percentiles[1]:g}, cut off beyond",
            }[self.rule]
        )


def _scaled(image: npt.NDArray[Any], low: float, high: float) -> Image:
    if high <= low:  # a constant image
        return np.zeros(image.shape, dtype=np.float32)
    from monai.transforms import ScaleIntensityRange

    scale = ScaleIntensityRange(a_min=low, a_max=high, b_min=0.0, b_max=1.0, clip=True, dtype=np.float64)
    return np.asarray(scale(image.astype(np.float64)), dtype=np.float32)

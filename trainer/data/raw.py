"""What a reader makes of one pair of files, before normalisation and resampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class RawPair:
    """`image` and `target`: numbers [d, h, w] of equal shape, one slice per d, not yet checked for NaN.

    `spacing`: height and width of a pixel (mm, or 1 where unknown). `slice_names`: d names, or ("",) for a
    picture. `colour_target`: the target's values are colours, 0xRRGGBB. `remarks`: what a reader did that its
    user may want to know, counted over the site for the notes. `stored_shape` and `stored_mm`: the sides and the
    voxel size of what lies on disk (a volume's in RAS; a picture's are height and width, and none).
    `true_to_scale`: a pixel has the size that was asked for, so slices are cropped or padded, not resampled.
    """

    image: npt.NDArray[Any]
    target: npt.NDArray[Any]
    spacing: tuple[float, float]
    slice_names: tuple[str, ...]
    colour_target: bool = False
    remarks: tuple[str, ...] = ()
    stored_shape: tuple[int, ...] = ()
    stored_mm: tuple[float, float, float] | None = None
    true_to_scale: bool = False

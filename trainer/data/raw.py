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
    user may want to know, counted over the site for the notes.
    """

    image: npt.NDArray[Any]
    target: npt.NDArray[Any]
    spacing: tuple[float, float]
    slice_names: tuple[str, ...]
    colour_target: bool = False
    remarks: tuple[str, ...] = ()

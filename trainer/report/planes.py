"""Which slice of a volume stands for it in pictures, and in what proportions it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_UNEVEN = 20
"""Sides of a pixel further apart are drawn as this: a sliver tells nothing, and a picture must fit a page."""


def telling_slice(target: NDArray[Any]) -> int:
    """Of labels int[D, H, W] the slice with most of them, of several such the middle one; of an image the middle."""
    if target.dtype.kind not in "iu":
        return len(target) // 2
    labelled = (target > 0).sum(axis=(1, 2))
    most = np.flatnonzero(labelled == labelled.max())
    return int(most[len(most) // 2])


def plane(image: NDArray[Any], target: NDArray[Any]) -> NDArray[Any]:
    """A slice [H, W] as it is, of a volume [D, H, W] the slice that tells most of its `target`, of the same shape."""
    return image if image.ndim == 2 else image[telling_slice(target)]


def plane_name(target: NDArray[Any]) -> str:
    """What to put behind the name of an image with this target: which slice is shown, nothing where it is one."""
    return "" if target.ndim == 2 else f", slice {telling_slice(target) + 1} of {len(target)}"


def pixel_aspect(voxel_mm: Sequence[float] | None) -> float:
    """Height over width of a pixel of a plane: of volumes with voxels of these sides (superior, anterior, right), and
    1 of slices, for which there are none.
    """
    return 1.0 if voxel_mm is None else voxel_mm[1] / voxel_mm[2]


def to_scale(picture: NDArray[Any], aspect: float) -> NDArray[Any]:
    """A plane [H, W, ...] with pixels of this height over width as one with square pixels: rows or columns repeated,
    so that labels stay what they are. An aspect beyond MOST_UNEVEN, or its inverse, is shown as that.
    """
    aspect = min(max(aspect, 1 / MOST_UNEVEN), MOST_UNEVEN)
    axis, factor = (0, aspect) if aspect > 1 else (1, 1 / aspect)
    side = picture.shape[axis]
    wanted = round(side * factor)
    return picture.take(((np.arange(wanted) + 0.5) * side / wanted).astype(np.intp), axis)

"""Which slice of a volume stands for it in pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


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

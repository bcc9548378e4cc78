"""Slices and volumes: intensity normalisation, resampling to a square, and cropping or padding around the centre."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

Image = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def zscore(image: npt.NDArray[Any]) -> Image:
    """`image` (any shape, finite) minus its mean, over its standard deviation; zeros if it is constant."""
    values = image.astype(np.float64)
    spread = values.std()
    centred = values - values.mean()
    # Rounding leaves a constant image a spread of a few ulp of its values, not exactly zero.
    if spread <= 1e-12 * max(float(np.abs(values).max()), 1e-300):
        return np.zeros(image.shape, dtype=np.float32)
    return np.asarray(centred / spread, dtype=np.float32)


def unit_range(*images: npt.NDArray[Any]) -> tuple[Image, ...]:
    """`images` (finite) mapped together onto [0, 1]: 0 is the smallest value of them all, 1 the largest.

    One mapping for all, so that a noisy image and its clean one stay comparable. Zeros if all are constant.
    """
    low = min(float(image.min()) for image in images)
    high = max(float(image.max()) for image in images)
    scale = 1.0 / (high - low) if high > low else 0.0
    return tuple(((image.astype(np.float64) - low) * scale).astype(np.float32) for image in images)


def fit_image(image: Image, size: int, spacing: tuple[float, float] = (1.0, 1.0), fill: float = 0.0) -> Image:
    """`image` float32[h, w] as float32[size, size]: bilinear with antialiasing, aspect kept.

    `spacing`: height and width of a pixel in mm (only their ratio counts). The shorter side is centred and
    padded with `fill`. No value leaves the range of `image`.
    """
    height, width = _fitted(image.shape, size, spacing)
    batch = torch.from_numpy(np.ascontiguousarray(image))[None, None]
    fitted = functional.interpolate(batch, (height, width), mode="bilinear", antialias=True, align_corners=False)
    # Interpolation weights sum to 1 only up to rounding.
    return _centred(np.clip(fitted[0, 0].numpy(), image.min(), image.max()), size, fill)


def fit_labels(labels: Labels, size: int, spacing: tuple[float, float] = (1.0, 1.0), fill: int = 0) -> Labels:
    """`labels` int64[h, w] as int64[size, size], placed as by `fit_image`: nearest pixel, padded with `fill`."""
    height, width = _fitted(labels.shape, size, spacing)
    # Index arithmetic rather than interpolation: mask values such as 0xFF0000 must survive exactly.
    rows = ((np.arange(height) + 0.5) * labels.shape[0] / height).astype(np.int64)
    columns = ((np.arange(width) + 0.5) * labels.shape[1] / width).astype(np.int64)
    return _centred(labels[np.ix_(rows, columns)], size, fill)


def crop_or_pad(images: npt.NDArray[Any], sides: tuple[int, ...], fill: Any) -> npt.NDArray[Any]:
    """`images` [n, *size], slices or volumes, as [n, *sides] at their own scale: cut or padded with `fill` around the
    centre, along each axis by itself.
    """
    from monai.transforms import ResizeWithPadOrCrop

    if len(images) == 0:
        return np.empty((0, *sides), dtype=images.dtype)
    change = ResizeWithPadOrCrop(sides, mode="constant", value=fill)
    return np.asarray(change(torch.from_numpy(np.ascontiguousarray(images)))).astype(images.dtype)


def seen_from_above(volume: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A volume [right, anterior, superior] as axial slices [superior, rows, columns].

    Rows run from the nose back, columns from the subject's left to right; the lowest slice is first.
    """
    return np.ascontiguousarray(volume.transpose(2, 1, 0)[:, ::-1])


def _fitted(shape: tuple[int, ...], size: int, spacing: tuple[float, float]) -> tuple[int, int]:
    extents = (shape[0] * spacing[0], shape[1] * spacing[1])
    longest = max(extents)
    height, width = (max(1, round(size * extent / longest)) for extent in extents)
    return height, width


def _centred(array: npt.NDArray[Any], size: int, fill: Any) -> npt.NDArray[Any]:
    square = np.full((size, size), fill, dtype=array.dtype)
    top, left = (size - array.shape[0]) // 2, (size - array.shape[1]) // 2
    square[top : top + array.shape[0], left : left + array.shape[1]] = array
    return square

"""One pair of files, checked, normalised and resampled: the slices that will train or test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.data import nifti, pictures
from trainer.data.classes import PADDING
from trainer.data.federated import Task
from trainer.data.pairing import Pair, printable
from trainer.data.raw import RawPair
from trainer.data.slices import Image, fit_image, fit_labels, unit_range, zscore
from trainer.errors import DataError

UNLABELLED = "axial slices without any label left out"
_MAX_VALUE = 2**31


@dataclass(frozen=True, eq=False)
class Prepared:
    """The slices of one pair of files, s pixels square.

    `images`: float32[n, s, s]. `targets`: mask values int64[n, s, s], PADDING outside the picture, or float32
    [n, s, s] (restoration). `values`: every mask value in the slices before resampling. `remarks`: counts for
    the notes.
    """

    pair: Pair
    images: npt.NDArray[np.float32]
    targets: npt.NDArray[Any]
    identifiers: tuple[str, ...]
    values: frozenset[int]
    colour_target: bool
    remarks: Counter[str]


def prepare(pair: Pair, task: Task, size: int, background: Set[int]) -> Prepared:
    """Read `pair` and make its slices, `size` pixels square.

    Segmentation: the image is z-scored as a whole (a volume, not slice by slice), and of a volume only axial
    slices with a value outside `background` are kept, which may be none. Restoration: noisy and clean image are
    mapped to [0, 1] together, by the smallest and largest value of the two; all slices are kept. Raises DataError
    naming the file.
    """
    raw = nifti.read_pair(pair) if pair.is_nifti else pictures.read_pair(pair, task)
    _check_finite(pair.image, raw.image)
    _check_finite(pair.target, raw.target)
    return _segmentation(pair, raw, size, background) if task == "segmentation" else _restoration(pair, raw, size)


def _segmentation(pair: Pair, raw: RawPair, size: int, background: Set[int]) -> Prepared:
    labels = _whole_numbers(pair, raw.target)
    remarks = Counter(raw.remarks)
    kept = np.arange(len(labels))
    if pair.is_nifti:
        kept = np.flatnonzero(~np.isin(labels, list(background)).all(axis=(1, 2)))
        remarks[UNLABELLED] += len(labels) - len(kept)
    image = zscore(raw.image)
    return Prepared(
        pair=pair,
        images=_stack([fit_image(image[index], size, raw.spacing, fill=float(image.min())) for index in kept], size),
        targets=_stack([fit_labels(labels[index], size, raw.spacing, fill=PADDING) for index in kept], size),
        identifiers=_identifiers(pair, raw, kept),
        values=frozenset(np.unique(labels[kept]).tolist()),
        colour_target=raw.colour_target,
        remarks=remarks,
    )


def _restoration(pair: Pair, raw: RawPair, size: int) -> Prepared:
    noisy, clean = unit_range(raw.image, raw.target)
    images: list[Image] = [fit_image(slice_, size, raw.spacing) for slice_ in noisy]
    targets: list[Image] = [fit_image(slice_, size, raw.spacing) for slice_ in clean]
    return Prepared(
        pair=pair,
        images=np.stack(images),
        targets=np.stack(targets),
        identifiers=_identifiers(pair, raw, np.arange(len(noisy))),
        values=frozenset(),
        colour_target=False,
        remarks=Counter(raw.remarks),
    )


def _stack(slices: Sequence[npt.NDArray[Any]], size: int) -> npt.NDArray[Any]:
    """[n, size, size]; n may be 0."""
    return np.stack(slices) if slices else np.empty((0, size, size))


def _identifiers(pair: Pair, raw: RawPair, kept: npt.NDArray[np.intp]) -> tuple[str, ...]:
    names = [raw.slice_names[index] for index in kept]
    return tuple(f"{pair.name}/{name}" if name else pair.name for name in names)


def _check_finite(file: object, values: npt.NDArray[Any]) -> None:
    with np.errstate(over="ignore"):
        unusable = int(values.size - np.isfinite(values.astype(np.float32, copy=False)).sum())
    if unusable:
        raise DataError(f"{printable(file)}: {unusable} of {values.size} values are NaN, infinite or beyond float32")


def _whole_numbers(pair: Pair, values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        example = values[values != np.rint(values)].flat[0]
        raise DataError(f"{printable(pair.target)}: holds {example:g}; a mask must hold whole numbers")
    low, high = values.min(), values.max()
    if low < 0 or high >= _MAX_VALUE:
        raise DataError(
            f"{printable(pair.target)}: holds the value {low if low < 0 else high:g}; mask values are 0 or larger"
        )
    return values.astype(np.int64)

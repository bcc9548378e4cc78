"""One pair of files, checked, normalised and resampled: the slices that will train or test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.data.classes import PADDING
from trainer.data.pair import Pair, printable
from trainer.data.raw import RawPair
from trainer.data.settings import Settings
from trainer.data.slices import Image, crop_or_pad, fit_image, fit_labels
from trainer.errors import DataError

UNLABELLED = "axial slices without any label left out"
CROPPED = "slices lose labelled pixels to the crop: a larger data.image_size or data.spacing would keep them"
_MAX_VALUE = 2**31


@dataclass(frozen=True)
class Facts:
    """What lay on disk: sides, voxel size in mm (None: not known), smallest, largest and mean value, slices read."""

    shape: tuple[int, ...]
    spacing_mm: tuple[float, float, float] | None
    low: float
    high: float
    mean: float
    slices: int


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
    facts: Facts


def prepare(pair: Pair, settings: Settings, background: Set[int]) -> Prepared:
    """Read `pair` and make its slices, `settings.size` pixels square.

    Intensities are mapped by `settings.intensity`, a volume as a whole and not slice by slice, a noisy image and its
    clean one together. Segmentation keeps of a volume only the slices with a value outside `background`, which may
    be none; restoration keeps all. Raises DataError naming the file.
    """
    raw = pair.read(pair, settings)
    _check_finite(pair.image, raw.image)
    _check_finite(pair.target, raw.target)
    if settings.task == "segmentation":
        return _segmentation(pair, raw, settings, background)
    return _restoration(pair, raw, settings)


def _segmentation(pair: Pair, raw: RawPair, settings: Settings, background: Set[int]) -> Prepared:
    labels = _whole_numbers(pair, raw.target)
    remarks = Counter(raw.remarks)
    kept = np.arange(len(labels))
    if pair.is_volume:
        kept = np.flatnonzero(~np.isin(labels, list(background)).all(axis=(1, 2)))
        remarks[UNLABELLED] += len(labels) - len(kept)
    (image,) = settings.intensity.normalise(raw.image)
    targets = _placed(labels[kept], raw, settings.size, fill=PADDING)
    if raw.true_to_scale:
        stays = ~np.isin(targets, [*background, PADDING])
        remarks[CROPPED] += int((stays.sum(axis=(1, 2)) < _labelled(labels[kept], background)).sum())
    return Prepared(
        pair=pair,
        images=_placed(image[kept], raw, settings.size, fill=float(image.min())),
        targets=targets,
        identifiers=_identifiers(pair, raw, kept),
        values=frozenset(np.unique(labels[kept]).tolist()),
        colour_target=raw.colour_target,
        remarks=remarks,
        facts=_facts(raw),
    )


def _restoration(pair: Pair, raw: RawPair, settings: Settings) -> Prepared:
    noisy, clean = settings.intensity.normalise(raw.image, raw.target)
    return Prepared(
        pair=pair,
        images=_placed(noisy, raw, settings.size, fill=0.0),
        targets=_placed(clean, raw, settings.size, fill=0.0),
        identifiers=_identifiers(pair, raw, np.arange(len(noisy))),
        values=frozenset(),
        colour_target=False,
        remarks=Counter(raw.remarks),
        facts=_facts(raw),
    )


def _placed(slices: npt.NDArray[Any], raw: RawPair, size: int, fill: Any) -> npt.NDArray[Any]:
    """Slices [n, h, w] as [n, size, size]: to scale, or fitted into the square."""
    if raw.true_to_scale:
        return crop_or_pad(slices, size, fill)
    fit = fit_labels if slices.dtype == np.int64 else fit_image
    return _stack([fit(slice_, size, raw.spacing, fill=fill) for slice_ in slices], size, slices.dtype)


def _labelled(labels: npt.NDArray[np.int64], background: Set[int]) -> npt.NDArray[np.int64]:
    """Labelled pixels of each slice."""
    return np.asarray((~np.isin(labels, list(background))).sum(axis=(1, 2)))


def _facts(raw: RawPair) -> Facts:
    values = raw.image
    return Facts(
        shape=raw.stored_shape,
        spacing_mm=raw.stored_mm,
        low=float(values.min()),
        high=float(values.max()),
        mean=float(values.mean(dtype=np.float64)),
        slices=len(values),
    )


def _stack(slices: Sequence[Image | npt.NDArray[np.int64]], size: int, dtype: Any) -> npt.NDArray[Any]:
    """[n, size, size]; n may be 0."""
    return np.stack(slices) if slices else np.empty((0, size, size), dtype=dtype)


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

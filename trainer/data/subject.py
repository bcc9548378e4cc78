"""One pair of files, checked, normalised and brought to size: the slices, or the volume, that will train or test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
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
EMPTY = "volumes without any label are kept as they are"
NO_VOXEL_SIZE = "volumes that tell no voxel size count as being at data.spacing already"
_MAX_VALUE = 2**31


@dataclass(frozen=True)
class Facts:
    """What lay on disk: sides, voxel size in mm (None: not known), smallest, largest and mean value, slices read.

    Of a volume that is learnt whole also `at_spacing`, its sides (right, anterior, superior) before the crop, and how
    many labelled voxels it has there and loses to the crop.
    """

    shape: tuple[int, ...]
    spacing_mm: tuple[float, float, float] | None
    low: float
    high: float
    mean: float
    slices: int
    at_spacing: tuple[int, ...] = ()
    labelled: int = 0
    labelled_lost: int = 0


@dataclass(frozen=True, eq=False)
class Prepared:
    """The slices of one pair of files, s pixels square, or its volume of d such slices.

    `images`: float32[n, s, s], or [1, d, s, s]. `targets`: mask values int64 of that shape, PADDING outside the
    picture, or float32 (restoration). `identifiers`: n names, or the volume's. `values`: every mask value before
    resampling. `remarks`: counts for the notes.
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
    """Read `pair` and make its slices, `settings.size` pixels square; or its volume of `settings.depth` such slices.

    Intensities are mapped by `settings.intensity`, a volume as a whole and not slice by slice, a noisy image and its
    clean one together. Of slices, segmentation keeps those of a volume with a value outside `background`, which may
    be none; restoration keeps all, and so does a volume that is learnt whole. Raises DataError naming the file.
    """
    raw = pair.read(pair, settings)
    _check_finite(pair.image, raw.image)
    _check_finite(pair.target, raw.target)
    if settings.depth is not None and min(raw.image.shape) == 1:
        raise DataError(
            f"{printable(pair.image)}: is a single slice at data.spacing; network.dimensions=3 trains on volumes"
        )
    if settings.task == "segmentation":
        return _segmentation(pair, raw, settings, background)
    return _restoration(pair, raw, settings)


def _segmentation(pair: Pair, raw: RawPair, settings: Settings, background: Set[int]) -> Prepared:
    labels = _whole_numbers(pair, raw.target)
    (image,) = settings.intensity.normalise(raw.image)
    remarks, facts, fill = _remarks(raw, settings), _facts(raw, settings), float(image.min())
    kept = np.arange(len(labels))
    if settings.depth is not None:
        image, labels = image[None], labels[None]
    elif pair.is_volume:
        kept = np.flatnonzero(_labelled(labels, background))
        remarks[UNLABELLED] += len(labels) - len(kept)
        image, labels = image[kept], labels[kept]
    targets = _placed(labels, raw, settings, fill=PADDING)
    if settings.depth is not None:
        (before,), (after,) = _labelled(labels, background), _labelled(targets, {*background, PADDING})
        facts = replace(facts, labelled=int(before), labelled_lost=int(before - after))
        remarks[EMPTY] += int(before == 0)
    elif raw.true_to_scale:
        stays = _labelled(targets, {*background, PADDING})
        remarks[CROPPED] += int((stays < _labelled(labels, background)).sum())
    return Prepared(
        pair=pair,
        images=_placed(image, raw, settings, fill=fill),
        targets=targets,
        identifiers=_identifiers(pair, raw, kept, settings),
        values=frozenset(np.unique(labels).tolist()),
        colour_target=raw.colour_target,
        remarks=remarks,
        facts=facts,
    )


def _restoration(pair: Pair, raw: RawPair, settings: Settings) -> Prepared:
    noisy, clean = settings.intensity.normalise(raw.image, raw.target)
    kept = np.arange(len(noisy))
    if settings.depth is not None:
        noisy, clean = noisy[None], clean[None]
    return Prepared(
        pair=pair,
        images=_placed(noisy, raw, settings, fill=0.0),
        targets=_placed(clean, raw, settings, fill=0.0),
        identifiers=_identifiers(pair, raw, kept, settings),
        values=frozenset(),
        colour_target=False,
        remarks=_remarks(raw, settings),
        facts=_facts(raw, settings),
    )


def _placed(images: npt.NDArray[Any], raw: RawPair, settings: Settings, fill: Any) -> npt.NDArray[Any]:
    """Slices [n, h, w] as [n, size, size]: to scale, or fitted into the square. A volume [1, d, h, w] as
    [1, depth, size, size], always to scale.
    """
    size = settings.size
    if settings.depth is not None:
        return crop_or_pad(images, (settings.depth, size, size), fill)
    if raw.true_to_scale:
        return crop_or_pad(images, (size, size), fill)
    fit = fit_labels if images.dtype == np.int64 else fit_image
    return _stack([fit(slice_, size, raw.spacing, fill=fill) for slice_ in images], size, images.dtype)


def _labelled(labels: npt.NDArray[np.int64], background: Set[int]) -> npt.NDArray[np.int64]:
    """Labelled pixels of each slice [n, h, w], or voxels of each volume [n, d, h, w]."""
    return np.asarray((~np.isin(labels, list(background))).sum(axis=tuple(range(1, labels.ndim))))


def _remarks(raw: RawPair, settings: Settings) -> Counter[str]:
    remarks = Counter(raw.remarks)
    if settings.depth is not None and raw.stored_mm is None:
        remarks[NO_VOXEL_SIZE] += 1
    return remarks


def _facts(raw: RawPair, settings: Settings) -> Facts:
    values = raw.image
    return Facts(
        shape=raw.stored_shape,
        spacing_mm=raw.stored_mm,
        low=float(values.min()),
        high=float(values.max()),
        mean=float(values.mean(dtype=np.float64)),
        slices=len(values),
        at_spacing=() if settings.depth is None else values.shape[::-1],
    )


def _stack(slices: Sequence[Image | npt.NDArray[np.int64]], size: int, dtype: Any) -> npt.NDArray[Any]:
    """[n, size, size]; n may be 0."""
    return np.stack(slices) if slices else np.empty((0, size, size), dtype=dtype)


def _identifiers(pair: Pair, raw: RawPair, kept: npt.NDArray[np.intp], settings: Settings) -> tuple[str, ...]:
    if settings.depth is not None:
        return (pair.name,)
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

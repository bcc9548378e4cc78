"""DICOM structure sets (RTSTRUCT), as radiotherapy draws them: closed contours, put onto their series' grid.

A pixel belongs to a structure if its centre lies within an odd number of the structure's contours in that slice, so
that a contour within another is a hole. (DICOM PS3.3 C.8.8.6.)
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.data.dicom_series import BROKEN, LPS_TO_RAS, TOLERANCE, Header, Series, read_whole
from trainer.data.pair import one_line, printable
from trainer.data.volumes import Volume
from trainer.errors import DataError


def chosen_structures(headers: Sequence[Header], wanted: tuple[str, ...] | None) -> tuple[str, ...]:
    """The names of the structures to learn: those `wanted`, or the only one that all `headers` share.

    Raises DataError, with the names there are, if it is not clear which, or a file has none of them.
    """
    present = [{_key(name) for _, name in header.segments} for header in headers]
    names = {_key(name): name for header in headers for _, name in header.segments}
    if wanted is None:
        shared = set.intersection(*present)
        if len(shared) != 1:
            listed = ", ".join(sorted(printable(name) for name in names.values())[:20]) or "none"
            raise DataError(f"{printable(headers[0].file)}: structures are {listed}; name some in data.structures")
        return (printable(names[shared.pop()]),)
    for header, keys in zip(headers, present, strict=True):
        if not keys & {_key(name) for name in wanted}:
            listed = ", ".join(printable(name) for _, name in header.segments[:20]) or "none"
            raise DataError(f"{printable(header.file)}: structures are {listed}; none of data.structures is there")
    return wanted


def contour_volume(header: Header, series: Series, structures: tuple[str, ...]) -> Volume:
    """The positions, from 1, of `structures` as a volume on the grid of `series`; the last where they overlap.

    Reading it raises DataError, naming the file, for contours that do not lie in the series' slices.
    """
    numbers = {
        number: 1 + position
        for position, wanted in enumerate(structures)
        for number, name in header.segments
        if _key(name) == _key(wanted)
    }
    return Volume(header.file, series.shape, series.affine(), lambda: _labels(header, series, numbers))


def _labels(header: Header, series: Series, numbers: dict[int, int]) -> npt.NDArray[np.int64]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            drawn = [
                (numbers[int(roi.ReferencedROINumber)], np.array([float(v) for v in contour.ContourData]))
                for roi in read_whole(header.file).ROIContourSequence
                if int(roi.ReferencedROINumber) in numbers
                for contour in roi.get("ContourSequence") or []
                if contour.get("ContourGeometricType") == "CLOSED_PLANAR"
            ]
            outlines = [(value, points.reshape(-1, 3)) for value, points in drawn]
    except BROKEN as error:
        raise DataError(f"{printable(header.file)}: its contours cannot be read: {one_line(error)}") from None
    inside: dict[int, npt.NDArray[np.bool_]] = {}
    to_index = np.linalg.inv(LPS_TO_RAS @ series.affine())
    for position, (value, points) in enumerate(outlines):
        indices = points @ to_index[:3, :3].T + to_index[:3, 3]
        _fill(inside.setdefault(value, np.zeros(series.shape, dtype=np.bool_)), indices, header, position)
    labels = np.zeros(series.shape, dtype=np.int64)
    for value in sorted(inside):
        labels[inside[value]] = value
    return labels


def _fill(mask: npt.NDArray[np.bool_], outline: npt.NDArray[np.float64], header: Header, position: int) -> None:
    """Turn over the pixels of `mask` [columns, rows, slices] whose centres lie within `outline` [n, 3] of indices."""
    from matplotlib.path import Path as Outline

    where = float(np.median(outline[:, 2])) if len(outline) else np.nan
    flat = len(outline) > 0 and np.abs(outline[:, 2] - where).max() <= TOLERANCE
    if not flat or abs(where - round(where)) > TOLERANCE or not 0 <= round(where) < mask.shape[2]:
        raise DataError(f"{printable(header.file)}: contour {position} does not lie in a slice of its series")
    low = np.clip(np.floor(outline[:, :2].min(axis=0)).astype(int), 0, np.array(mask.shape[:2]))
    high = np.clip(np.ceil(outline[:, :2].max(axis=0)).astype(int) + 1, 0, np.array(mask.shape[:2]))
    columns, rows = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]), indexing="ij")
    within = Outline(outline[:, :2], closed=False).contains_points(np.stack([columns.ravel(), rows.ravel()], axis=1))
    mask[low[0] : high[0], low[1] : high[1], round(where)] ^= within.reshape(columns.shape)


def _key(name: Any) -> str:
    """Names differ in case and spaces from one planner to the next."""
    return "".join(str(name).split()).casefold()

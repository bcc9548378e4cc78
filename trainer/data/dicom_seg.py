"""DICOM Segmentation objects: one-bit frames, each of a segment and at a position, put onto their series' grid.

(DICOM PS3.3 A.51; C.8.20.)
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.data.dicom_series import BROKEN, TOLERANCE, Header, Series, read_whole, unreadable_pixels
from trainer.data.pair import printable
from trainer.data.volumes import Volume
from trainer.errors import DataError


def label_volume(header: Header, series: Series) -> Volume:
    """The segment numbers of `header`'s file as a volume on the grid of `series`; 0 where there is none.

    Where segments overlap, the one with the larger number is kept. Reading it raises DataError, naming the file, for
    fractional segmentations and frames that do not lie on the series' slices.
    """
    if (header.columns, header.rows) != series.shape[:2]:
        raise DataError(
            f"{printable(header.file)}: {header.columns} x {header.rows} pixels do not fit its series' "
            f"{series.shape[0]} x {series.shape[1]}"
        )
    return Volume(header.file, series.shape, series.affine(), lambda: _labels(header, series))


def _labels(header: Header, series: Series) -> npt.NDArray[np.int64]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = read_whole(header.file)
            kind = str(content.get("SegmentationType", "unknown"))
            if kind != "BINARY":
                raise DataError(f"{printable(header.file)}: a {printable(kind)} segmentation; BINARY ones are read")
            frames = np.asarray(content.pixel_array).reshape(-1, header.rows, header.columns)
            placed = [_placed(content, index) for index in range(len(frames))]
    except BROKEN as error:
        raise unreadable_pixels(header.file, error) from None
    labels = np.zeros((series.shape[2], header.rows, header.columns), dtype=np.int64)
    for index, (frame, (segment, position, orientation)) in enumerate(zip(frames, placed, strict=True)):
        slice_index = _slice_at(header, series, index, position, orientation)
        labels[slice_index] = np.maximum(labels[slice_index], segment * (frame > 0))
    return np.ascontiguousarray(labels.transpose(2, 1, 0))


def _placed(content: Any, index: int) -> tuple[int, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Segment number, position and orientation of frame `index`."""
    frame, shared = content.PerFrameFunctionalGroupsSequence[index], content.SharedFunctionalGroupsSequence[0]

    def group(name: str) -> Any:
        return (frame.get(name) or shared.get(name))[0]

    segment = int(group("SegmentIdentificationSequence").ReferencedSegmentNumber)
    position = np.array([float(value) for value in group("PlanePositionSequence").ImagePositionPatient])
    orientation = np.array([float(value) for value in group("PlaneOrientationSequence").ImageOrientationPatient])
    return segment, position, orientation.reshape(2, 3)


def _slice_at(
    header: Header,
    series: Series,
    index: int,
    position: npt.NDArray[np.float64],
    orientation: npt.NDArray[np.float64],
) -> int:
    place = series.place
    along = float((position - place.position) @ series.step / (series.step @ series.step))
    nearest = round(along)
    off = float(np.abs(position - place.position - nearest * series.step).max())
    limit = TOLERANCE * max(float(np.linalg.norm(series.step)), float(place.spacing.max()))
    if not 0 <= nearest < series.shape[2] or off > limit or np.abs(orientation - place.orientation).max() > 1e-3:
        raise DataError(f"{printable(header.file)}: frame {index} does not lie on a slice of its series")
    return nearest

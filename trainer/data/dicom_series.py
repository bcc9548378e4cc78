"""DICOM series: headers read with distrust, slices sorted by position, and put together as a volume in space.

The file's name says nothing; a series is what shares a SeriesInstanceUID. Slices are sorted by ImagePositionPatient
along the normal of ImageOrientationPatient (DICOM PS3.3 C.7.6.2); rescale slope and intercept (or the modality's
table) are applied, MONOCHROME1 is inverted.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels import apply_modality_lut

from trainer.data.pair import one_line, printable
from trainer.data.volumes import Volume
from trainer.errors import DataError

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"  # SOP class: Segmentation Storage
STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"  # SOP class: RT Structure Set Storage
DIRECTORY = "1.2.840.10008.1.3.10"  # SOP class of DICOMDIR, in the file's meta information
TOLERANCE = 0.1  # of the distance between slices, or of a pixel
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# pydicom and its decoders report a broken file by any of these.
BROKEN = (
    *(OSError, EOFError, ValueError, TypeError, AttributeError, KeyError, IndexError, RuntimeError, OverflowError),
    *(struct.error, NotImplementedError, InvalidDicomError, BytesLengthException),
)


@dataclass(frozen=True, eq=False)
class Place:
    """A slice in space, in mm, LPS: `position` [3] of its first pixel, `orientation` [2, 3] (along a row, along a
    column), `spacing` [2] (of rows, of columns).
    """

    position: npt.NDArray[np.float64]
    orientation: npt.NDArray[np.float64]
    spacing: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Header:
    """What is needed of a file before its pixels are. `place` is None where the file has none;
    `refers_to`: the series that a segmentation or structure set marks; `segments`: number and name of what it marks.
    """

    file: Path
    series: str
    patient: str
    modality: str
    sop_class: str
    rows: int
    columns: int
    frames: int
    place: Place | None
    thickness_mm: float
    photometric: str
    samples: int
    refers_to: str
    segments: tuple[tuple[int, str], ...]


def read_header(file: Path) -> Header:
    """The header of `file`. Raises DataError naming it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd values in elements that are not used here
            return _header(file, pydicom.dcmread(file, stop_before_pixels=True))
    except BROKEN as error:
        what = "is empty" if _is_empty(file) else f"is not a readable DICOM file: {one_line(error)}"
        raise DataError(f"{printable(file)}: {what}") from None


def _header(file: Path, content: Any) -> Header:
    sop_class = str(content.file_meta.get("MediaStorageSOPClassUID", "") or content.get("SOPClassUID", ""))
    place = None
    if all(content.get(name) for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")):
        position, orientation, spacing = (
            np.array([float(value) for value in content[name].value])
            for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
        )
        place = Place(position.reshape(3), orientation.reshape(2, 3), spacing.reshape(2))
    referred = content.get("ReferencedSeriesSequence") or _referred_by_structures(content)
    return Header(
        file=file,
        series=str(content.get("SeriesInstanceUID", "") or ""),
        patient=str(content.get("PatientID", "") or ""),
        modality=str(content.get("Modality", "") or "unknown"),
        sop_class=sop_class,
        rows=int(content.get("Rows", 0) or 0),
        columns=int(content.get("Columns", 0) or 0),
        frames=int(content.get("NumberOfFrames", 1) or 1),
        place=place,
        thickness_mm=float(content.get("SpacingBetweenSlices") or content.get("SliceThickness") or 1.0),
        photometric=str(content.get("PhotometricInterpretation", "")),
        samples=int(content.get("SamplesPerPixel", 1) or 1),
        refers_to=str(referred[0].get("SeriesInstanceUID", "")) if len(referred) == 1 else "",
        segments=tuple(
            (int(segment.SegmentNumber), str(segment.get("SegmentLabel", "")))
            for segment in content.get("SegmentSequence") or []
        )
        + tuple(
            (int(structure.ROINumber), str(structure.get("ROIName", "")))
            for structure in content.get("StructureSetROISequence") or []
        ),
    )


def _referred_by_structures(content: Any) -> list[Any]:
    return [
        series
        for frame in content.get("ReferencedFrameOfReferenceSequence") or []
        for study in frame.get("RTReferencedStudySequence") or []
        for series in study.get("RTReferencedSeriesSequence") or []
    ]


@dataclass(frozen=True, eq=False)
class Series:
    """A series' slices in order along their normal. `place`: the first one's; `step`: to the next one, in mm, LPS."""

    name: str
    slices: tuple[Header, ...]
    place: Place
    step: npt.NDArray[np.float64]

    @classmethod
    def of(cls, headers: Sequence[Header]) -> Series:
        """The series of `headers`. Raises DataError, naming its folder, if they are no regular stack of slices."""
        name = printable(headers[0].file.parent)
        _check_kind(name, headers)
        places = {header: header.place for header in headers if header.place is not None}
        first = places[headers[0]]
        normal = np.cross(*first.orientation)
        ordered = sorted(places, key=lambda header: float(normal @ places[header].position))
        positions = np.array([places[header].position for header in ordered])
        step = normal * ordered[0].thickness_mm
        if len(ordered) > 1:
            _check_distances(name, ordered, positions @ normal)
            step = (positions[-1] - positions[0]) / (len(ordered) - 1)
            off = np.abs(positions - positions[0] - np.arange(len(ordered))[:, None] * step).max(axis=1)
            if off.max() > TOLERANCE * max(float(np.linalg.norm(step)), float(first.spacing.max())):
                stray = printable(ordered[int(off.argmax())].file.name)
                raise DataError(f"{name}: {stray} lies {off.max():.2f} mm beside the row of the other slices")
        return cls(name, tuple(ordered), places[ordered[0]], step)

    def affine(self) -> npt.NDArray[np.float64]:
        """float64[4, 4]: indices (column, row, slice) to mm in RAS."""
        along_row, along_column = self.place.orientation
        lps = np.eye(4)
        lps[:3, 0] = along_row * self.place.spacing[1]
        lps[:3, 1] = along_column * self.place.spacing[0]
        lps[:3, 2] = self.step
        lps[:3, 3] = self.place.position
        return np.asarray(LPS_TO_RAS @ lps)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Columns, rows, slices."""
        return self.slices[0].columns, self.slices[0].rows, len(self.slices)

    @property
    def is_inverted(self) -> bool:
        """Whether small values are bright."""
        return self.slices[0].photometric == "MONOCHROME1"

    def volume(self) -> Volume:
        """The series as a volume in the modality's units (HU for CT)."""
        return Volume(self.slices[0].file.parent, self.shape, self.affine(), self._voxels)

    def _voxels(self) -> npt.NDArray[np.float32]:
        stack = np.stack([_pixels(header) for header in self.slices])
        if self.is_inverted:
            stack = stack.min() + stack.max() - stack
        return np.ascontiguousarray(stack.transpose(2, 1, 0))


def read_whole(file: Path) -> Any:
    """The data set in `file` with its pixels. Raises what BROKEN lists."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(file)


def unreadable_pixels(file: Path, error: BaseException) -> DataError:
    """What to raise where the pixels of `file` cannot be read."""
    hint = ""
    if "decompress" in str(error) or "plugin" in str(error) or "missing dependencies" in str(error):
        hint = '; compressed DICOM may need: pip install "pylibjpeg[all]"'
    return DataError(f"{printable(file)}: its pixels cannot be read: {one_line(error)}{hint}")


def _pixels(header: Header) -> npt.NDArray[np.float32]:
    try:
        content = read_whole(header.file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = np.asarray(apply_modality_lut(content.pixel_array, content), dtype=np.float32)
    except BROKEN as error:
        raise unreadable_pixels(header.file, error) from None
    if values.shape != (header.rows, header.columns):
        raise DataError(f"{printable(header.file)}: holds {list(values.shape)} values, not one slice")
    return values


def _check_kind(name: str, headers: Sequence[Header]) -> None:
    kinds: dict[tuple[Any, ...], Header] = {}
    for header in headers:
        if header.frames > 1:
            raise DataError(
                f"{printable(header.file)}: has {header.frames} frames in one file; convert it to one file a slice, "
                "or to NIfTI (dcm2niix)"
            )
        if header.samples != 1 or header.photometric not in ("MONOCHROME1", "MONOCHROME2"):
            raise DataError(f"{printable(header.file)}: is {printable(header.photometric)}, not a grey image")
        if header.place is None:
            raise DataError(
                f"{printable(header.file)}: lacks ImagePositionPatient, ImageOrientationPatient or PixelSpacing, "
                "without which its place is unknown"
            )
        turned = np.concatenate([header.place.orientation.ravel(), header.place.spacing])
        kind = (header.rows, header.columns, header.photometric, *np.round(turned, 3).tolist())
        kinds.setdefault(kind, header)
    if len(kinds) > 1:
        first, second = list(kinds.values())[:2]
        raise DataError(
            f"{name}: slices of one series differ in size, orientation or pixel spacing (such as "
            f"{printable(first.file.name)} and {printable(second.file.name)}): a mixed series, or a localiser in it"
        )


def _check_distances(name: str, placed: Sequence[Header], along_mm: npt.NDArray[np.float64]) -> None:
    distances = np.diff(along_mm)
    usual = float(np.median(distances))
    same = np.flatnonzero(distances <= TOLERANCE * max(usual, 1e-3))
    if len(same):
        first, second = placed[same[0]].file.name, placed[same[0] + 1].file.name
        raise DataError(f"{name}: {printable(first)} and {printable(second)} lie at one position; keep one of them")
    gaps = np.flatnonzero(np.abs(distances - usual) > TOLERANCE * usual)
    if len(gaps):
        where = gaps[0]
        raise DataError(
            f"{name}: {distances[where]:.2f} mm between {printable(placed[where].file.name)} and "
            f"{printable(placed[where + 1].file.name)}, where slices are {usual:.2f} mm apart"
            + (f", and {len(gaps) - 1} more such places" if len(gaps) > 1 else "")
            + ": slices are missing"
        )


def _is_empty(file: Path) -> bool:
    try:
        return file.stat().st_size == 0
    except OSError:
        return False

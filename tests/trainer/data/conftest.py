"""Files as hospitals and data sets have them, written with the libraries that write them there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    RTStructureSetStorage,
    SegmentationStorage,
    generate_uid,
)

AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))  # along a row, along a column, LPS: as seen from the feet


class Disk:
    """Writes below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def volume(self, number: int, shape: tuple[int, int, int] = (20, 24, 10)) -> tuple[np.ndarray, np.ndarray]:
        """A float32 volume with a bright block, and labels uint8 that fill slices 3 to 7 of the last axis."""
        noise = np.random.default_rng(number).normal(size=shape).astype(np.float32)
        labels = np.zeros(shape, dtype=np.uint8)
        labels[4:12, 6 : 15 - number % 3, 3:8] = 1
        labels[6:9, 8:11, 4:7] = 2
        return noise + 4 * labels, labels

    def nifti(self, file: str, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
        path = self._place(file)
        nibabel.save(nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
        return path

    def png(self, file: str, array: np.ndarray) -> Path:
        path = self._place(file)
        Image.fromarray(array).save(path)
        return path

    def json(self, file: str, content: Any) -> Path:
        path = self._place(file)
        path.write_text(json.dumps(content))
        return path

    def npz(self, file: str, **arrays: Any) -> Path:
        path = self._place(file)
        np.savez_compressed(path, **arrays)
        return path

    def msd(self, folder: str = "Task09_Spleen", count: int = 4, **changes: Any) -> Path:
        """A task of the Medical Segmentation Decathlon."""
        names = [f"spleen_{number}" for number in range(count)]
        for number, name in enumerate(names):
            image, labels = self.volume(number)
            self.nifti(f"{folder}/imagesTr/{name}.nii.gz", image)
            self.nifti(f"{folder}/labelsTr/{name}.nii.gz", labels)
        content = {
            "name": "Spleen",
            "tensorImageSize": "3D",
            "modality": {"0": "CT"},
            "labels": {"0": "background", "1": "spleen", "2": "lesion"},
            "numTraining": count,
            "numTest": 1,
            "training": [
                {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in names
            ],
            "test": ["./imagesTs/spleen_90.nii.gz"],
        }
        return self.json(f"{folder}/dataset.json", content | changes).parent

    def nnunet(self, folder: str = "Dataset007_Brain", count: int = 4, channels: int = 1, **changes: Any) -> Path:
        """nnU-Net raw data; channel c of an image is the image plus 100 c."""
        for number in range(count):
            image, labels = self.volume(number)
            for channel in range(channels):
                self.nifti(f"{folder}/imagesTr/case{number}_{channel:04d}.nii.gz", image + 100 * channel)
            self.nifti(f"{folder}/labelsTr/case{number}.nii.gz", labels)
        content = {
            "channel_names": {str(channel): f"sequence {channel}" for channel in range(channels)},
            "labels": {"background": 0, "edema": 1, "tumour": 2},
            "numTraining": count,
            "file_ending": ".nii.gz",
        }
        return self.json(f"{folder}/dataset.json", content | changes).parent

    def series(
        self,
        folder: str,
        stack: np.ndarray,
        *,
        patient: str = "P1",
        origin: tuple[float, float, float] = (-10.0, -20.0, 30.0),
        orientation: tuple[tuple[float, ...], ...] = AXIAL,
        spacing: tuple[float, float] = (0.7, 0.8),
        distance: float = 2.5,
        slope: float = 1.0,
        intercept: float = -1000.0,
        **elements: Any,
    ) -> list[Path]:
        """A CT series: `stack` int [slices, rows, columns] of stored values. Files are named and numbered at random,
        so that neither tells the order.
        """
        series, study, frame = generate_uid(), generate_uid(), generate_uid()
        normal = np.cross(*orientation)
        order = np.random.default_rng(len(stack)).permutation(len(stack))
        files: list[Path] = []
        for index, pixels in enumerate(stack):
            content = self._dataset(CTImageStorage, patient, study)
            content.SeriesInstanceUID, content.FrameOfReferenceUID, content.Modality = series, frame, "CT"
            content.InstanceNumber = int(order[index]) + 1
            content.ImagePositionPatient = [float(v) for v in np.array(origin) + index * distance * normal]
            content.ImageOrientationPatient = [float(v) for row in orientation for v in row]
            content.PixelSpacing, content.SliceThickness = list(spacing), distance
            content.RescaleSlope, content.RescaleIntercept = slope, intercept
            self._pixels(content, pixels.astype(np.uint16), "MONOCHROME2")
            for name, value in elements.items():
                setattr(content, name, value)
            path = self._place(f"{folder}/IM{order[index]:04d}")
            content.save_as(path, enforce_file_format=True)
            files.append(path)
        return files

    def segmentation(self, file: str, labels: np.ndarray, series: list[Path], names: dict[int, str]) -> Path:
        """A DICOM SEG of `labels` [slices, rows, columns] over `series` (in the order of its slices)."""
        first = pydicom.dcmread(series[0])
        content = self._dataset(SegmentationStorage, first.PatientID, first.StudyInstanceUID)
        content.Modality, content.SeriesInstanceUID = "SEG", generate_uid()
        content.SegmentationType = "BINARY"
        content.ReferencedSeriesSequence = Sequence([_item(SeriesInstanceUID=first.SeriesInstanceUID)])
        content.SegmentSequence = Sequence(
            [_item(SegmentNumber=number, SegmentLabel=name) for number, name in names.items()]
        )
        shared = _item(
            PlaneOrientationSequence=Sequence([_item(ImageOrientationPatient=first.ImageOrientationPatient)]),
            PixelMeasuresSequence=Sequence([_item(PixelSpacing=first.PixelSpacing)]),
        )
        content.SharedFunctionalGroupsSequence = Sequence([shared])
        frames, groups = [], []
        for number in names:
            for index in reversed(range(len(labels))):  # the order of frames means nothing
                if not (labels[index] == number).any():
                    continue
                position = pydicom.dcmread(series[index]).ImagePositionPatient
                frames.append(labels[index] == number)
                groups.append(
                    _item(
                        SegmentIdentificationSequence=Sequence([_item(ReferencedSegmentNumber=number)]),
                        PlanePositionSequence=Sequence([_item(ImagePositionPatient=position)]),
                    )
                )
        content.PerFrameFunctionalGroupsSequence = Sequence(groups)
        content.NumberOfFrames = len(frames)
        content.Rows, content.Columns = labels.shape[1:]
        content.SamplesPerPixel, content.PhotometricInterpretation = 1, "MONOCHROME2"
        content.BitsAllocated = content.BitsStored = 1
        content.HighBit = content.PixelRepresentation = 0
        bits = np.packbits(np.stack(frames).ravel(), bitorder="little").tobytes()
        content.PixelData = bits + b"\0" * (len(bits) % 2)
        path = self._place(file)
        content.save_as(path, enforce_file_format=True)
        return path

    def contours(self, file: str, series: list[Path], structures: dict[str, list[tuple[int, Any]]]) -> Path:
        """An RTSTRUCT over `series`: for each name, (slice, points [n, 2] as column and row) of closed contours."""
        first = pydicom.dcmread(series[0])
        content = self._dataset(RTStructureSetStorage, first.PatientID, first.StudyInstanceUID)
        content.Modality, content.SeriesInstanceUID = "RTSTRUCT", generate_uid()
        referred = _item(RTReferencedSeriesSequence=Sequence([_item(SeriesInstanceUID=first.SeriesInstanceUID)]))
        content.ReferencedFrameOfReferenceSequence = Sequence([_item(RTReferencedStudySequence=Sequence([referred]))])
        content.StructureSetROISequence = Sequence(
            [_item(ROINumber=number, ROIName=name) for number, name in enumerate(structures, start=5)]
        )
        drawn = []
        for number, outlines in enumerate(structures.values(), start=5):
            sequence = []
            for index, points in outlines:
                header = pydicom.dcmread(series[index])
                along_row, along_column = np.array(header.ImageOrientationPatient, dtype=float).reshape(2, 3)
                place = np.array(header.ImagePositionPatient, dtype=float) + np.array(
                    [
                        along_row * header.PixelSpacing[1] * column + along_column * header.PixelSpacing[0] * row
                        for column, row in points
                    ]
                )
                data = [f"{value:.6g}" for value in place.ravel()]
                sequence.append(_item(ContourGeometricType="CLOSED_PLANAR", ContourData=data))
            drawn.append(_item(ReferencedROINumber=number, ContourSequence=Sequence(sequence)))
        content.ROIContourSequence = Sequence(drawn)
        path = self._place(file)
        content.save_as(path, enforce_file_format=True)
        return path

    def dicom_cases(self, folder: str = "ct", count: int = 3) -> Path:
        """`count` patients, each a series with a DICOM SEG beside it; bright where the label is."""
        for number in range(count):
            labels = np.zeros((8, 20, 24), dtype=np.uint8)
            labels[2:6, 5:12, 6 : 16 - number] = 1
            noise = np.random.default_rng(number).integers(0, 60, labels.shape)
            files = self.series(
                f"{folder}/patient{number}/ct", 1000 + noise + 150 * labels, patient=f"secret{number}"
            )
            self.segmentation(f"{folder}/patient{number}/seg/1.dcm", labels, files, {1: "tumour"})
        return self.root / folder

    def _dataset(self, sop_class: str, patient: str, study: str) -> Dataset:
        content = Dataset()
        content.file_meta = FileMetaDataset()
        content.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        content.file_meta.MediaStorageSOPClassUID = content.SOPClassUID = sop_class
        content.file_meta.MediaStorageSOPInstanceUID = content.SOPInstanceUID = generate_uid()
        content.PatientID, content.StudyInstanceUID = patient, study
        return content

    def _pixels(self, content: Dataset, pixels: np.ndarray, photometric: str) -> None:
        content.Rows, content.Columns = pixels.shape
        content.SamplesPerPixel, content.PhotometricInterpretation = 1, photometric
        content.BitsAllocated = content.BitsStored = 16
        content.HighBit, content.PixelRepresentation = 15, 0
        content.PixelData = pixels.astype("<u2").tobytes()

    def _place(self, file: str) -> Path:
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _item(**elements: Any) -> Dataset:
    item = Dataset()
    for name, value in elements.items():
        setattr(item, name, value)
    return item


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    """Writes files below tmp_path."""
    return Disk(tmp_path)

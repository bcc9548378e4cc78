"""RTSTRUCT contours on their series' grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from trainer.config import DataConfig
from trainer.data import FederatedData, load
from trainer.data.dicom_contours import contour_volume
from trainer.data.dicom_series import Series, read_header
from trainer.errors import DataError

OBLIQUE = ((np.cos(0.2), np.sin(0.2), 0.0), (-np.sin(0.2), np.cos(0.2), 0.0))
AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


def box(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    """Points as (column, row)."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def read(path: Path, **settings: Any) -> FederatedData:
    return load(DataConfig(source="folder", path=path, image_size=24, **settings), "segmentation", 0)


def refusal(path: Path, **settings: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(path, **settings)
    return str(caught.value)


def patients(disk: Any, structures: dict[str, Any], count: int = 2) -> Path:
    for number in range(count):
        stack = np.random.default_rng(number).integers(0, 90, (6, 20, 24))
        stack[2:4, 5:12, 6:15] += 400
        files = disk.series(f"rt/patient{number}/ct", stack, patient=f"secret{number}")
        disk.contours(f"rt/patient{number}/rs.dcm", files, structures)
    return disk.root / "rt"


GTV = {"GTV-1": [(2, box(5.5, 4.5, 14.5, 11.5)), (3, box(5.5, 4.5, 14.5, 11.5))]}


@pytest.mark.parametrize("orientation", [AXIAL, OBLIQUE], ids=["axial", "oblique"])
def test_pixels_whose_centres_lie_within_a_contour_are_filled_and_holes_are_not(disk, orientation):
    files = disk.series("ct", np.zeros((4, 20, 24), dtype=int), orientation=orientation)
    outlines = [(1, box(3.4, 2.6, 10.4, 8.6)), (1, box(5.4, 4.6, 7.4, 6.6)), (3, box(-5, -5, 1.5, 1.5))]
    structures = disk.contours("rs.dcm", files, {"Ring": outlines, "Dot": [(1, box(8.6, 6.6, 12.4, 9.4))]})
    series = Series.of([read_header(file) for file in files])
    labels = contour_volume(read_header(structures), series, ("ring", "DOT ")).read().transpose(2, 1, 0)
    expected = np.zeros((4, 20, 24), dtype=int)
    expected[1, 3:9, 4:11] = 1
    expected[1, 5:7, 6:8] = 0
    expected[3, :2, :2] = 1
    expected[1, 7:10, 9:13] = 2
    assert np.array_equal(labels, expected)


def test_the_only_structure_is_learnt_and_names_its_class(disk):
    client = (data := read(patients(disk, GTV))).clients[0]
    assert data.class_names == ("background", "GTV-1")
    assert len(client.train) == len(client.test) == 2
    for part in (client.train, client.test):
        assert float(part.images[:, 0][part.targets == 1].mean()) > 1
    assert "secret" not in repr([data.notes, client.train.identifiers, client.test.identifiers])


def test_of_several_structures_those_that_are_named_are_learnt_in_this_order(disk):
    path = patients(disk, {"BODY": [(2, box(0, 0, 23, 19)), (3, box(0, 0, 23, 19))], **GTV})
    assert "structures are BODY, GTV-1; name some in data.structures" in refusal(path)
    data = read(path, structures=("body", "gtv-1"))
    assert data.class_names == ("background", "body", "gtv-1")
    assert set(data.clients[0].train.targets.unique().tolist()) == {0, 1, 2}
    assert "structures are BODY, GTV-1; none of data.structures is there" in refusal(path, structures=("Heart",))


def move_contour(content: pydicom.Dataset) -> None:
    contour = content.ROIContourSequence[0].ContourSequence[0]
    contour.ContourData = [float(v) + 1.0 * (i % 3 == 2) for i, v in enumerate(contour.ContourData)]


def cut_contour(content: pydicom.Dataset) -> None:
    contour = content.ROIContourSequence[0].ContourSequence[0]
    contour.ContourData = list(contour.ContourData)[:-1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (move_contour, "rs.dcm: contour 0 does not lie in a slice of its series"),
        (cut_contour, "rs.dcm: its contours cannot be read"),
        (lambda content: delattr(content, "ROIContourSequence"), "rs.dcm: its contours cannot be read"),
        (
            lambda content: delattr(content, "ReferencedFrameOfReferenceSequence"),
            "segments a series that is not here",
        ),
    ],
    ids=["between slices", "cut", "no contours", "no series"],
)
def test_a_faulty_structure_set_is_refused_by_name(disk, change, words):
    path = patients(disk, GTV)
    file = path / "patient1" / "rs.dcm"
    content = pydicom.dcmread(file)
    change(content)
    content.save_as(file)
    assert words in refusal(path)


def test_segmentations_and_structure_sets_in_one_site_are_refused(disk):
    path = patients(disk, GTV)
    files = disk.series("rt/patient9/ct", np.zeros((4, 20, 24), dtype=int), patient="nine")
    disk.segmentation("rt/patient9/seg.dcm", np.ones((4, 20, 24), dtype=np.uint8), files, {1: "GTV-1"})
    assert "mixes SEG and RTSTRUCT" in refusal(path)

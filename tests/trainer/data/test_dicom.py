"""DICOM series written with pydicom: geometry against expected arrays, masks, and everything broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from pydicom.data import get_testdata_file
from pydicom.uid import RLELossless

from trainer.config import DataConfig
from trainer.data import FederatedData, load
from trainer.data.dicom_series import Series, read_header
from trainer.data.pair import printable
from trainer.errors import DataError

LPS = np.diag([-1.0, -1.0, 1.0])
CORONAL = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0))
SAGITTAL = ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0))
OBLIQUE = ((np.cos(0.2), np.sin(0.2), 0.0), (-np.sin(0.2), np.cos(0.2), 0.0))


def read(path: Path, **settings: Any) -> FederatedData:
    return load(DataConfig(source="folder", path=path, image_size=24, **settings), "segmentation", 0)


def refusal(path: Path, **settings: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(path, **settings)
    return str(caught.value)


def series_of(files: list[Path]) -> Series:
    return Series.of([read_header(file) for file in files])


def numbered(slices: int = 5, rows: int = 6, columns: int = 7) -> np.ndarray:
    """Stored values that are all different."""
    return np.arange(slices * rows * columns).reshape(slices, rows, columns)


# --- geometry and values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "orientation",
    [((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), CORONAL, SAGITTAL, OBLIQUE],
    ids=["ax", "cor", "sag", "oblique"],
)
def test_every_voxel_has_its_value_at_its_place_in_space(disk, orientation):
    stack = numbered()
    files = disk.series("ct", stack, orientation=orientation, spacing=(0.7, 0.9), distance=2.5, intercept=-1000)
    volume = series_of(files).volume()
    voxels = volume.read()
    normal = np.cross(*orientation)
    row, column = 4, 2
    for index in range(5):
        # DICOM PS3.3 C.7.6.2.1.1: the place of a pixel, from the elements themselves
        place = np.array([-10.0, -20.0, 30.0]) + index * 2.5 * normal
        place = place + np.array(orientation[0]) * 0.9 * column + np.array(orientation[1]) * 0.7 * row
        i, j, k = np.rint(np.linalg.inv(volume.affine) @ [*(LPS @ place), 1])[:3].astype(int)
        assert voxels[i, j, k] == stack[index, row, column] - 1000


def test_slices_lie_by_position_whatever_names_and_numbers_say(disk):
    files = disk.series("ct", numbered())
    assert [file.name for file in files] != sorted(file.name for file in files)
    voxels = series_of(list(reversed(files))).volume().read()
    assert np.array_equal(voxels.transpose(2, 1, 0), numbered() - 1000)


def test_canonical_axes_run_right_anterior_superior(disk):
    volume = series_of(disk.series("ct", numbered())).volume().canonical()
    # An axial series runs to the left and the back (LPS), so both axes turn round.
    assert np.array_equal(volume.read(), numbered().transpose(2, 1, 0)[::-1, ::-1] - 1000)
    assert np.allclose(np.diag(volume.affine), [0.8, 0.7, 2.5, 1])


def test_rescale_is_applied_slice_by_slice(disk):
    files = disk.series("ct", numbered(), slope=2.0, intercept=-7.0)
    last = pydicom.dcmread(files[4])
    last.RescaleSlope = 3.0
    last.save_as(files[4])
    voxels = series_of(files).volume().read().transpose(2, 1, 0)
    assert np.array_equal(voxels[:4], 2 * numbered()[:4] - 7)
    assert np.array_equal(voxels[4], 3 * numbered()[4] - 7)


def test_monochrome1_is_inverted_within_its_range(disk):
    files = disk.series("ct", numbered(), intercept=0.0, PhotometricInterpretation="MONOCHROME1")
    voxels = series_of(files).volume().read().transpose(2, 1, 0)
    assert np.array_equal(voxels, numbered().max() - numbered())


def test_compressed_pixels_are_read(disk):
    files = disk.series("ct", numbered())
    for file in files:
        content = pydicom.dcmread(file)
        content.compress(RLELossless)
        content.save_as(file)
    assert np.array_equal(series_of(files).volume().read().transpose(2, 1, 0), numbered() - 1000)


# --- masks -----------------------------------------------------------------------------------------------------


def test_a_segmentation_lies_on_its_series_and_names_its_classes(disk):
    data = read(disk.dicom_cases())
    assert data.class_names == ("background", "tumour")
    client = data.clients[0]
    assert client.name == "ct"
    assert {name.split("/")[0] for name in client.train.identifiers + client.test.identifiers} == {
        f"patient{number}" for number in range(3)
    }
    assert len(client.train) + len(client.test) == 3 * 4
    for part in (client.train, client.test):
        assert float(part.images[:, 0][part.targets == 1].mean()) > 1
        assert float(part.images[:, 0][part.targets == 0].mean()) < 0


def test_patient_identifiers_of_headers_are_never_shown(disk):
    data = read(disk.dicom_cases())
    assert "secret" not in repr([data.notes, data.provenance, data.clients])
    assert "secret" not in str([client.train.identifiers for client in data.clients])


@pytest.mark.parametrize(
    "place", ["{0}/mask.nii.gz", "{0}/x_seg.nii", "{0}.nii.gz", "{0}_mask.nii.gz", "../labels/{0}.nii.gz"]
)
def test_nifti_masks_are_found_beside_and_within_a_series_folder(disk, place):
    stack = np.random.default_rng(0).integers(0, 900, (6, 12, 14))
    labels = (stack > 400).astype(np.uint8)
    for name in ("a", "b", "c"):
        files = disk.series(f"site/images/{name}", stack, patient=name)
        affine = series_of(files).affine()
        disk.nifti(f"site/images/{place.format(name)}", labels.transpose(2, 1, 0), affine)
    data = read(disk.root / "site")
    assert len(data.clients[0].train) == 12
    assert {name.split("/")[0] for name in data.clients[0].train.identifiers} < {"a", "b", "c"}


def test_a_mask_whose_rows_are_stored_the_other_way_round_still_fits(disk):
    # dcm2niix stores rows from the front, DICOM from the back; the affine says which.
    stack = np.random.default_rng(0).integers(0, 900, (6, 12, 14))
    labels = (stack > 400).astype(np.uint8).transpose(2, 1, 0)
    flip = np.diag([1.0, -1.0, 1.0, 1.0])
    flip[1, 3] = 11
    for name in ("a", "b"):
        affine = series_of(disk.series(f"one/{name}", stack, patient=name)).affine()
        disk.nifti(f"one/{name}.nii.gz", labels, affine)
        disk.series(f"two/{name}", stack, patient=name)
        disk.nifti(f"two/{name}.nii.gz", labels[:, ::-1].copy(), affine @ flip)
    one, two = read(disk.root / "one"), read(disk.root / "two")
    both = [
        {**dict(zip(d.clients[0].train.identifiers, d.clients[0].train.targets, strict=True))} for d in (one, two)
    ]
    shared = both[0].keys() & both[1].keys()
    assert shared or one.clients[0].test.identifiers == two.clients[0].train.identifiers
    assert all(torch.equal(both[0][name], both[1][name]) for name in shared)


def test_studies_of_one_patient_are_one_subject(disk):
    stack = np.random.default_rng(0).integers(0, 900, (6, 12, 14))
    labels = (stack > 400).astype(np.uint8)
    for name, patient in (("first", "x"), ("second", "x"), ("third", "y")):
        files = disk.series(f"site/{name}", stack, patient=patient)
        disk.segmentation(f"site/{name}/seg.dcm", labels, files, {1: "organ"})
    client = read(disk.root / "site").clients[0]
    sides = [{name.split("/")[0] for name in part.identifiers} for part in (client.train, client.test)]
    assert sorted(map(sorted, sides)) == [["first", "second"], ["third"]]


def test_further_series_of_a_patient_with_a_mask_are_passed_over_aloud(disk):
    path = disk.dicom_cases()
    disk.series("ct/patient1/scout", numbered(2), patient="secret1")
    assert any("1 further series without a mask passed over" in note for note in read(path).notes)


def test_folders_of_one_patient_are_patients_and_folders_of_several_are_sites(disk):
    disk.dicom_cases("all/north")
    disk.dicom_cases("all/south")
    assert [client.name for client in read(disk.root / "all").clients] == ["north", "south"]
    assert [client.name for client in read(disk.root / "all" / "north").clients] == ["north"]


def test_deep_trees_are_one_site_when_asked_for_by_name(disk):
    path = disk.dicom_cases("archive/collection/ct")
    assert "no site" in refusal(path.parents[1])
    assert len(read(path.parents[1], layout="dicom").clients) == 1


# --- faults ----------------------------------------------------------------------------------------------------


def edit(file: Path, change: Callable[[pydicom.Dataset], Any]) -> None:
    content = pydicom.dcmread(file)
    change(content)
    content.save_as(file)


def middle(path: Path) -> Path:
    """The file of the third slice from below of patient 1."""
    files = (path / "patient1" / "ct").iterdir()
    return sorted(files, key=lambda file: pydicom.dcmread(file).ImagePositionPatient[2])[3]


def seg(path: Path) -> Path:
    return path / "patient1" / "seg" / "1.dcm"


def move(file: Path, x: float, z: float) -> None:
    def change(content: pydicom.Dataset) -> None:
        position = content.ImagePositionPatient
        content.ImagePositionPatient = [position[0] + x, position[1], position[2] + z]

    edit(file, change)


def delete(*names: str) -> Callable[[pydicom.Dataset], None]:
    def change(content: pydicom.Dataset) -> None:
        for name in names:
            delattr(content, name)

    return change


def assign(**values: Any) -> Callable[[pydicom.Dataset], None]:
    def change(content: pydicom.Dataset) -> None:
        for name, value in values.items():
            setattr(content, name, value)

    return change


def shift_frame(content: pydicom.Dataset) -> None:
    content.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient = [-10, -20, 31]


FAULTS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "missing slice": (
        lambda p: middle(p).unlink(),
        ["patient1/ct: 5.00 mm between IM", "where slices are 2.50 mm apart: slices are missing"],
    ),
    "a slice twice": (
        lambda p: (p / "patient1/ct/copy.dcm").write_bytes(middle(p).read_bytes()),
        ["patient1/ct: ", "lie at one position; keep one of them"],
    ),
    "a slice beside the others": (lambda p: move(middle(p), 3.0, 0.0), ["lies 3.00 mm beside the row"]),
    "other size": (
        lambda p: edit(middle(p), assign(Rows=10, PixelData=b"\0" * 480)),
        ["patient1/ct: slices of one series differ in size, orientation or pixel spacing"],
    ),
    "a localiser in the series": (
        lambda p: edit(middle(p), assign(ImageOrientationPatient=[1, 0, 0, 0, 0, -1])),
        ["a mixed series, or a localiser in it"],
    ),
    "no position": (lambda p: edit(middle(p), delete("ImagePositionPatient")), ["lacks ImagePositionPatient"]),
    "position that is no number": (
        lambda p: edit(middle(p), lambda c: c.__setattr__("ImagePositionPatient", [1, 2])),
        ["is not a readable DICOM file"],
    ),
    "colour": (
        lambda p: edit(middle(p), assign(PhotometricInterpretation="PALETTE COLOR")),
        ["is PALETTE COLOR, not a grey image"],
    ),
    "many frames": (lambda p: edit(middle(p), assign(NumberOfFrames=3)), ["has 3 frames in one file"]),
    "truncated": (
        lambda p: (f := middle(p)).write_bytes(f.read_bytes()[:-300]),
        ["patient1/ct/IM", ": "],
    ),
    "empty": (lambda p: middle(p).with_suffix(".dcm").write_bytes(b""), [".dcm: is empty"]),
    "not DICOM": (
        lambda p: middle(p).with_suffix(".dcm").write_bytes(b"hello" * 99),
        [".dcm: is not a readable DICOM file"],
    ),
    "no mask": (
        lambda p: seg(p).unlink(),
        ["patient1/ct: no mask for patient1/ct: a CT series of 8 slice(s); expected SITE/CASE/"],
    ),
    "two segmentations": (
        lambda p: (p / "patient1/seg/2.dcm").write_bytes(seg(p).read_bytes()),
        ["1.dcm and 2.dcm both segment it"],
    ),
    "segmentation of another series": (
        lambda p: edit(seg(p), lambda c: c.ReferencedSeriesSequence[0].__setattr__("SeriesInstanceUID", "1.2.3")),
        ["seg/1.dcm: segments a series that is not here", "no mask for patient1/ct"],
    ),
    "fractional segmentation": (
        lambda p: edit(seg(p), assign(SegmentationType="FRACTIONAL")),
        ["seg/1.dcm: a FRACTIONAL segmentation; BINARY ones are read"],
    ),
    "segmentation of another size": (
        lambda p: edit(seg(p), assign(Rows=10)),
        ["seg/1.dcm: 24 x 10 pixels do not fit its series' 24 x 20"],
    ),
    "frame between slices": (lambda p: edit(seg(p), shift_frame), ["seg/1.dcm: frame 0 does not lie on a slice"]),
    "frame without a place": (
        lambda p: edit(seg(p), delete("PerFrameFunctionalGroupsSequence")),
        ["seg/1.dcm: its pixels cannot be read"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_series_is_refused_by_name(disk, fault):
    damage, expected = FAULTS[fault]
    path = disk.dicom_cases()
    damage(path)
    message = refusal(path)
    for words in expected:
        assert words in message


def test_two_series_in_a_folder_with_one_nifti_mask_are_named(disk):
    disk.series("site/a", numbered(6), patient="a")
    disk.series("site/a", numbered(4), patient="a", InstanceNumber=9)
    disk.nifti("site/a/mask.nii.gz", np.ones((7, 6, 6), np.uint8))
    message = refusal(disk.root / "site")
    assert "site/a: holds 2 series (CT of" in message
    assert "but mask.nii.gz fits one; put each series into a folder of its own" in message


def test_a_nifti_mask_of_another_grid_is_refused(disk):
    stack = numbered()
    for name, step in (("a", 0.0), ("b", 2.0)):
        affine = series_of(disk.series(f"site/{name}", stack, patient=name)).affine()
        affine[0, 3] += step
        disk.nifti(f"site/{name}.nii.gz", (stack % 2).astype(np.uint8).transpose(2, 1, 0), affine)
    assert f"{printable(disk.root)}/site/b.nii.gz: its affine places it 2.00 mm away" in refusal(disk.root / "site")


@pytest.mark.parametrize("name", ["MR_small_RLE", "MR_small_bigendian", "MR_small_implicit", "MR_small_expb"])
def test_a_real_slice_reads_alike_in_every_encoding(name):
    plain, encoded = (
        series_of([Path(get_testdata_file(f"{file}.dcm"))]).volume().read() for file in ("MR_small", name)
    )
    assert plain.shape == (64, 64, 1)
    assert np.array_equal(plain, encoded)
    assert plain.std() > 100


def test_a_real_ct_slice_is_in_hounsfield_units():
    content = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    voxels = series_of([Path(get_testdata_file("CT_small.dcm"))]).volume().read()
    assert np.array_equal(voxels[..., 0].T, content.pixel_array - 1024.0)

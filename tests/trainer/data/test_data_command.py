"""`dcsfl-train data`: what it tells of good and broken folders, as tables and as JSON, and the contact sheet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trainer.report.contact_sheet import Row, outlined, write_contact_sheet
from trainer.report.examples import class_colour, rgb


@pytest.fixture
def look(cli: Any, tmp_path: Path) -> Any:
    """`look(path, *overrides)`: the JSON report and the exit status."""

    def call(path: Path, *arguments: str) -> tuple[dict[str, Any], int]:
        own = ("data.source=folder", f"data.path={path}", f"run.folder={tmp_path / 'runs'}", "data.image_size=24")
        result = cli("data", "--format", "json", *own, *arguments)
        return json.loads(result.stdout), result.exit_code

    return call


def test_a_good_folder_is_described_by_site_and_by_client(disk, look):
    disk.nnunet("all/mr", labels={"background": 0, "tumour": 1, "core": 2})
    disk.dicom_cases("all/ct")
    report, status = look(disk.root / "all")
    assert status == 0
    assert report["usable"] is True
    assert report["problems"] == []
    ct, mr = report["sites"]
    assert (ct["name"], ct["layout"], ct["subjects"], ct["images"], ct["slices"]) == ("ct", "dicom", 3, 3, 12)
    assert (mr["name"], mr["layout"], mr["subjects"], mr["images"], mr["slices"]) == ("mr", "nnunet", 4, 4, 20)
    assert ct["sizes"] == [{"sides": [24, 20, 8], "images": 3}]
    assert ct["spacings_mm"] == [{"sides": [0.8, 0.7, 2.5], "images": 3}]
    assert mr["labels"] == [0, 1, 2]
    low, high, mean = ct["values"]
    assert 0 <= low < mean < high <= 210
    assert [client["name"] for client in report["clients"]] == ["ct", "mr"]
    assert sum(report["clients"][0]["class_shares"].values()) == pytest.approx(1)
    assert any("without any label left out" in note for note in report["notes"])


def test_a_run_gets_what_was_reported(disk, look, cli, quick, tmp_path):
    path = disk.msd()
    report, _ = look(path, "data.image_size=32")
    own = ("data.source=folder", f"data.path={path}", "data.max_slices=null", "training.rounds=1")
    assert cli("run", "--into", tmp_path / "run", *quick, *own).exit_code == 0
    recorded = json.loads((tmp_path / "run" / "data.json").read_text())
    assert recorded["notes"][: len(report["notes"])] == report["notes"]  # then those of the task
    assert recorded["class_names"] == report["class_names"]
    for was, told in zip(recorded["clients"], report["clients"], strict=True):
        assert all(was[key] == told[key] for key in was)


def test_a_broken_folder_is_described_as_far_as_it_goes_and_every_problem_listed(disk, look):
    path = disk.msd(count=30)
    for number in range(25):
        (path / f"labelsTr/spleen_{number}.nii.gz").unlink()
    (path / "imagesTr/spleen_25.nii.gz").write_bytes(b"")
    report, status = look(path)
    assert status == 1
    assert report["usable"] is False
    assert len(report["problems"]) == 26
    assert report["sites"][0]["images"] == 4
    assert report["clients"] == []
    assert Path(report["contact_sheet"]).is_file()


def test_the_tables_name_the_same_things(disk, cli, tmp_path):
    path = disk.nnunet("brain")
    own = ("data.source=folder", f"data.path={path}", "data.image_size=24")
    result = cli("data", *own, "--sheet", tmp_path / "sheet.png")
    assert result.exit_code == 0
    for words in ("brain", "nnunet", "20 x 24 x 10 (4)", "1 x 1 x 1 (4)", "edema", "usable for segmentation"):
        assert words in result.stdout
    assert f"contact sheet: {tmp_path / 'sheet.png'}" in result.stdout
    (path / "labelsTr/case0.nii.gz").write_bytes(b"x")
    broken = cli("data", *own, "--sheet", tmp_path / "sheet.png")
    assert broken.exit_code == 1
    assert "1 problem(s); a run would refuse these data:" in broken.stdout
    assert "labelsTr/case0.nii.gz: is not a readable NIfTI file" in broken.stdout


def test_names_that_look_like_markup_are_printed_as_they_are(disk, cli, tmp_path):
    for number in range(2):
        image, labels = disk.volume(number)
        disk.nifti(f"all/[red]x/p{number}.nii", image)
        disk.nifti(f"all/[red]x/p{number}_seg.nii", labels)
    own = ("data.source=folder", f"data.path={disk.root / 'all'}", "data.image_size=24")
    assert "[red]x" in cli("data", *own, "--sheet", tmp_path / "s.png").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["data.source=folder"], "needs data.path=FOLDER"),
        (["data.source=folder", "data.path=nowhere"], "data.path=nowhere does not exist"),
        (["data.path=somewhere"], "add data.source=folder"),
        (["data.source=folder", "data.path=.", "data.layout=dcm"], "data.layout='dcm'"),
        (["data.pth=x"], "did you mean 'data.path'?"),
    ],
)
def test_a_wrong_path_or_layout_is_explained_in_a_line(arguments, words, cli):
    result = cli("data", *arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_sheet_that_cannot_be_written_is_refused(disk, cli):
    (disk.root / "file").write_text("x")
    own = ("data.source=folder", f"data.path={disk.nnunet()}", "data.image_size=24")
    result = cli("data", *own, "--sheet", disk.root / "file" / "sheet.png")
    assert result.exit_code == 1
    assert "sheet.png cannot be written: " in result.stderr


def test_the_demo_set_can_be_looked_at_too(cli, tmp_path):
    pytest.importorskip("nilearn")
    result = cli("data", "data.image_size=32", "data.max_slices=3", f"run.folder={tmp_path}")
    assert result.exit_code == 0
    assert "hospital-4" in result.stdout
    assert (tmp_path / "contact-sheet-demo.png").is_file()


def test_restoration_shows_noisy_and_clean_images(disk, look):
    images = np.random.default_rng(0).integers(0, 255, (4, 24, 24)).astype(np.uint8)
    disk.npz("s/a.npz", noisy=images, clean=images // 2)
    report, status = look(disk.root / "s", "training.task=restoration")
    assert status == 0
    assert report["class_names"] == []
    assert Path(report["contact_sheet"]).is_file()


# --- the sheet -------------------------------------------------------------------------------------------------


def test_an_outline_is_the_inner_border_of_its_label_in_its_colour():
    labels = np.zeros((9, 9), dtype=np.int64)
    labels[2:7, 2:7] = 1
    labels[4, 4] = 2
    picture = outlined(np.zeros((9, 9), dtype=np.float32), labels)
    coloured = picture.any(axis=2)
    expected = np.zeros((9, 9), dtype=bool)
    expected[2:7, 2:7] = True
    expected[3:6, 3:6] = False
    expected[4, 4] = expected[3, 4] = expected[5, 4] = expected[4, 3] = expected[4, 5] = True
    assert np.array_equal(coloured, expected)
    assert len({tuple(colour) for colour in picture[expected]}) == 2


def test_a_label_at_the_edge_of_the_picture_has_no_outline_there():
    assert not outlined(np.zeros((4, 4), dtype=np.float32), np.ones((4, 4), dtype=np.int64)).any()


@pytest.mark.parametrize("count", [1, 2, 4, 6, 50])
def test_a_sheet_shows_every_image_of_a_row_that_has_no_more_than_six(count, tmp_path):
    labels = np.zeros((count, 16, 16), dtype=np.int64)
    labels[:, 4:12, 4:12] = 1
    write_contact_sheet([Row("site", labels * 1.0, labels)], ("background", "x"), tmp_path / "sheet.png")
    across = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))[150].astype(int)
    blue = np.concatenate([[False], np.abs(across - rgb(class_colour(1))).max(axis=1) < 8])
    assert int((blue[1:] & ~blue[:-1]).sum()) == 2 * min(count, 6)  # an outline is crossed twice


def test_a_sheet_shows_a_square_of_uneven_pixels_as_a_square(tmp_path):
    labels = np.zeros((1, 16, 32), dtype=np.int64)
    labels[:, 4:12, 8:24] = 1  # half as many rows as columns, of pixels twice as high as wide
    row = Row("site", labels * 1.0, labels, aspect=2.0)
    write_contact_sheet([row], ("background", "x"), tmp_path / "sheet.png")
    picture = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB")).astype(int)
    outline = np.argwhere(np.abs(picture[:280] - rgb(class_colour(1))).max(axis=2) < 8)  # without the key below
    height, width = np.ptp(outline, axis=0)
    assert height == pytest.approx(width, abs=4)
    assert width > 40


def test_a_sheet_of_many_sites_shows_the_first_and_stays_small(tmp_path):
    row = Row("site", np.zeros((2, 16, 16), dtype=np.float32), np.zeros((2, 16, 16), dtype=np.int64))
    write_contact_sheet([row] * 60, ("background", "x"), tmp_path / "sheet.png")
    width, height = Image.open(tmp_path / "sheet.png").size
    assert width == 1600
    assert height < 12_000

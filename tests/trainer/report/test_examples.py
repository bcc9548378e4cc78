"""Example pictures: colours in the right pixels, and archives that do not fit refused by name."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from trainer.report.errors import ReportError
from trainer.report.examples import CLASS_COLOURS, DIFFERENCES, LARGEST_SIDE, PANELS, read_examples

CLASSES = ["background", "one", "two"]


def write(file, **changes):
    arrays = {
        "images": np.linspace(0, 1, 16, dtype=np.float32).reshape(1, 4, 4),
        "targets": np.array([[[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 0, 0], [2, 2, 0, 0]]]),
        "predictions": np.array([[[0, 1, 1, 0], [0, 0, 1, 1], [2, 1, 0, 0], [2, 2, 0, 0]]]),
        "labels": np.array(["client-0 slice-001"]),
    }
    np.savez(file, **{name: value for name, value in (arrays | changes).items() if value is not None})
    return file


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))


def test_each_kind_of_error_is_coloured_where_it_is(tmp_path):
    drawn = read_examples(write(tmp_path / "examples.npz"), "segmentation", CLASSES)
    difference = drawn.examples[0].pictures["difference"]
    assert tuple(difference[0, 1]) == rgb(DIFFERENCES["spurious"])
    assert tuple(difference[0, 3]) == rgb(DIFFERENCES["missed"])
    assert tuple(difference[2, 1]) == rgb(DIFFERENCES["wrong class"])
    coloured = {rgb(colour) for colour in DIFFERENCES.values()}
    assert sum(tuple(pixel) in coloured for pixel in difference.reshape(-1, 3)) == 3


def test_truth_is_tinted_by_class_and_background_left_grey(tmp_path):
    drawn = read_examples(write(tmp_path / "examples.npz"), "segmentation", CLASSES)
    pictures = drawn.examples[0].pictures
    assert tuple(pictures) == PANELS
    assert (pictures["truth"][0, 0] == pictures["image"][0, 0]).all()
    expected = 0.4 * pictures["image"][0, 2] + 0.6 * np.array(rgb(CLASS_COLOURS[0]))
    assert pictures["truth"][0, 2] == pytest.approx(expected, abs=1)
    assert drawn.classes == [("one", CLASS_COLOURS[0]), ("two", CLASS_COLOURS[1])]


def test_score_of_an_example_is_its_mean_dice(tmp_path):
    drawn = read_examples(write(tmp_path / "examples.npz"), "segmentation", CLASSES)
    # class one: 3 shared of 4 true and 5 predicted; class two: 3 shared of 4 true and 3 predicted
    assert drawn.examples[0].score == f"Dice {(6 / 9 + 6 / 7) / 2:.2f}"


@pytest.mark.parametrize("task", ["segmentation", "restoration"])
def test_pictures_are_drawn_in_the_proportions_of_the_archives_pixels_and_scored_without(task, tmp_path):
    changes = {}
    if task == "restoration":
        changes = {name: np.eye(4, dtype=np.float32)[None] for name in ("targets", "predictions")}
    plain = read_examples(write(tmp_path / "plain.npz", **changes), task, CLASSES).examples[0]
    file = write(tmp_path / "uneven.npz", pixel_aspect=np.array(1.5), **changes)
    uneven = read_examples(file, task, CLASSES).examples[0]
    assert uneven.score == plain.score
    for panel in PANELS:
        assert plain.pictures[panel].shape == (4, 4, 3)
        assert np.array_equal(uneven.pictures[panel], plain.pictures[panel][[0, 1, 1, 2, 3, 3]])


def test_labels_beyond_the_class_names_are_numbered(tmp_path):
    file = write(tmp_path / "examples.npz", targets=np.full((1, 4, 4), 3))
    assert read_examples(file, "segmentation", CLASSES).classes[2][0] == "label 3"


def test_restoration_difference_is_white_at_zero_red_above_blue_below(tmp_path):
    target = np.zeros((1, 4, 4), np.float32)
    prediction = target.copy()
    prediction[0, 0, :], prediction[0, 1, :] = 0.5, -0.5
    drawn = read_examples(write(tmp_path / "examples.npz", targets=target, predictions=prediction), "restoration", [])
    difference = drawn.examples[0].pictures["difference"].astype(int)
    assert difference[0, 0, 0] > difference[0, 0, 2]
    assert difference[1, 0, 2] > difference[1, 0, 0]
    assert difference[2, 0].min() > 240
    assert drawn.examples[0].score == f"RMSE {np.sqrt(0.5 * 0.25):.3g}"


def test_large_pictures_are_scaled_down_for_the_page(tmp_path):
    shape = (1, 600, 300)
    file = write(
        tmp_path / "examples.npz",
        images=np.random.default_rng(0).random(shape, np.float32),
        targets=np.zeros(shape, np.int64),
        predictions=np.zeros(shape, np.int64),
    )
    source = read_examples(file, "segmentation", CLASSES).examples[0].png_sources()["image"]
    image = Image.open(io.BytesIO(base64.b64decode(source.removeprefix("data:image/png;base64,"))))
    assert image.size == (LARGEST_SIDE // 2, LARGEST_SIDE)


def test_no_file_and_no_image_both_mean_no_examples(tmp_path):
    assert read_examples(tmp_path / "examples.npz", "segmentation", CLASSES) is None
    none = np.zeros((0, 4, 4), np.int64)
    file = write(
        tmp_path / "examples.npz",
        images=none.astype(np.float32),
        targets=none,
        predictions=none,
        labels=np.array([], dtype="U1"),
    )
    assert read_examples(file, "segmentation", CLASSES) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"predictions": None}, "predictions"),
        ({"images": np.zeros((4, 4), np.float32)}, r"images must be float \[n, H, W\]"),
        ({"targets": np.zeros((1, 4, 5), np.int64)}, "targets must be integer labels"),
        ({"predictions": np.zeros((1, 4, 4), np.float32)}, "predictions must be integer labels"),
        ({"targets": np.full((1, 4, 4), -1)}, "label below 0"),
        ({"labels": np.array(["a", "b"])}, "labels must be text"),
        ({"pixel_aspect": np.array(0.0)}, "pixel_aspect must be a positive number, not float64 0.0"),
        ({"pixel_aspect": np.array(np.nan)}, "pixel_aspect must be a positive number"),
        ({"pixel_aspect": np.ones(2)}, "pixel_aspect must be a positive number"),
        ({"pixel_aspect": np.array("x")}, "pixel_aspect must be a positive number"),
        ({"labels": np.array([{"a": 1}], dtype=object)}, "not a readable npz file"),
    ],
)
def test_arrays_that_do_not_fit_are_named(tmp_path, changes, message):
    with pytest.raises(ReportError, match=rf"examples\.npz.*{message}"):
        read_examples(write(tmp_path / "examples.npz", **changes), "segmentation", CLASSES)


@pytest.mark.parametrize("kept", [0, 10, 400])
def test_truncated_archive_is_named(tmp_path, kept):
    file = write(tmp_path / "examples.npz")
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ReportError, match=r"examples\.npz is not a readable npz file"):
        read_examples(file, "segmentation", CLASSES)

"""The slice that stands for a volume in pictures, and its proportions there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from trainer.report.planes import MOST_UNEVEN, pixel_aspect, plane, plane_name, telling_slice, to_scale


def test_the_slice_with_most_label_is_shown_and_named():
    labels = np.zeros((9, 6, 6), dtype=np.int64)
    labels[2, 1:3, 1:3] = 2
    labels[6, 1:5, 1:5] = 1
    image = np.arange(labels.size, dtype=np.float32).reshape(labels.shape)
    assert np.array_equal(plane(image, labels), image[6])
    assert plane_name(labels) == ", slice 7 of 9"


def test_of_slices_with_equally_much_label_the_middle_one_is_shown():
    labels = np.zeros((9, 6, 6), dtype=np.int64)
    assert telling_slice(labels) == 4
    labels[1:6, 2, 2] = 1
    assert telling_slice(labels) == 3


def test_of_an_image_the_middle_slice_is_shown_whatever_it_holds():
    image = np.zeros((8, 4, 4), dtype=np.float32)
    image[0] = 1.0
    assert telling_slice(image) == 4


def test_a_slice_is_shown_as_it_is_without_a_name():
    labels = np.eye(5, dtype=np.int64)
    assert plane(labels, labels) is labels
    assert plane_name(labels) == ""


def test_a_pixel_is_as_high_as_a_voxel_is_to_the_front_and_as_wide_as_to_the_right():
    assert pixel_aspect((3.0, 2.0, 1.0)) == 2.0
    assert pixel_aspect((3.0, 1.5, 1.5)) == 1.0
    assert pixel_aspect(None) == 1.0


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2, 3, 5]), st.booleans())
def test_a_plane_to_scale_repeats_rows_or_columns_and_invents_nothing(data, height, width, factor, upright):
    labels = data.draw(arrays.arrays(np.int64, (height, width), elements=st.integers(0, 5)))
    aspect = float(factor) if upright else 1 / factor
    assert np.array_equal(to_scale(labels, aspect), labels.repeat(factor, axis=0 if upright else 1))


@settings(max_examples=100, deadline=None)
@given(st.integers(4, 60), st.integers(4, 60), st.floats(1 / MOST_UNEVEN, MOST_UNEVEN))
def test_a_plane_to_scale_has_the_proportions_of_what_it_shows(height, width, aspect):
    shown = to_scale(np.arange(height * width * 3).reshape(height, width, 3), aspect)
    assert shown.shape[0] >= height
    assert shown.shape[1] >= width
    assert shown.shape[2] == 3
    finest = shown.shape[0] / height if aspect > 1 else width / shown.shape[1]
    assert finest == pytest.approx(aspect, rel=0.5 / min(height, width))


def test_a_sliver_stays_small_enough_for_a_page():
    assert to_scale(np.zeros((8, 8)), 1e9).shape == (8 * MOST_UNEVEN, 8)
    assert to_scale(np.zeros((8, 8)), 1e-9).shape == (8, 8 * MOST_UNEVEN)

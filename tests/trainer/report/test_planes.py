"""The slice that stands for a volume in pictures."""

from __future__ import annotations

import numpy as np

from trainer.report.planes import plane, plane_name, telling_slice


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

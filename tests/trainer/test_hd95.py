"""HD95 against MONAI's, in pixels and in mm, and by what must hold whatever the masks."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from monai.metrics import compute_hausdorff_distance

from trainer.metrics import SegmentationMetrics, hd95

EIGHTHS = st.integers(1, 40).map(lambda eighths: eighths / 8)
"""Sides of a voxel that are exact in binary: sums and products of them with small whole numbers are, too."""

MILLIMETRES = st.floats(0.1, 12.0)


@st.composite
def masks(draw, dimensions):
    """Two masks of one shape, neither empty."""
    shape = draw(st.lists(st.integers(1, 6), min_size=dimensions, max_size=dimensions).map(tuple))
    pair = [draw(arrays.arrays(np.bool_, shape).filter(np.any)) for _ in range(2)]
    return tuple(torch.from_numpy(mask) for mask in pair)


def monais(prediction, target, spacing):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = [mask[None, None].float() for mask in (prediction, target)]
        return compute_hausdorff_distance(*one, include_background=True, percentile=95, spacing=spacing).item()


@settings(max_examples=150, deadline=None)
@given(masks(3), st.one_of(st.none(), EIGHTHS.map(lambda side: (side,) * 3), st.tuples(EIGHTHS, EIGHTHS, EIGHTHS)))
def test_hd95_of_volumes_is_exactly_monais_with_even_and_uneven_voxels(pair, spacing):
    assert hd95(*pair, spacing) == monais(*pair, spacing)


@settings(max_examples=100, deadline=None)
@given(masks(3), st.tuples(MILLIMETRES, MILLIMETRES, MILLIMETRES))
def test_hd95_of_volumes_is_monais_to_rounding_with_any_voxels(pair, spacing):
    assert hd95(*pair, spacing) == pytest.approx(monais(*pair, spacing), rel=1e-6)


@settings(max_examples=100, deadline=None)
@given(masks(2))
def test_hd95_of_slices_is_exactly_monais_in_pixels(pair):
    assert hd95(*pair) == monais(*pair, None) == hd95(*pair, (1, 1))


@settings(max_examples=100, deadline=None)
@given(masks(3), st.tuples(EIGHTHS, EIGHTHS, EIGHTHS), st.permutations(range(3)), st.sampled_from([0.5, 2.0, 4.0]))
def test_hd95_turns_and_grows_with_the_voxels_and_does_not_care_which_mask_is_first(pair, spacing, order, factor):
    distance = hd95(*pair, spacing)
    turned = [mask.permute(*order) for mask in pair]
    assert hd95(*turned, [spacing[axis] for axis in order]) == distance
    assert hd95(*pair, [factor * side for side in spacing]) == factor * distance
    assert hd95(*pair[::-1], spacing) == distance


@pytest.mark.parametrize("axis", range(3))
def test_hd95_of_a_cube_moved_by_two_voxels_is_two_of_their_sides_along_that_axis(axis):
    sides = (3.0, 2.0, 1.25)
    mask = torch.zeros(12, 12, 12, dtype=torch.bool)
    mask[2:9, 2:9, 2:9] = True
    assert hd95(mask.roll(2, axis), mask, sides) == 2 * sides[axis]
    assert hd95(mask.roll(2, axis), mask) == 2.0
    assert hd95(mask, torch.zeros_like(mask), sides) is None


def test_the_unit_is_in_the_metrics_name_and_the_figure_is_the_mean_over_volumes():
    generator = torch.Generator().manual_seed(1)
    prediction, target = (torch.randint(0, 3, (4, 5, 6, 7), generator=generator) for _ in range(2))
    voxel_mm = (3.0, 1.5, 1.25)
    scores = {}
    for name, spacing in (("hd95", None), ("hd95_mm", voxel_mm)):
        metrics = SegmentationMetrics(("background", "a", "b"), voxel_mm=spacing)
        metrics.update(prediction, target)
        scores[name] = metrics.compute()
        assert list(scores[name])[:3] == ["dice", "iou", name]
        assert {key for key in scores[name] if "hd95" in key} == {name, f"{name}/a", f"{name}/b"}
        for label, label_name in enumerate("ab", start=1):
            each = [monais(p == label, t == label, spacing) for p, t in zip(prediction, target, strict=True)]
            assert scores[name][f"{name}/{label_name}"] == pytest.approx(np.mean(each), rel=1e-6)
    assert scores["hd95"]["dice"] == scores["hd95_mm"]["dice"]


def test_no_order_of_the_sides_but_the_tensors_gives_the_same_distance():
    """What the tests above would not see if all three sides could change places."""
    mask = torch.zeros(10, 10, 10, dtype=torch.bool)
    mask[1:5, 1:5, 1:5] = True
    moved = mask.roll((1, 2, 4), (0, 1, 2))
    distances = [hd95(moved, mask, sides) for sides in itertools.permutations((3.0, 2.0, 1.25))]
    assert len(set(distances)) == 6

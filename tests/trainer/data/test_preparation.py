"""Orientation, spacing and intensity: what a network gets, against expected arrays and MONAI."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import NormalizeIntensity, Orientation

from trainer.config import DataConfig, load
from trainer.data import FederatedData, sources
from trainer.data.intensity import Intensity
from trainer.data.settings import Settings
from trainer.data.volumes import Volume, slices_of
from trainer.errors import ConfigError, DataError

AXES = [
    (order, signs) for order in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)
]


def volume(voxels: np.ndarray, affine: np.ndarray) -> Volume:
    return Volume(Path("v.nii"), voxels.shape, affine, lambda: voxels)


def settings(**changes: Any) -> Settings:
    return Settings.of(DataConfig(**changes), "segmentation")


def read(path: Path, task: str = "segmentation", **changes: Any) -> FederatedData:
    return sources.load(DataConfig(source="folder", path=path, **{"image_size": 24} | changes), task, 0)


def stored(order: tuple[int, ...], signs: tuple[int, ...], spacing: tuple[float, ...]) -> np.ndarray:
    """An affine whose i-th axis runs along axis order[i] of RAS, towards signs[i], with a shift."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis in range(3):
        affine[order[axis], axis] = signs[axis] * spacing[axis]
    affine[:3, 3] = (5.0, -7.0, 11.0)
    return affine


@pytest.mark.parametrize(("order", "signs"), AXES)
def test_every_stored_orientation_is_turned_to_ras_as_monai_turns_it(order, signs):
    voxels = np.random.default_rng(0).normal(size=(4, 5, 6))
    affine = stored(order, signs, (1.0, 2.0, 3.5))
    turned = volume(voxels, affine).canonical()
    expected = Orientation("RAS", labels=(("L", "R"), ("P", "A"), ("I", "S")))(
        MetaTensor(torch.from_numpy(voxels)[None], affine=torch.from_numpy(affine))
    )
    assert np.array_equal(turned.read(), expected[0].numpy())
    assert turned.shape == tuple(expected.shape[1:])
    assert np.allclose(turned.affine, expected.affine)
    assert nibabel.aff2axcodes(turned.affine) == ("R", "A", "S")


@pytest.mark.parametrize(("order", "signs"), AXES[::7])
def test_slices_are_axial_with_the_nose_at_the_top_however_they_are_stored(order, signs):
    # Each voxel holds a number made of its place in space, so that the place can be read off the slice.
    affine = stored(order, signs, (1.0, 2.0, 3.5))
    index = np.stack(np.meshgrid(*map(np.arange, (4, 5, 6)), indexing="ij"), axis=-1)
    place = index @ affine[:3, :3].T + affine[:3, 3]
    voxels = place @ [1.0, 1000.0, 1e6]
    raw = slices_of(volume(voxels, affine), volume(voxels, affine), settings())
    right, anterior, superior = (np.unique(place[..., axis]) for axis in range(3))
    expected = superior[:, None, None] * 1e6 + anterior[::-1][None, :, None] * 1000 + right[None, None, :]
    assert np.allclose(raw.image, expected)
    assert raw.stored_mm == tuple(np.array((1.0, 2.0, 3.5))[np.argsort(order)])
    assert raw.spacing == (raw.stored_mm[1], raw.stored_mm[0])


def test_resampled_voxels_hold_what_lies_at_their_place():
    affine = np.diag([0.5, 2.0, 3.0, 1.0])
    affine[:3, 3] = (-4.0, 9.0, 2.0)
    index = np.stack(np.meshgrid(*map(np.arange, (21, 6, 5)), indexing="ij"), axis=-1)
    ramp = (index @ affine[:3, :3].T + affine[:3, 3]) @ [1.0, 10.0, 100.0]  # linear, so interpolation is exact
    labels = np.where(index[..., 2] < 2, 0, 2**31 - 2)
    raw = slices_of(volume(ramp, affine), volume(labels, affine), settings(spacing=(1.0, 1.0, 1.5)))
    assert raw.image.shape == (9, 11, 11)
    assert raw.spacing == (1.0, 1.0)
    expected = (
        (2.0 + 1.5 * np.arange(9))[:, None, None] * 100
        + (9.0 + 1.0 * np.arange(11))[::-1][None, :, None] * 10
        + (-4.0 + 1.0 * np.arange(11))[None, None, :]
    )
    assert np.allclose(raw.image, expected, atol=1e-3)
    assert np.unique(raw.target).tolist() == [0, 2**31 - 2]
    assert raw.remarks == ("volumes resampled to 1 x 1 x 1.5 mm",)
    assert raw.stored_shape == (21, 6, 5)


def test_at_a_given_spacing_pixels_keep_their_size_and_slices_are_cropped_or_padded(disk):
    for number in range(2):
        labels = np.zeros((30, 12, 6), dtype=np.uint8)
        labels[10:20, 3:9, 1:5] = 1  # 10 x 12 mm at 1 x 2 mm
        disk.nifti(f"s/p{number}.nii", labels * 5.0, np.diag([1.0, 2.0, 3.0, 1.0]))
        disk.nifti(f"s/p{number}_seg.nii", labels, np.diag([1.0, 2.0, 3.0, 1.0]))
    data = read(disk.root / "s", spacing=(1.0, 1.0, 3.0))
    target = data.clients[0].train.targets[1]
    assert target.shape == (24, 24)
    assert int(target.sum(dim=1).max()) == 10
    assert 11 <= int(target.sum(dim=0).max()) <= 13
    assert not any("lose labelled pixels" in note for note in data.notes)
    small = read(disk.root / "s", spacing=(0.5, 0.5, 3.0), image_size=16)
    assert "s: 8 slices lose labelled pixels to the crop" in "\n".join(small.notes)
    assert "at data.spacing" in small.provenance


def test_a_spacing_too_fine_for_memory_is_refused_before_it_is_tried(disk):
    image, labels = disk.volume(0)
    for number in range(2):
        disk.nifti(f"s/p{number}.nii", image)
        disk.nifti(f"s/p{number}_seg.nii", labels)
    with pytest.raises(DataError, match=r"would have 4.8e\+09 voxels, .* make data.spacing coarser"):
        read(disk.root / "s", spacing=(0.01, 0.01, 0.01))


# --- intensity -------------------------------------------------------------------------------------------------


def test_a_window_maps_its_bounds_to_zero_and_one_and_cuts_off_beyond():
    rule = Intensity("window", (-100.0, 300.0), (0.5, 99.5))
    (scaled,) = rule.normalise(np.array([-1000.0, -100.0, 0.0, 100.0, 300.0, 2000.0]))
    assert scaled.dtype == np.float32
    assert np.allclose(scaled, [0, 0, 0.25, 0.5, 1, 1])


def test_percentiles_are_those_of_the_image_itself():
    rule = Intensity("percentile", (0.0, 1.0), (10.0, 90.0))
    (scaled,) = rule.normalise(np.arange(101.0))
    assert np.allclose(scaled, np.clip((np.arange(101.0) - 10) / 80, 0, 1))


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=30).filter(lambda v: np.std(v) > 1e-2))
def test_z_scores_are_monais(values):
    (scaled,) = Intensity("zscore", (0.0, 1.0), (0.0, 100.0)).normalise(np.array(values))
    assert np.allclose(scaled, NormalizeIntensity(dtype=np.float64)(np.array([values]))[0], atol=1e-4)


@pytest.mark.parametrize("rule", ["zscore", "range", "percentile"])
def test_a_constant_image_becomes_zeros(rule):
    (scaled,) = Intensity(rule, (0.0, 1.0), (1.0, 99.0)).normalise(np.full((3, 4), 7.0))
    assert not scaled.any()


@pytest.mark.parametrize("rule", ["range", "window", "percentile"])
def test_a_noisy_and_a_clean_image_get_one_mapping(rule):
    clean = np.linspace(0, 50, 100)
    noisy = clean + np.random.default_rng(0).normal(size=100)
    seen, wanted = Intensity(rule, (-10.0, 60.0), (1.0, 99.0)).normalise(noisy, clean)
    inside = (seen > 0) & (seen < 1) & (wanted > 0) & (wanted < 1)
    slope = (seen[inside] - wanted[inside]) / (noisy[inside] - clean[inside])
    assert np.allclose(slope, slope[0], rtol=1e-2)


def test_the_window_of_a_ct_reaches_the_network(disk):
    for number in range(2):
        image, labels = disk.volume(number)
        disk.nifti(f"s/p{number}.nii", image * 0 + 40 * labels - 20)
        disk.nifti(f"s/p{number}_seg.nii", labels)
    data = read(disk.root / "s", intensity="window", window=(-40, 60), image_size=20, spacing=(1, 1, 1))
    train = data.clients[0].train
    for index, value in enumerate((0.2, 0.6, 1.0)):
        values = train.images[:, 0][(train.targets == index) & (train.images[:, 0] > 0)]
        assert torch.allclose(values, torch.tensor(value))
    assert "the window -40 to 60, cut off beyond" in data.provenance


def test_z_scores_for_restoration_are_refused(disk):
    image, _ = disk.volume(0)
    for kind in ("noisy", "clean"):
        disk.nifti(f"s/{kind}/a.nii", image)
        disk.nifti(f"s/{kind}/b.nii", image)
    with pytest.raises(DataError, match="zscore gives no fixed range"):
        read(disk.root / "s", "restoration", intensity="zscore")
    assert len(read(disk.root / "s", "restoration", spacing=(2, 2, 2)).clients) == 1


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.window=[5,5]", "the first must be smaller than the second"),
        ("data.percentiles=[-1,50]", "percentiles lie between 0 and 100"),
        ("data.spacing=[1,0,1]", "greater than 0"),
        ("data.spacing=[1,1]", "data.spacing"),
        ("data.site_pattern='('", "not a regular expression"),
        ("data.site_pattern=abc", "needs exactly one group"),
        ("data.concentration=0", "greater than 0"),
        ("data.min_subjects=1", "greater than or equal to 2"),
        ("data.layout=bids", "'auto', 'nnunet', 'msd', 'npz', 'dicom' or 'pairs'"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_by_key(override, words):
    with pytest.raises(ConfigError) as caught:
        load((), [override])
    assert words in str(caught.value)
    assert override.split("=")[0] in str(caught.value)

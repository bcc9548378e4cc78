"""Simulated scanners."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from trainer.data.scanner import Scanner, draw_scanner, noise_generator


def phantom(size: int = 48) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size] / size
    disc = ((rows - 0.4) ** 2 + (columns - 0.55) ** 2 < 0.1).astype(np.float32)
    return (0.3 * disc + 0.6 * disc * (columns > 0.5)).astype(np.float32)


def test_heterogeneity_zero_is_exactly_the_identity_for_every_client():
    image = phantom()
    for client in range(5):
        scanner = draw_scanner(3, client, heterogeneity=0.0)
        assert np.array_equal(scanner.apply(image, noise_generator(3, client, 0)), image)


@pytest.mark.parametrize("seed", [0, 1, 42, 2**63 - 1])
def test_four_clients_stand_apart_in_contrast_at_every_seed(seed):
    scanners = [draw_scanner(seed, client, 1.0) for client in range(4)]
    gammas = np.sort(np.log2([scanner.gamma for scanner in scanners]))
    assert np.diff(gammas).min() > 0.3
    assert sorted(scanner.orientation for scanner in scanners) == [0, 1, 2, 3]
    assert len({scanner.describe() for scanner in scanners}) == 4


def test_a_scanner_is_a_function_of_seed_client_and_strength():
    assert draw_scanner(5, 2, 1.0) == draw_scanner(5, 2, 1.0)
    assert draw_scanner(5, 2, 1.0) != draw_scanner(6, 2, 1.0)
    half, full = draw_scanner(5, 2, 0.5), draw_scanner(5, 2, 1.0)
    assert half.noise == pytest.approx(full.noise / 2)
    assert np.log(half.gamma) == pytest.approx(np.log(full.gamma) / 2)
    assert 1 - half.gain == pytest.approx((1 - full.gain) / 2)


@pytest.mark.parametrize("heterogeneity", [1.0, 2.0])
def test_exposure_stays_within_zero_and_one(heterogeneity):
    for client in range(12):
        exposed = draw_scanner(8, client, heterogeneity).expose(phantom())
        assert exposed.dtype == np.float32
        assert exposed.min() >= 0
        assert exposed.max() <= 1


def test_background_noise_follows_the_rayleigh_distribution_of_magnitude_images():
    noise = Scanner(noise=0.05).acquire(np.zeros((128, 128), dtype=np.float32), np.random.default_rng(0)).ravel()
    assert stats.kstest(noise, stats.rayleigh(scale=0.05).cdf).pvalue > 1e-3


def test_coarse_pixels_blur_an_edge_but_keep_size_and_mean():
    image = phantom()
    coarse = Scanner(coarsening=1.5, blur_pixels=0.6).acquire(image, np.random.default_rng(0))
    assert coarse.shape == image.shape
    assert coarse.mean() == pytest.approx(image.mean(), rel=0.03)
    assert np.abs(np.diff(coarse)).max() < 0.8 * np.abs(np.diff(image)).max()


@pytest.mark.parametrize("orientation", range(4))
def test_a_mask_turns_with_its_image(orientation):
    image = phantom()
    scanner = Scanner(orientation=orientation)
    assert np.array_equal(scanner.orient(image > 0), scanner.apply(image, np.random.default_rng(0)) > 0)


def test_the_bias_field_is_smooth_and_as_strong_as_it_says():
    field = np.log(Scanner(bias=0.4, bias_direction_rad=0.0).expose(np.ones((64, 64), dtype=np.float32)))
    assert field.max() - field.min() == pytest.approx(0.4 * 2 * np.sin(np.pi / 2 / np.sqrt(2)), rel=1e-4)
    assert np.abs(np.diff(field)).max() < 0.05

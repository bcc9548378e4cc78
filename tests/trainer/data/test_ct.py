"""Simulated CT against what is known exactly: chords of discs, flat discs, and the variance of counts."""

from __future__ import annotations

import math
import re
import subprocess
import sys

import numpy as np
import pytest

from trainer.data import ct
from trainer.data.ct import FULL_SCALE_PER_MM, CtScanner, draw_ct_scanner
from trainer.errors import DataError

# Both source and detector near and far, cells narrower and wider than a pixel, even and odd images.
SCANNERS = {
    "middle": CtScanner(96, 256, 1e5, 2.0, 2.4, 350.0, 300.0),
    "near-source": CtScanner(96, 360, 1e5, 2.0, 1.0, 110.0, 450.0),
    "wide-cells": CtScanner(97, 300, 1e5, 1.0, 4.0, 550.0, 150.0),
    "narrow-cells": CtScanner(64, 300, 1e5, 1.3, 0.4, 200.0, 300.0),
}
EACH = pytest.mark.parametrize("scanner", SCANNERS.values(), ids=SCANNERS)
VALUE = 0.8


def disc(pixels: int, radius: float, at: tuple[float, float], value: float = VALUE) -> np.ndarray:
    """A disc of `radius` pixels around `at` (row, column, from the centre of rotation), its edge antialiased."""
    fine = 8
    axis = (np.arange(pixels * fine) + 0.5) / fine - 0.5 - pixels // 2
    inside = (axis[:, None] - at[0]) ** 2 + (axis[None] - at[1]) ** 2 < radius**2
    return (value * inside.reshape(pixels, fine, pixels, fine).mean(axis=(1, 3))).astype(np.float32)


def inside(pixels: int, radius: float, at: tuple[float, float]) -> np.ndarray:
    return disc(pixels, radius, at, 1.0) == 1


def chords_mm(scanner: CtScanner, radius: float) -> np.ndarray:
    """Lengths of the rays through a centred disc of `radius` pixels, per detector cell, by plain geometry."""
    on_detector = (np.arange(scanner.cells) - scanner.cells // 2) * scanner.pitch_mm
    length = scanner.source_mm + scanner.detector_mm
    from_centre = scanner.source_mm * on_detector / np.hypot(on_detector, length)
    return 2 * np.sqrt(np.maximum((radius * scanner.pixel_mm) ** 2 - from_centre**2, 0))


@EACH
def test_projection_of_a_centred_disc_is_its_chords_in_every_view(scanner):
    radius = 0.3 * scanner.pixels
    measured = scanner.project(disc(scanner.pixels, radius, (0, 0)))
    expected = VALUE * FULL_SCALE_PER_MM * chords_mm(scanner, radius)
    deep = expected > 0.5 * expected.max()  # near the rim a pixel's width is a large part of the chord
    assert measured.shape == (scanner.views, scanner.cells)
    np.testing.assert_allclose(measured[:, deep], np.broadcast_to(expected[deep], measured[:, deep].shape), rtol=0.02)
    assert np.abs(measured.mean(axis=0) - expected)[deep].max() < 0.01 * expected.max()


def test_an_off_centre_disc_casts_its_shadow_where_the_fan_geometry_says():
    scanner, at = SCANNERS["near-source"], (0.0, 20.0)
    # Small: near the source a larger disc's far side is magnified less than its near side, which moves the centroid.
    shadow = scanner.project(disc(96, 3, at))
    cells = np.arange(scanner.cells) - scanner.cells // 2
    centroid_mm = (shadow * cells).sum(axis=1) / shadow.sum(axis=1) * scanner.pitch_mm
    # The source goes round at source_mm; the disc's centre is off the central ray, and nearer to or farther from it.
    turn = 2 * np.pi * np.arange(scanner.views) / scanner.views
    sideways, farther = 40 * np.cos(turn), 40 * np.sin(turn)
    expected = (scanner.source_mm + scanner.detector_mm) * sideways / (scanner.source_mm + farther)
    assert np.abs(centroid_mm).max() > 200
    assert np.abs(centroid_mm - expected).max() < 1.5 * scanner.pitch_mm


@EACH
@pytest.mark.parametrize("at", [(0.0, 0.0), (-0.1, 0.15)], ids=["centred", "off-centre"])
def test_reconstruction_of_a_noiseless_disc_has_the_discs_value_and_air_around_it(scanner, at):
    radius, centre = 0.2 * scanner.pixels, tuple(scanner.pixels * place for place in at)
    seen = scanner.reconstruct(scanner.project(disc(scanner.pixels, radius, centre)))
    within = seen[inside(scanner.pixels, radius - 3, centre)]
    around = seen[ct.imaged_circle(scanner.pixels) & (disc(scanner.pixels, radius + 3, centre) == 0)]
    cells_a_pixel = scanner.pixel_mm / (
        scanner.pitch_mm * scanner.source_mm / (scanner.source_mm + scanner.detector_mm)
    )
    assert within.mean() == pytest.approx(VALUE, rel=0.005 / min(1, cells_a_pixel))  # coarse cells blur the rim
    assert within.std() < 0.02
    assert abs(around.mean()) < 0.01


def test_counts_have_the_mean_and_variance_of_the_dose():
    integrals = np.full((400, 500), 2.0)
    for photons in (10**4.6, 10**6):
        scanner = CtScanner(96, 400, photons, 2.0, 2.0, 350.0, 300.0)
        counts = scanner.count(integrals, np.random.default_rng(1))
        expected = photons * math.exp(-2.0)
        assert counts.mean() == pytest.approx(expected, rel=1e-3)
        assert counts.var() == pytest.approx(expected, rel=0.02)
        # To first order a line integral has the variance 1 / counts.
        assert scanner.integrals(counts).var() == pytest.approx(1 / expected, rel=0.03)


def test_noise_in_the_image_falls_with_the_root_of_dose_and_of_views():
    def noise(views: int, photons: float) -> float:
        scanner = CtScanner(64, views, photons, 2.0, 2.0, 300.0, 300.0)
        image, where = disc(64, 24, (0, 0)), inside(64, 16, (0, 0))
        clean = scanner.reconstruct(scanner.project(image))
        return float((scanner.scan(image, np.random.default_rng(3)) - clean)[where].std())

    base = noise(128, 10**4.6)
    assert noise(128, 4 * 10**4.6) == pytest.approx(base / 2, rel=0.1)
    assert noise(512, 10**4.6) == pytest.approx(base / 2, rel=0.1)


def test_a_cell_without_photons_stays_finite():
    scanner = SCANNERS["middle"]
    counts = np.zeros((scanner.views, scanner.cells), dtype=np.int64)
    assert scanner.integrals(counts).max() == pytest.approx(math.log(scanner.photons))
    assert np.isfinite(scanner.reconstruct(scanner.integrals(counts))).all()


def test_what_lies_outside_the_imaged_circle_is_air():
    scanner, corner = SCANNERS["middle"], np.zeros((96, 96), dtype=np.float32)
    corner[:8, :8] = 1
    assert not scanner.project(corner).any()


def test_a_source_inside_the_imaged_circle_is_refused():
    with pytest.raises(DataError, match="inside the imaged circle"):
        CtScanner(96, 64, 1e5, 2.0, 2.0, 90.0, 300.0)


@pytest.mark.parametrize("heterogeneity", [0, 0.5, 1, 2])
def test_drawn_scanners_stay_in_the_published_ranges(heterogeneity):
    for client in range(40):
        scanner = draw_ct_scanner(7, client, heterogeneity, ct.GRID)
        assert 2**5 <= scanner.views <= 2**11
        assert 10**4.6 <= scanner.photons <= 10**6 * (1 + 1e-12)
        for limits, value in (
            (ct.PIXEL_MM, scanner.pixel_mm),
            (ct.PITCH_MM, scanner.pitch_mm),
            (ct.SOURCE_MM, scanner.source_mm),
            (ct.DETECTOR_MM, scanner.detector_mm),
        ):
            assert limits[0] <= value <= limits[1]
        assert scanner.source_mm > scanner.radius_mm


def test_clients_differ_at_heterogeneity_and_only_then():
    def lines(heterogeneity: float) -> set[str]:
        return {draw_ct_scanner(42, client, heterogeneity, 96).describe() for client in range(8)}

    assert len(lines(0)) == 1
    assert len(lines(0.5)) == 8


def test_doses_and_views_of_few_clients_cover_their_ranges():
    drawn = [draw_ct_scanner(42, client, ct.WHOLE_RANGE, 96) for client in range(8)]
    assert max(s.photons for s in drawn) > 5 * min(s.photons for s in drawn)
    assert max(s.views for s in drawn) > 8 * min(s.views for s in drawn)


def test_image_size_changes_the_pixels_and_not_the_field():
    small, large = (draw_ct_scanner(42, 0, 0.5, pixels) for pixels in (64, 128))
    assert small.radius_mm == pytest.approx(large.radius_mm)
    assert (small.views, small.photons, small.source_mm) == (large.views, large.photons, large.source_mm)


def test_description_tells_views_photons_and_geometry_in_a_line():
    line = SCANNERS["middle"].describe()
    assert "\n" not in line
    for words in ("256 views", "10^5.0 photons", r"pixel 2.00 mm", "cells of 2.40 mm", "350 mm", "300 mm"):
        assert re.search(re.escape(words), line), words


def test_scans_repeat_with_the_seed_and_differ_without():
    scanner, image = SCANNERS["narrow-cells"], disc(64, 20, (0, 0))
    first, again = (scanner.scan(image, ct.photon_generator(42, 1, 80)) for _ in range(2))
    other = scanner.scan(image, ct.photon_generator(42, 1, 81))
    assert first.dtype == np.float32
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_scikit_image_is_loaded_only_when_something_is_scanned():
    code = "import sys, trainer.data.brain_mri; print('skimage' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_missing_scikit_image_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(DataError, match=r'pip install "dcsfl\[demo\]"'):
        SCANNERS["middle"].project(disc(96, 20, (0, 0)))

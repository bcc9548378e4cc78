"""What the samplers draw is distributed as promised: ten million samples of a fixed stream against exact numbers.

Each check refuses a correct sampler with probability 1e-9 over the choice of the seed (chi-square p, or 6.11 standard
deviations on both sides, of statistics that are normal to good accuracy at this count); the seed is fixed, so a check
that passes keeps passing. Every target draws the same, which test_sample_kernels.py shows, so one is measured.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import pytest
from scipy.stats import chi2

import rlwe_oracle as oracle

native = pytest.importorskip("he_core._native", reason="installed without a C compiler", exc_type=ImportError)

SEED = bytes(range(100, 132))
SAMPLES = 64 * 160_000
ROWS, COLUMNS = 1_000, 4_096
FALSE_ALARM = 1e-9
DEVIATIONS = 6.11  # a normal variable exceeds it, up or down, with probability 1e-9

every_width = pytest.mark.parametrize("width", list(oracle.VARIANCES))


@lru_cache
def drawn(width: str) -> np.ndarray:
    out = np.empty(SAMPLES, np.int8)
    native.sample_gaussian(out, SEED, 1, 0, width)
    out.flags.writeable = False
    return out


@lru_cache
def residues() -> np.ndarray:
    out = np.empty((ROWS, COLUMNS), np.uint64)
    native.expand_uniform(out, SEED, 2, 0)
    out.flags.writeable = False
    return out


def ideal_values(width: str) -> np.ndarray:
    """P(x) for x = -63 .. 63, to float's precision."""
    magnitudes = np.array([float(p) for p in oracle.ideal_magnitudes(oracle.VARIANCES[width])[:64]])
    halves = magnitudes[1:] / 2
    return np.concatenate([halves[::-1], magnitudes[:1], halves])


def chi_square_p(observed: np.ndarray, expected: np.ndarray) -> float:
    """Cells that expect fewer than 20 are taken together, so that the statistic is chi-square distributed."""
    is_rare = expected < 20
    observed = np.append(observed[~is_rare], observed[is_rare].sum())
    expected = np.append(expected[~is_rare], expected[is_rare].sum())
    if expected[-1] < 20:
        observed, expected = (np.append(cells[:-2], cells[-2:].sum()) for cells in (observed, expected))
    statistic = ((observed - expected) ** 2 / expected).sum()
    return float(chi2.sf(statistic, len(expected) - 1))


@every_width
def test_gaussian_values_have_their_ideal_frequencies(width: str) -> None:
    observed = np.bincount(drawn(width).astype(np.int16) + 63, minlength=127)
    assert observed.size == 127
    assert chi_square_p(observed, SAMPLES * ideal_values(width)) > FALSE_ALARM


@every_width
def test_the_chi_square_test_sees_a_sigma_one_percent_off(width: str) -> None:
    """The check above is worth something: this is what it says of a sampler that is slightly wrong."""
    observed = np.bincount(drawn(width).astype(np.int16) + 63, minlength=127)
    weights = ideal_values(width) ** (1 / 1.01**2)
    assert chi_square_p(observed, SAMPLES * weights / weights.sum()) < FALSE_ALARM


@every_width
def test_gaussian_mean_and_variance_are_zero_and_sigma_squared(width: str) -> None:
    values = drawn(width).astype(np.float64)
    variance = float(oracle.VARIANCES[width])
    assert abs(values.mean()) < DEVIATIONS * math.sqrt(variance / SAMPLES)
    # The mean of x^2 has variance (E x^4 - sigma^4) / n = 2 sigma^4 / n.
    assert abs((values**2).mean() - variance) < DEVIATIONS * variance * math.sqrt(2 / SAMPLES)


@every_width
def test_gaussian_signs_balance(width: str) -> None:
    values = drawn(width)
    positive, negative = int((values > 0).sum()), int((values < 0).sum())
    assert abs(positive - negative) < DEVIATIONS * math.sqrt(positive + negative)


@every_width
@pytest.mark.parametrize("lag", [1, 2, 16, 32, 64, 2_048])
def test_gaussian_samples_do_not_correlate_with_later_ones(width: str, lag: int) -> None:
    values = drawn(width).astype(np.float32)
    variance = float(oracle.VARIANCES[width])
    for series in (values, np.abs(values) - np.abs(values).mean()):
        spread = variance if series is values else float(series.var(dtype=np.float64))
        covariance = float(np.multiply(series[:-lag], series[lag:], dtype=np.float64).mean())
        assert abs(covariance) < DEVIATIONS * spread / math.sqrt(SAMPLES - lag)


def test_uniform_residues_are_below_q() -> None:
    assert int(residues().max()) < oracle.Q


@pytest.mark.parametrize(("shift", "cells"), [(44, 63), (40, 1_008), (0, 256), (21, 256)])
def test_uniform_residues_fill_cells_evenly(shift: int, cells: int) -> None:
    """By their top bits, where q = 63 * 2^44 + 1 gives 63 or 1,008 equal cells, and by low and middle bits."""
    numbers = residues().ravel() >> np.uint64(shift)
    if shift < 40:
        numbers = numbers % np.uint64(cells)
    observed = np.bincount(numbers.astype(np.int64), minlength=cells)
    assert observed.size == cells
    assert chi_square_p(observed, np.full(cells, ROWS * COLUMNS / cells)) > FALSE_ALARM


def test_uniform_rows_are_different_streams() -> None:
    some = residues()[:200]
    assert np.unique(some).size > some.size - 3  # 2^38 pairs out of 2^50: three meet with probability 1e-11

"""The Gaussian tables: made as their generator says, exact in sum, and as near to the ideal as they claim."""

from __future__ import annotations

import math
import re
import runpy
from fractions import Fraction

import pytest

import rlwe_oracle as oracle

every_width = pytest.mark.parametrize("width", list(oracle.VARIANCES))


def log2(value: Fraction) -> float:
    """For values far below the least float, too."""
    shift = value.denominator.bit_length() - value.numerator.bit_length()
    return math.log2(value * Fraction(2) ** shift) - shift


def distance(width: str) -> Fraction:
    drawn = oracle.gaussian_table(width).probabilities()
    ideal = oracle.ideal_magnitudes(oracle.VARIANCES[width])
    drawn += [Fraction(0)] * (len(ideal) - len(drawn))
    return sum((abs(p - q) for p, q in zip(drawn, ideal, strict=True)), Fraction(0)) / 2


def test_the_generator_makes_the_committed_file() -> None:
    source, _ = runpy.run_path(str(oracle.GAUSSIAN_TABLES.with_name("generate_gaussian.py")))["make"]()
    assert source == oracle.GAUSSIAN_TABLES.read_text(encoding="ascii")


@every_width
def test_every_probability_is_a_whole_number_of_units_and_they_sum_to_one(width: str) -> None:
    table = oracle.gaussian_table(width)
    assert all(0 <= threshold < 2**64 for threshold in table.threshold)
    assert all(0 <= alias < 64 for alias in table.alias)
    assert sum(table.probabilities()) == 1


@every_width
def test_the_variance_is_sigma_squared(width: str) -> None:
    drawn = oracle.gaussian_table(width).probabilities()
    variance = sum(p * m * m for m, p in enumerate(drawn))
    # At most 64 errors of a unit, each times 63^2, and the tail above 63.
    assert abs(variance - oracle.VARIANCES[width]) < Fraction(64 * 63**2, 2**70) + Fraction(1, 2**60)


@every_width
def test_the_distance_recomputed_is_the_one_in_the_files_header(width: str) -> None:
    stated = re.search(rf"{width}: .*distance 2\^(-[\d.]+),", oracle.GAUSSIAN_TABLES.read_text(encoding="ascii"))
    assert stated is not None
    assert log2(distance(width)) == pytest.approx(float(stated[1]), abs=0.006)
    assert distance(width) < Fraction(1, 2**67)


@every_width
def test_no_other_units_are_nearer_to_the_ideal(width: str) -> None:
    """Moving one unit between any two magnitudes never helps; the distance is convex, so nothing else does either."""
    unit = Fraction(1, 2**70)
    drawn = oracle.gaussian_table(width).probabilities()
    ideal = oracle.ideal_magnitudes(oracle.VARIANCES[width])[:64]
    errors = [p - q for p, q in zip(drawn, ideal, strict=True)]
    cheapest_gain = min(abs(error + unit) - abs(error) for error in errors)
    cheapest_loss = min(abs(e - unit) - abs(e) for e, p in zip(errors, drawn, strict=True) if p > 0)
    assert cheapest_gain + cheapest_loss >= 0


def test_the_ideal_agrees_with_floating_point() -> None:
    for variance in oracle.VARIANCES.values():
        weights = [math.exp(-m * m / (2 * float(variance))) * (1 if m == 0 else 2) for m in range(60)]
        for mine, weight in zip(oracle.ideal_magnitudes(variance), weights, strict=False):
            assert float(mine) == pytest.approx(weight / math.fsum(weights), rel=1e-12)

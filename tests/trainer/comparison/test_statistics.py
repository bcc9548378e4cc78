"""Statistics against published and independently computed values."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from trainer.comparison.statistics import deviation, holm, mean, signed_rank, t_interval


def test_signed_rank_of_darwins_maize_is_the_published_one() -> None:
    # Cross- less self-fertilised heights in eighths of an inch: Fisher, The Design of Experiments, 1935, table 3.
    maize = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    found = signed_rank(maize)
    assert (found.pairs, found.statistic) == (15, 24)
    assert found.p == pytest.approx(0.04126, abs=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 6, 12, 30])
def test_without_ties_it_is_scipys_exact_test(count: int) -> None:
    values = np.random.default_rng(count).normal(0.3, 1.0, count)
    expected = stats.wilcoxon(values, method="exact")
    found = signed_rank(values.tolist())
    assert found.statistic == expected.statistic
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)


@pytest.mark.parametrize("values", [[1, 1, 1, -1], [2, -2, 3, 3, 3, -1], [0.5, 0.5, -0.5, 1, 2, 2, -2, 4]])
def test_with_ties_p_is_the_share_of_all_sign_patterns(values: list[float]) -> None:
    ranks = stats.rankdata(np.abs(values))

    def smaller(signs: tuple[int, ...]) -> float:
        positive = sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign > 0)
        return min(positive, sum(ranks) - positive)

    observed = smaller(tuple(int(math.copysign(1, value)) for value in values))
    patterns = list(itertools.product((-1, 1), repeat=len(values)))
    share = sum(smaller(signs) <= observed for signs in patterns) / len(patterns)
    assert signed_rank(values).p == pytest.approx(share)


def test_pairs_that_do_not_differ_are_dropped_and_alone_they_show_nothing() -> None:
    assert signed_rank([0.0, 0.0]).p == 1.0
    assert signed_rank([0.0, 1.0, 2.0, 3.0, 0.0]) == signed_rank([1.0, 2.0, 3.0])


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_the_smallest_p_is_that_of_pairs_which_all_agree(count: int) -> None:
    found = signed_rank([float(value) for value in range(1, count + 1)])
    assert found.p == pytest.approx(found.smallest_p) == pytest.approx(min(1.0, 2 / 2**count))


def test_holm_multiplies_the_least_by_all_and_never_falls() -> None:
    # Holm's own kind of example: 0.01, 0.04, 0.03, 0.005 of four.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_interval_and_deviation_are_students() -> None:
    # Student's sleep data (Biometrika 6, 1908): ten differences, mean 1.58, sd 1.23, t = 4.0621.
    sleep = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    assert mean(sleep) == pytest.approx(1.58)
    assert deviation(sleep) == pytest.approx(1.229995, abs=1e-6)
    low, high = t_interval(sleep)  # type: ignore[misc]
    assert (low, high) == (pytest.approx(0.7001142, abs=1e-6), pytest.approx(2.4598858, abs=1e-6))


def test_a_single_value_has_no_spread() -> None:
    assert deviation([1.0]) is None
    assert t_interval([1.0]) is None

"""Spread, intervals and tests of paired differences.

The signed-rank distribution is exact given the ranks, ties included, whatever the number of pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class SignedRank:
    """Wilcoxon's signed-rank test. pairs: those that differ, others are dropped; statistic: the smaller rank sum.

    smallest_p: the least p that so many pairs can give, when every one of them points the same way.
    """

    pairs: int
    statistic: float
    p: float
    smallest_p: float


def signed_rank(differences: Sequence[float]) -> SignedRank:
    """The two-sided Wilcoxon signed-rank test of paired `differences` against a symmetric distribution around 0.

    Zeros are dropped, as Wilcoxon did (Biometrics Bulletin 1(6), 1945); equal sizes share their mean rank. p is the
    share of all 2^n ways to give the ranks signs whose smaller sum is at most the one observed, counted, not
    approximated. Without a pair that differs p is 1.
    """
    values = np.asarray([value for value in differences if value != 0.0], dtype=np.float64)
    if values.size == 0:
        return SignedRank(0, 0.0, 1.0, 1.0)
    doubled = np.rint(2 * stats.rankdata(np.abs(values))).astype(np.int64)  # mean ranks are whole or halves
    whole = int(doubled.sum())
    positive = int(doubled[values > 0].sum())
    smaller = min(positive, whole - positive)
    # chances[w]: that w is the doubled sum of the ranks with a plus sign, each sign being a fair coin.
    chances = np.zeros(whole + 1)
    chances[0] = 1.0
    for rank in doubled:
        shifted = np.zeros_like(chances)
        shifted[rank:] = chances[: whole + 1 - rank]
        chances = (chances + shifted) / 2
    p = min(1.0, 2 * float(chances[: smaller + 1].sum()))
    return SignedRank(len(values), smaller / 2, p, min(1.0, 2.0 ** (1 - len(values))))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given: Holm's step-down method (Scand. J. Statist. 6(2), 1979)."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for step, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - step) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean of one value or more."""
    return sum(values) / len(values)


def deviation(values: Sequence[float]) -> float | None:
    """The sample standard deviation (n - 1); None of a single value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def t_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """Student's confidence interval of the mean of independent `values`; None of a single value."""
    spread = deviation(values)
    if spread is None:
        return None
    reach = float(stats.t.ppf((1 + level) / 2, len(values) - 1)) * spread / sqrt(len(values))
    return mean(values) - reach, mean(values) + reach

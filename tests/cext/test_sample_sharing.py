"""What it does to Gaussian samples that a group shares the low bits of its comparands (`cext/sample/sample.h`).

Given the shared bits, samples are independent, and what one of them is then likely to be changes only where the bits
pass the low bits of a threshold: so distances from independence can be computed exactly.
"""

from __future__ import annotations

import math
from itertools import pairwise, product
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rlwe_oracle as oracle

OWN_BITS, SHARED_BITS, GROUP = 40, 24, 64


class Case(NamedTuple):
    """`shared` values of the shared bits with which magnitude m comes of `draws[m]` pairs of column and own bits."""

    shared: int
    draws: list[int]


def given_shared_bits(table: oracle.AliasTable, own_bits: int, shared_bits: int) -> list[Case]:
    """All values of the shared bits, together where they do the same."""
    highs, lows = zip(*(divmod(threshold, 1 << shared_bits) for threshold in table.threshold), strict=True)
    cases = []
    for first, end in pairwise(sorted({0, *lows, 1 << shared_bits})):
        draws = [0] * len(table.alias)
        for column, (high, low) in enumerate(zip(highs, lows, strict=True)):
            below = high + (first < low)
            draws[column] += below
            draws[table.alias[column]] += (1 << own_bits) - below
        cases.append(Case(end - first, draws))
    return cases


def distance_from_independence(cases: list[Case], samples: int) -> tuple[int, int]:
    """Statistical distance of `samples` samples of a group from as many drawn apart: a numerator, a denominator."""
    all_shared, all_draws = sum(case.shared for case in cases), sum(cases[0].draws)
    apart = [sum(case.shared * case.draws[m] for case in cases) for m in range(len(cases[0].draws))]
    difference = 0
    for magnitudes in product(range(len(apart)), repeat=samples):
        together = sum(case.shared * math.prod(case.draws[m] for m in magnitudes) for case in cases)
        difference += abs(together * all_shared ** (samples - 1) - math.prod(apart[m] for m in magnitudes))
    return difference, 2 * (all_shared * all_draws) ** samples


every_width = pytest.mark.parametrize("width", list(oracle.VARIANCES))


@every_width
def test_a_sample_alone_is_distributed_as_with_bits_of_its_own(width: str) -> None:
    table = oracle.gaussian_table(width)
    cases = given_shared_bits(table, OWN_BITS, SHARED_BITS)
    drawn = [sum(case.shared * case.draws[m] for case in cases) for m in range(64)]
    assert drawn == [p * 64 * 2**64 for p in table.probabilities()]


@every_width
def test_two_samples_of_a_group_are_as_near_to_independent_as_the_header_says(width: str) -> None:
    cases = given_shared_bits(oracle.gaussian_table(width), OWN_BITS, SHARED_BITS)
    distance, whole = distance_from_independence(cases, 2)
    assert 0 < distance < whole * 2**-80


def test_a_groups_bound_is_less_than_2_to_the_minus_75_a_sample() -> None:
    assert math.comb(GROUP, 2) * 2**75 < GROUP * 2 ** (2 * OWN_BITS)


@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(2, 4),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 63)), min_size=4, max_size=4),
)
def test_groups_of_small_tables_are_within_the_bound_on_two_that_look_at_their_shared_bits(
    own_bits: int, shared_bits: int, samples: int, columns: list[tuple[int, int]]
) -> None:
    """C(n, 2) 2^(-2 own bits) for n samples, with tables of four columns, where everything can be gone through."""
    table = oracle.AliasTable(
        [alias for alias, _ in columns], [threshold % (1 << own_bits + shared_bits) for _, threshold in columns]
    )
    distance, whole = distance_from_independence(given_shared_bits(table, own_bits, shared_bits), samples)
    assert distance * 4**own_bits <= whole * math.comb(samples, 2)

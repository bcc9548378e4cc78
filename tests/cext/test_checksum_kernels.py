"""Every checksum kernel that runs here, C targets and numba, against a polynomial in plain Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from he_core.arith import checksum_numba

NUMBA_TWIN = checksum_numba
P = 2**61 - 1
ENDS = [0, 1, P - 1, P, P + 1, 2**64 - 1, 2**128 - 1]
COUNTS = [0, 1, 2, 3, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1003]


def polynomial(fields: list[int], point: int, field_bits: int) -> int:
    """docs/wire-format.md, Verified sums: as it is written there."""
    step = 2 if field_bits <= 29 else 1
    coefficients = [sum(field << 32 * place for place, field in enumerate(fields[at : at + step]))
                    for at in range(0, len(fields), step)]  # fmt: skip
    return sum(coefficient * pow(point, j + 1, P) for j, coefficient in enumerate(coefficients)) % P


def checksum(kernels: Any, fields: list[int], point: int, field_bits: int) -> int:
    where = np.frombuffer(point.to_bytes(16, "little"), np.uint8)
    return kernels.checksum(where, np.array(fields, np.uint32), field_bits)


@pytest.mark.parametrize("field_bits", [1, 2, 19, 28, 29, 30, 31, 32])
def test_the_checksum_is_the_polynomial_at_every_length_around_a_block(kernels: Any, field_bits: int) -> None:
    random = np.random.default_rng(field_bits)
    for count in COUNTS:
        fields = random.integers(0, 2**field_bits, count, np.uint64).tolist()
        point = int.from_bytes(random.bytes(16), "little")
        assert checksum(kernels, fields, point, field_bits) == polynomial(fields, point, field_bits), count


@pytest.mark.parametrize("point", ENDS)
@pytest.mark.parametrize("field_bits", [29, 32])
def test_the_largest_fields_and_points_at_their_ends_overflow_nothing(
    kernels: Any, point: int, field_bits: int
) -> None:
    for count in (1, 2, 127, 128, 129, 700):
        fields = [2**field_bits - 1] * count
        assert checksum(kernels, fields, point, field_bits) == polynomial(fields, point % P, field_bits)


@given(
    fields=st.lists(st.integers(0, 2**32 - 1), max_size=300),
    point=st.integers(0, 2**128 - 1),
    field_bits=st.integers(1, 32),
)
@settings(deadline=None)
def test_any_fields_at_any_point(kernels: Any, fields: list[int], point: int, field_bits: int) -> None:
    masked = [field % 2**field_bits for field in fields]
    assert checksum(kernels, masked, point, field_bits) == polynomial(masked, point, field_bits)


@pytest.mark.parametrize("field_bits", [19, 29, 32])
def test_the_checksum_of_a_sum_is_the_sum_of_the_checksums(kernels: Any, field_bits: int) -> None:
    random = np.random.default_rng(3)
    vectors = random.integers(0, 2**field_bits // 8, (8, 777), np.uint64)
    parts = [checksum(kernels, vector.tolist(), 2**77 + 5, field_bits) for vector in vectors]
    assert sum(parts) % P == checksum(kernels, vectors.sum(axis=0).tolist(), 2**77 + 5, field_bits)

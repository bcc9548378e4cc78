"""Vectors of rlwe on every target that runs here, and on numba, against the slow oracle's definitions."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

import numpy as np
import pytest

import rlwe_oracle as oracle
from he_core.arith import rlwe_numba

try:
    native: Any = importlib.import_module("he_core._native")
except ModuleNotFoundError:  # installed without a C compiler
    native = None

DEGREE = 64
SEED = bytes(range(50, 82))
DOMAIN, FIRST_INDEX = 7, 2**40 - 1
LENGTHS = (0, 1, 63, 64, 65, 200)
LAYOUTS = [
    (19, 2, 6),
    (18, 2, 0),
    (19, 1, 18),
    (1, 2, 30),
    (11, 4, 0),
    (1, 1, 43),
    (1, 44, 0),
    (32, 1, 12),
    (5, 4, 10),
]
"""(field_bits, fields_per_coefficient, dropped_bits)"""
Layout = tuple[int, int, int]

every_kernel = pytest.mark.parametrize("kernels", [*(native.targets() if native else ()), "numba"])


def encrypt(kernels: str, out: np.ndarray, *arguments: Any) -> None:
    if kernels == "numba":
        rlwe_numba.encrypt_polynomials(out, *arguments)
    else:
        native.encrypt_polynomials(out, *arguments, target=kernels)


def decrypt(kernels: str, out: np.ndarray, *arguments: Any) -> None:
    if kernels == "numba":
        rlwe_numba.decrypt_polynomials(out, *arguments)
    else:
        native.decrypt_polynomials(out, *arguments, target=kernels)


@cache
def polynomials(first: int, count: int) -> tuple[tuple[int, ...], ...]:
    """Coefficients of uniform polynomials with 0, 1 and q - 1 among them."""
    rng = np.random.default_rng(first)
    rows = rng.integers(0, oracle.Q, (count, DEGREE), dtype=np.uint64)
    edges = rng.choice(np.array([0, 1, oracle.Q - 1], np.uint64), rows.shape)
    return tuple(tuple(row) for row in np.where(rng.random(rows.shape) < 0.2, edges, rows).tolist())


SHARED, KEYS = polynomials(1, 4), polynomials(2, 3)
"""The round's polynomials and the clients' one-time keys, as wide as can be."""


@cache
def mask(row: int, clients: int) -> list[int]:
    """A round's polynomial times the sum of the first clients' keys."""
    key = [sum(values) % oracle.Q for values in zip(*KEYS[:clients], strict=True)]
    return oracle.negacyclic_product(SHARED[row], key)


@cache
def errors(row: int) -> list[int]:
    return oracle.sample_gaussian(SEED, DOMAIN, FIRST_INDEX + row, DEGREE, oracle.gaussian_table("wide"))


def joined(count: int, rows: list[list[int]]) -> list[int]:
    return [value for row in rows for value in row][:count]


def masks(count: int, clients: int = 1) -> list[int]:
    return joined(count, [mask(row, clients) for row in range(len(SHARED))])


def transformed(count: int, clients: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """`polynomials` and `factor` for as many coefficients."""
    rows = -(-count // DEGREE)
    shared = np.array([oracle.transform(poly) for poly in SHARED], np.uint64)[:rows]
    keys = [oracle.transform(key) for key in KEYS[:clients]]
    return shared, np.array([sum(values) % oracle.Q for values in zip(*keys, strict=True)], np.uint64)


def coefficients_of(count: int, layout: Layout) -> int:
    return -(-count // layout[1])


def some_fields(count: int, field_bits: int) -> np.ndarray:
    rng = np.random.default_rng(count)
    fields = rng.integers(0, 2**field_bits, count, dtype=np.uint32)
    edges = np.array([0, 2**field_bits - 1], np.uint32)
    return np.where(rng.random(count) < 0.3, rng.choice(edges, count), fields)


def words_of(fields: list[int], layout: Layout) -> list[int]:
    """Fields side by side, the first in the lowest bits."""
    field_bits, at_once, _ = layout
    groups = [fields[i : i + at_once] for i in range(0, len(fields), at_once)]
    return [sum(field << (i * field_bits) for i, field in enumerate(group)) for group in groups]


def fields_of(words: list[int], count: int, layout: Layout) -> list[int]:
    field_bits, at_once, _ = layout
    return [word >> (i * field_bits) & (1 << field_bits) - 1 for word in words for i in range(at_once)][:count]


def encrypted(kernels: str, fields: np.ndarray, layout: Layout) -> bytes:
    """What `out` holds; bytes on both sides of it are as they were."""
    count = coefficients_of(fields.size, layout)
    size = -(-count * (50 - layout[2]) // 8)
    block = np.full(size + 32, 0xA5, np.uint8)
    encrypt(kernels, block[16 : size + 16], fields, *transformed(count), SEED, DOMAIN, FIRST_INDEX, *layout)
    assert (block[:16] == 0xA5).all()
    assert (block[size + 16 :] == 0xA5).all()
    return block[16 : size + 16].tobytes()


def decrypted(kernels: str, sums: np.ndarray, count: int, layout: Layout, clients: int = 1) -> list[int]:
    block = np.full(count + 16, 2**32 - 2, np.uint32)
    decrypt(kernels, block[8 : count + 8], sums, *transformed(sums.size, clients), *layout)
    assert (block[:8] == 2**32 - 2).all()
    assert (block[count + 8 :] == 2**32 - 2).all()
    return block[8 : count + 8].tolist()


@every_kernel
@pytest.mark.parametrize("count", LENGTHS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_encryption_agrees_with_the_oracle(kernels: str, count: int, layout: Layout) -> None:
    field_bits, at_once, dropped_bits = layout
    fields = some_fields(count * at_once - (count > 0 and at_once > 1), field_bits)  # the last coefficient not full
    drawn = joined(count, [errors(row) for row in range(len(SHARED))])
    words = words_of(fields.tolist(), layout)
    covered = oracle.cover(masks(count), drawn, words, field_bits * at_once, dropped_bits)
    assert encrypted(kernels, fields, layout) == oracle.pack_bits(covered, 50 - dropped_bits)


@every_kernel
@pytest.mark.parametrize("count", LENGTHS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_decryption_of_any_sums_agrees_with_the_oracle(kernels: str, count: int, layout: Layout) -> None:
    field_bits, at_once, dropped_bits = layout
    rng = np.random.default_rng(count)
    sums = rng.integers(0, 2**64, count, dtype=np.uint64)
    edges = np.array([0, 1, oracle.Q - 1, oracle.Q, 2**63 - 1, 2**63, 2**64 - 1], np.uint64)
    sums = np.where(rng.random(count) < 0.3, rng.choice(edges, count), sums)
    words = oracle.uncover(masks(count), sums.tolist(), field_bits * at_once, dropped_bits)
    field_count = count * at_once - (count > 0 and at_once > 1)
    assert decrypted(kernels, sums, field_count, layout) == fields_of(words, field_count, layout)


@every_kernel
@pytest.mark.parametrize("count", LENGTHS)
@pytest.mark.parametrize("layout", [(18, 2, 0), (10, 3, 7), (19, 1, 18)])
def test_what_three_clients_encrypt_decrypts_to_the_sum_of_their_fields(
    kernels: str, count: int, layout: Layout
) -> None:
    field_bits, _, dropped_bits = layout
    coefficients = coefficients_of(count, layout)
    fields = some_fields(count, field_bits - 2)
    sums = np.zeros(coefficients, np.uint64)
    for client in range(3):
        out = np.empty(-(-coefficients * (50 - dropped_bits) // 8), np.uint8)
        shared, _ = transformed(coefficients)
        factor = np.array(oracle.transform(KEYS[client]), np.uint64)
        encrypt(kernels, out, fields, shared, factor, bytes([client]) * 32, DOMAIN, 0, *layout)
        sums += np.array(oracle.unpack_bits(out.tobytes(), coefficients, 50 - dropped_bits), np.uint64)
    assert decrypted(kernels, sums, count, layout, clients=3) == (3 * fields).tolist()


@every_kernel
@pytest.mark.parametrize("index", [0, 63, 64, 199])
def test_a_field_out_of_range_leaves_nothing_in_out(kernels: str, index: int) -> None:
    fields = np.zeros(200, np.uint32)
    fields[index] = 2**19
    out = np.zeros(100 * 44 // 8, np.uint8)
    with pytest.raises(OverflowError, match=r"a field is outside \[0, 2\*\*19\)"):
        encrypt(kernels, out, fields, *transformed(100), SEED, DOMAIN, 0, 19, 2, 6)
    assert not out.any()


@every_kernel
def test_the_last_streams_of_a_seed_are_taken(kernels: str) -> None:
    fields = some_fields(2 * DEGREE * 2, 19)
    out, alone = np.empty(DEGREE * 2 * 44 // 8, np.uint8), np.empty(DEGREE * 44 // 8, np.uint8)
    shared, factor = transformed(2 * DEGREE)
    encrypt(kernels, out, fields, shared, factor, SEED, 2**32 - 1, 2**64 - 2, 19, 2, 6)
    encrypt(kernels, alone, fields[2 * DEGREE :], shared[1:], factor, SEED, 2**32 - 1, 2**64 - 1, 19, 2, 6)
    assert out[alone.size :].tobytes() == alone.tobytes()


@every_kernel
def test_inputs_may_be_read_only(kernels: str) -> None:
    fields, sums, arrays = some_fields(200, 19), np.zeros(100, np.uint64), transformed(100)
    for array in (fields, sums, *arrays):
        array.flags.writeable = False
    out = np.empty(100 * 44 // 8, np.uint8)
    encrypt(kernels, out, fields, *arrays, SEED, 1, 2, 19, 2, 6)
    decrypt(kernels, np.empty(200, np.uint32), sums, *arrays, 19, 2, 6)

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
SCALES = [(38, 6), (36, 0), (19, 18), (2, 30), (44, 0), (0, 44), (0, 0), (1, 43), (20, 10)]
"""(plaintext_bits, dropped_bits)"""

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


def some_words(count: int, plaintext_bits: int) -> np.ndarray:
    rng = np.random.default_rng(count)
    words = rng.integers(0, 2**plaintext_bits, count, dtype=np.uint64)
    edges = np.array([0, 2**plaintext_bits - 1], np.uint64)
    return np.where(rng.random(count) < 0.3, rng.choice(edges, count), words)


def encrypted(kernels: str, words: np.ndarray, scale: tuple[int, int]) -> bytes:
    """What `out` holds; bytes on both sides of it are as they were."""
    size = -(-words.size * (50 - scale[1]) // 8)
    block = np.full(size + 32, 0xA5, np.uint8)
    encrypt(kernels, block[16 : size + 16], words, *transformed(words.size), SEED, DOMAIN, FIRST_INDEX, *scale)
    assert (block[:16] == 0xA5).all()
    assert (block[size + 16 :] == 0xA5).all()
    return block[16 : size + 16].tobytes()


def decrypted(kernels: str, sums: np.ndarray, scale: tuple[int, int], clients: int = 1) -> list[int]:
    block = np.full(sums.size + 4, 2**64 - 2, np.uint64)
    decrypt(kernels, block[2 : sums.size + 2], sums, *transformed(sums.size, clients), *scale)
    assert (block[[0, 1, -2, -1]] == 2**64 - 2).all()
    return block[2 : sums.size + 2].tolist()


@every_kernel
@pytest.mark.parametrize("count", LENGTHS)
@pytest.mark.parametrize("scale", SCALES)
def test_encryption_agrees_with_the_oracle(kernels: str, count: int, scale: tuple[int, int]) -> None:
    words = some_words(count, scale[0])
    drawn = joined(count, [errors(row) for row in range(len(SHARED))])
    covered = oracle.cover(masks(count), drawn, words.tolist(), *scale)
    assert encrypted(kernels, words, scale) == oracle.pack_bits(covered, 50 - scale[1])


@every_kernel
@pytest.mark.parametrize("count", LENGTHS)
@pytest.mark.parametrize("scale", SCALES)
def test_decryption_of_any_sums_agrees_with_the_oracle(kernels: str, count: int, scale: tuple[int, int]) -> None:
    rng = np.random.default_rng(count)
    sums = rng.integers(0, 2**64, count, dtype=np.uint64)
    edges = np.array([0, 1, oracle.Q - 1, oracle.Q, 2**63 - 1, 2**63, 2**64 - 1], np.uint64)
    sums = np.where(rng.random(count) < 0.3, rng.choice(edges, count), sums)
    assert decrypted(kernels, sums, scale) == oracle.uncover(masks(count), sums.tolist(), *scale)


@every_kernel
@pytest.mark.parametrize("count", LENGTHS)
@pytest.mark.parametrize("scale", [(36, 0), (30, 7), (19, 18)])
def test_what_three_clients_encrypt_decrypts_to_the_sum_of_their_words(
    kernels: str, count: int, scale: tuple[int, int]
) -> None:
    plaintext_bits, dropped_bits = scale
    words = some_words(count, plaintext_bits)
    sums = np.zeros(count, np.uint64)
    for client in range(3):
        out = np.empty(-(-count * (50 - dropped_bits) // 8), np.uint8)
        shared, _ = transformed(count)
        factor = np.array(oracle.transform(KEYS[client]), np.uint64)
        encrypt(kernels, out, words, shared, factor, bytes([client]) * 32, DOMAIN, 0, *scale)
        sums += np.array(oracle.unpack_bits(out.tobytes(), count, 50 - dropped_bits), np.uint64)
    assert decrypted(kernels, sums, scale, clients=3) == [3 * word % 2**plaintext_bits for word in words.tolist()]


@every_kernel
def test_the_last_streams_of_a_seed_are_taken(kernels: str) -> None:
    words = some_words(2 * DEGREE, 38)
    out, alone = np.empty(DEGREE * 2 * 44 // 8, np.uint8), np.empty(DEGREE * 44 // 8, np.uint8)
    shared, factor = transformed(words.size)
    encrypt(kernels, out, words, shared, factor, SEED, 2**32 - 1, 2**64 - 2, 38, 6)
    encrypt(kernels, alone, words[DEGREE:], shared[1:], factor, SEED, 2**32 - 1, 2**64 - 1, 38, 6)
    assert out[alone.size :].tobytes() == alone.tobytes()


@every_kernel
def test_inputs_may_be_read_only(kernels: str) -> None:
    words = some_words(100, 38)
    arrays = [words, *transformed(100)]
    for array in arrays:
        array.flags.writeable = False
    out = np.empty(100 * 44 // 8, np.uint8)
    encrypt(kernels, out, *arrays, SEED, 1, 2, 38, 6)
    decrypt(kernels, np.empty(100, np.uint64), *arrays, 38, 6)

"""Arithmetic of Z_Q[X]/(X^N + 1), Q a product of primes below 2^60, on residues: what threshold groups compute with.

Polynomials are kept by their residues, uint64[L, N], each in [0, q_i). Products of secrets have no branch and no
address that depends on them: written so, not checked.

Transforms and products as in `he_core.arith.ring_numba` (its sources), with the modulus as an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import prod

import numpy as np
from numba import njit
from numpy.typing import NDArray

from he_core.arith.ring_numba import high_word, less_once
from he_core.arith.sample_numba import chacha20

Residues = NDArray[np.uint64]
"""uint64[L, n]: of each coefficient, mod q_1 to q_L."""

_ZERO = np.uint64(0)
_TOP = np.uint64(63)


@njit(cache=True, nogil=True)
def _product(a: np.uint64, b: np.uint64, modulus: np.uint64, minus_inverse: np.uint64) -> np.uint64:
    """a b 2^-64 mod q, in [0, q): a any word, b in [0, q); P. L. Montgomery, Math. Comp. 44, 1985."""
    low = a * b
    fold = low * minus_inverse
    carry = (low | (_ZERO - low)) >> _TOP
    return less_once(high_word(a, b) + high_word(fold, modulus) + carry, modulus)


@njit(cache=True, nogil=True)
def _scale_row(
    out: NDArray[np.uint64], row: NDArray[np.uint64], factor: np.uint64, modulus: np.uint64, minus_inverse: np.uint64
) -> None:
    """out = row * factor 2^-64, any words in row."""
    for i in range(row.shape[0]):
        out[i] = _product(row[i], factor, modulus, minus_inverse)


@njit(cache=True, nogil=True)
def _multiply_row(
    out: NDArray[np.uint64],
    a: NDArray[np.uint64],
    b: NDArray[np.uint64],
    square: np.uint64,
    modulus: np.uint64,
    minus_inverse: np.uint64,
) -> None:
    """out = a * b, entry by entry; square: 2^128 mod q."""
    for i in range(a.shape[0]):
        out[i] = _product(_product(a[i], b[i], modulus, minus_inverse), square, modulus, minus_inverse)


@njit(cache=True, nogil=True)
def _forward_row(
    row: NDArray[np.uint64], factors: NDArray[np.uint64], quotients: NDArray[np.uint64], modulus: np.uint64
) -> None:
    """Transform in place, [0, q) before and [0, 4q) after; D. Harvey, J. Symbolic Comput. 60, 2014."""
    twice = modulus + modulus
    groups = 1
    half = row.shape[0] // 2
    while half > 0:
        for group in range(groups):
            factor, quotient = factors[groups + group], quotients[groups + group]
            first = 2 * group * half
            for i in range(first, first + half):
                left, right = less_once(row[i], twice), row[i + half]
                turned = right * factor - high_word(right, quotient) * modulus
                row[i] = left + turned
                row[i + half] = left - turned + twice
        groups *= 2
        half //= 2


@njit(cache=True, nogil=True)
def _inverse_row(
    row: NDArray[np.uint64], factors: NDArray[np.uint64], quotients: NDArray[np.uint64], modulus: np.uint64
) -> None:
    """Undo `_forward_row`, times N; in place, [0, 2q) before and after."""
    twice = modulus + modulus
    groups = row.shape[0] // 2
    half = 1
    while groups > 0:
        for group in range(groups):
            factor, quotient = factors[groups + group], quotients[groups + group]
            first = 2 * group * half
            for i in range(first, first + half):
                left, right = row[i], row[i + half]
                difference = left - right + twice
                row[i] = less_once(left + right, twice)
                row[i + half] = difference * factor - high_word(difference, quotient) * modulus
        groups //= 2
        half *= 2


@dataclass(frozen=True)
class _Prime:
    """A prime with the tables of its transform of one degree."""

    modulus: np.uint64
    minus_inverse: np.uint64
    once: np.uint64  # 2^64 mod q: what _product takes a factor 1 for
    square: np.uint64  # 2^128 mod q
    over_degree: np.uint64  # 2^64 / N mod q
    forward: tuple[NDArray[np.uint64], NDArray[np.uint64]]
    inverse: tuple[NDArray[np.uint64], NDArray[np.uint64]]


@cache
def _tables(modulus: int, degree: int, psi: int) -> _Prime:
    powers = [1]
    for _ in range(2 * degree - 1):
        powers.append(powers[-1] * psi % modulus)
    bits = degree.bit_length() - 1
    order = [int(f"{i:0{bits}b}"[::-1], 2) for i in range(degree)]

    def pairs(values: list[int]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        return np.array(values, np.uint64), np.array([(value << 64) // modulus for value in values], np.uint64)

    return _Prime(
        modulus=np.uint64(modulus),
        minus_inverse=np.uint64(-pow(modulus, -1, 1 << 64) % (1 << 64)),
        once=np.uint64((1 << 64) % modulus),
        square=np.uint64((1 << 128) % modulus),
        over_degree=np.uint64((1 << 64) * pow(degree, -1, modulus) % modulus),
        forward=pairs([powers[r] for r in order]),
        inverse=pairs([powers[-r] if r else 1 for r in order]),
    )


def first_root(modulus: int, degree: int) -> int:
    """The power of the smallest base that is a primitive 2N-th root of unity mod q."""
    # 2N is a power of two, so an element is a primitive 2N-th root if its N-th power is -1.
    return next(
        root
        for base in range(2, modulus)
        if pow(root := pow(base, (modulus - 1) // (2 * degree), modulus), degree, modulus) == modulus - 1
    )


class ResidueRing:
    """The ring of one degree over some primes; roots: psi of each, a primitive 2N-th root of unity.

    Entry i of a transform is the value at psi^(2 r(i) + 1), r the reversal of log2 N bits.
    """

    def __init__(self, degree: int, primes: Sequence[int], roots: Sequence[int]) -> None:
        self.degree = degree
        self.primes = tuple(primes)
        self.modulus = prod(primes)
        self._primes = tuple(_tables(prime, degree, psi) for prime, psi in zip(primes, roots, strict=True))

    def lift(self, samples: NDArray[np.signedinteger]) -> Residues:
        """Residues of signed numbers, each below q in magnitude; without a branch on the sign."""
        signed = samples.astype(np.int64)
        rows = [(signed + ((signed >> 63) & np.int64(prime.modulus))).view(np.uint64) for prime in self._primes]
        return np.stack(rows)

    def transform(self, polynomial: Residues) -> Residues:
        """Its transform: [0, q) before and after."""
        out = polynomial.copy()
        for row, prime in zip(out, self._primes, strict=True):
            _forward_row(row, *prime.forward, prime.modulus)
            _scale_row(row, row, prime.once, prime.modulus, prime.minus_inverse)
        return out

    def coefficients(self, transformed: Residues) -> Residues:
        """What `transform` made this of."""
        out = transformed.copy()
        for row, prime in zip(out, self._primes, strict=True):
            _inverse_row(row, *prime.inverse, prime.modulus)
            _scale_row(row, row, prime.over_degree, prime.modulus, prime.minus_inverse)
        return out

    def product(self, a: Residues, b: Residues) -> Residues:
        """The coefficients of a b, of their transforms."""
        out = np.empty_like(a)
        for row, left, right, prime in zip(out, a, b, self._primes, strict=True):
            _multiply_row(row, left, right, prime.square, prime.modulus, prime.minus_inverse)
        return self.coefficients(out)

    def add(self, a: Residues, b: Residues) -> Residues:
        """a + b: uint64[..., L, n]."""
        moduli = np.array(self.primes, np.uint64)[:, None]
        reduced = a + b - moduli
        return reduced + (moduli & (np.uint64(0) - (reduced >> _TOP)))

    def times(self, a: Residues, factor: int) -> Residues:
        """a times a public number."""
        out = np.empty_like(a)
        for row, entries, prime in zip(out, a, self._primes, strict=True):
            modulus = int(prime.modulus)
            scaled = np.uint64(factor % modulus * int(prime.once) % modulus)
            _scale_row(row, np.ascontiguousarray(entries), scaled, prime.modulus, prime.minus_inverse)
        return out

    def reduced(self, low: NDArray[np.uint64], high: NDArray[np.uint64]) -> Residues:
        """Residues of high * 2^64 + low, any words."""
        rows = []
        for prime in self._primes:
            parts = np.empty((2, len(low)), np.uint64)
            for part, word, factor in zip(parts, (low, high), (prime.once, prime.square), strict=True):
                _scale_row(part, np.ascontiguousarray(word), factor, prime.modulus, prime.minus_inverse)
            total = parts[0] + parts[1] - prime.modulus
            rows.append(total + (prime.modulus & (np.uint64(0) - (total >> _TOP))))
        return np.stack(rows)

    def uniform(self, seed: bytes, domain: int, index: int) -> Residues:
        """A polynomial from 128 bits of a stream for every residue: each within q 2^-128 of uniform.

        Without rejection, so that it serves secrets too.
        """
        count = len(self.primes)
        words = stream_words(seed, domain, index, 2 * count * self.degree)
        rows = [self.reduced(words[2 * i :: 2 * count], words[2 * i + 1 :: 2 * count])[i] for i in range(count)]
        return np.stack(rows)


def stream_words(seed: bytes, domain: int, index: int, count: int) -> NDArray[np.uint64]:
    """`count` little-endian words of a ChaCha20 stream."""
    out = np.empty(-(-count * 8 // 64) * 64, np.uint8)
    chacha20(out, seed, domain, index, 0)
    return out.view("<u8")[:count]

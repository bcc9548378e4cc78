"""Arithmetic of R_Q = Z_Q[X]/(X^N' + 1), Q = q_1 q_2 of 104 bits, for what a threshold group does once a round.

Polynomials are kept by their residues, uint64[2, N'], each in [0, q_i). Products of secrets have no branch and no
address that depends on them: written so, not checked. `scaled` and `restored` use Python's integers; they are for
what may be known: ciphertexts, and partial decryptions with their noise.

Transforms and products as in `he_core.arith.ring_numba` (its sources), with the modulus as an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from he_core.arith.ring_numba import high_word, less_once
from he_core.arith.sample_numba import chacha20
from he_core.params import RlweParameters

PRIMES = RlweParameters.WIDE_PRIMES
MODULUS = PRIMES[0] * PRIMES[1]

Residues = NDArray[np.uint64]
"""uint64[2, n]: of each coefficient, mod q_1 and mod q_2."""

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
    """Transform in place; q < 2^52 leaves room for a sum to grow by 2q in each of 13 levels."""
    twice = modulus + modulus
    groups = 1
    half = row.shape[0] // 2
    while half > 0:
        for group in range(groups):
            factor, quotient = factors[groups + group], quotients[groups + group]
            first = 2 * group * half
            for i in range(first, first + half):
                left, right = row[i], row[i + half]
                turned = right * factor - high_word(right, quotient) * modulus
                row[i] = left + turned
                row[i + half] = left - turned + twice
        groups *= 2
        half //= 2


@njit(cache=True, nogil=True)
def _inverse_row(
    row: NDArray[np.uint64], factors: NDArray[np.uint64], quotients: NDArray[np.uint64], modulus: np.uint64
) -> None:
    """Undo `_forward_row`, times N'; in place, [0, 2q) before and after."""
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
    over_degree: np.uint64  # 2^64 / N' mod q
    forward: tuple[NDArray[np.uint64], NDArray[np.uint64]]
    inverse: tuple[NDArray[np.uint64], NDArray[np.uint64]]


@cache
def _tables(modulus: int, degree: int) -> _Prime:
    # 2 N' is a power of two, so an element is a primitive 2 N'-th root if its N'-th power is -1.
    psi = next(
        root
        for base in range(2, modulus)
        if pow(root := pow(base, (modulus - 1) // (2 * degree), modulus), degree, modulus) == modulus - 1
    )
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


class WideRing:
    """R_Q of one degree."""

    def __init__(self, degree: int) -> None:
        self.degree = degree
        self._primes = tuple(_tables(modulus, degree) for modulus in PRIMES)

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

    def product(self, a: Residues, b: Residues) -> Residues:
        """The coefficients of a b, of their transforms."""
        out = np.empty_like(a)
        for row, left, right, prime in zip(out, a, b, self._primes, strict=True):
            _multiply_row(row, left, right, prime.square, prime.modulus, prime.minus_inverse)
            _inverse_row(row, *prime.inverse, prime.modulus)
            _scale_row(row, row, prime.over_degree, prime.modulus, prime.minus_inverse)
        return out

    def add(self, a: Residues, b: Residues) -> Residues:
        """a + b."""
        moduli = np.array(PRIMES, np.uint64)[:, None]
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
        """A polynomial from 256 bits of a stream a coefficient, 128 for each prime: within 2^-62 of uniform in all.

        Without rejection, so that it serves secrets too.
        """
        words = stream_words(seed, domain, index, 4 * self.degree)
        halves = [self.reduced(words[0::4], words[1::4])[0], self.reduced(words[2::4], words[3::4])[1]]
        return np.stack(halves)

    def noise(self, seed: bytes, domain: int, count: int, bits: int) -> Residues:
        """`count` numbers uniform on [-2^bits, 2^bits), 64 <= bits < 127: whole bits of a stream, so without bias."""
        words = stream_words(seed, domain, 0, 2 * count)
        drawn = self.reduced(words[0::2], words[1::2] & np.uint64((1 << (bits + 1 - 64)) - 1))
        shift = [[-(1 << bits) % modulus] for modulus in PRIMES]
        return self.add(drawn, np.broadcast_to(np.array(shift, np.uint64), drawn.shape))


def stream_words(seed: bytes, domain: int, index: int, count: int) -> NDArray[np.uint64]:
    """`count` little-endian words of a ChaCha20 stream."""
    out = np.empty(-(-count * 8 // 64) * 64, np.uint8)
    chacha20(out, seed, domain, index, 0)
    return out.view("<u8")[:count]


def scaled(residues: Residues, bits: int) -> list[int]:
    """Coefficients mod Q as whole numbers mod 2^bits: round(x 2^bits / Q). Not constant time."""
    first, second = (row.tolist() for row in residues)
    inverse, half = pow(PRIMES[0], -1, PRIMES[1]), MODULUS // 2
    whole = (a + PRIMES[0] * ((b - a) * inverse % PRIMES[1]) for a, b in zip(first, second, strict=True))
    return [((x << bits) + half) // MODULUS % (1 << bits) for x in whole]


def restored(values: list[int], bits: int) -> Residues:
    """What `scaled` made of x, back mod Q: round(y Q / 2^bits). Not constant time."""
    half = 1 << (bits - 1)
    whole = [(y * MODULUS + half) >> bits for y in values]
    return np.array([[x % modulus for x in whole] for modulus in PRIMES], np.uint64)

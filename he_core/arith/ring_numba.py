"""The ring Z_q[X]/(X^N + 1) in numba: the portable twin of the C kernels of `cext/ring/ring.h`, its contract.

Same functions as the extension, same results. q = 63 * 2^44 + 1; sizes, types and C-contiguity are the caller's
to check.

No branch and no address depends on a coefficient, and none is divided by: written so, not checked, since a
compiler stands between.

Products by constants are D. Harvey's ("Faster arithmetic for number-theoretic transforms", J. Symb. Comp. 60, 2014,
section 3, after V. Shoup): with f' = floor(f * 2^64 / q), v * f - floor(v * f' / 2^64) * q lies in [0, 2q) for
every v below 2^64. As q has 50 bits, sums may grow over a whole transform of up to 12 levels: no butterfly reduces.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

_MODULUS = (63 << 44) + 1
_GENERATOR = 11  # the smallest one of Z_q^*: q - 1 = 2^44 * 3^2 * 7
_Q = np.uint64(_MODULUS)
_TWICE_Q = np.uint64(2 * _MODULUS)
_MINUS_INVERSE = np.uint64(-pow(_MODULUS, -1, 1 << 64) % (1 << 64))  # -1 / q mod 2^64, Montgomery's constant
_OVER_Q = np.uint64((1 << 64) // _MODULUS)
_OVER_63 = np.uint64((1 << 64) // 63 + 1)

_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_HALF = np.uint64(32)
_TOP = np.uint64(63)  # the shift that leaves the highest bit alone
_LOW_HALF = np.uint64(0xFFFFFFFF)
_63 = np.uint64(63)


@njit(cache=True, nogil=True)
def high_word(a: np.uint64, b: np.uint64) -> np.uint64:
    """floor(a * b / 2^64), of four 32-bit products: numba has no 128-bit integers."""
    a_low, a_high = a & _LOW_HALF, a >> _HALF
    b_low, b_high = b & _LOW_HALF, b >> _HALF
    middle = a_high * b_low + ((a_low * b_low) >> _HALF)
    return a_high * b_high + (middle >> _HALF) + ((a_low * b_high + (middle & _LOW_HALF)) >> _HALF)


@njit(cache=True, nogil=True)
def less_once(value: np.uint64, modulus: np.uint64) -> np.uint64:
    """`value` in [0, 2 * modulus) brought to [0, modulus); modulus <= 2^62."""
    reduced = value - modulus
    return reduced + (modulus & (_ZERO - (reduced >> _TOP)))


@njit(cache=True, nogil=True)
def _forward_rows(rows: NDArray[np.uint64], factors: NDArray[np.uint64], quotients: NDArray[np.uint64]) -> None:
    """Transform rows, uint64[L, N], in place; factors and quotients, uint64[N], as `_Tables` holds them.

    Decimation in time, from normal to bit-reversed order; P. Longa and M. Naehrig, "Speeding up the number
    theoretic transform for faster ideal lattice-based cryptography", CANS 2016, algorithm 1.
    """
    degree = rows.shape[1]
    for row in range(rows.shape[0]):
        groups = 1
        half = degree // 2
        while half > 0:
            for group in range(groups):
                factor, quotient = factors[groups + group], quotients[groups + group]
                first = 2 * group * half
                for i in range(first, first + half):
                    left, right = rows[row, i], rows[row, i + half]
                    turned = right * factor - high_word(right, quotient) * _Q
                    # 2q more a level: below q + 12 * 2q at the end.
                    rows[row, i] = left + turned
                    rows[row, i + half] = left - turned + _TWICE_Q
            groups *= 2
            half //= 2
        for i in range(degree):
            value = rows[row, i]
            rows[row, i] = less_once(value - high_word(value, _OVER_Q) * _Q, _Q)


@njit(cache=True, nogil=True)
def _inverse_row(
    values: NDArray[np.uint64],
    factors: NDArray[np.uint64],
    quotients: NDArray[np.uint64],
    scale: np.uint64,
    scale_quotient: np.uint64,
) -> None:
    """Transform values, uint64[N], each in [0, 2q), back in place, times `scale`, to [0, q).

    Decimation in frequency, the steps of `_forward_rows` undone (the same source, algorithm 2).
    """
    bound = _TWICE_Q
    groups = values.shape[0] // 2
    half = 1
    while groups > 0:
        for group in range(groups):
            factor, quotient = factors[groups + group], quotients[groups + group]
            first = 2 * group * half
            for i in range(first, first + half):
                left, right = values[i], values[i + half]
                difference = left - right + bound
                # Doubles a level: below 2^12 * 2q < 2^63 at the end.
                values[i] = left + right
                values[i + half] = difference * factor - high_word(difference, quotient) * _Q
        bound += bound
        groups //= 2
        half *= 2
    for i in range(values.shape[0]):
        value = values[i]
        values[i] = less_once(value * scale - high_word(value, scale_quotient) * _Q, _Q)


@njit(cache=True, nogil=True)
def _inverse_rows(
    rows: NDArray[np.uint64],
    factors: NDArray[np.uint64],
    quotients: NDArray[np.uint64],
    scale: np.uint64,
    scale_quotient: np.uint64,
) -> None:
    """`_inverse_row` on each of rows, uint64[L, N]."""
    for row in range(rows.shape[0]):
        _inverse_row(rows[row], factors, quotients, scale, scale_quotient)


@njit(cache=True, nogil=True)
def _multiply_rows(
    out: NDArray[np.uint64],
    transformed: NDArray[np.uint64],
    factor: NDArray[np.uint64],
    factors: NDArray[np.uint64],
    quotients: NDArray[np.uint64],
    scale: np.uint64,
    scale_quotient: np.uint64,
) -> None:
    """Fill out, uint64[L, N]; `scale` makes up for Montgomery's 2^-64."""
    for row in range(out.shape[0]):
        for i in range(out.shape[1]):
            a, b = transformed[row, i], factor[i]
            low = a * b
            # a * b + fold * q is 0 mod 2^64: its low half gives a carry unless low is 0, and the rest is below 2q.
            fold = low * _MINUS_INVERSE
            carry = (low | (_ZERO - low)) >> _TOP
            out[row, i] = high_word(a, b) + high_word(fold, _Q) + carry
        _inverse_row(out[row], factors, quotients, scale, scale_quotient)


@njit(cache=True, nogil=True)
def _by_63(value: np.uint64) -> np.uint64:
    """floor(value / 63), value < 2^58. As 63 * _OVER_63 = 2^64 + 47, the excess 47 * value / 2^64 is below 1."""
    return high_word(value, _OVER_63)


@njit(cache=True, nogil=True)
def _reduce(value: np.uint64, kept_bits: np.uint64) -> np.uint64:
    """Any value mod 63 * 2^kept_bits, kept_bits <= 43."""
    above = value >> kept_bits
    above = (above & np.uint64((1 << 54) - 1)) + (above >> np.uint64(54))  # 2^54 = 1 mod 63
    above -= _by_63(above) * _63
    return (above << kept_bits) | (value & ((_ONE << kept_bits) - _ONE))


@njit(cache=True, nogil=True)
def _reduce_words(out: NDArray[np.uint64], words: NDArray[np.uint64], dropped_bits: int) -> None:
    """Fill out, uint64[count], with `words` mod Q'; may be in place."""
    if dropped_bits == 0:
        for i in range(words.shape[0]):
            # The quotient is short by one at most.
            out[i] = less_once(words[i] - high_word(words[i], _OVER_Q) * _Q, _Q)
    else:
        kept_bits = np.uint64(44 - dropped_bits)
        for i in range(words.shape[0]):
            out[i] = _reduce(words[i], kept_bits)


@njit(cache=True, nogil=True)
def _cover_words(
    out: NDArray[np.uint64],
    mask: NDArray[np.uint64],
    errors: NDArray[np.int8],
    words: NDArray[np.uint64],
    unit: np.uint64,
    half: np.uint64,
    dropped_bits: np.uint64,
    modulus: np.uint64,
) -> None:
    for i in range(out.shape[0]):
        # Errors are -128 at least, so the sum with q is positive, and it is below 4q.
        total = mask[i] + np.uint64(np.int64(errors[i])) + words[i] * unit + half + _Q
        covered = less_once(less_once(total, _TWICE_Q), _Q)
        # q - 1 rounds to the modulus itself.
        out[i] = less_once(covered >> dropped_bits, modulus)


@njit(cache=True, nogil=True)
def _uncover_words(
    out: NDArray[np.uint64],
    mask: NDArray[np.uint64],
    sums: NDArray[np.uint64],
    unit_half: np.uint64,
    unit_shift: np.uint64,
    word_mask: np.uint64,
    half: np.uint64,
    dropped_bits: np.uint64,
    modulus: np.uint64,
) -> None:
    """As ring.h says; sums in [0, modulus)."""
    for i in range(out.shape[0]):
        rounded = less_once(mask[i] + half, _Q) >> dropped_bits
        difference = less_once(sums[i] + modulus - rounded, modulus)
        out[i] = _by_63((difference + unit_half) >> unit_shift) & word_mask


def _pairs(values: list[int]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Factors and their quotients floor(f * 2^64 / q), uint64[n] each."""
    return np.array(values, np.uint64), np.array([(value << 64) // _MODULUS for value in values], np.uint64)


@dataclass(frozen=True)
class _Tables:
    """Arguments of the transforms of one degree. Factor m + g of a transform is that of group g of its m groups."""

    forward: tuple[NDArray[np.uint64], NDArray[np.uint64]]
    inverse: tuple[NDArray[np.uint64], NDArray[np.uint64]]
    scale: tuple[np.uint64, np.uint64]
    product_scale: tuple[np.uint64, np.uint64]


@cache
def _tables(degree: int) -> _Tables:
    """The tables of `degree`, 2^5 .. 2^12."""
    psi = pow(_GENERATOR, (_MODULUS - 1) // (2 * degree), _MODULUS)
    powers = [1]
    for _ in range(2 * degree - 1):
        powers.append(powers[-1] * psi % _MODULUS)
    bits = degree.bit_length() - 1
    reversed_bits = [int(f"{i:0{bits}b}"[::-1], 2) for i in range(degree)]
    scales = _pairs([pow(degree, -1, _MODULUS), (1 << 64) * pow(degree, -1, _MODULUS) % _MODULUS])
    return _Tables(
        _pairs([powers[r] for r in reversed_bits]),
        _pairs([powers[-r] if r else 1 for r in reversed_bits]),
        (scales[0][0], scales[1][0]),
        (scales[0][1], scales[1][1]),
    )


def _rows(poly: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return poly[np.newaxis] if poly.ndim == 1 else poly


def forward(poly: NDArray[np.uint64]) -> None:
    """Transform `poly`, uint64[N] or uint64[L, N], each coefficient in [0, q) before and after, in place."""
    _forward_rows(_rows(poly), *_tables(poly.shape[-1]).forward)


def inverse(poly: NDArray[np.uint64]) -> None:
    """Undo `forward` on `poly`, uint64[N] or uint64[L, N], each in [0, q) before and after, in place."""
    tables = _tables(poly.shape[-1])
    _inverse_rows(_rows(poly), *tables.inverse, *tables.scale)


def multiply(out: NDArray[np.uint64], transformed: NDArray[np.uint64], factor: NDArray[np.uint64]) -> None:
    """Fill `out`, uint64[L, N], with the inverse transforms of transformed[j] * factor, coefficient by coefficient.

    `transformed`, uint64[L, N], and `factor`, uint64[N], in [0, q); so is `out`.
    """
    tables = _tables(out.shape[-1])
    _multiply_rows(out, transformed, factor, *tables.inverse, *tables.product_scale)


def _kept_modulus(dropped_bits: int) -> np.uint64:
    return np.uint64(63 << (44 - dropped_bits)) if dropped_bits else _Q


def _rounding_half(dropped_bits: int) -> np.uint64:
    return np.uint64((1 << dropped_bits) >> 1)


def cover(
    out: NDArray[np.uint64],
    mask: NDArray[np.uint64],
    errors: NDArray[np.int8],
    words: NDArray[np.uint64],
    plaintext_bits: int,
    dropped_bits: int,
) -> None:
    """Fill `out`, uint64[n], each in [0, Q'), with words in [0, 2^plaintext_bits) under a mask in [0, q).

    `out` may be `words` or `mask`.
    """
    unit = np.uint64(63 << (44 - plaintext_bits))
    _cover_words(
        out,
        mask,
        errors,
        words,
        unit,
        _rounding_half(dropped_bits),
        np.uint64(dropped_bits),
        _kept_modulus(dropped_bits),
    )


def uncover(
    out: NDArray[np.uint64],
    mask: NDArray[np.uint64],
    sums: NDArray[np.uint64],
    plaintext_bits: int,
    dropped_bits: int,
) -> None:
    """Fill `out`, uint64[n], each in [0, 2^plaintext_bits), with what `sums`, any values, hold.

    `mask`, uint64[n], is the sum of their masks, in [0, q). `out` may be `sums` or `mask`.
    """
    unit_shift = 44 - dropped_bits - plaintext_bits
    reduced = np.empty_like(sums)
    _reduce_words(reduced, sums, dropped_bits)
    _uncover_words(
        out,
        mask,
        reduced,
        np.uint64((63 << unit_shift) >> 1),
        np.uint64(unit_shift),
        np.uint64((1 << plaintext_bits) - 1),
        _rounding_half(dropped_bits),
        np.uint64(dropped_bits),
        _kept_modulus(dropped_bits),
    )


def reduce(words: NDArray[np.uint64], dropped_bits: int) -> None:
    """Bring `words`, uint64[n], any values, to [0, Q') in place; Q' is q where dropped_bits is 0."""
    _reduce_words(words, words, dropped_bits)

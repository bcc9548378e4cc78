"""The checksum of verified sums in numba: the portable twin of `he_core._native.checksum`.

Same function, same numbers. numba has no product of 64 by 64 bits, so every field is multiplied by the halves of its
power. No branch or address depends on a field or the point.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

P = (1 << 61) - 1
PAIRED_BITS = 29
"""Up to this width two fields make one coefficient (cext/checksum/checksum.h)."""
BLOCK = 128
_P = np.uint64(P)


@njit(cache=True, nogil=True)
def _fold(v: np.uint64) -> np.uint64:
    """The same mod p, at most p + 7."""
    return (v & _P) + (v >> np.uint64(61))


@njit(cache=True, nogil=True)
def _scaled(field: np.uint64, low: np.uint64, high: np.uint64) -> np.uint64:
    """field * (low + 2^30 high) mod p, below 2^62; field below 2^32, low below 2^30, high below 2^31."""
    upper = field * high  # 63 bits: its multiples of 2^31 are ones, as 2^30 * 2^31 = 1 mod p
    wrapped = (upper >> np.uint64(31)) + ((upper & np.uint64((1 << 31) - 1)) << np.uint64(30))
    return _fold(_fold(field * low) + _fold(wrapped))


@njit(cache=True, nogil=True)
def _blocks(out: NDArray[np.uint64], fields: NDArray[np.uint32], weights: NDArray[np.uint64]) -> None:
    """out[b]: the sum of block b's fields times their weights, mod p; weights: uint64[2, BLOCK], low and high."""
    for block in range(out.shape[0]):
        first = block * BLOCK
        total = np.uint64(0)
        for i in range(min(BLOCK, fields.shape[0] - first)):
            total = _fold(total + _scaled(np.uint64(fields[first + i]), weights[0, i], weights[1, i]))
        out[block] = total


def checksum(point: NDArray[np.uint8], fields: NDArray[np.uint32], field_bits: int) -> int:
    """The polynomial of `fields`, uint32[n], each in [0, 2**field_bits), at `point`, uint8[16], mod p: in [0, p).

    Sizes and types are the caller's to check.
    """
    x = int.from_bytes(point.tobytes(), "little") % P
    per_coefficient = 2 if field_bits <= PAIRED_BITS else 1
    coefficients = BLOCK // per_coefficient
    powers = [1]
    for _ in range(coefficients):
        powers.append(powers[-1] * x % P)
    weights = [power * 2 ** (32 * place) % P for power in powers[1:] for place in range(per_coefficient)]
    halves = np.array([[weight % 2**30 for weight in weights], [weight >> 30 for weight in weights]], np.uint64)
    sums = np.empty(-(-fields.size // BLOCK), np.uint64)
    _blocks(sums, fields, halves)
    total = 0
    for part in sums.tolist()[::-1]:
        total = (total * powers[-1] + part) % P
    return total

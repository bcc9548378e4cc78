"""Ciphertext coefficients in numba: the portable twin of `he_core._native` for installations without a C compiler.

Same two functions, same bytes. The bit stream is handled as 64-bit lanes, so the host is little-endian, as every
platform numba supports in practice is.

500,000 coefficients of 43 bits on an AMD Zen 3 core at 2.4 GHz, best of 60 runs: pack 0.53 ms and unpack 0.72 ms
here; C with AVX2 0.15 and 0.12 ms, portable C 0.29 and 0.22 ms.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

_LANE_BYTES = 8


@njit(cache=True, nogil=True)
def _pack_lanes(lanes: NDArray[np.uint64], words: NDArray[np.uint64], width: int) -> np.uint64:
    """Fill lanes, uint64[ceil(n * width / 64)]; returns the OR of all words."""
    bits = np.uint64(width)
    full = np.uint64(64)
    seen = np.uint64(0)
    pending = np.uint64(0)
    pending_bits = np.uint64(0)
    lane = 0
    for i in range(words.shape[0]):
        word = words[i]
        seen |= word
        pending |= word << pending_bits
        pending_bits += bits
        if pending_bits >= full:
            lanes[lane] = pending
            lane += 1
            pending_bits -= full
            # bits - pending_bits is 1..56: the part of this word that did not fit.
            pending = word >> (bits - pending_bits)
    if pending_bits > np.uint64(0):
        lanes[lane] = pending
    return seen


@njit(cache=True, nogil=True)
def _unpack_lanes(out: NDArray[np.uint64], lanes: NDArray[np.uint64], width: int, largest: np.uint64) -> int:
    """Fill out, uint64[n]; returns the index of the first coefficient above `largest`, or n, and stops there."""
    bits = np.uint64(width)
    full = np.uint64(64)
    mask = (np.uint64(1) << bits) - np.uint64(1)
    pending = np.uint64(0)
    pending_bits = np.uint64(0)
    lane = 0
    for i in range(out.shape[0]):
        if pending_bits >= bits:
            coefficient = pending & mask
            pending >>= bits
            pending_bits -= bits
        else:
            following = lanes[lane]
            lane += 1
            coefficient = (pending | (following << pending_bits)) & mask
            taken = bits - pending_bits  # 1..56 bits of `following`
            pending = following >> taken
            pending_bits = full - taken
        if coefficient > largest:
            return i
        out[i] = coefficient
    return out.shape[0]


def _lane_count(byte_count: int) -> int:
    return -(-byte_count // _LANE_BYTES)


def pack_coefficients(out: NDArray[np.uint8], words: NDArray[np.uint64], width: int) -> None:
    """Pack `words`, uint64[n], into `out`, uint8[ceil(n * width / 8)], both C-contiguous; 1 <= width <= 56.

    Raises ValueError if a word is 2**width or more, and then `out` is all zeros. Sizes and types are the caller's
    to check.
    """
    lanes = np.empty(_lane_count(out.size), np.uint64)
    if int(_pack_lanes(lanes, words, width)) >> width:
        out[:] = 0
        raise ValueError(f"a word is outside [0, 2**{width})")
    out[:] = lanes.view(np.uint8)[: out.size]


def unpack_coefficients(out: NDArray[np.uint64], packed: NDArray[np.uint8], width: int, limit: int) -> None:
    """Unpack `packed`, uint8[ceil(n * width / 8)], into `out`, uint64[n], both C-contiguous; each in [0, limit).

    1 <= width <= 56, 1 <= limit <= 2**width. Raises OverflowError(message, index) for the first coefficient of
    `limit` or more, and then `out` is filled up to that index; ValueError if padding bits are set. Sizes and types
    are the caller's to check.
    """
    used = out.size * width % 8
    if used and int(packed[-1]) >> used:
        raise ValueError(f"the padding bits after {out.size} coefficients of {width} bits are not zero")
    lanes = np.empty(_lane_count(packed.size), np.uint64)
    lanes[-1:] = 0
    lanes.view(np.uint8)[: packed.size] = packed
    index = int(_unpack_lanes(out, lanes, width, np.uint64(limit - 1)))
    if index < out.size:
        raise OverflowError(f"coefficient {index} is outside [0, {limit})", index)

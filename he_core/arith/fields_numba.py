"""Field packing in numba: the portable twin of `he_core._native` for installations without a C compiler.

Same two functions, same bytes. A word is handled as 64-bit lanes, so the host is little-endian, as every
platform numba supports in practice is. No branch or address depends on a field.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

_LANE_BYTES = 8


@njit(cache=True, nogil=True)
def _pack_lanes(
    lanes: NDArray[np.uint64], fields: NDArray[np.uint32], field_bits: int, fields_per_word: int
) -> np.uint64:
    """Fill lanes, uint64[word_count, lanes_per_word]; returns the OR of all fields."""
    width = np.uint64(field_bits)
    full = np.uint64(64)
    zero = np.uint64(0)
    seen = np.uint64(0)
    count = fields.shape[0]
    for word in range(lanes.shape[0]):
        first = word * fields_per_word
        pending = np.uint64(0)
        pending_bits = np.uint64(0)
        lane = 0
        for i in range(first, min(first + fields_per_word, count)):
            field = np.uint64(fields[i])
            seen |= field
            pending |= field << pending_bits
            pending_bits += width
            if pending_bits >= full:  # the layout's bits, not the field's
                lanes[word, lane] = pending
                lane += 1
                pending_bits -= full
                # width - pending_bits is 1..32: the part of this field that did not fit.
                pending = field >> (width - pending_bits)
        if pending_bits > zero:
            lanes[word, lane] = pending
            lane += 1
        for unused in range(lane, lanes.shape[1]):
            lanes[word, unused] = zero
    return seen


@njit(cache=True, nogil=True)
def _unpack_lanes(out: NDArray[np.uint32], lanes: NDArray[np.uint64], field_bits: int, fields_per_word: int) -> None:
    """Fill out, uint32[n], from lanes, uint64[word_count, lanes_per_word]."""
    width = np.uint64(field_bits)
    full = np.uint64(64)
    mask = (np.uint64(1) << width) - np.uint64(1)
    count = out.shape[0]
    for word in range(lanes.shape[0]):
        first = word * fields_per_word
        pending = np.uint64(0)
        pending_bits = np.uint64(0)
        lane = 0
        for i in range(first, min(first + fields_per_word, count)):
            if pending_bits >= width:
                out[i] = np.uint32(pending & mask)
                pending >>= width
                pending_bits -= width
            else:
                following = lanes[word, lane]
                lane += 1
                out[i] = np.uint32((pending | (following << pending_bits)) & mask)
                taken = width - pending_bits  # 1..32 bits of `following`
                pending = following >> taken
                pending_bits = full - taken


def _lanes_per_word(word_bytes: int) -> int:
    return -(-word_bytes // _LANE_BYTES)


def pack_fields(
    out: NDArray[np.uint8],
    fields: NDArray[np.uint32],
    field_bits: int,
    fields_per_word: int,
    word_bytes: int,
) -> None:
    """Pack `fields`, uint32[n], into `out`, uint8[ceil(n / fields_per_word), word_bytes], both C-contiguous.

    Raises OverflowError if a field is 2**field_bits or more, and then `out` is all zeros. Sizes and types are
    the caller's to check: `FieldLayout` does.
    """
    if word_bytes % _LANE_BYTES == 0:
        seen = _pack_lanes(out.view(np.uint64), fields, field_bits, fields_per_word)
    else:
        lanes = np.empty((out.shape[0], _lanes_per_word(word_bytes)), np.uint64)
        seen = _pack_lanes(lanes, fields, field_bits, fields_per_word)
        out[:] = lanes.view(np.uint8)[:, :word_bytes]
    if int(seen) >> field_bits:
        out[:] = 0
        raise OverflowError(f"a field is outside [0, 2**{field_bits})")


def unpack_fields(
    out: NDArray[np.uint32],
    words: NDArray[np.uint8],
    field_bits: int,
    fields_per_word: int,
    word_bytes: int,
) -> None:
    """Unpack `words`, uint8[ceil(n / fields_per_word), word_bytes], into `out`, uint32[n], both C-contiguous.

    Bits above a word's last field and fields from n on are ignored. Sizes and types are the caller's to check.
    """
    if word_bytes % _LANE_BYTES == 0:
        lanes = words.view(np.uint64)
    else:
        lanes = np.zeros((words.shape[0], _lanes_per_word(word_bytes)), np.uint64)
        lanes.view(np.uint8)[:, :word_bytes] = words
    _unpack_lanes(out, lanes, field_bits, fields_per_word)

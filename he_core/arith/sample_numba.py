"""Streams and samplers in numba: the portable twin of the C kernels of `cext/sample/sample.h`, its contract.

Same functions as the extension, same results. Sizes, types and C-contiguity are the caller's to check. The host
is little-endian, as every platform numba supports in practice is.

No branch and no address depends on a seed or on a Gaussian sample: written so, not checked, since a compiler
stands between. Scratch memory is not wiped. `expand_uniform` is for public polynomials.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from he_core.arith.gaussian_tables import gaussian_table

_LANES = 32  # blocks made side by side: each step of ChaCha20 is a loop over them, which LLVM makes a vector
_BLOCK_WORDS = 16
_BATCH_WORDS = _LANES * _BLOCK_WORDS
_GROUP = 64  # samples; they take 6 blocks of stream
_GROUP_BLOCKS = 6
_GROUP_BYTES = 64 * _GROUP_BLOCKS
_SHARED_BITS = 24  # of a comparand, the lowest: a group has them in common
_CHUNK_GROUPS = 32  # 192 blocks, a whole number of batches; their bytes stay in the first-level cache
_Q = np.uint64((63 << 44) + 1)
_LOW_50 = np.uint64((1 << 50) - 1)
_COUNTER = 12  # the word of the state that numbers blocks
_CONSTANTS = np.frombuffer(b"expand 32-byte k", "<u4")

_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_TOP = np.uint64(63)  # the shift that leaves the highest bit alone


@njit(cache=True, nogil=True)
def _quarter_rounds(x: NDArray[np.uint32], a: np.uint64, b: np.uint64, c: np.uint64, d: np.uint64) -> None:
    """RFC 8439, section 2.1, on words a to d of every lane of x, uint32[_BATCH_WORDS]."""
    lanes = np.uint64(_LANES)  # unsigned, as a signed index may count from the end, and then no vector is made
    at_a, at_b, at_c, at_d = a * lanes, b * lanes, c * lanes, d * lanes
    for lane in range(lanes):
        xa, xb, xc, xd = x[at_a + lane], x[at_b + lane], x[at_c + lane], x[at_d + lane]
        xa = np.uint32(xa + xb)
        xd = np.uint32(xd ^ xa)
        xd = np.uint32((xd << np.uint32(16)) | (xd >> np.uint32(16)))
        xc = np.uint32(xc + xd)
        xb = np.uint32(xb ^ xc)
        xb = np.uint32((xb << np.uint32(12)) | (xb >> np.uint32(20)))
        xa = np.uint32(xa + xb)
        xd = np.uint32(xd ^ xa)
        xd = np.uint32((xd << np.uint32(8)) | (xd >> np.uint32(24)))
        xc = np.uint32(xc + xd)
        xb = np.uint32(xb ^ xc)
        xb = np.uint32((xb << np.uint32(7)) | (xb >> np.uint32(25)))
        x[at_a + lane], x[at_b + lane], x[at_c + lane], x[at_d + lane] = xa, xb, xc, xd


@njit(cache=True, nogil=True)
def _batch(x: NDArray[np.uint32], state: NDArray[np.uint32], first_block: np.uint32) -> None:
    """Fill x, uint32[_BATCH_WORDS], with _LANES blocks of `state`, uint32[16], from `first_block` on.

    Word w of block l lies at w * _LANES + l. Section 2.3 of RFC 8439; the counter in `state` is 0.
    """
    for word in range(_BLOCK_WORDS):
        x[word * _LANES : (word + 1) * _LANES] = state[word]
    for lane in range(_LANES):
        x[_COUNTER * _LANES + lane] = np.uint32(first_block + np.uint32(lane))
    four = np.uint64(4)
    for _ in range(10):
        for turn in range(np.uint64(2)):  # the columns, then the diagonals
            for j in range(four):
                b, c, d = (j + turn) % four, (j + turn + turn) % four, (j + turn + turn + turn) % four
                _quarter_rounds(x, j, four + b, np.uint64(8) + c, np.uint64(12) + d)
    for word in range(_BLOCK_WORDS):
        for lane in range(_LANES):
            x[word * _LANES + lane] += state[word]
    for lane in range(_LANES):
        x[_COUNTER * _LANES + lane] += np.uint32(first_block + np.uint32(lane))


@njit(cache=True, nogil=True)
def _fill_words(out: NDArray[np.uint32], x: NDArray[np.uint32], state: NDArray[np.uint32], first_block: int) -> None:
    """Fill out, uint32[16 * blocks], with blocks of `state`, uint32[16]; x, uint32[_BATCH_WORDS], is scratch."""
    blocks = out.shape[0] // _BLOCK_WORDS
    for done in range(0, blocks, _LANES):
        _batch(x, state, np.uint32(first_block + done))
        for lane in range(min(_LANES, blocks - done)):
            at = (done + lane) * _BLOCK_WORDS
            for word in range(_BLOCK_WORDS):
                out[at + word] = x[word * _LANES + lane]


@njit(cache=True, nogil=True)
def _sample(
    out: NDArray[np.int8], state: NDArray[np.uint32], alias: NDArray[np.uint64], threshold: NDArray[np.uint64]
) -> None:
    """Fill out, int8[64 * groups], from the stream of `state`, uint32[16]; both tables uint64[64]."""
    words = np.empty(_CHUNK_GROUPS * _GROUP_BYTES // 4, np.uint32)
    stream = words.view(np.uint8)
    x = np.empty(_BATCH_WORDS, np.uint32)
    groups = out.shape[0] // _GROUP
    for first in range(0, groups, _CHUNK_GROUPS):
        count = min(_CHUNK_GROUPS, groups - first)
        _fill_words(words[: count * _GROUP_BYTES // 4], x, state, first * _GROUP_BLOCKS)
        for group in range(count):
            shared = _ZERO
            for i in range(_SHARED_BITS):
                bit = (np.uint64(stream[group * _GROUP_BYTES + i]) >> np.uint64(6)) & _ONE
                shared |= bit << np.uint64(i)
            for i in range(_GROUP):
                at = group * _GROUP_BYTES + i
                comparand = _ZERO
                for byte in range(1, 6):
                    comparand = (comparand << np.uint64(8)) | np.uint64(stream[at + _GROUP * byte])
                comparand = (comparand << np.uint64(_SHARED_BITS)) | shared
                drawn = np.uint64(stream[at])
                column = drawn & np.uint64(63)
                limit = _ZERO
                other = _ZERO
                for j in range(_GROUP):  # a look-up that reads every entry
                    chosen = _ZERO - (((column ^ np.uint64(j)) - _ONE) >> _TOP)
                    limit |= threshold[j] & chosen
                    other |= alias[j] & chosen
                # All ones where comparand < limit: the borrow of comparand - limit, from its operands' top bits.
                difference = comparand - limit
                below = _ZERO - (((~comparand & limit) | (~(comparand ^ limit) & difference)) >> _TOP)
                magnitude = (column & below) | (other & ~below)
                negative = drawn >> np.uint64(7)
                out[(first + group) * _GROUP + i] = np.int8(np.int64((magnitude ^ (_ZERO - negative)) + negative))


@njit(cache=True, nogil=True)
def _expand(out: NDArray[np.uint64], state: NDArray[np.uint32], first_index: np.uint64) -> None:
    """Fill out, uint64[L, N]: row j from `state`, uint32[16], with the index first_index + j put in."""
    x = np.empty(_BATCH_WORDS, np.uint32)
    of_row = state.copy()
    for row in range(out.shape[0]):
        index = first_index + np.uint64(row)
        of_row[14] = np.uint32(index)
        of_row[15] = np.uint32(index >> np.uint64(32))
        block = 0
        filled = 0
        while filled < out.shape[1]:
            _batch(x, of_row, np.uint32(block))
            block += _LANES
            for lane in range(_LANES):
                for word in range(0, _BLOCK_WORDS * _LANES, 2 * _LANES):
                    low, high = np.uint64(x[word + lane]), np.uint64(x[word + _LANES + lane])
                    residue = (low | (high << np.uint64(32))) & _LOW_50
                    if residue < _Q and filled < out.shape[1]:
                        out[row, filled] = residue
                        filled += 1


def _state(seed: bytes | NDArray[np.uint8], domain: int, index: int) -> NDArray[np.uint32]:
    """ChaCha20's first state, uint32[16], of the stream (domain, index) of `seed`, 32 bytes; the counter is 0."""
    state = np.zeros(16, np.uint32)
    state[:4] = _CONSTANTS
    state[4:12] = np.frombuffer(bytes(seed), "<u4")
    state[13:] = domain, index & 0xFFFFFFFF, index >> 32
    return state


@lru_cache(maxsize=2)
def _scan_table(width: str) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The table of `width` with its aliases as uint64, the lanes of the scan."""
    alias, threshold = gaussian_table(width)
    return alias.astype(np.uint64), threshold


def chacha20(
    out: NDArray[np.uint8], seed: bytes | NDArray[np.uint8], domain: int, index: int, first_block: int
) -> None:
    """Fill `out`, uint8[64 * blocks], with the stream (domain, index) of `seed` from block `first_block` on.

    first_block + blocks <= 2^32.
    """
    x = np.empty(_BATCH_WORDS, np.uint32)
    _fill_words(out.view(np.uint32), x, _state(seed, domain, index), first_block)


def sample_gaussian(
    out: NDArray[np.int8], seed: bytes | NDArray[np.uint8], domain: int, index: int, width: str
) -> None:
    """Fill `out`, int8[64 * groups], with discrete Gaussians of the stream (domain, index) of `seed`.

    `width` is "narrow" (sigma 4.5) or "wide" (sigma 4.5 * sqrt(2)).
    """
    _sample(out, _state(seed, domain, index), *_scan_table(width))


def expand_uniform(out: NDArray[np.uint64], seed: bytes | NDArray[np.uint8], domain: int, first_index: int) -> None:
    """Fill `out`, uint64[L, N], with uniform residues mod q: row j from the stream (domain, first_index + j).

    Not constant time: `seed` is public here.
    """
    _expand(out, _state(seed, domain, 0), np.uint64(first_index))

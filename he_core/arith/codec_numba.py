"""The codec's arithmetic in numba: the portable twin of `he_core._native` for installations without a C compiler.

Same two functions, same bits: products and sums in double precision, rounded to nearest, ties to even. No branch is
written that depends on a value; what the compiler makes of them is not checked, and subnormal values are not kept
away from the multiplier as the C kernels keep them.

A million values on an AMD Zen 3 core at 2.4 GHz, best of 60 runs: quantise 1.2 ms and dequantise 0.8 ms here; C with
AVX2 0.42 and 0.26 ms, portable C 1.1 and 0.29 ms; the numpy expressions that this replaces 22 and 5.6 ms.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def _find_non_finite(values: NDArray[np.float32]) -> tuple[int, int]:
    """How many values are NaN or infinite, and the index of the first, or n."""
    count = 0
    for i in range(values.shape[0]):
        count += not np.isfinite(values[i])
    first = values.shape[0]
    if count > 0:  # public, as is the index
        first = 0
        while np.isfinite(values[first]):
            first += 1
    return count, first


@njit(cache=True, nogil=True)
def _quantise(
    out: NDArray[np.uint32],
    values: NDArray[np.float32],
    lengths: NDArray[np.uint64],
    scales: NDArray[np.float64],
    max_code: float,
    offset: float,
) -> int:
    """Fill out; returns how many codes were clipped."""
    saturated = 0
    start = 0
    for s in range(lengths.shape[0]):
        scale = scales[s]
        end = start + int(lengths[s])
        for i in range(start, end):
            code = np.rint(np.float64(values[i]) * scale)
            clipped = min(max(code, -max_code), max_code)
            saturated += code != clipped
            out[i] = np.uint32(np.int64(clipped + offset))
        start = end
    return saturated


@njit(cache=True, nogil=True)
def _quantise_noisy(
    out: NDArray[np.uint32],
    values: NDArray[np.float32],
    lengths: NDArray[np.uint64],
    scales: NDArray[np.float64],
    max_code: float,
    offset: float,
    noise: NDArray[np.float64],
) -> int:
    """Fill out; returns how many codes were clipped."""
    saturated = 0
    start = 0
    for s in range(lengths.shape[0]):
        scale = scales[s]
        end = start + int(lengths[s])
        for i in range(start, end):
            code = np.floor(np.float64(values[i]) * scale + noise[i])
            clipped = min(max(code, -max_code), max_code)
            saturated += code != clipped
            out[i] = np.uint32(np.int64(clipped + offset))
        start = end
    return saturated


@njit(cache=True, nogil=True)
def _dequantise(
    out: NDArray[np.float32],
    sums: NDArray[np.uint32],
    lengths: NDArray[np.uint64],
    scales: NDArray[np.float64],
    bias: int,
) -> None:
    start = 0
    for s in range(lengths.shape[0]):
        scale = scales[s]
        end = start + int(lengths[s])
        for i in range(start, end):
            out[i] = np.float32(np.float64(np.int64(sums[i]) - bias) * scale)
        start = end


def quantise(
    out: NDArray[np.uint32],
    values: NDArray[np.float32],
    segment_lengths: NDArray[np.uint64],
    scales: NDArray[np.float64],
    max_code: int,
    offset: int,
    noise: NDArray[np.float64] | None = None,
) -> tuple[int, int, int]:
    """Scale, round and clip `values` to offset-binary fields in `out`, a scale per segment.

    Returns (saturated, non_finite, first_non_finite): how many values were clipped, how many are NaN or infinite,
    and the index of the first of these, or n. If there is one, `out` holds zeros. Sizes, types and ranges are
    the caller's to check.
    """
    non_finite, first = _find_non_finite(values)
    if non_finite:
        out[:] = 0
        return 0, int(non_finite), int(first)
    if noise is None:
        saturated = _quantise(out, values, segment_lengths, scales, float(max_code), float(offset))
    else:
        saturated = _quantise_noisy(out, values, segment_lengths, scales, float(max_code), float(offset), noise)
    return int(saturated), 0, int(first)


def dequantise(
    out: NDArray[np.float32],
    sums: NDArray[np.uint32],
    segment_lengths: NDArray[np.uint64],
    scales: NDArray[np.float64],
    bias: int,
) -> None:
    """Turn `sums` of fields into `out`: (sum - bias) * scale, a scale per segment. The caller checks the rest."""
    _dequantise(out, sums, segment_lengths, scales, bias)

"""Kernels in C, chosen once at import for this CPU and operating system. Absent where no compiler built them.

The environment variable DCSFL_CPU_TARGET, read at import, caps the choice: the fastest target that runs here
and is not faster than the one named. Any known name is allowed on any machine; another one raises RuntimeError.

Arrays are taken through the buffer protocol without a copy and must be C-contiguous. Every function on arrays
releases the GIL, so callers may split work over threads. Each is constant time in fields, values, noise and sums;
ciphertext coefficients are public, and the functions on those are not.
"""

from collections.abc import Buffer

def pack_fields(
    out: Buffer,
    fields: Buffer,
    field_bits: int,
    fields_per_word: int,
    word_bytes: int,
    *,
    target: str | None = None,
) -> None:
    """Pack `fields`, uint32[n], into `out`, uint8[ceil(n / fields_per_word), word_bytes].

    `target` names one of `targets()`; by default it is `target()`.
    Raises OverflowError if a field is 2**field_bits or more, and then `out` is all zeros; BufferError for an
    array of the wrong type or layout; ValueError for a wrong size, layout or target, or if the arrays share
    memory. After the last two nothing has been written.
    """

def unpack_fields(
    out: Buffer,
    words: Buffer,
    field_bits: int,
    fields_per_word: int,
    word_bytes: int,
    *,
    target: str | None = None,
) -> None:
    """Unpack `words`, uint8[ceil(n / fields_per_word), word_bytes], into `out`, uint32[n].

    Bits above a word's last field and fields from n on are ignored. Raises BufferError and ValueError as
    `pack_fields` does; nothing has been written then.
    """

def pack_coefficients(out: Buffer, words: Buffer, width: int, *, target: str | None = None) -> None:
    """Pack `words`, uint64[n], each in [0, 2**width), into `out`, uint8[ceil(n * width / 8)]; 1 <= width <= 56.

    A little-endian bit stream without gaps; padding bits are zero.
    Raises ValueError if a word is 2**width or more, and then `out` is all zeros; BufferError for an array of the
    wrong type or layout; ValueError for a wrong size, width or target, or if the arrays share memory. After the
    last two nothing has been written.
    """

def unpack_coefficients(out: Buffer, packed: Buffer, width: int, limit: int, *, target: str | None = None) -> None:
    """Unpack `packed`, uint8[ceil(n * width / 8)], into `out`, uint64[n], each in [0, limit).

    1 <= width <= 56 and 1 <= limit <= 2**width. Raises OverflowError(message, index) for the first coefficient of
    `limit` or more, and then `out` holds the coefficients before that index and nothing of meaning from there on;
    ValueError if padding bits are set; BufferError and ValueError as `pack_coefficients` does. In all cases but the
    first nothing has been written.
    """

def quantise(
    out: Buffer,
    values: Buffer,
    segment_lengths: Buffer,
    scales: Buffer,
    max_code: int,
    offset: int,
    noise: Buffer | None = None,
    *,
    target: str | None = None,
) -> tuple[int, int, int]:
    """Scale, round and clip `values`, float32[n], to offset-binary fields in `out`, uint32[n].

    Segment s takes the next segment_lengths[s] values: `out` is round(value * scales[s]), a product in double
    rounded to nearest, ties to even, clipped to [-max_code, max_code], plus `offset`. With `noise`, float64[n], each
    in [0, 1], it is floor(value * scale + noise) instead.
    segment_lengths: uint64[S], adding up to n. scales: float64[S], each in [2**-200, 2**124].
    1 <= max_code <= offset <= 2**24.

    Returns (saturated, non_finite, first_non_finite): how many values were clipped, how many are NaN or infinite,
    and the index of the first of these, or n. If there is one, nothing has been written.
    Raises BufferError for an array of the wrong type or layout; ValueError for a wrong size, code, scale or target,
    or if `out` shares memory with `values` or `noise`. Nothing has been written then.
    """

def dequantise(
    out: Buffer,
    sums: Buffer,
    segment_lengths: Buffer,
    scales: Buffer,
    bias: int,
    *,
    target: str | None = None,
) -> None:
    """Turn sums of fields, uint32[n], into `out`, float32[n]: (sum - bias) * scales[s], in double, then rounded.

    segment_lengths: as in `quantise`. scales: float64[S], each in [2**-200, 2**200]. 0 <= bias < 2**32.
    Raises BufferError and ValueError as `quantise` does; nothing has been written then.
    """

def target() -> str:
    """The name of the target in use, such as "portable" or "avx2"."""

def targets() -> tuple[str, ...]:
    """The names of the targets that run here, slowest first."""

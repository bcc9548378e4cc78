"""Kernels in C, chosen once at import for this CPU and operating system. Absent where no compiler built them.

The environment variable DCSFL_CPU_TARGET, read at import, caps the choice: the fastest target that runs here
and is not faster than the one named. Any known name is allowed on any machine; another one raises RuntimeError.

Arrays are taken through the buffer protocol without a copy and must be C-contiguous. Both functions release
the GIL, so callers may split work over threads. They are constant time in the fields.
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

def target() -> str:
    """The name of the target in use, such as "portable" or "avx2"."""

def targets() -> tuple[str, ...]:
    """The names of the targets that run here, slowest first."""

"""Fields side by side in fixed-size words: the layout, and packing to it and back.

A word is a little-endian bit stream; field i takes bits [i*field_bits, (i+1)*field_bits), bits above the last
field are zero, and the last word is filled up with zero fields. `cext/pack/pack.h` is the kernels' contract.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from he_core.arith.kernels import KERNELS
from he_core.errors import FieldRangeError, ParameterError


@dataclass(frozen=True)
class FieldLayout:
    """How fields lie in words: `fields_per_word` of `field_bits` bits in `word_bytes` bytes.

    Raises ParameterError unless 1 <= field_bits <= 32, fields_per_word >= 1 and the fields fit the word.
    """

    field_bits: int
    fields_per_word: int
    word_bytes: int

    def __post_init__(self) -> None:
        if not 1 <= self.field_bits <= 32:
            raise ParameterError("field_bits", self.field_bits, "must lie in [1, 32]")
        if self.fields_per_word < 1:
            raise ParameterError("fields_per_word", self.fields_per_word, "must be at least 1")
        if self.fields_per_word * self.field_bits > 8 * self.word_bytes:
            raise ParameterError(
                "word_bytes",
                self.word_bytes,
                f"{self.fields_per_word} fields of {self.field_bits} bits need "
                f"{-(-self.fields_per_word * self.field_bits // 8)} bytes",
            )

    def word_count(self, count: int) -> int:
        """Words that `count` fields take."""
        return -(-count // self.fields_per_word)

    def pack(self, fields: NDArray[np.uint32]) -> NDArray[np.uint8]:
        """Pack `fields`, uint32[n], each in [0, 2^field_bits), into uint8[word_count(n), word_bytes].

        Raises FieldRangeError(index, field_bits) for the first field out of range, ParameterError for
        another type or shape. Constant time in the fields unless it raises.
        """
        if fields.dtype != np.uint32 or fields.ndim != 1:
            raise ParameterError("fields", _describe(fields), "must be uint32 of one dimension")
        contiguous = np.require(fields, requirements=["C", "A"])
        words = np.empty((self.word_count(fields.size), self.word_bytes), np.uint8)
        try:
            KERNELS.fields.pack_fields(words, contiguous, self.field_bits, self.fields_per_word, self.word_bytes)
        except OverflowError:
            raise FieldRangeError(first_out_of_range(contiguous, self.field_bits), self.field_bits) from None
        return words

    def unpack(self, words: NDArray[np.uint8], count: int) -> NDArray[np.uint32]:
        """Unpack `words`, uint8[word_count(count), word_bytes], into uint32[count].

        Bits above a word's last field and fields from `count` on are ignored. Raises ParameterError for
        another type or shape, or a negative count.
        """
        if count < 0:
            raise ParameterError("count", count, "must not be negative")
        expected = (self.word_count(count), self.word_bytes)
        if words.dtype != np.uint8 or words.shape != expected:
            raise ParameterError("words", _describe(words), f"must be uint8{list(expected)}")
        fields = np.empty(count, np.uint32)
        KERNELS.fields.unpack_fields(
            fields,
            np.ascontiguousarray(words),
            self.field_bits,
            self.fields_per_word,
            self.word_bytes,
        )
        return fields


def first_out_of_range(fields: NDArray[np.uint32], field_bits: int) -> int:
    """The index of the first field of 2^field_bits or more, of which there is one."""
    return int(np.argmax(fields >> np.uint32(field_bits) != 0))


def _describe(array: NDArray) -> str:
    return f"{array.dtype}{list(array.shape)}"

"""Integers <-> plaintext words: what lies between the codec and a scheme.

A scheme names its plaintext: `PackedFields` (fields side by side in fixed-size words), `Fields` (as they are, for
schemes that pack them themselves) or, for schemes that take real numbers, `BoundedReals` (within the clip limits) or
`Reals` (as they are). All have the same four steps, so nothing above asks which one it holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from he_core.arith.fields import FieldLayout
from he_core.codec import Codec
from he_core.errors import ValueCountError

Words = NDArray[np.uint8]
"""uint8[word_count, word_bytes]: a plaintext word per row, little-endian."""

Payload = bytes | NDArray[np.uint8]
"""The wire form of a ciphertext: its bytes, or a uint8 array of one dimension, so that none need be copied."""


class Plaintext(Protocol):
    """The steps between an update and the words a scheme encrypts."""

    @property
    def word_bytes(self) -> int: ...

    def word_count(self, value_count: int) -> int:
        """Words that `value_count` values take."""
        ...

    def quantise(
        self, codec: Codec, update: NDArray[np.float32], weight: int, noise: np.random.Generator | None
    ) -> tuple[NDArray, int]:
        """The scheme's numbers for an update, and how many values saturated."""
        ...

    def pack(self, numbers: NDArray) -> Words: ...

    def unpack(self, words: Words, value_count: int) -> NDArray: ...

    def dequantise(self, codec: Codec, sums: NDArray, addends: int, total_weight: int) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class Fields:
    """Quantised fields as they are, one to a four-byte word, for schemes that pack them as they encrypt."""

    @property
    def word_bytes(self) -> int:
        return 4

    def word_count(self, value_count: int) -> int:
        return value_count

    def quantise(
        self, codec: Codec, update: NDArray[np.float32], weight: int, noise: np.random.Generator | None
    ) -> tuple[NDArray[np.uint32], int]:
        return codec.quantise(update, weight, noise)

    def pack(self, numbers: NDArray) -> Words:
        return _one_a_word(numbers, "<u4")

    def unpack(self, words: Words, value_count: int) -> NDArray[np.uint32]:
        return _from_words(words, value_count, "<u4")

    def dequantise(self, codec: Codec, sums: NDArray, addends: int, total_weight: int) -> NDArray[np.float32]:
        return codec.dequantise(sums, addends, total_weight)


@dataclass(frozen=True)
class PackedFields(Fields):
    """Quantised fields with guard bits, `layout.fields_per_word` to a word."""

    layout: FieldLayout

    @property
    def word_bytes(self) -> int:
        return self.layout.word_bytes

    def word_count(self, value_count: int) -> int:
        return self.layout.word_count(value_count)

    def pack(self, numbers: NDArray) -> Words:
        return self.layout.pack(numbers)

    def unpack(self, words: Words, value_count: int) -> NDArray[np.uint32]:
        return self.layout.unpack(words, value_count)


@dataclass(frozen=True)
class Reals:
    """float32 values as they are, one to a four-byte word."""

    word_bytes: int = 4

    def word_count(self, value_count: int) -> int:
        return value_count

    def quantise(
        self, codec: Codec, update: NDArray[np.float32], weight: int, noise: np.random.Generator | None
    ) -> tuple[NDArray[np.float32], int]:
        return codec.scale(update, weight), 0

    def pack(self, numbers: NDArray) -> Words:
        return _one_a_word(numbers, "<f4")

    def unpack(self, words: Words, value_count: int) -> NDArray[np.float32]:
        return _from_words(words, value_count, "<f4")

    def dequantise(self, codec: Codec, sums: NDArray, addends: int, total_weight: int) -> NDArray[np.float32]:
        return codec.unscale(sums, addends, total_weight)


@dataclass(frozen=True)
class BoundedReals:
    """Values over their segment's clip limit: float64 in [-1, 1], clipped, one to an eight-byte word."""

    word_bytes: int = 8

    def word_count(self, value_count: int) -> int:
        return value_count

    def quantise(
        self, codec: Codec, update: NDArray[np.float32], weight: int, noise: np.random.Generator | None
    ) -> tuple[NDArray[np.float64], int]:
        return codec.normalise(update, weight)

    def pack(self, numbers: NDArray) -> Words:
        return _one_a_word(numbers, "<f8")

    def unpack(self, words: Words, value_count: int) -> NDArray[np.float64]:
        return _from_words(words, value_count, "<f8")

    def dequantise(self, codec: Codec, sums: NDArray, addends: int, total_weight: int) -> NDArray[np.float32]:
        return codec.denormalise(sums, addends, total_weight)


def _one_a_word(numbers: NDArray, dtype: str) -> Words:
    return np.ascontiguousarray(numbers, dtype).view(np.uint8).reshape(-1, np.dtype(dtype).itemsize)


def _from_words(words: Words, value_count: int, dtype: str) -> NDArray:
    """The inverse. Raises ValueCountError."""
    if words.shape != (value_count, np.dtype(dtype).itemsize):
        raise ValueCountError(value_count, len(words), "words")
    return np.ascontiguousarray(words).reshape(-1).view(dtype)

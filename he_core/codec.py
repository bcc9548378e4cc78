"""float32 updates <-> b-bit integers: clipping, quantising, weighting, and their exact inverse on sums.

A `Codec` is public: limits come from values every party knows (see crypto.md, Pipeline). It is immutable and
validated; two codecs with the same `digest` map values to integers identically.
"""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from he_core.arith.kernels import KERNELS
from he_core.errors import (
    NonFiniteUpdateError,
    ParameterError,
    TooManyClientsError,
    ValueCountError,
    WeightError,
)

MAX_FIELD_BITS = 32  # the packing kernels hold a field in 32 bits
MAX_VALUES = 1 << 32
CHECKSUM_BITS = 61  # of a verified sum's checksum, mod 2^61 - 1
FLOAT32_ROUNDOFF = 2.0**-24  # largest relative error of a number rounded to float32


def tag_count(bits: int) -> int:
    """Fields of a verified message's tag: its digits have `bits` bits, as values do, so that their sums fit too."""
    return -(-CHECKSUM_BITS // bits)


@dataclass(frozen=True)
class CodecShape:
    """The part of a codec that the aggregation server knows: sizes, but not the clip limits.

    bits: width b of a quantised value, 2..24 (a float32 holds no more).
    k_max: the most addends a sum may hold; guard bits are ceil(log2(k_max)).
    value_count: fields of a message: the values of an update, and the tag's where sums are verified.
    weight_reference: the public weight that maps to factor 1; every client's weight is in [1, weight_reference].

    Raises ParameterError.
    """

    bits: int
    k_max: int
    value_count: int
    weight_reference: int = 1

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 24:
            raise ParameterError("bits", self.bits, "must be in [2, 24]")
        if not 1 <= self.k_max <= 1 << 24:
            raise ParameterError("k_max", self.k_max, "must be in [1, 2^24]")
        if self.field_bits > MAX_FIELD_BITS:
            reason = (
                f"with bits={self.bits} a field takes {self.field_bits} bits, over {MAX_FIELD_BITS}; lower either"
            )
            raise ParameterError("k_max", self.k_max, reason)
        if not 1 <= self.value_count <= MAX_VALUES:
            raise ParameterError("value_count", self.value_count, f"must be in [1, {MAX_VALUES}]")
        if not 1 <= self.weight_reference < 1 << 63:
            raise ParameterError("weight_reference", self.weight_reference, "must be in [1, 2^63)")

    @property
    def field_bits(self) -> int:
        """Width of a field: value bits plus guard bits."""
        return self.bits + (self.k_max - 1).bit_length()

    def check_total(self, addends: int, total_weight: int) -> None:
        """Raise TooManyClientsError or WeightError for a sum that no `addends` contributions can make."""
        if not 1 <= addends <= self.k_max:
            raise TooManyClientsError(addends, self.k_max)
        if not addends <= total_weight <= addends * self.weight_reference:
            raise WeightError(total_weight, addends * self.weight_reference)


@dataclass(frozen=True)
class Codec:
    """How a float32 vector becomes integers whose sums of up to `k_max` addends cannot overflow.

    bits, k_max, weight_reference: as in `CodecShape`.
    lengths: values per segment (a segment is usually one tensor); their sum is the vector's length.
    limits: per segment, the largest magnitude represented; larger values saturate and are counted.
    rounding: "nearest" (ties to even) or "stochastic" (unbiased).
    verified: whether a tag follows the values, by which key holders verify a sum (`he_core.verification`).

    Raises ParameterError.
    """

    bits: int
    k_max: int
    lengths: tuple[int, ...]
    limits: tuple[float, ...]
    weight_reference: int = 1
    rounding: Literal["nearest", "stochastic"] = field(default="nearest", compare=False)
    verified: bool = False

    def __post_init__(self) -> None:
        if any(length < 1 for length in self.lengths):
            raise ParameterError("lengths", min(self.lengths), "every segment must hold 1 value or more")
        if len(self.lengths) != len(self.limits):
            raise ParameterError(
                "limits", len(self.limits), f"one limit per segment is needed, {len(self.lengths)} in all"
            )
        for index, limit in enumerate(self.limits):
            if not (math.isfinite(limit) and 2.0**-100 <= limit <= 2.0**100):
                raise ParameterError(f"limits[{index}]", limit, "must be in [2^-100, 2^100]")
        if self.rounding not in ("nearest", "stochastic"):
            raise ParameterError("rounding", self.rounding, "must be 'nearest' or 'stochastic'")
        _ = self.shape  # construct or fail

    @cached_property
    def shape(self) -> CodecShape:
        """What the aggregation server may know of this codec."""
        return CodecShape(self.bits, self.k_max, sum(self.lengths) + self.tag_count, self.weight_reference)

    @cached_property
    def value_count(self) -> int:
        """Values in an update."""
        return sum(self.lengths)

    @property
    def tag_count(self) -> int:
        """Fields of the tag, 0 where sums are not verified."""
        return tag_count(self.bits) if self.verified else 0

    @property
    def max_code(self) -> int:
        """Largest magnitude of a quantised value, 2^(bits-1) - 1: the range is symmetric."""
        return (1 << (self.bits - 1)) - 1

    @property
    def offset(self) -> int:
        """Added to every quantised value so that fields are unsigned, 2^(bits-1)."""
        return 1 << (self.bits - 1)

    @cached_property
    def steps(self) -> tuple[float, ...]:
        """Quantisation step of each segment, in the update's unit, at weight = weight_reference."""
        return tuple(limit / self.max_code for limit in self.limits)

    @property
    def relative_error(self) -> float:
        """Bound on what quantising, and rounding the mean to float32, takes away from a value, relative to its limit.

        Half a step, or a whole one where rounding is stochastic; at weight = weight_reference.
        """
        steps = 1.0 if self.rounding == "stochastic" else 0.5
        return steps / self.max_code + FLOAT32_ROUNDOFF

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 over everything that decides how values map to integers (not `rounding`)."""
        body = struct.pack("<BIQQ", self.bits, self.k_max, self.weight_reference, len(self.lengths))
        body += struct.pack(f"<{len(self.lengths)}Q{len(self.limits)}d", *self.lengths, *self.limits)
        if self.verified:
            body += struct.pack("<B", self.tag_count)
        return hashlib.sha256(b"dcsfl codec 1\0" + body).digest()

    @cached_property
    def _segments(self) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
        """Lengths and steps as the kernels take them."""
        return np.array(self.lengths, np.uint64), np.array(self.steps, np.float64)

    def check(self, update: NDArray[np.float32], weight: int) -> None:
        """Refuse an update that is not finite float32[value_count], or a weight out of range.

        Raises ValueCountError, NonFiniteUpdateError, WeightError.
        """
        self._check_form(update, weight)
        finite = np.isfinite(update)
        if not finite.all():
            raise self._non_finite(int(update.size - np.count_nonzero(finite)), int(np.argmin(finite)))

    def _check_form(self, update: NDArray[np.float32], weight: int) -> None:
        if update.shape != (self.value_count,):
            raise ValueCountError(self.value_count, update.size)
        if update.dtype != np.float32:
            raise ParameterError("update.dtype", str(update.dtype), "must be float32")
        if not 1 <= weight <= self.weight_reference:
            raise WeightError(weight, self.weight_reference)

    def _non_finite(self, count: int, index: int) -> NonFiniteUpdateError:
        segment = int(np.searchsorted(np.cumsum(self.lengths), index, side="right"))
        return NonFiniteUpdateError(count, index, segment)

    def quantise(
        self, update: NDArray[np.float32], weight: int, noise: np.random.Generator | None = None
    ) -> tuple[NDArray[np.uint32], int]:
        """Weight, clip and round `update` to offset-binary fields.

        Returns uint32[shape.value_count] and the number of values that saturated. Values' fields are in [1, 2^bits),
        the tag's still 0.
        `noise` drives stochastic rounding (OS entropy if None) and is not used by rounding to nearest. Raises as
        `check`. Constant time in the values on the C kernels, but for what it returns or raises.
        """
        self._check_form(update, weight)
        uniform = None
        if self.rounding == "stochastic":
            uniform = (np.random.default_rng() if noise is None else noise).random(self.value_count)
        lengths, steps = self._segments
        fields = np.empty(self.shape.value_count, np.uint32)
        fields[self.value_count :] = 0
        saturated, non_finite, first = KERNELS.codec.quantise(
            fields[: self.value_count],
            np.require(update, requirements=["C", "A"]),
            lengths,
            weight / (self.weight_reference * steps),
            self.max_code,
            self.offset,
            uniform,
        )
        if non_finite:
            raise self._non_finite(non_finite, first)
        return fields, saturated

    def dequantise(self, sums: NDArray[np.uint32], addends: int, total_weight: int) -> NDArray[np.float32]:
        """The weighted mean behind `sums`, uint32[shape.value_count], of `addends` fields: float32[value_count].

        Raises ValueCountError, ParameterError for another type, TooManyClientsError, WeightError.
        """
        if sums.shape != (self.shape.value_count,):
            raise ValueCountError(self.shape.value_count, sums.size)
        if sums.dtype != np.uint32:
            raise ParameterError("sums.dtype", str(sums.dtype), "must be uint32")
        self.shape.check_total(addends, total_weight)
        lengths, steps = self._segments
        mean = np.empty(self.value_count, np.float32)
        KERNELS.codec.dequantise(
            mean,
            np.require(sums[: self.value_count], requirements=["C", "A"]),
            lengths,
            steps * (self.weight_reference / total_weight),
            addends * self.offset,
        )
        return mean

    def scale(self, update: NDArray[np.float32], weight: int) -> NDArray[np.float32]:
        """The weighted update without quantisation, for schemes that take real numbers. Raises as `check`."""
        self.check(update, weight)
        return update * np.float32(weight / self.weight_reference)

    def unscale(self, sums: NDArray[np.floating], addends: int, total_weight: int) -> NDArray[np.float32]:
        """The weighted mean behind sums of `scale`d updates: float32[value_count]. Raises as `dequantise`."""
        if sums.shape != (self.value_count,):
            raise ValueCountError(self.value_count, sums.size)
        self.shape.check_total(addends, total_weight)
        return (sums * np.float64(self.weight_reference / total_weight)).astype(np.float32)

    def normalise(self, update: NDArray[np.float32], weight: int) -> tuple[NDArray[np.float64], int]:
        """The weighted update over its segments' limits, clipped to [-1, 1]: for schemes that take real numbers.

        Returns float64[value_count] and the number of values that saturated. Raises as `check`.
        """
        self.check(update, weight)
        scales = weight / (self.weight_reference * np.array(self.limits))
        numbers = update.astype(np.float64) * np.repeat(scales, self.lengths)
        saturated = int(np.count_nonzero(np.abs(numbers) > 1))
        return np.clip(numbers, -1, 1, out=numbers), saturated

    def denormalise(self, sums: NDArray[np.floating], addends: int, total_weight: int) -> NDArray[np.float32]:
        """The weighted mean behind sums of `normalise`d updates: float32[value_count]. Raises as `dequantise`."""
        if sums.shape != (self.value_count,):
            raise ValueCountError(self.value_count, sums.size)
        self.shape.check_total(addends, total_weight)
        limits = np.array(self.limits) * (self.weight_reference / total_weight)
        return (sums * np.repeat(limits, self.lengths)).astype(np.float32)

"""The codec's kernels against the numpy expressions that define it: the same bits, and the same errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import he_core.codec
from he_core import Codec
from he_core.arith import codec_numba
from he_core.errors import NonFiniteUpdateError, ParameterError, ValueCountError, WeightError

LARGEST_FLOAT = np.finfo(np.float32).max


def oracle_quantise(
    codec: Codec, update: np.ndarray, weight: int, noise: np.random.Generator | None
) -> tuple[np.ndarray, int]:
    """A segment at a time, in double precision; draws from `noise` in order."""
    fields, saturated = [], 0
    ends = np.cumsum(codec.lengths)[:-1]
    for part, step in zip(np.split(update, ends), codec.steps, strict=True):
        scaled = part * np.float64(weight / (codec.weight_reference * step))
        codes = np.rint(scaled) if noise is None else np.floor(scaled + noise.random(part.size))
        saturated += int(np.count_nonzero(np.abs(codes) > codec.max_code))
        fields.append((np.clip(codes, -codec.max_code, codec.max_code) + codec.offset).astype(np.uint32))
    return np.concatenate(fields), saturated


def oracle_dequantise(codec: Codec, sums: np.ndarray, addends: int, total_weight: int) -> np.ndarray:
    per_value = np.repeat(np.asarray(codec.steps) * (codec.weight_reference / total_weight), codec.lengths)
    with np.errstate(over="ignore"):  # beyond float32's range the mean is infinite, on kernels too
        return ((sums.astype(np.float64) - addends * codec.offset) * per_value).astype(np.float32)


@contextmanager
def codec_on(backend: str) -> Iterator[None]:
    """Codecs on numba's kernels, or on those chosen here: C where it was built."""
    with pytest.MonkeyPatch.context() as patch:
        if backend == "numba":
            patch.setattr(he_core.codec, "KERNELS", replace(he_core.codec.KERNELS, codec=codec_numba))
        yield


on_every_backend = pytest.mark.parametrize("backend", ["chosen", "numba"])


@st.composite
def codecs(draw: st.DrawFn) -> Codec:
    limits = st.one_of(st.floats(1e-6, 1e6), st.sampled_from([2.0**-100, 2.0**100, 2.0**-90, 127.0, 1.0]))
    segments = draw(st.lists(st.tuples(st.integers(1, 40), limits), min_size=1, max_size=6))
    bits = draw(st.integers(2, 24))
    return Codec(
        bits=bits,
        k_max=draw(st.integers(1, 1 << min(8, 32 - bits))),
        lengths=tuple(length for length, _ in segments),
        limits=tuple(limit for _, limit in segments),
        weight_reference=draw(st.one_of(st.integers(1, 10_000), st.integers(1, 2**63 - 1))),
    )


def update_for(codec: Codec, weight: int, seed: int) -> np.ndarray:
    """Values beyond the limits, ties and whole steps at that weight, subnormal, zero and huge ones."""
    rng = np.random.default_rng(seed)
    count = codec.value_count
    limits = np.repeat(codec.limits, codec.lengths)
    steps = np.repeat(codec.steps, codec.lengths) * (codec.weight_reference / weight)
    with np.errstate(over="ignore"):
        kinds = [
            rng.uniform(-1.1, 1.1, count) * limits * (codec.weight_reference / weight),
            rng.integers(-2 * codec.max_code - 2, 2 * codec.max_code + 2, count, endpoint=True) / 2 * steps,
            rng.choice([0.0, -0.0, 2.0**-149, -(2.0**-127), 2.0**-126, -LARGEST_FLOAT, LARGEST_FLOAT], count),
            np.exp2(rng.uniform(-149, 128, count)) * rng.choice([-1, 1], count),
        ]
        values = np.choose(rng.integers(0, len(kinds), count), kinds).astype(np.float32)
    return np.clip(values, -LARGEST_FLOAT, LARGEST_FLOAT)


@on_every_backend
@given(codecs(), st.integers(0, 2**32), st.data())
@settings(deadline=None)
def test_quantise_gives_the_bits_of_the_numpy_expression(
    backend: str, codec: Codec, seed: int, data: st.DataObject
) -> None:
    weight = data.draw(st.integers(1, codec.weight_reference))
    update = update_for(codec, weight, seed)
    with codec_on(backend):
        fields, saturated = codec.quantise(update, weight)
    expected, expected_saturated = oracle_quantise(codec, update, weight, None)
    np.testing.assert_array_equal(fields, expected)
    assert saturated == expected_saturated


@on_every_backend
@given(codecs(), st.integers(0, 2**32), st.data())
@settings(deadline=None)
def test_stochastic_rounding_gives_the_bits_of_the_numpy_expression_from_the_same_noise(
    backend: str, codec: Codec, seed: int, data: st.DataObject
) -> None:
    weight = data.draw(st.integers(1, codec.weight_reference))
    update = update_for(codec, weight, seed)
    with codec_on(backend):
        stochastic = replace(codec, rounding="stochastic")
        fields, saturated = stochastic.quantise(update, weight, np.random.default_rng(seed))
    expected, expected_saturated = oracle_quantise(codec, update, weight, np.random.default_rng(seed))
    np.testing.assert_array_equal(fields, expected)
    assert saturated == expected_saturated


@on_every_backend
@given(codecs(), st.integers(0, 2**32), st.data())
@settings(deadline=None)
def test_dequantise_gives_the_bits_of_the_numpy_expression(
    backend: str, codec: Codec, seed: int, data: st.DataObject
) -> None:
    addends = data.draw(st.integers(1, codec.k_max))
    total_weight = data.draw(st.integers(addends, addends * codec.weight_reference))
    rng = np.random.default_rng(seed)
    sums = rng.integers(0, 2**codec.shape.field_bits, codec.value_count, np.uint64).astype(np.uint32)
    with codec_on(backend):
        mean = codec.dequantise(sums, addends, total_weight)
    assert mean.tobytes() == oracle_dequantise(codec, sums, addends, total_weight).tobytes()


@on_every_backend
@pytest.mark.parametrize("bits", range(2, 25))
def test_a_long_vector_of_many_segments_gives_the_bits_of_the_numpy_expression(backend: str, bits: int) -> None:
    rng = np.random.default_rng(bits)
    lengths = tuple(rng.integers(1, 2000, 50).tolist())
    codec = Codec(bits, 2, lengths, tuple(np.exp2(rng.uniform(-20, 20, 50)).tolist()), 7)
    update = update_for(codec, 3, bits)
    with codec_on(backend):
        fields, saturated = codec.quantise(update, 3)
        mean = codec.dequantise(fields, 1, 3)
    expected, expected_saturated = oracle_quantise(codec, update, 3, None)
    np.testing.assert_array_equal(fields, expected)
    assert saturated == expected_saturated
    assert mean.tobytes() == oracle_dequantise(codec, fields, 1, 3).tobytes()


@on_every_backend
@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_update_that_is_not_finite_is_refused_with_count_index_and_segment(
    backend: str, rounding: Literal["nearest", "stochastic"], bad: float
) -> None:
    codec = Codec(16, 2, (3, 1, 20), (1.0, 2.0, 3.0), rounding=rounding)
    for index, segment in ((0, 0), (2, 0), (3, 1), (4, 2), (22, 2), (23, 2)):
        update = np.zeros(24, np.float32)
        update[[index, 23]] = bad
        for refuse in (codec.quantise, codec.check):
            with codec_on(backend), pytest.raises(NonFiniteUpdateError) as caught:
                refuse(update, 1)
            assert str(caught.value) == str(NonFiniteUpdateError(2 if index < 23 else 1, index, segment))


def test_strided_arrays_give_what_their_copies_give() -> None:
    codec = Codec(16, 2, (30, 20), (1.0, 2.0))
    update = update_for(codec, 1, 1)
    sums = codec.quantise(update, 1)[0]
    np.testing.assert_array_equal(codec.quantise(np.repeat(update, 2)[::2], 1)[0], sums)
    np.testing.assert_array_equal(codec.dequantise(np.repeat(sums, 2)[::2], 1, 1), codec.dequantise(sums, 1, 1))


def test_arrays_of_another_form_are_refused() -> None:
    codec = Codec(16, 2, (3,), (1.0,))
    with pytest.raises(ValueCountError):
        codec.quantise(np.zeros(4, np.float32), 1)
    with pytest.raises(ParameterError, match="float64"):
        codec.quantise(np.zeros(3), 1)
    with pytest.raises(WeightError):
        codec.quantise(np.zeros(3, np.float32), 2)
    with pytest.raises(ParameterError, match="int64"):
        codec.dequantise(np.zeros(3, np.int64), 1, 1)

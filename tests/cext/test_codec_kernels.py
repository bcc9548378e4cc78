"""Every codec kernel that runs here, C targets and numba, against a twin on Python's own numbers; C at its border."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from he_core.arith import codec_numba

NUMBA_TWIN = codec_numba  # for conftest.py, which makes the parameter `kernels`

Segments = list[tuple[int, float]]


def arrays_of(segments: Segments) -> tuple[np.ndarray, np.ndarray]:
    return np.array([length for length, _ in segments], np.uint64), np.array([s for _, s in segments], np.float64)


def twin_quantise(
    values: list[float], segments: Segments, max_code: int, offset: int, noise: list[float] | None
) -> tuple[list[int], int]:
    """A Python float is a double; round() goes to even."""
    scales = [scale for length, scale in segments for _ in range(length)]
    fields, saturated = [], 0
    for i, (value, scale) in enumerate(zip(values, scales, strict=True)):
        code = round(value * scale) if noise is None else math.floor(value * scale + noise[i])
        clipped = min(max(code, -max_code), max_code)
        saturated += clipped != code
        fields.append(clipped + offset)
    return fields, saturated


def quantise(
    kernels: Any, values: np.ndarray, segments: Segments, bits: int, noise: np.ndarray | None = None
) -> tuple[list[int], int]:
    out = np.full(values.size, 0xA5A5A5A5, np.uint32)
    lengths, scales = arrays_of(segments)
    found = kernels.quantise(out, values, lengths, scales, 2 ** (bits - 1) - 1, 2 ** (bits - 1), noise)
    assert found[1:] == (0, values.size)
    return out.tolist(), found[0]


def sample_values(count: int, scale: float, bits: int, seed: int) -> np.ndarray:
    """float32[count]: ties, limits, subnormal, zero and huge ones among those a little beyond the limits."""
    rng = np.random.default_rng([seed, count, bits])
    half_codes = rng.integers(-(2**bits) - 1, 2**bits + 1, count, endpoint=True)
    with np.errstate(over="ignore"):
        kinds = [
            rng.uniform(-1.2, 1.2, count) * 2 ** (bits - 1) / scale,
            half_codes / 2 / scale,
            rng.choice([-1, 1], count) * (2 ** (bits - 1) - 1 + rng.random(count)) / scale,
            rng.choice([0.0, -0.0, 2.0**-126, -(2.0**-149), 2.0**-127, 3.4028234663852886e38], count),
            np.exp2(rng.uniform(-149, 128, count)) * rng.choice([-1, 1], count),
        ]
        values = np.choose(rng.integers(0, len(kinds), count), kinds).astype(np.float32)
    return np.where(np.isfinite(values), values, np.float32(3.4028234663852886e38)).astype(np.float32)


SCALES = (2.0**-163, 2.0**-40, 1 / 3, 1.0, 32767.0, 1e9, 2.0**60, 2.0**122)


@pytest.mark.parametrize("bits", range(2, 25))
def test_quantise_agrees_with_the_twin_at_every_width_and_length(kernels: Any, bits: int) -> None:
    for seed, scale in enumerate(SCALES):
        for count in (0, 1, 7, 8, 9, 15, 16, 17, 33, 100):
            values = sample_values(count, scale, bits, seed)
            segments = [(count, scale)]
            expected = twin_quantise(values.tolist(), segments, 2 ** (bits - 1) - 1, 2 ** (bits - 1), None)
            assert quantise(kernels, values, segments, bits) == expected, (scale, count)


@pytest.mark.parametrize("bits", [2, 8, 16, 24])
def test_quantise_with_noise_agrees_with_the_twin(kernels: Any, bits: int) -> None:
    for seed, scale in enumerate(SCALES):
        for count in (0, 1, 7, 8, 9, 17, 100):
            values = sample_values(count, scale, bits, seed)
            rng = np.random.default_rng(seed)
            noise = np.where(rng.random(count) < 0.3, rng.choice([0.0, 1 - 2.0**-53], count), rng.random(count))
            segments = [(count, scale)]
            expected = twin_quantise(values.tolist(), segments, 2 ** (bits - 1) - 1, 2 ** (bits - 1), noise.tolist())
            assert quantise(kernels, values, segments, bits, noise) == expected, (scale, count)


@given(
    st.lists(st.tuples(st.integers(0, 20), st.floats(1e-6, 1e6)), max_size=6), st.integers(2, 24), st.integers(0, 99)
)
@settings(deadline=None)
def test_each_segment_has_its_own_scale(kernels: Any, segments: Segments, bits: int, seed: int) -> None:
    values = np.concatenate(
        [np.empty(0, np.float32), *(sample_values(count, scale, bits, seed) for count, scale in segments)]
    )
    noise = np.random.default_rng(seed).random(values.size)
    max_code, offset = 2 ** (bits - 1) - 1, 2 ** (bits - 1)
    expected = twin_quantise(values.tolist(), segments, max_code, offset, None)
    assert quantise(kernels, values, segments, bits) == expected
    expected = twin_quantise(values.tolist(), segments, max_code, offset, noise.tolist())
    assert quantise(kernels, values, segments, bits, noise) == expected


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 31, 100])
def test_values_that_are_not_finite_are_counted_the_first_is_named_and_zeros_written(
    kernels: Any, count: int
) -> None:
    lengths, scales = arrays_of([(count, 1.0)])
    for first in range(count):
        for bad in (np.nan, np.inf, -np.inf):
            values = sample_values(count, 1.0, 8, first)
            values[first] = bad
            values[first + 1 :: 5] = np.nan
            out = np.full(count, 7, np.uint32)
            found = kernels.quantise(out, values, lengths, scales, 127, 128)
            assert found == (0, np.count_nonzero(~np.isfinite(values)), first)
            assert (out == 0).all()


def float32(value: float) -> bytes:
    """The nearest float32's bytes, by the struct module."""
    return struct.pack("<f", value)


@given(
    st.lists(st.tuples(st.integers(0, 20), st.floats(2.0**-160, 1e20)), max_size=6),
    st.integers(0, 2**32 - 1),
    st.integers(0, 99),
)
@settings(deadline=None)
def test_dequantise_agrees_with_the_twin(kernels: Any, segments: Segments, bias: int, seed: int) -> None:
    count = sum(length for length, _ in segments)
    rng = np.random.default_rng(seed)
    sums = rng.integers(0, 2**32, count, dtype=np.uint32) >> rng.integers(0, 32, count, dtype=np.uint32)
    sums[rng.random(count) < 0.2] = bias
    out = np.full(count, np.nan, np.float32)
    kernels.dequantise(out, sums, *arrays_of(segments), bias)
    steps = [scale for length, scale in segments for _ in range(length)]
    expected = [float32((total - bias) * step) for total, step in zip(sums.tolist(), steps, strict=True)]
    assert out.tobytes() == b"".join(expected)


# --- the border of the C functions ----------------------------------------------------------------


@pytest.fixture
def native() -> Any:
    return pytest.importorskip("he_core._native", reason="installed without a C compiler", exc_type=ImportError)


def call(native: Any, function: str, **changes: Any) -> None:
    """A sound call of 10 values in two segments, but for `changes`; checks that nothing was written."""
    quantises = function == "quantise"
    sound: dict[str, Any] = {
        "out": np.full(10, 7, np.uint32 if quantises else np.float32),
        ("values" if quantises else "sums"): np.ones(10, np.float32 if quantises else np.uint32),
        "segment_lengths": np.array([4, 6], np.uint64),
        "scales": np.array([1.0, 2.0]),
        **({"max_code": 127, "offset": 128} if quantises else {"bias": 128}),
    }
    arguments = sound | changes
    before = arguments["out"].tobytes()
    try:
        getattr(native, function)(**arguments)
    finally:
        assert arguments["out"].tobytes() == before


@pytest.mark.parametrize("function", ["quantise", "dequantise"])
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        pytest.param({"out": np.full(10, 7, np.int32)}, BufferError, "out has item format 'i'", id="signed-out"),
        pytest.param({"segment_lengths": np.array([4], np.uint64)}, ValueError, "scales has 2 items", id="count"),
        pytest.param({"segment_lengths": np.array([4, 5], np.uint64)}, ValueError, "leave out 1 of 10", id="less"),
        pytest.param({"segment_lengths": np.array([4, 7], np.uint64)}, ValueError, "more than the 10", id="more"),
        pytest.param(
            {"segment_lengths": np.array([11, 2**64 - 1], np.uint64)}, ValueError, "more than the 10", id="wraps"
        ),
        pytest.param({"segment_lengths": np.array([4, 6])}, BufferError, "segment_lengths has item", id="int64"),
        pytest.param({"scales": np.array([1, 2], np.float32)}, BufferError, "scales has item", id="float32"),
        pytest.param({"scales": np.array([1.0, 0.0])}, ValueError, r"scales\[1\]=0.0 is outside", id="zero"),
        pytest.param({"scales": np.array([-1.0, 1.0])}, ValueError, r"scales\[0\]=-1.0", id="negative"),
        pytest.param({"scales": np.array([1.0, np.nan])}, ValueError, r"scales\[1\]=nan", id="nan"),
        pytest.param({"scales": np.array([np.inf, 1.0])}, ValueError, r"scales\[0\]=inf", id="inf"),
        pytest.param({"scales": np.array([2.0**-201, 1.0])}, ValueError, r"scales\[0\]", id="tiny"),
        pytest.param({"scales": np.array([2.0**201, 1.0])}, ValueError, r"scales\[0\]", id="large"),
        pytest.param({"target": "sse9"}, ValueError, "target='sse9' cannot run here", id="target"),
    ],
)
def test_both_functions_refuse_the_arguments_and_write_nothing(
    native: Any, function: str, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call(native, function, **changes)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        pytest.param({"values": np.ones(9, np.float32)}, ValueError, "out has 10 items, expected 9", id="short"),
        pytest.param({"values": np.ones(10)}, BufferError, "values has item format 'd'", id="double"),
        pytest.param({"values": np.ones(20, np.float32)[::2]}, BufferError, "values is not C", id="strided"),
        pytest.param({"scales": np.array([2.0**125, 1.0])}, ValueError, r"scales\[0\]", id="over-2^124"),
        pytest.param({"max_code": 0}, ValueError, "max_code=0", id="no-code"),
        pytest.param({"max_code": 129}, ValueError, "max_code=129 and offset=128", id="negative-fields"),
        pytest.param({"offset": 2**24 + 1}, ValueError, "offset=16777217", id="large-offset"),
        pytest.param({"noise": np.ones(9)}, ValueError, "noise has 9 items, expected 10", id="short-noise"),
        pytest.param({"noise": np.ones(10, np.float32)}, BufferError, "noise has item format 'f'", id="float-noise"),
    ],
)
def test_quantise_refuses_the_arguments_and_writes_nothing(
    native: Any, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call(native, "quantise", **changes)


def test_dequantise_refuses_sums_of_another_length(native: Any) -> None:
    with pytest.raises(ValueError, match="out has 10 items, expected 9, as sums has"):
        call(native, "dequantise", sums=np.ones(9, np.uint32))


@pytest.mark.parametrize("bias", [-1, 2**32])
def test_dequantise_refuses_a_bias_that_is_no_sum(native: Any, bias: int) -> None:
    with pytest.raises(ValueError, match=f"bias={bias} is outside"):
        call(native, "dequantise", bias=bias)


def test_shared_memory_is_refused(native: Any) -> None:
    block = np.full(10, 7, np.uint32)
    with pytest.raises(ValueError, match="out and values share memory"):
        call(native, "quantise", out=block, values=block.view(np.float32))
    with pytest.raises(ValueError, match="out and sums share memory"):
        call(native, "dequantise", out=block.view(np.float32), sums=block)
    noise = np.zeros(10)
    with pytest.raises(ValueError, match="out and noise share memory"):
        native.quantise(
            noise.view(np.uint32)[:10],
            np.ones(10, np.float32),
            np.array([10], np.uint64),
            np.array([1.0]),
            127,
            128,
            noise,
        )
    lengths = np.array([2, 2, 6, 0, 0], np.uint64)
    scales = np.ones(5)
    for shared, name in ((lengths, "segment_lengths"), (scales, "scales")):
        with pytest.raises(ValueError, match=f"out and {name} share memory"):
            native.quantise(shared.view(np.uint32), np.ones(10, np.float32), lengths, scales, 127, 128)
        with pytest.raises(ValueError, match=f"out and {name} share memory"):
            native.dequantise(shared.view(np.float32), np.ones(10, np.uint32), lengths, scales, 0)

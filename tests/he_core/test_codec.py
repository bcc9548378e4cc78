"""The codec: error bounds over random values and codecs, weights, saturation, and what it refuses to be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_core import Codec, CodecShape
from he_core.errors import ParameterError, TooManyClientsError, ValueCountError, WeightError

FLOAT32_ULPS = 2.0**-23


@st.composite
def codecs(draw: st.DrawFn, rounding: str = "nearest", weight_reference: int | None = None) -> Codec:
    segments = draw(st.lists(st.tuples(st.integers(1, 30), st.floats(1e-6, 1e6)), min_size=1, max_size=5))
    return Codec(
        bits=draw(st.integers(2, 24)),
        k_max=draw(st.integers(1, 256)),
        lengths=tuple(length for length, _ in segments),
        limits=tuple(limit for _, limit in segments),
        weight_reference=weight_reference or draw(st.integers(1, 10_000)),
        rounding=rounding,  # type: ignore[arg-type]
    )


def spread(codec: Codec, per_segment: tuple[float, ...]) -> np.ndarray:
    return np.repeat(np.array(per_segment), codec.lengths)


def draw_update(codec: Codec, seed: int, beyond: float = 1.0) -> np.ndarray:
    uniform = np.random.default_rng(seed).uniform(-beyond, beyond, codec.value_count)
    return (uniform * spread(codec, codec.limits)).astype(np.float32)


@given(codecs(weight_reference=1), st.integers(0, 2**32))
def test_rounding_to_nearest_errs_by_half_a_step_at_most(codec: Codec, seed: int) -> None:
    update = draw_update(codec, seed)
    fields, _ = codec.quantise(update, 1)
    error = np.abs(codec.dequantise(fields, 1, 1) - update)
    assert np.all(error <= spread(codec, codec.steps) / 2 + np.abs(update) * FLOAT32_ULPS)


@given(codecs(rounding="stochastic", weight_reference=1), st.integers(0, 2**32))
def test_stochastic_rounding_errs_by_a_step_at_most(codec: Codec, seed: int) -> None:
    update = draw_update(codec, seed)
    fields, _ = codec.quantise(update, 1, np.random.default_rng(seed))
    error = np.abs(codec.dequantise(fields, 1, 1) - update)
    assert np.all(error <= spread(codec, codec.steps) * (1 + 1e-9) + np.abs(update) * FLOAT32_ULPS)


@given(codecs(), st.integers(0, 2**32), st.data())
def test_a_weighted_mean_errs_by_half_a_step_per_client_over_the_total_weight(
    codec: Codec, seed: int, data: st.DataObject
) -> None:
    clients = data.draw(st.integers(1, min(5, codec.k_max)))
    weights = [data.draw(st.integers(1, codec.weight_reference)) for _ in range(clients)]
    updates = [draw_update(codec, seed + client) for client in range(clients)]
    sums = np.zeros(codec.value_count, np.uint32)
    for update, weight in zip(updates, weights, strict=True):
        sums += codec.quantise(update, weight)[0]
    exact = np.average(np.stack(updates).astype(np.float64), axis=0, weights=weights)
    error = np.abs(codec.dequantise(sums, clients, sum(weights)) - exact)
    bound = clients / 2 * spread(codec, codec.steps) * codec.weight_reference / sum(weights)
    # float32 limits and results: one rounding each
    assert np.all(error <= bound + 2 * spread(codec, codec.limits) * FLOAT32_ULPS)


@given(codecs(), st.integers(0, 2**32), st.data())
def test_fields_stay_in_range_and_saturation_is_counted(codec: Codec, seed: int, data: st.DataObject) -> None:
    weight = data.draw(st.integers(1, codec.weight_reference))
    update = draw_update(codec, seed, beyond=1e6)
    fields, saturated = codec.quantise(update, weight)
    assert fields.dtype == np.uint32
    assert fields.min() >= 1
    assert fields.max() < 1 << codec.bits
    codes = update.astype(np.float64) * (weight / codec.weight_reference) / spread(codec, codec.steps)
    # The outermost half step rounds back to the limit; leave a margin where float arithmetic decides.
    outside = np.abs(codes) - (codec.max_code + 0.5)
    assert np.count_nonzero(outside > 1e-6) <= saturated <= np.count_nonzero(outside > -1e-6)


def test_stochastic_rounding_draws_from_the_given_source_and_else_from_the_system() -> None:
    codec = Codec(16, 2, (500,), (1.0,), rounding="stochastic")
    update = draw_update(codec, 1)
    seeded = [codec.quantise(update, 1, np.random.default_rng(7))[0] for _ in range(2)]
    unseeded = [codec.quantise(update, 1)[0] for _ in range(2)]
    np.testing.assert_array_equal(seeded[0], seeded[1])
    assert np.any(unseeded[0] != unseeded[1])


@pytest.mark.parametrize("part", [0.01, 0.3, 0.5, 0.99])
@pytest.mark.parametrize("sign", [1, -1])
def test_stochastic_rounding_is_unbiased_to_five_standard_deviations(part: float, sign: int) -> None:
    count = 1_000_000
    codec = Codec(8, 1, (count,), (127.0,), rounding="stochastic")  # steps of 1
    value = np.float32(sign * (20 + part))
    fields, _ = codec.quantise(np.full(count, value), 1, np.random.default_rng(11))
    deviation = np.sqrt(part * (1 - part) / count)
    assert abs(codec.dequantise(fields, 1, 1).mean(dtype=np.float64) - value) < 5 * deviation


def test_rounding_to_nearest_ignores_a_noise_source() -> None:
    codec = Codec(16, 2, (500,), (1.0,))
    update = draw_update(codec, 1)
    with_source, _ = codec.quantise(update, 1, np.random.default_rng(7))
    np.testing.assert_array_equal(with_source, codec.quantise(update, 1)[0])


def test_the_digest_covers_everything_that_decides_the_integers_and_nothing_else() -> None:
    codec = Codec(16, 8, (3, 4), (1.0, 2.0), 10)
    variants = [
        replace(codec, bits=15),
        replace(codec, k_max=7),
        replace(codec, lengths=(4, 3)),
        replace(codec, limits=(1.0, 2.0000000000000004)),
        replace(codec, weight_reference=11),
    ]
    assert len({codec.digest, *(variant.digest for variant in variants)}) == 1 + len(variants)
    assert replace(codec, rounding="stochastic").digest == codec.digest


@pytest.mark.parametrize(("k_max", "guard_bits"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (8, 3), (9, 4), (256, 8)])
def test_guard_bits_hold_k_max_addends(k_max: int, guard_bits: int) -> None:
    shape = CodecShape(16, k_max, 1)
    assert shape.field_bits == 16 + guard_bits
    assert k_max * (2**16 - 1) < 2**shape.field_bits


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"bits": 1}, "bits"),
        ({"bits": 25}, "bits"),
        ({"k_max": 0}, "k_max"),
        ({"k_max": (1 << 24) + 1, "bits": 2}, "k_max"),
        ({"k_max": 257, "bits": 24}, "k_max"),
        ({"lengths": (), "limits": ()}, "value_count"),
        ({"lengths": (3, 0)}, "lengths"),
        ({"lengths": (1 << 31, 1 << 31 | 1)}, "value_count"),
        ({"limits": (1.0,)}, "limits"),
        ({"limits": (1.0, 0.0)}, r"limits[1]"),
        ({"limits": (-1.0, 1.0)}, r"limits[0]"),
        ({"limits": (1.0, float("nan"))}, r"limits[1]"),
        ({"limits": (1.0, float("inf"))}, r"limits[1]"),
        ({"limits": (1.0, 2.0**-101)}, r"limits[1]"),
        ({"limits": (1.0, 2.0**101)}, r"limits[1]"),
        ({"weight_reference": 0}, "weight_reference"),
        ({"weight_reference": 1 << 63}, "weight_reference"),
        ({"rounding": "up"}, "rounding"),
    ],
)
def test_a_codec_out_of_range_cannot_be_made(changes: dict[str, Any], name: str) -> None:
    sound: dict[str, Any] = {"bits": 16, "k_max": 8, "lengths": (3, 4), "limits": (1.0, 2.0)}
    with pytest.raises(ParameterError) as refusal:
        Codec(**(sound | changes))
    assert refusal.value.name == name


def test_a_sum_that_no_contributions_can_make_is_refused() -> None:
    codec = Codec(16, 3, (2,), (1.0,), weight_reference=10)
    sums = np.full(2, 5, np.uint32)
    for addends, total_weight, error in (
        (0, 1, TooManyClientsError),
        (4, 4, TooManyClientsError),
        (2, 1, WeightError),
        (2, 21, WeightError),
    ):
        with pytest.raises(error):
            codec.dequantise(sums, addends, total_weight)
        with pytest.raises(error):
            codec.unscale(sums.astype(np.float32), addends, total_weight)
    for refused in (sums[:1], np.zeros((2, 1), np.uint32)):
        with pytest.raises(ValueCountError):
            codec.dequantise(refused, 1, 1)
        with pytest.raises(ValueCountError):
            codec.unscale(refused.astype(np.float32), 1, 1)

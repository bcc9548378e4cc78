"""What crosses a cut in fewer bits: its error, its bytes, that it is right on average, and what is refused."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import NonFiniteCutError, ProtocolError
from trainer.parties.exchange import EXCHANGES, Int8Exchange, activations_of, gradient_of
from trainer.parties.messages import BatchPart, QuantisedTensor
from trainer.transport.traffic import payload_bytes

KINDS = list(EXCHANGES)


def tensor(*shape, seed=0):
    """Channels of very different sizes."""
    generator = torch.Generator().manual_seed(seed)
    sizes = 10.0 ** torch.arange(-3, shape[1] - 3).reshape(1, -1, *([1] * (len(shape) - 2)))
    return torch.randn(shape, generator=generator) * sizes


def largest_per_channel(values):
    return values.abs().amax(dim=[axis for axis in range(values.ndim) if axis != 1], keepdim=True)


@pytest.mark.parametrize(("kind", "error"), [("float32", 0.0), ("bfloat16", 2.0**-8), ("int8", 1 / 127)])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 5, 8, 9), (2, 4, 5, 6, 7)])
def test_error_is_within_the_kinds_bound_of_the_channels_largest_value(kind, error, shape):
    exchange, values = EXCHANGES[kind](1, 2, 3), tensor(*shape)
    got = exchange.unpack(exchange.pack(values, (0,)))
    assert got.dtype == torch.float32
    assert got.shape == values.shape
    assert bool(((got - values).abs() <= error * largest_per_channel(values) * (1 + 1e-6)).all())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (4, 16, 24, 24), (2, 3, 4, 5, 6)])
def test_bytes_are_those_announced(kind, shape):
    from trainer.parties.messages import BodyActivations

    exchange = EXCHANGES[kind](1)
    assert payload_bytes(BodyActivations(exchange.pack(tensor(*shape)))) == exchange.bytes_of(shape)


def test_int8_takes_a_quarter_of_the_bytes_at_the_demos_cuts():
    shape = (1, 32, 24, 24)
    assert EXCHANGES["float32"].bytes_of(shape) / Int8Exchange.bytes_of(shape) > 3.9


@given(st.floats(-1e3, 1e3, width=32))
def test_rounding_at_random_is_right_on_average(value):
    exchange = Int8Exchange(7)
    values = torch.full((1, 1, 10_000), value)
    values[0, 0, 0] = 1e3  # the channel's largest
    got = exchange.unpack(exchange.pack(values, (0,)))[0, 0, 1:]
    step = 1e3 / 127
    assert abs(float(got.mean()) - value) < 0.03 * step  # 6 standard deviations of at most step / 2 / sqrt(10,000)


def test_rounding_to_nearest_is_the_same_every_time_and_within_half_a_step():
    exchange, values = Int8Exchange(7), tensor(2, 3, 16, 16)
    first, second = (exchange.unpack(exchange.pack(values)) for _ in range(2))
    assert torch.equal(first, second)
    assert bool(((first - values).abs() <= largest_per_channel(values) / 254 * (1 + 1e-5)).all())


def test_a_tensor_sent_again_is_rounded_as_before_and_others_and_other_ends_are_not():
    values, place = tensor(2, 3, 16, 16), BatchPart(4, 1, 0, 2)

    def codes(seed, which):
        return Int8Exchange(*seed).pack(values, which).codes

    first = codes((5, 0, 1), activations_of(place))
    exchange = Int8Exchange(5, 0, 1)
    exchange.pack(values, gradient_of(place))  # what was sent before, and how often, plays no part
    assert torch.equal(exchange.pack(values, activations_of(place)).codes, first)
    assert not torch.equal(codes((5, 0, 1), gradient_of(place)), first)
    for seed in ((5, 0, 0), (5, 1, 1), (6, 0, 1)):
        assert not torch.equal(codes(seed, activations_of(place)), first)
    for other in (BatchPart(5, 1, 0, 2), BatchPart(4, 0, 0, 2), BatchPart(4, 1, 1, 2)):
        assert not torch.equal(codes((5, 0, 1), activations_of(other)), first)


def test_zero_channels_stay_zero():
    exchange = Int8Exchange(1)
    values = torch.zeros(2, 3, 4, 4)
    assert torch.equal(exchange.unpack(exchange.pack(values, (0,))), values)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_counted_and_refused(bad):
    exchange, values = Int8Exchange(1), tensor(1, 2, 3, 3)
    values[0, 1, 2] = bad
    with pytest.raises(NonFiniteCutError, match="3 value"):
        exchange.pack(values)


CODES, SCALES = torch.zeros(1, 2, 3, 3, dtype=torch.int8), torch.ones(2)


@pytest.mark.parametrize(
    ("kind", "carried"),
    [
        ("float32", torch.zeros(1, 2, 3, 3, dtype=torch.float64)),
        ("float32", QuantisedTensor(CODES, SCALES)),
        ("bfloat16", torch.zeros(1, 2, 3, 3)),
        ("int8", torch.zeros(1, 2, 3, 3)),
        ("int8", QuantisedTensor(CODES.to(torch.int16), SCALES)),
        ("int8", QuantisedTensor(CODES, torch.ones(3))),
        ("int8", QuantisedTensor(CODES, torch.ones(1, 2))),
        ("int8", QuantisedTensor(torch.zeros(3, dtype=torch.int8), SCALES)),
        ("int8", QuantisedTensor(CODES, SCALES * float("nan"))),
    ],
)
def test_what_is_not_of_the_kind_is_refused(kind, carried):
    with pytest.raises(ProtocolError, match="over a cut"):
        EXCHANGES[kind](1).unpack(carried)


@pytest.mark.parametrize(("kind", "share"), [("bfloat16", 0.5), ("int8", 0.257)])
def test_a_federation_trains_with_that_share_of_the_traffic(federation, kind, share):
    exact, packed = federation(), federation(f"training.cut_exchange={kind}")
    for fed in (exact, packed):
        fed.run(2)
    traffic = [fed.parties.transport.traffic.bytes_with("compute") for fed in (exact, packed)]
    assert traffic[1] / traffic[0] == pytest.approx(share, rel=0.06)
    images = exact.data.clients[0].test.images
    left, right = (fed.parties.clients[0].predict(images) for fed in (exact, packed))
    assert float((left == right).float().mean()) > 0.5  # another run, and the same task learnt


@pytest.mark.parametrize("kind", ["bfloat16", "int8"])
def test_equal_seeds_give_equal_runs(federation, kind):
    runs = [federation(f"training.cut_exchange={kind}") for _ in range(2)]
    for fed in runs:
        fed.run(2)
    left, right = (fed.weights() for fed in runs)
    assert all(torch.equal(left[name], right[name]) for name in left)

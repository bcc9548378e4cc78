"""A batch in parts: what is learnt from it is the same, and so is every bit, whatever overtakes what on the way."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.batches import part_sizes
from trainer.config import CorrectionConfig, load
from trainer.errors import ProtocolError
from trainer.networks.registry import build
from trainer.parties.arrangement import COPIES, Arrangement
from trainer.parties.building import compute_server
from trainer.parties.messages import (
    BatchPart,
    BodyActivations,
    BodyInputGradient,
    BodyOutputGradient,
    HeadActivations,
    QuantisedTensor,
)

OFF = ("method.correction.mode=off", "encryption.scheme=none", "data.max_slices=10", "training.batch_size=5")
FOUR = 4


@pytest.mark.parametrize("network_name", ["unet", "redcnn"])
def test_gradients_of_a_batch_are_those_of_the_batch_in_one_part(federation, request, network_name, monkeypatch):
    """The U-Net's Dice is taken over the batch, which parts do not change."""
    network = request.getfixturevalue(network_name)
    stepped = []

    def recorded(optimiser):
        stepped[-1] += [weight.grad.clone() for group in optimiser.param_groups for weight in group["params"]]

    monkeypatch.setattr(torch.optim.Adam, "step", recorded)
    for micro_batches in (1, 2, 8):  # of five images: three and two; one each
        fed = federation(*OFF, "data.clients=1", f"training.micro_batches={micro_batches}", network=network)
        stepped.append([])
        fed.parties.clients[0].train(0, fed.parties.training_sets[0])
    whole, *others = stepped
    assert all(bool(gradient.any()) for gradient in whole)
    for parts in others:
        for gradient, expected in zip(parts, whole, strict=True):
            torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("method", ["splitfed-v1", "splitfed-v2", "splitnn"])
def test_weights_are_those_of_batches_in_one_part(federation, method):
    """But for what Adam makes of gradients that are near 0: it takes their sign for full steps."""
    found = []
    for micro_batches in (1, 2):
        fed = federation(*OFF, "data.clients=2", f"method.name={method}", f"training.micro_batches={micro_batches}")
        start = {name: tensor.clone() for name, tensor in fed.weights().items()}
        fed.run(2)
        found.append(fed.weights())
    for name, tensor in found[0].items():
        moved = float((tensor - start[name]).abs().max())
        assert moved > 1e-3, "nothing was learnt, so equality would mean nothing"
        assert float((tensor - found[1][name]).abs().max()) < 0.05 * moved, name


def test_the_loss_told_of_a_batch_is_the_whole_batchs(federation):
    told = []
    for micro_batches in (1, 3):
        fed = federation(*OFF, "data.clients=1", f"training.micro_batches={micro_batches}")
        losses = []
        fed.parties.clients[0].train(0, fed.parties.training_sets[0], losses.append)
        told.append(losses)
    assert len(told[0]) == len(told[1]) > 1
    assert told[1] == pytest.approx(told[0], abs=1e-5)


@given(st.integers(1, 200), st.integers(1, 40))
def test_parts_hold_every_image_once_and_none_is_empty(images, micro_batches):
    sizes = part_sizes(images, micro_batches)
    assert sum(sizes) == images
    assert len(sizes) == min(images, micro_batches)
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 1


def test_parts_cross_in_the_batchs_order_and_the_traffic_is_that_of_whole_batches(federation, record):
    whole, parts = federation(*OFF), federation(*OFF, "training.micro_batches=3")
    crossed = record(parts)
    for fed in (whole, parts):
        fed.run(1)
    sent = [message for _, _, message in crossed if isinstance(message, HeadActivations) and message.client == 0]
    images = len(parts.parties.training_sets[0])
    places = [(message.place.batch, message.place.part, message.place.parts) for message in sent]
    assert places == [
        (batch, part, min(3, images - 5 * batch))
        for batch in range(-(-images // 5))
        for part in range(min(3, images - 5 * batch))
    ]
    assert [len(message.activations) for message in sent[:3]] == part_sizes(5, 3)
    for fed in (whole, parts):
        assert fed.parties.traffic.bytes_with("compute") > 0
    assert parts.parties.traffic.bytes_with("compute") == whole.parties.traffic.bytes_with("compute")


# --- the compute server, whose body takes [n, 4, 24, 24]


def server(*overrides, arrangement=COPIES, clients=2):
    config = load((), (
        "training.task=restoration", "network.name=redcnn", "network.channels=4", f"training.micro_batches={FOUR}",
        *overrides,
    ))  # fmt: skip
    body = build(config.network, 1, 1, config.run.seed, True).body
    off = CorrectionConfig(mode="off")
    return compute_server(config, body, clients, off, arrangement, torch.device("cpu"))


def carried(exchange, seed):
    values = torch.randn((2, 4, 24, 24), generator=torch.Generator().manual_seed(seed))
    if exchange == "int8":
        return QuantisedTensor((values * 20).clamp(-127, 127).to(torch.int8), torch.full((4,), 0.05))
    return values


def activations(part, *, exchange="float32", client=0, round=0, batch=0, parts=FOUR):
    return HeadActivations(client, BatchPart(round, batch, part, parts), carried(exchange, part))


def gradient(part, *, exchange="float32", client=0, round=0, batch=0, parts=FOUR):
    return BodyOutputGradient(client, BatchPart(round, batch, part, parts), carried(exchange, 100 + part))


def state(compute):
    return {name: tensor.clone() for name, tensor in compute.state().tensors.items()}


def equal(left, right):
    return left.keys() == right.keys() and all(torch.equal(tensor, right[name]) for name, tensor in left.items())


def same(left, right):
    pair = [reply.activations if isinstance(reply, BodyActivations) else reply.gradient for reply in (left, right)]
    if isinstance(pair[0], QuantisedTensor):
        return torch.equal(pair[0].codes, pair[1].codes) and torch.equal(pair[0].scales, pair[1].scales)
    return torch.equal(*pair)


def served(compute, events, exchange):
    """Replies to (kind, part), in the order of `events`, by event."""
    return {(make, part): compute.handle(make(part, exchange=exchange)) for make, part in events}


IN_ORDER = [(make, part) for make in (activations, gradient) for part in range(FOUR)]


KINDS = (activations, gradient)


@st.composite
def arrivals(draw):
    """Any order of a batch's messages in which no gradient comes before its activations."""
    ranks = {part: sorted(draw(st.tuples(st.floats(0, 1), st.floats(0, 1)))) for part in range(FOUR)}
    events = [(rank, make, part) for part, pair in ranks.items() for rank, make in zip(pair, KINDS, strict=True)]
    return [(make, part) for _, make, part in sorted(events, key=lambda event: event[0])]


@pytest.mark.parametrize("exchange", ["float32", "int8"])
def test_the_order_of_arrival_changes_no_bit_of_body_or_replies(exchange):
    compute = server(f"training.cut_exchange={exchange}")
    expected = served(compute, IN_ORDER, exchange)
    after = state(compute)

    @settings(max_examples=15, deadline=None)
    @given(arrivals())
    def any_order(events):
        other = server(f"training.cut_exchange={exchange}")
        replies = served(other, events, exchange)
        assert equal(state(other), after)
        assert all(same(reply, expected[event]) for event, reply in replies.items())

    any_order()
    assert not equal(state(server()), after), "no step was taken, so equality would mean nothing"


def test_requests_of_several_threads_change_no_bit():
    """Nor do new ones, which torch gives all cores, and so another order of sums, until they are told."""
    torch.set_num_threads(1)
    alone, crowded = server(clients=3), server(clients=3)

    def both_ways(compute, client, batch, part):
        compute.handle(activations(part, client=client, batch=batch))
        compute.handle(gradient(part, client=client, batch=batch))

    with ThreadPoolExecutor(12) as pool:
        for batch in range(5):
            work = [(client, batch, part) for part in reversed(range(FOUR)) for client in range(3)]
            list(pool.map(lambda each: both_ways(crowded, *each), work))
            for each in reversed(work):
                both_ways(alone, *each)
    assert equal(state(crowded), state(alone))


def test_there_is_one_step_a_batch_after_its_last_gradient():
    compute = server()
    before = state(compute)
    for part in range(FOUR):
        compute.handle(activations(part))
    for part in (3, 0, 2):
        compute.handle(gradient(part))
        assert equal(state(compute), before)
    compute.handle(gradient(1))
    assert not equal(state(compute), before)


HOSTILE = {
    "more parts than agreed": (activations(0, parts=FOUR + 1), "in 5 parts; training.micro_batches=4"),
    "a part twice": (activations(1, batch=1), "sent part 1 of a batch twice"),
    "another number of parts": (activations(2, batch=1, parts=3), "in 4 parts, and then one of its parts as of 3"),
    "a part of an earlier batch": (activations(2, batch=0), "batch 0 of round 0; it has begun a later one"),
    "a gradient twice": (gradient(0, batch=1), "no batch waiting"),
    "a gradient of an earlier batch": (gradient(2, batch=0), "no batch waiting"),
    "a gradient of a later batch": (gradient(1, batch=2), "no batch waiting"),
    "a gradient before its activations": (gradient(3, batch=1), "no batch waiting"),
    "a gradient of another number of parts": (gradient(1, batch=1, parts=3), "no batch waiting"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_parts_that_do_not_fit_are_refused_and_the_batch_goes_on(name):
    message, words = HOSTILE[name]
    compute, undisturbed = server(), server()
    for each in (compute, undisturbed):
        each.handle(activations(0))
        for part in (0, 1, 2):
            each.handle(activations(part, batch=1))
        each.handle(gradient(0, batch=1))
    with pytest.raises(ProtocolError, match=words):
        compute.handle(message)
    for each in (compute, undisturbed):
        each.handle(activations(3, batch=1))
        for part in (2, 3, 1):
            each.handle(gradient(part, batch=1))
    assert equal(state(compute), state(undisturbed))
    with pytest.raises(ProtocolError, match="twice, or after it was closed"):
        compute.handle(activations(3, batch=1))


@pytest.mark.parametrize("numbers", [(0, 0, 1, 1), (0, 0, -1, 2), (0, 0, 0, 0), (-1, 0, 0, 1), (0, -1, 0, 1)])
def test_a_part_that_cannot_be_is_no_part(numbers):
    with pytest.raises(ValueError, match="no part"):
        BatchPart(*numbers)


def test_a_batch_begun_anew_gives_up_what_waits_of_the_one_before():
    compute, fresh = server(), server()
    compute.handle(activations(0))
    compute.handle(activations(1))
    compute.handle(gradient(0))
    for each in (compute, fresh):
        for event, part in IN_ORDER:
            each.handle(event(part, round=1))
    assert equal(state(compute), state(fresh))


def test_a_step_of_a_shared_body_ends_the_batches_of_the_others():
    compute = server(arrangement=Arrangement(body="shared"))
    compute.handle(activations(0, client=1))
    for event, part in IN_ORDER:
        compute.handle(event(part))
    before = state(compute)
    with pytest.raises(ProtocolError, match="no batch waiting"):
        compute.handle(gradient(0, client=1))
    assert equal(state(compute), before)


def test_a_restored_server_takes_a_round_again_that_it_had_begun():
    compute = server()
    kept = copy.deepcopy(compute.state())
    replies = []
    for _ in range(2):
        compute.load_state(kept)
        replies.append(served(compute, IN_ORDER, "float32"))
    assert all(same(reply, replies[1][event]) for event, reply in replies[0].items())
    assert isinstance(replies[0][gradient, 3], BodyInputGradient)

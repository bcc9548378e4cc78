"""The two servers refuse what does not fit their state, and stay as they were."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from he_core.errors import (
    DuplicateClientError,
    EmptySumError,
    FrameError,
    ReplayedRoundError,
    TruncatedFrameError,
    UnexpectedClientError,
    WrongKeyError,
    WrongParticipantsError,
)
from trainer.errors import ProtocolError
from trainer.parties.averaging import UpdateRefusedError
from trainer.parties.messages import (
    BatchPart,
    BodyOutputGradient,
    EncryptedContribution,
    HeadActivations,
    Participant,
    RoundPlan,
    SumRequest,
)


@pytest.fixture
def fed(federation):
    return federation("encryption.scheme=plain")


def frames(fed, plan):
    """Each client's contribution frame, caught on its way; nothing reaches the server."""
    caught = []
    handlers = fed.parties.transport._handlers
    original = handlers["aggregation"]

    def catch(message):
        caught.append(message.frame)
        raise ProtocolError("caught")

    handlers["aggregation"] = catch
    for client in fed.parties.clients:
        with pytest.raises(ProtocolError, match="caught"):
            client.averaging.contribute(plan)
    handlers["aggregation"] = original
    return caught


def test_compute_server_refuses_a_gradient_without_a_batch(fed):
    with pytest.raises(ProtocolError, match="client 1 sent a gradient with no batch"):
        fed.parties.compute.handle(BodyOutputGradient(1, BatchPart(0, 0, 0, 1), torch.zeros(1)))


def test_compute_server_refuses_a_gradient_of_another_shape_and_still_takes_the_right_one(fed):
    h, _ = fed.parties.clients[0].head(fed.data.clients[0].train.images[:2])
    b = fed.parties.compute.handle(HeadActivations(0, BatchPart(0, 0, 0, 1), h.detach())).activations
    with pytest.raises(ProtocolError, match="shape"):
        fed.parties.compute.handle(BodyOutputGradient(0, BatchPart(0, 0, 0, 1), torch.zeros(1, 1)))
    reply = fed.parties.compute.handle(BodyOutputGradient(0, BatchPart(0, 0, 0, 1), torch.ones_like(b)))
    assert reply.gradient.shape == h.shape


def test_compute_server_refuses_an_unknown_client_and_foreign_messages(fed):
    with pytest.raises(ProtocolError, match="no client 9"):
        fed.parties.compute.handle(HeadActivations(9, BatchPart(0, 0, 0, 1), torch.zeros(1)))
    with pytest.raises(ProtocolError, match="takes no SumRequest"):
        fed.parties.compute.handle(SumRequest(0, 0))
    with pytest.raises(ProtocolError, match="takes no HeadActivations"):
        fed.parties.aggregation.handle(HeadActivations(0, BatchPart(0, 0, 0, 1), torch.zeros(1)))


def test_compute_server_averages_bodies_by_weight(fed):
    bodies = fed.parties.compute._bodies
    for client, body in enumerate(bodies):
        for parameter in body.parameters():
            parameter.data.fill_(float(client))
    fed.parties.compute.average(RoundPlan(0, (Participant(1, 3), Participant(3, 1))))
    for body in bodies:
        for parameter in body.parameters():
            assert torch.equal(parameter, torch.full_like(parameter, (1 * 3 + 3 * 1) / 4))


def test_bad_contributions_leave_the_sum_as_it_was(fed, federation):
    plan = fed.plan(0)
    for client, site in zip(fed.parties.clients, fed.data.clients, strict=True):
        client.train(0, site.train)
    good = frames(fed, plan)
    server = fed.parties.aggregation
    stranger = federation("encryption.scheme=plain")

    server.open(plan)
    server.handle(EncryptedContribution(good[0]))
    for refused, error in [
        (good[0], DuplicateClientError),
        (good[1][:-7], TruncatedFrameError),
        (good[1][:200] + bytes([good[1][200] ^ 1]) + good[1][201:], FrameError),
        (frames(stranger, plan)[1], WrongKeyError),
        (frames(fed, fed.plan(1))[1], FrameError),
    ]:
        with pytest.raises(error):
            server.handle(EncryptedContribution(refused))
    for frame in good[1:]:
        server.handle(EncryptedContribution(frame))
    disturbed = server.handle(SumRequest(0, 0)).frame

    undisturbed_server = fed.experiment.assemble(fed.ledger).aggregation
    undisturbed_server._aggregator._key = server._key  # the same group key
    undisturbed_server.open(plan)
    for frame in good:
        undisturbed_server.handle(EncryptedContribution(frame))
    assert undisturbed_server.handle(SumRequest(0, 0)).frame == disturbed


def test_a_closed_round_cannot_be_replayed_even_after_a_restart(fed):
    plan = fed.plan(0)
    fed.run(1)
    server = fed.parties.aggregation
    with pytest.raises(ReplayedRoundError):
        server.open(plan)
    restarted = fed.experiment.assemble(fed.ledger).aggregation
    restarted.load_state(server.state())
    with pytest.raises(ReplayedRoundError):
        restarted.open(plan)
    restarted.open(fed.plan(1))


def test_sums_go_to_participants_of_the_open_round_alone(fed):
    server = fed.parties.aggregation
    with pytest.raises(ProtocolError, match="no sum of round 0"):
        server.handle(SumRequest(0, 0))
    plan = RoundPlan(0, (Participant(0, 1), Participant(1, 1)))
    server.open(plan)
    with pytest.raises(EmptySumError):
        server.handle(SumRequest(0, 0))
    with pytest.raises(ProtocolError, match="client 3 takes no part"):
        server.handle(SumRequest(3, 0))
    with pytest.raises(UnexpectedClientError, match="client 2"):
        server.handle(EncryptedContribution(frames(fed, fed.plan(0))[2]))


def test_a_client_refuses_a_sum_that_lacks_a_planned_participant(fed):
    plan = fed.plan(0)
    fed.parties.aggregation.open(plan)
    for client in fed.parties.clients[:3]:
        client.averaging.contribute(plan)
    before = [parameter.clone() for parameter in fed.parties.clients[0].head.parameters()]
    with pytest.raises(WrongParticipantsError, match="participants of the sum"):
        fed.parties.clients[0].averaging.receive(plan)
    assert all(map(torch.equal, before, fed.parties.clients[0].head.parameters()))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_non_finite_update_is_refused_by_client_round_and_tensor_and_nothing_is_sent(fed, bad):
    client = fed.parties.clients[2]
    name, parameter = list(client.tail.named_parameters())[-1]
    parameter.data.view(-1)[0] = bad
    fed.parties.aggregation.open(fed.plan(0))
    with pytest.raises(UpdateRefusedError, match=rf"client 2, round 0 .*, tensor 'tail\.{name}'"):
        client.averaging.contribute(fed.plan(0))
    assert fed.parties.transport.traffic.bytes_with("aggregation") == 0

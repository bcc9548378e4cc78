"""Threshold groups in training: same model as with a shared key, and parts that the servers cannot open."""

from __future__ import annotations

import pickle

import pytest
import torch

from he_core import SecretBundle, frame
from he_core.arith.openfhe_backend.lattice import obstacle
from he_core.errors import HeCoreError
from he_core.keys import SecretKey
from he_core.sealing import PARTIALS, unseal
from trainer.errors import ConfigError, ProtocolError, SumRefusedError
from trainer.parties.messages import EncryptedSum, PartialsRequest, SealedPartial, SealedPartials, SumRequest

TOGETHER = ("encryption.parameters.threshold=2", "encryption.parameters.clients=4")


NO_BFV = pytest.mark.skipif(obstacle() is not None, reason=f"no bfv: {obstacle()}")


@pytest.fixture(scope="module", params=["rlwe", pytest.param("bfv", marks=NO_BFV)])
def recorded(federation, record, request):
    fed = federation(*TOGETHER, f"encryption.scheme={request.param}")
    crossed = record(fed)
    for client in fed.parties.clients:
        client.averaging._together._transport = fed.parties.transport
    fed.run(2)
    return fed, crossed


def test_the_model_is_that_of_a_shared_key(recorded, federation):
    shared = federation()
    shared.run(2)
    fed, _ = recorded
    for name, weight in shared.weights().items():
        assert torch.equal(fed.weights()[name], weight), name


def test_as_many_parts_cross_as_it_takes_and_no_server_can_open_one(recorded):
    fed, crossed = recorded
    parts = [message for _, to, message in crossed if to == "aggregation" and isinstance(message, SealedPartial)]
    assert [(part.client, part.round) for part in parts] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    together = fed.parties.averaging(0)._together
    for part in parts:
        where = {"purpose": PARTIALS, "key_id": together._key_id, "round": part.round, "sender": part.client}
        opened = unseal(part.sealed, together._group_secret, **where)
        assert frame.parse(opened).header.kind is frame.Kind.PARTIAL
        assert opened[100:140] not in part.sealed
        with pytest.raises(HeCoreError):
            frame.parse(part.sealed)
        with pytest.raises(HeCoreError):
            unseal(part.sealed, bytes(32), **where)


def test_parts_go_through_the_aggregation_server_alone(recorded):
    _, crossed = recorded
    for sender, recipient, message in crossed:
        if isinstance(message, SealedPartial | PartialsRequest):
            assert recipient == "aggregation"
        if isinstance(message, SealedPartials):
            assert sender == "aggregation"


def test_every_client_has_a_share_of_its_own_and_the_server_none(recorded):
    fed, _ = recorded
    shares = [fed.parties.averaging(client)._together._holder._key for client in range(4)]
    assert [share.holder for share in shares] == [0, 1, 2, 3]
    assert len({pickle.dumps({**vars(share), "holder": 0}) for share in shares}) == 4
    held = list(vars(fed.parties.aggregation).values())
    assert not any(isinstance(thing, SecretKey | SecretBundle) for thing in held)
    group_secret = fed.parties.averaging(0)._together._group_secret
    assert not any(thing == group_secret for thing in held)


def test_a_client_away_costs_nothing_while_enough_remain(federation):
    fed = federation(*TOGETHER, "method.drop_out=0.4", "run.seed=3")
    shared = federation("method.drop_out=0.4", "run.seed=3")
    absent = [fed.plan(index).absent for index in range(3)]
    assert any(absent)
    for party in (fed, shared):
        for index in range(3):
            if len(party.plan(index).clients) >= 2:
                party.experiment.method.run_round(party.parties, party.plan(index), lambda client, loss: None)
    for name, weight in shared.weights().items():
        assert torch.equal(fed.weights()[name], weight), name


def test_an_altered_part_is_refused_by_every_client(federation):
    fed = federation(*TOGETHER)
    server = fed.parties.aggregation_server
    plan = fed.plan(0)
    server.open(plan)
    for client in plan.clients:
        fed.parties.contribute(client, plan)
    for client in plan.clients:
        fed.parties.share(client, plan)
    server._sealed[1] = server._sealed[1][:-1] + bytes([server._sealed[1][-1] ^ 1])
    for client in plan.clients:
        with pytest.raises(SumRefusedError, match="seal of the bytes of client 1"):
            fed.parties.receive(client, plan)


def test_a_server_that_shows_one_contribution_as_the_sum_gets_no_part(federation):
    fed = federation(*TOGETHER)
    server, plan = fed.parties.aggregation_server, fed.plan(0)
    server.open(plan.only([0]))
    fed.parties.contribute(0, plan)
    alone = server._aggregator.result()
    server._handlers[SumRequest] = lambda message: EncryptedSum(alone)
    with pytest.raises(SumRefusedError, match="participants"):
        fed.parties.share(0, plan)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("encryption.parameters.clients=3",), "set encryption.parameters.clients=4"),
        (("method.clients_per_round=1",), "1 of 4 clients"),
        (("encryption.key_folder=/nowhere/keys",), "holds its threshold ceremony itself"),
    ],
)
def test_groups_that_cannot_decrypt_are_refused(federation, overrides, words):
    with pytest.raises(ConfigError, match=words):
        federation(*TOGETHER, *overrides)


def test_too_few_to_decrypt_skip_the_round(federation):
    fed = federation("encryption.parameters.threshold=3", "encryption.parameters.clients=4")
    assert fed.experiment.config.method.min_participants == 3


def test_the_server_keeps_no_part_that_is_longer_than_the_sum_nor_any_before_there_is_one(federation):
    fed = federation(*TOGETHER)
    server, plan = fed.parties.aggregation_server, fed.plan(0)
    server.open(plan)
    for client in plan.clients:
        fed.parties.contribute(client, plan)
    with pytest.raises(ProtocolError, match="the sum itself has 0"):
        server.handle(SealedPartial(0, 0, b"early"))
    most = len(server.handle(SumRequest(0, 0)).frame)
    with pytest.raises(ProtocolError, match=f"a part of {most + 1:,} bytes"):
        server.handle(SealedPartial(0, 0, bytes(most + 1)))
    server.handle(SealedPartial(0, 0, bytes(most)))

"""Of every method: which messages reach which party, and what is in them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from he_core import frame as wire
from he_core.codec import tag_count
from he_core.keys import SecretKey
from trainer.errors import ProtocolError
from trainer.methods import METHODS
from trainer.parties.messages import (
    BodyActivations,
    BodyInputGradient,
    BodyOutputGradient,
    ContributionAccepted,
    EncryptedContribution,
    EncryptedSum,
    HandoverAccepted,
    HeadActivations,
    InferenceActivations,
    PartsHandover,
    SumRequest,
)

AT_THE_CUTS = {HeadActivations, BodyOutputGradient, InferenceActivations}
FROM_THE_CUTS = {BodyActivations, BodyInputGradient}
TO_BE_SUMMED = {EncryptedContribution, SumRequest}
SUMMED = {ContributionAccepted, EncryptedSum}
HANDED = {PartsHandover, HandoverAccepted}
RECEIVED = {  # by the compute server, the aggregation server, a client
    "dcsfl": (AT_THE_CUTS, TO_BE_SUMMED, FROM_THE_CUTS | SUMMED),
    "splitfed-v1": (AT_THE_CUTS, TO_BE_SUMMED, FROM_THE_CUTS | SUMMED),
    "splitfed-v2": (AT_THE_CUTS, TO_BE_SUMMED, FROM_THE_CUTS | SUMMED),
    "splitnn": (AT_THE_CUTS, set(), FROM_THE_CUTS | HANDED),
    "fedavg": (set(), TO_BE_SUMMED, SUMMED),
    "fedprox": (set(), TO_BE_SUMMED, SUMMED),
    "local": (AT_THE_CUTS, set(), FROM_THE_CUTS),
    "centralised": (AT_THE_CUTS, set(), FROM_THE_CUTS),
}
SERVERS = ("compute", "aggregation")


@pytest.fixture(scope="module", params=METHODS)
def recorded(request, federation, record):
    """(method, federation, messages) of one round and evaluation, with three of four clients where one may choose."""
    method = METHODS[request.param]
    some = ("method.clients_per_round=3",) if "clients_per_round" in method.options else ()
    fed = federation(f"method.name={request.param}", "encryption.scheme=rlwe", "data.max_slices=2", *some)
    crossed = record(fed)
    fed.run(1)
    for client, site in zip(fed.parties.clients, fed.data.clients, strict=False):
        client.evaluate(site.test)
    return request.param, fed, crossed


def test_each_party_receives_the_messages_of_its_method_and_no_others(recorded):
    method, fed, crossed = recorded
    received = {name: set() for name in (*SERVERS, *(client.name for client in fed.parties.clients))}
    for _, recipient, message in crossed:
        received[recipient].add(type(message))
    compute, aggregation, client = RECEIVED[method]
    assert received["compute"] == compute
    assert received["aggregation"] == aggregation
    assert set().union(*(received[c.name] for c in fed.parties.clients)) == client


def test_clients_hear_from_each_other_in_splitnn_alone_and_servers_never_from_each_other(recorded):
    method, _, crossed = recorded
    between_clients = {type(m) for sender, recipient, m in crossed if not {sender, recipient} & set(SERVERS)}
    assert between_clients == (HANDED if method == "splitnn" else set())
    assert not any({sender, recipient} <= set(SERVERS) for sender, recipient, _ in crossed)


def test_who_takes_no_part_sends_nothing_that_was_trained(recorded):
    method, fed, crossed = recorded
    for absent in fed.plan(0).absent:
        sent = {type(message) for sender, _, message in crossed if sender == f"client-{absent}"}
        assert sent <= {SumRequest, InferenceActivations, HandoverAccepted}, method


def test_the_aggregation_server_gets_one_frame_of_all_that_a_client_holds_from_each_participant(recorded):
    method, fed, crossed = recorded
    frames = [wire.parse(m.frame).header for _, _, m in crossed if isinstance(m, EncryptedContribution)]
    if fed.parties.aggregation is None:
        assert frames == []
        return
    assert [header.participants[0].client for header in frames] == list(fed.plan(0).clients)
    client = fed.parties.clients[0]
    parts = [client.head, client.tail, *([client.body] if method in ("fedavg", "fedprox") else [])]
    held = sum(weight.numel() for part in parts for weight in part.parameters())
    assert {header.shape.value_count for header in frames} == {held + tag_count(fed.config.encryption.bits)}
    assert not any(isinstance(thing, SecretKey) for thing in vars(fed.parties.aggregation).values())


def test_no_message_but_a_handover_holds_the_weights_of_a_client(recorded):
    _, fed, crossed = recorded
    secrets = [
        w.detach().numpy().ravel() for c in fed.parties.clients for w in (*c.head.parameters(), *c.tail.parameters())
    ]
    for _, recipient, message in crossed:
        for value in vars(message).values():
            if isinstance(value, torch.Tensor) and not isinstance(message, PartsHandover):
                assert value.grad_fn is None
                flat = value.detach().numpy().ravel()
                assert not any(flat.shape == s.shape and np.allclose(flat, s) for s in secrets), recipient


def test_splitnn_goes_from_each_client_to_the_next_and_from_the_last_to_all(federation, record):
    fed = federation("method.name=splitnn", "data.max_slices=2", "method.clients_per_round=3")
    crossed = record(fed)
    fed.run(1)
    first, second, third = fed.plan(0).clients
    (absent,) = fed.plan(0).absent
    ways = [(sender, recipient) for sender, recipient, message in crossed if isinstance(message, PartsHandover)]
    expected = [(first, second), (second, third), (third, first), (third, second), (third, absent)]
    assert ways == [(f"client-{a}", f"client-{b}") for a, b in expected]


def test_a_client_takes_no_handover_but_in_splitnn_and_no_other_message_there(federation):
    fed, other = (federation(f"method.name={name}", "data.max_slices=2") for name in ("splitnn", "splitfed-v2"))
    message = PartsHandover(1, 0, torch.zeros(1))
    with pytest.raises(ProtocolError, match="no party named 'client-0'"):
        other.parties.transport.request("client-1", "client-0", message)
    with pytest.raises(ProtocolError, match="client 0 takes no SumRequest"):
        fed.parties.transport.request("client-1", "client-0", SumRequest(1, 0))
    before = [weight.clone() for weight in fed.parties.clients[0].head.parameters()]
    with pytest.raises(ProtocolError, match="a vector of a client's weights is float32"):
        fed.parties.transport.request("client-1", "client-0", message)
    assert all(map(torch.equal, before, fed.parties.clients[0].head.parameters()))

"""A recording transport proves what each party received (method.md, "Parties and what each may see")."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch

from he_core import SecretBundle
from he_core import frame as wire
from he_core.errors import SecretKeyRefusedError
from he_core.keys import PublicKey, SecretKey
from trainer.parties.aggregation_server import AggregationServer
from trainer.parties.messages import (
    BodyActivations,
    BodyInputGradient,
    BodyOutputGradient,
    ContributionAccepted,
    EncryptedContribution,
    EncryptedSum,
    HeadActivations,
    InferenceActivations,
    SumRequest,
)

SCHEMES = {
    "rlwe": ("encryption.scheme=rlwe",),
    "paillier": ("encryption.scheme=paillier", "encryption.parameters.modulus_bits=2048"),
}


@pytest.fixture(scope="module", params=SCHEMES)
def recorded(request, federation, record):
    """Two rounds of encrypted DC-SFL with evaluation, through a recording transport."""
    fed = federation(*SCHEMES[request.param])
    crossed = record(fed)
    fed.run(2)
    for client, site in zip(fed.parties.clients, fed.data.clients, strict=True):
        client.evaluate(site.test)
    return fed, crossed


def to(crossed, recipient):
    return [message for _, receiver, message in crossed if receiver == recipient]


def tensors(message):
    return [getattr(message, f.name) for f in fields(message) if isinstance(getattr(message, f.name), torch.Tensor)]


def private_arrays(fed):
    """Everything that must never leave a client, as flat float64 arrays by name."""
    for site, client in zip(fed.data.clients, fed.parties.clients, strict=True):
        for kind, samples in (("train", site.train), ("test", site.test)):
            for index in range(len(samples)):
                yield f"{site.name} {kind} image {index}", samples.images[index].double().numpy().ravel()
                yield f"{site.name} {kind} label {index}", samples.targets[index].double().numpy().ravel()
        for part in (client.head, client.tail):
            for name, weight in part.named_parameters():
                yield f"{site.name} {name}", weight.detach().double().numpy().ravel()


def test_the_compute_server_receives_activations_and_gradients_at_the_cuts_alone(recorded):
    _, crossed = recorded
    kinds = {type(message) for message in to(crossed, "compute")}
    assert kinds == {HeadActivations, BodyOutputGradient, InferenceActivations}
    for message in to(crossed, "compute"):
        (tensor,) = tensors(message)
        assert tensor.grad_fn is None, "an attached graph would carry head weights along"


def test_the_aggregation_server_receives_frames_and_requests_alone(recorded):
    _, crossed = recorded
    kinds = {type(message) for message in to(crossed, "aggregation")}
    assert kinds == {EncryptedContribution, SumRequest}
    assert all(not tensors(message) for message in to(crossed, "aggregation"))


def test_clients_receive_what_the_two_servers_owe_them_alone(recorded):
    _, crossed = recorded
    for client in range(4):
        kinds = {type(message) for message in to(crossed, f"client-{client}")}
        assert kinds == {BodyActivations, BodyInputGradient, ContributionAccepted, EncryptedSum}


def test_no_client_hears_from_another_client_and_the_servers_not_from_each_other(recorded):
    _, crossed = recorded
    servers = {"compute", "aggregation"}
    for sender, recipient, _ in crossed:
        assert (sender in servers) != (recipient in servers), f"{sender} -> {recipient}"


def test_no_tensor_that_crossed_holds_an_image_a_label_or_a_head_or_tail_weight(recorded):
    fed, crossed = recorded
    secrets = list(private_arrays(fed))
    for _, recipient, message in crossed:
        for tensor in tensors(message):
            for sample in tensor.detach().double().numpy():
                for channel in sample:
                    flat = channel.ravel()
                    for name, secret in secrets:
                        assert flat.shape != secret.shape or not np.allclose(flat, secret), f"{name} to {recipient}"


def test_the_cut_tensors_share_no_memory_with_images_or_weights(recorded):
    fed, crossed = recorded
    owned = {samples.images.untyped_storage().data_ptr() for s in fed.data.clients for samples in (s.train, s.test)}
    for client in fed.parties.clients:
        for part in (client.head, client.tail):
            owned |= {weight.untyped_storage().data_ptr() for weight in part.parameters()}
    for _, _, message in crossed:
        assert all(tensor.untyped_storage().data_ptr() not in owned for tensor in tensors(message))


def test_a_frame_says_who_when_and_how_many_and_its_payload_hides_the_update(recorded):
    _, crossed = recorded
    seen = set()
    for message in to(crossed, "aggregation"):
        if isinstance(message, EncryptedContribution):
            frame = wire.parse(message.frame)
            (participant,) = frame.header.participants
            seen.add((frame.header.round, participant.client, participant.weight))
            # A 2,048-bit Paillier ciphertext is a number below n^2: to the eye, random bytes.
            counts = np.bincount(np.frombuffer(frame.payload, np.uint8), minlength=256)
            expected = counts.sum() / 256
            chi_squared = float(((counts - expected) ** 2 / expected).sum())
            assert chi_squared < 400, "255 degrees of freedom: over 400 once in 10^7 for uniform bytes"
    assert seen == {(round_index, client, 1) for round_index in range(2) for client in range(4)}


def reachable(thing, depth=8, seen=None):
    """Every object reachable from `thing` through attributes, mappings, sequences and closures."""
    seen = {} if seen is None else seen
    if id(thing) in seen or depth == 0 or isinstance(thing, str | bytes | int | float | type(None) | type):
        return seen
    seen[id(thing)] = thing
    children = list(vars(thing).values()) if hasattr(thing, "__dict__") else []
    if isinstance(thing, dict):
        children += [*thing.keys(), *thing.values()]
    elif isinstance(thing, list | tuple | set | frozenset):
        children += list(thing)
    for child in children:
        reachable(child, depth - 1, seen)
    return seen


def test_the_aggregation_server_holds_no_secret_key_and_no_other_party(recorded):
    fed, _ = recorded
    held = reachable(fed.parties.aggregation).values()
    assert any(isinstance(thing, PublicKey) for thing in held), "the search must reach the keys"
    assert not any(isinstance(thing, SecretKey | SecretBundle) for thing in held)
    others = [*fed.parties.clients, fed.parties.compute]
    assert not any(thing is other for thing in held for other in others)


def test_the_compute_server_holds_no_key_no_task_and_no_client(recorded):
    fed, _ = recorded
    held = list(reachable(fed.parties.compute).values())
    assert not any(isinstance(thing, SecretKey | SecretBundle) for thing in held)
    assert fed.experiment.task not in held
    assert not any(thing is client for thing in held for client in fed.parties.clients)


def test_an_aggregation_server_refuses_a_secret_bundle(federation):
    fed = federation(*SCHEMES["rlwe"])
    keys = fed.experiment.scheme.generate_keys()
    with pytest.raises(SecretKeyRefusedError, match="aggregation server"):
        AggregationServer(fed.experiment.scheme, keys, fed.config.encryption, 10, fed.ledger)

"""What equals the training of the unsplit network, weight for weight, and what equals a loop written by hand."""

from __future__ import annotations

import pytest
import torch

from trainer.batches import epoch_batches
from trainer.networks.registry import build
from trainer.networks.split import Unsplit
from trainer.parties.optimiser import adam, start_round

ROUNDS = 3
OFF = ("method.correction.mode=off", "encryption.scheme=none")
ONE_CLIENT = ("data.clients=1", *OFF)
METHODS = {
    "dcsfl": (),
    "splitfed-v1": (),
    "splitfed-v2": (),
    "splitnn": (),
    "fedavg": (),
    "fedprox": ("method.proximal_mu=0",),
    "local": (),
    "centralised": (),
}


def train_unsplit(fed):
    """The oracle: a plain loop over the same batches, one Adam over the whole network."""
    config, task = fed.config, fed.experiment.task
    network = Unsplit(build(config.network, 1, task.out_channels, config.run.seed, task.adds_input)).train()
    optimiser = torch.optim.Adam(
        network.parameters(), lr=config.training.learning_rate, weight_decay=config.training.weight_decay
    )
    samples = fed.data.clients[0].train
    for round_index in range(ROUNDS):
        for group in optimiser.param_groups:
            group["lr"] = config.training.learning_rate * config.training.learning_rate_decay**round_index
        for batch in epoch_batches(
            len(samples),
            config.training.batch_size,
            seed=config.run.seed,
            client=0,
            round=round_index,
            epoch=0,
        ):
            optimiser.zero_grad()
            task.loss(network(samples.images[batch]), samples.targets[batch]).backward()
            optimiser.step()
    return network.state_dict()


def model_of(fed, client=0):
    """The weights that serve `client`, wherever they are, under the unsplit network's names."""
    weights = fed.weights()
    shared = not any(name.startswith("compute/body-1/") for name in weights)
    places = {
        f"client-{client}/head/weights/": "head.",
        f"client-{client}/body/weights/": "body.",
        f"client-{client}/tail/weights/": "tail.",
        f"compute/body-{0 if shared else client}/weights/": "body.",
    }
    return {
        part + name.removeprefix(place): tensor
        for name, tensor in weights.items()
        for place, part in places.items()
        if name.startswith(place)
    }


def assert_same_model(found, expected, start):
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=2e-6, msg=lambda m, n=name: f"{n}: {m}")
    moved = max(float((found[name] - start[name]).abs().max()) for name in found)
    assert moved > 1e-3, "nothing was learnt, so equality would mean nothing"


@pytest.mark.parametrize("network_name", ["unet", "residual_unet", "redcnn"])
@pytest.mark.parametrize("method", METHODS)
def test_one_client_equals_the_unsplit_network_weight_for_weight(federation, request, network_name, method):
    network = request.getfixturevalue(network_name)
    fed = federation(*ONE_CLIENT, f"method.name={method}", *METHODS[method], network=network)
    start = model_of(fed)
    fed.run(ROUNDS)
    assert_same_model(model_of(fed), train_unsplit(fed), start)


@pytest.mark.parametrize("network_name", ["unet", "redcnn"])
def test_splitfed_v1_equals_fedavg_of_the_unsplit_network_weight_for_weight(federation, request, network_name):
    network = request.getfixturevalue(network_name)
    split = federation(*OFF, "method.name=splitfed-v1", network=network)
    whole = federation(*OFF, "method.name=fedavg", network=network)
    for round_index in range(ROUNDS):
        start = model_of(split)
        for fed in (split, whole):
            fed.experiment.method.run_round(fed.parties, fed.plan(round_index), lambda client, loss: None)
        for client in range(4):
            assert_same_model(model_of(split, client), model_of(whole, client), start)
        take_up_the_last_bits(whole, split)


def take_up_the_last_bits(whole, split):
    """Means of weights and of updates differ in the last bit, and a U-Net's pooling makes more of it by the round."""
    for client, other, body in zip(
        whole.parties.clients, split.parties.clients, split.parties.compute._bodies, strict=True
    ):
        client.head.load_state_dict(other.head.state_dict())
        client.tail.load_state_dict(other.tail.state_dict())
        client.body.load_state_dict(body.state_dict())
        client.load_state(client.state())


def test_splitnn_equals_one_unsplit_network_that_the_clients_train_in_turn(federation):
    fed = federation(*OFF, "method.name=splitnn")
    start = model_of(fed)
    fed.run(ROUNDS)
    expected = train_in_turn(fed)
    for client in range(4):
        assert_same_model(model_of(fed, client), expected, start)


def train_in_turn(fed):
    """The oracle: one network; one Adam for the body, and for head and tail one per client."""
    config, task = fed.config, fed.experiment.task
    network = Unsplit(build(config.network, 1, task.out_channels, config.run.seed, task.adds_input)).train()
    own = [[adam(part, config.training) for part in (network.head, network.tail)] for _ in fed.data.clients]
    body = adam(network.body, config.training)
    for round_index in range(ROUNDS):
        for client, site in enumerate(fed.data.clients):
            optimisers = [*own[client], body]
            for optimiser in optimisers:
                start_round(optimiser, config.training, round_index)
            order = {"seed": config.run.seed, "client": client, "round": round_index, "epoch": 0}
            for batch in epoch_batches(len(site.train), config.training.batch_size, **order):
                network.zero_grad()
                task.loss(network(site.train.images[batch]), site.train.targets[batch]).backward()
                for optimiser in optimisers:
                    optimiser.step()
    return network.state_dict()

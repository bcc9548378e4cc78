"""One client, correction and encryption off: weight for weight the training of the unsplit network."""

from __future__ import annotations

import pytest
import torch

from trainer.batches import epoch_batches
from trainer.networks.registry import build
from trainer.networks.split import Unsplit

ROUNDS = 3
ONE_CLIENT = ("data.clients=1", "method.correction.mode=off", "encryption.scheme=none")


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


def split_weights(fed):
    weights = fed.weights()
    client, compute = "client-0", "compute/body-0/weights/"
    found = {}
    for part in ("head", "tail"):
        prefix = f"{client}/{part}/weights/"
        found |= {f"{part}.{name.removeprefix(prefix)}": t for name, t in weights.items() if name.startswith(prefix)}
    found |= {f"body.{name.removeprefix(compute)}": t for name, t in weights.items() if name.startswith(compute)}
    return found


@pytest.mark.parametrize("network_name", ["unet", "residual_unet", "redcnn"])
@pytest.mark.parametrize("method", ["dcsfl", "splitfed-v1", "local", "centralised"])
def test_one_client_equals_the_unsplit_network_weight_for_weight(federation, request, network_name, method):
    fed = federation(*ONE_CLIENT, f"method.name={method}", network=request.getfixturevalue(network_name))
    start = {name: tensor.clone() for name, tensor in split_weights(fed).items()}

    fed.run(ROUNDS)

    trained, expected = split_weights(fed), train_unsplit(fed)
    assert trained.keys() == expected.keys()
    for name, tensor in trained.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=2e-6, msg=lambda m, n=name: f"{n}: {m}")
    moved = max(float((trained[name] - start[name]).abs().max()) for name in trained)
    assert moved > 1e-3, "nothing was learnt, so equality would mean nothing"

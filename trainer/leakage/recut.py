"""A trained run's network at every cut that it can have.

Weights do not depend on where the cuts are (`trainer.networks.unet`), and Adam, the averages and the correction treat
every weight by itself: the run would have trained the same network at another cut, up to the rounding of sums, of
`training.cut_exchange` and of the encryption's quantisation. So one trained run stands for all of its cuts.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from trainer.checkpoint import Snapshot
from trainer.config import NetworkConfig
from trainer.errors import CheckpointError, ConfigError
from trainer.experiment import Experiment
from trainer.networks.registry import build, choices
from trainer.networks.split import SplitNetwork


@dataclass(frozen=True)
class Cut:
    """The network cut in one place: as trained, and as it was before the first batch.

    network: the configuration, whose `client_levels` is the place; None there where there is but one.
    """

    network: NetworkConfig
    client_levels: int | None
    trained: SplitNetwork
    initial: SplitNetwork


def cuts(experiment: Experiment, snapshot: Snapshot) -> tuple[Cut, ...]:
    """Every cut, the one nearest to the image first, with the weights after the round of `snapshot`.

    Raises ConfigError where no client has the weights of another's head, or nothing crosses a cut, and
    CheckpointError where the snapshot lacks what a hospital or the compute server held.
    """
    method, config = experiment.method, experiment.config
    if not method.averages or method.arrangement(config.method).body == "clients":
        raise ConfigError(
            f"method.name={method.name}: attacks on the cut are measured where the network is split and heads are "
            "averaged: dcsfl, splitfed-v1, splitfed-v2"
        )
    weights = _weights(snapshot)
    possible = choices(config.network)
    found = []
    for network in possible:
        trained, initial = (_build(experiment, network) for _ in range(2))
        for part in (trained.head, trained.body, trained.tail):
            _assign(part, weights)
        levels = network.client_levels if len(possible) > 1 else None
        found.append(Cut(network, levels, trained, initial))
    return tuple(found)


def with_seed(experiment: Experiment, network: NetworkConfig, seed: int) -> SplitNetwork:
    """The experiment's network, cut as `network` says, with the weights that `seed` gives."""
    task = experiment.task
    return build(network, experiment.data.image_shape[0], task.out_channels, seed, task.adds_input)


def _build(experiment: Experiment, network: NetworkConfig) -> SplitNetwork:
    return with_seed(experiment, network, experiment.config.run.seed)


def _weights(snapshot: Snapshot) -> dict[str, Tensor]:
    """Of the averaged network, whole. Every client and every body has the same after a round."""
    parts = (("client-0", "head"), ("compute", "body-0"), ("client-0", "tail"))
    for party in {party for party, _ in parts} - set(snapshot.parties):
        raise CheckpointError(
            f"the checkpoint has no {party}: parties that ran in processes of their own keep their states at their "
            "sites; measure a run of federation.backend=in-process"
        )
    return {
        name: tensor
        for party, part in parts
        for name, tensor in snapshot.parties[party].get(f"{part}/weights").items()
    }


def _assign(part: nn.Module, weights: dict[str, Tensor]) -> None:
    try:
        part.load_state_dict({name: weights[name] for name in part.state_dict()})
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"the checkpoint does not fit this network: {error}") from None

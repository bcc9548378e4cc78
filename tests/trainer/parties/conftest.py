"""Small federations of real images with every party in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from he_core import CostLedger
from trainer.config import Config, load
from trainer.data import FederatedData
from trainer.experiment import Experiment
from trainer.parties.messages import Participant, RoundPlan
from trainer.parties.parties import Parties

SMALL = (
    "run.threads=1",
    "data.image_size=32",
    "data.max_slices=6",
    "training.batch_size=2",
    "encryption.k_max=4",
    "encryption.parameters={}",
)
UNET = ("network.features=[4, 4, 6, 6, 8, 4]", "network.client_levels=2")
RESIDUAL_UNET = ("training.task=restoration", "network.name=residual-unet", *UNET)
REDCNN = ("training.task=restoration", "network.name=redcnn", "network.channels=6")


class Federation:
    """An experiment with its parties, driven round by round."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.experiment = Experiment.prepare(config)
        self.ledger = CostLedger()
        self.parties: Parties = self.experiment.assemble(self.ledger)

    @property
    def data(self) -> FederatedData:
        return self.experiment.data

    def plan(self, round_index: int) -> RoundPlan:
        clients = range(len(self.parties.clients))
        return RoundPlan(round_index, tuple(Participant(client, 1) for client in clients))

    def run(self, rounds: int) -> None:
        for round_index in range(rounds):
            self.experiment.method.run_round(self.parties, self.plan(round_index), lambda client, loss: None)

    def weights(self) -> dict[str, torch.Tensor]:
        """Every party's weights by name."""
        return {
            f"{party}/{name}": tensor
            for party, state in self.parties.states().items()
            for name, tensor in state.tensors.items()
            if "/weights/" in f"/{name}"
        }


@pytest.fixture(scope="session")
def federation() -> Callable[..., Federation]:
    def make(*overrides: Any, network: tuple[str, ...] = UNET) -> Federation:
        return Federation(load(overrides=(*SMALL, *network, *overrides)))

    return make


@pytest.fixture(scope="session")
def redcnn() -> tuple[str, ...]:
    return REDCNN


@pytest.fixture(scope="session")
def residual_unet() -> tuple[str, ...]:
    return RESIDUAL_UNET


@pytest.fixture(scope="session")
def unet() -> tuple[str, ...]:
    return UNET

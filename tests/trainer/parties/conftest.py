"""Small federations of real images with every party in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from he_core import CostLedger
from trainer import participation
from trainer.config import Config, load
from trainer.data import FederatedData
from trainer.experiment import Experiment
from trainer.parties.messages import RoundPlan
from trainer.parties.parties import InProcessParties
from trainer.transport.in_process import InProcessTransport

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


class RecordingTransport(InProcessTransport):
    """Delivers as the in-process transport does, and keeps a copy of everything that crossed."""

    def __init__(self, handlers):
        super().__init__(handlers)
        self.crossed = []  # (sender, recipient, message)

    def request(self, sender, recipient, message):
        self.crossed.append((sender, recipient, message))
        reply = super().request(sender, recipient, message)
        self.crossed.append((recipient, sender, reply))
        return reply


class Federation:
    """An experiment with its parties, driven round by round."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.experiment = Experiment.prepare(config)
        self.ledger = CostLedger()
        self.parties: InProcessParties = self.experiment.assemble(self.ledger)

    @property
    def data(self) -> FederatedData:
        return self.experiment.data

    def plan(self, round_index: int) -> RoundPlan:
        """The plan the loop would make, but for sample weights."""
        clients = len(self.parties.clients)
        method, seed = self.config.method, self.config.run.seed
        present = participation.attendance(method, clients, seed=seed, round=round_index).present
        return participation.plan(present, [1] * clients, round_index)

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


@pytest.fixture(scope="session")
def record() -> Callable[[Federation], list[Any]]:
    """`record(federation)`: the (sender, recipient, message) of all that crosses from now on, as it grows."""

    def begin(fed: Federation) -> list[Any]:
        transport = RecordingTransport(fed.parties.transport._handlers)
        fed.parties.transport = transport
        for client in fed.parties.clients:
            for holder in (client, client.averaging, client.handover):
                if hasattr(holder, "_transport"):
                    holder._transport = transport
        return transport.crossed

    return begin

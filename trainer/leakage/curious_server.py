"""The compute server as honest-but-curious: it does what it is asked, and keeps the activations that it is sent."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.config import Config, CorrectionConfig
from trainer.data.federated import SampleSet
from trainer.networks.split import SplitNetwork
from trainer.parties.arrangement import COPIES
from trainer.parties.building import compute_server, hospital, torch_device
from trainer.parties.compute_server import ComputeServer
from trainer.parties.exchange import CutExchange
from trainer.parties.messages import HeadActivations, InferenceActivations, Message
from trainer.tasks import Task
from trainer.transport.in_process import COMPUTE, InProcessTransport

Activations = HeadActivations | InferenceActivations


class CuriousServer:
    """A compute server that writes down the activations it serves; it answers as it would without."""

    def __init__(self, server: ComputeServer) -> None:
        self._server = server
        self.seen: list[Activations] = []

    def handle(self, message: Message) -> Message:
        """As `ComputeServer.handle`."""
        if isinstance(message, Activations):
            self.seen.append(message)
        return self._server.handle(message)


@dataclass(frozen=True)
class Seen:
    """What the server has of one client: of a round of training, and of images that were evaluated."""

    training: tuple[HeadActivations, ...]
    evaluated: tuple[InferenceActivations, ...]

    def of_training(self, exchange: CutExchange) -> Tensor:
        """float32 [n, c, ...] of the training batches, in the order they came."""
        return _joined(self.training, exchange)

    def of_evaluated(self, exchange: CutExchange) -> Tensor:
        """float32 [n, c, ...] of the evaluated images, in their order."""
        return _joined(self.evaluated, exchange)


def eavesdrop(
    config: Config, network: SplitNetwork, task: Task, images: Tensor, train: SampleSet | None = None
) -> Seen:
    """Have the run's own client send the server `images`, float32 [n, 1, *size], to be evaluated, and then, if it is
    given, train for a round on `train`, all over the cut as the run's exchange packs it.

    network: cut as `config` says, weights as at the start of that round; nothing is changed in it.
    """
    device = torch_device(config)
    server = CuriousServer(compute_server(config, network.body, 1, CorrectionConfig(mode="off"), COPIES, device))
    client = hospital(0, COPIES, network, task, config, InProcessTransport({COMPUTE: server.handle}), device)
    client.predict(images)
    if train is not None:
        client.train(0, train)
    return Seen(
        tuple(message for message in server.seen if isinstance(message, HeadActivations)),
        tuple(message for message in server.seen if isinstance(message, InferenceActivations)),
    )


def _joined(messages: tuple[Activations, ...], exchange: CutExchange) -> Tensor:
    return torch.cat([exchange.unpack(message.activations).cpu() for message in messages])

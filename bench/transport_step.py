"""A training step of one hospital over a transport, for bench/transport.py: the demo's U-Net, its batch in parts.

A step is a batch of 8 images with `network.client_levels=1`, the cut with the largest tensors; image sides are chosen
so that the two tensors at the cuts, to the body and from it, are 1, 4 and 16 MB in the mean.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch

from trainer.config import Config, CorrectionConfig, load
from trainer.data.federated import SampleSet
from trainer.federation.senders import check_sender
from trainer.federation.vocabulary import VOCABULARY
from trainer.networks.registry import build
from trainer.networks.split import SplitNetwork
from trainer.parties.arrangement import COPIES
from trainer.parties.building import compute_server, hospital
from trainer.parties.compute_server import ComputeServer
from trainer.parties.messages import BodyOutputGradient, HeadActivations
from trainer.tasks import Task, task_for
from trainer.transport.in_process import COMPUTE, InProcessTransport, Transport
from trainer.transport.remote import Link, RemoteTransport, Service

IMAGES = 8
SIDES = {"1 MB": 80, "4 MB": 160, "16 MB": 320}
MICRO_BATCHES = (1, 2, 4, 8)
REPEATS = {"1 MB": 15, "4 MB": 9, "16 MB": 5}
IN_PROCESS = "in process"
HERE = torch.device("cpu")
CLASSES = ("background", "lesion")


def configured(micro_batches: int) -> Config:
    """The demo's configuration with the step's batch."""
    return load((), (
        "network.client_levels=1", f"training.batch_size={IMAGES}", f"training.micro_batches={micro_batches}",
    ))  # fmt: skip


def _network(config: Config) -> tuple[SplitNetwork, Task]:
    task = task_for("segmentation", CLASSES)
    return build(config.network, 1, task.out_channels, config.run.seed, task.adds_input), task


def server() -> ComputeServer:
    """The compute server of one hospital."""
    config = configured(max(MICRO_BATCHES))
    body = _network(config)[0].body
    return compute_server(config, body, 1, CorrectionConfig(mode="off"), COPIES, HERE)


def service() -> Service:
    """The compute server as it stands at the end of a link."""
    compute = server()
    handlers = dict.fromkeys((HeadActivations, BodyOutputGradient), lambda sender, message: compute.handle(message))
    return Service(VOCABULARY, handlers, check_sender, expected=())


@dataclass
class Function:
    """A link made of a function, for the compute server is the only other party."""

    through: Callable[[bytes], bytes]

    def call(self, recipient: str, data: bytes, deadline: float | None = None) -> bytes:
        return self.through(data)


def steps(links: dict[str, Link]) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Two medians, in seconds, by size, by way (in process, then over each of `links`) and by micro-batches.

    `step`: what a step took. `more`: how much longer than the one in process that was taken just before.
    """
    ways: dict[str, Transport] = {IN_PROCESS: InProcessTransport({COMPUTE: server().handle})}
    ways |= {name: RemoteTransport(link, VOCABULARY) for name, link in links.items()}
    rounds = itertools.count()
    found: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for size, side in SIDES.items():
        images = torch.rand(IMAGES, 1, side, side)
        labels = torch.randint(0, len(CLASSES), (IMAGES, side, side))
        samples = SampleSet(images, labels, tuple(map(str, range(IMAGES))))
        times: dict[tuple[str, int], list[float]] = {each: [] for each in itertools.product(ways, MICRO_BATCHES)}
        for repeat in range(1 + REPEATS[size]):  # the first warms up
            for parts, way in itertools.product(MICRO_BATCHES, ways):
                config = configured(parts)
                network, task = _network(config)
                client = hospital(0, COPIES, network, task, config, ways[way], HERE)
                start = time.perf_counter()
                client.train(next(rounds), samples)
                if repeat:
                    times[way, parts].append(time.perf_counter() - start)
        found[size] = {
            way: {str(m): _medians(times[way, m], times[IN_PROCESS, m]) for m in MICRO_BATCHES} for way in ways
        }
    return found


def _medians(times: list[float], in_process: list[float]) -> dict[str, float]:
    more = [own - other for own, other in zip(times, in_process, strict=True)]
    return {"step": median(times), "more": median(more)}

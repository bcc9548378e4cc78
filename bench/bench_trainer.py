"""What training costs around the encryption: a step by its parts, bytes at the cuts, the share of encryption.

Random images of the demo's size (96 x 96) in batches of one, one torch thread: what is timed does not depend on what
the images show.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from affordable import Affordable
from he_core import CostLedger, Scheme, SecretBundle
from trainer.config import Config, CorrectionConfig, load
from trainer.correction import Correction
from trainer.data.federated import SampleSet
from trainer.methods import method_for
from trainer.networks.flatten import FlatLayout
from trainer.networks.registry import build
from trainer.networks.split import SplitNetwork
from trainer.networks.summary import describe
from trainer.parties.client import Client
from trainer.parties.compute_server import ComputeServer
from trainer.parties.exchange import EXCHANGES
from trainer.parties.messages import Message, Participant, RoundPlan
from trainer.parties.parties import assemble
from trainer.parties.whole_client import WholeClient
from trainer.tasks import Task, task_for
from trainer.transport.in_process import COMPUTE, InProcessTransport
from trainer.transport.traffic import payload_bytes

Record = Callable[..., None]
Repeat = Callable[..., Any]
Engine = tuple[str, str]

SIZE = 96
CLASSES = ("background", "grey", "white", "other")
CLIENTS, IMAGES_A_CLIENT = 2, 4
CPU = torch.device("cpu")
STEP_PARTS = ("head forward", "body forward", "tail and loss", "body backward", "head backward")
NETWORKS = {
    "unet": ("training.task=segmentation", "network.name=unet"),
    "redcnn": ("training.task=restoration", "network.name=redcnn", "network.channels=16"),
}

QUICK = ("network.features=[4,4,8,8,8,4]", "network.client_levels=1", "network.channels=4")


@dataclass(frozen=True)
class Setting:
    """A network with its task and the images that all clients train on."""

    config: Config
    network: SplitNetwork
    task: Task
    samples: SampleSet

    @property
    def who(self) -> str:
        size = self.samples.images.shape[-1]
        return f"{self.config.network.name}, {size} x {size}"

    @property
    def encrypted_values(self) -> int:
        return FlatLayout.of(self.network.head, self.network.tail).size


class TimedTransport(InProcessTransport):
    """Delivers to the compute server, and keeps when each message left and came, and its bytes."""

    def __init__(self, compute: ComputeServer) -> None:
        super().__init__({COMPUTE: compute.handle})
        self.times: list[float] = []
        self.bytes = 0

    def request(self, sender: str, recipient: str, message: Message) -> Message:
        self.times.append(time.perf_counter())
        reply = super().request(sender, recipient, message)
        self.times.append(time.perf_counter())
        self.bytes += payload_bytes(message) + payload_bytes(reply)
        return reply


def setting_of(name: str, timed: bool) -> Setting:
    torch.set_num_threads(1)
    config = load((), (*NETWORKS[name], *(() if timed else QUICK)))
    count, size = (IMAGES_A_CLIENT, SIZE) if timed else (1, 32)
    random = torch.Generator().manual_seed(1)
    images = torch.rand((count, 1, size, size), generator=random)
    is_segmentation = config.training.task == "segmentation"
    targets = torch.randint(0, len(CLASSES), (count, size, size), generator=random) if is_segmentation else images
    task = task_for(config.training.task, CLASSES if is_segmentation else ())
    network = build(config.network, 1, task.out_channels, config.run.seed, task.adds_input)
    return Setting(config, network, task, SampleSet(images, targets, tuple(map(str, range(count)))))


@pytest.mark.parametrize("name", NETWORKS)
def test_step_at_the_cuts(name: str, timed: bool, repeat: Repeat, record: Record) -> None:
    """A client's training step, timed and its bytes counted where tensors cross the cuts."""
    s = setting_of(name, timed)
    training = s.config.training
    off = Correction(CorrectionConfig(mode="off"), "body")
    exact = EXCHANGES["float32"]
    transport = TimedTransport(ComputeServer(s.network.body, [exact()], training, off, device=CPU))
    client = Client(0, s.network.head, s.network.tail, s.task, training, transport, exact(), seed=1, device=CPU)
    one = SampleSet(s.samples.images[:1], s.samples.targets[:1], ("0",))
    parts: dict[str, list[float]] = {part: [] for part in STEP_PARTS}
    rounds = itertools.count()

    def step() -> float:
        transport.times, transport.bytes = [time.perf_counter()], 0
        loss = client.train(next(rounds), one)
        transport.times.append(time.perf_counter())
        for part, (start, end) in zip(STEP_PARTS, itertools.pairwise(transport.times), strict=True):
            parts[part].append(end - start)
        return loss

    assert math.isfinite(repeat(step))
    _, _, height, width = one.images.shape
    promised = describe(s.network, (1, height, width))["cuts"]
    assert transport.bytes == 2 * sum(cut["bytes_per_image"] for cut in promised)
    record(1, group="trainer: a step", who=s.who, what="step", bytes=transport.bytes, parts=parts)


@pytest.mark.parametrize("name", NETWORKS)
def test_step_of_the_unsplit_network(name: str, timed: bool, repeat: Repeat, record: Record) -> None:
    """The same step where the hospital holds everything: what splitting costs in one process is the difference."""
    s = setting_of(name, timed)
    client = WholeClient(0, s.network, s.task, s.config.training, seed=1, device=CPU)
    one = SampleSet(s.samples.images[:1], s.samples.targets[:1], ("0",))
    rounds = itertools.count()
    assert math.isfinite(repeat(lambda: client.train(next(rounds), one)))
    record(1, group="trainer: a step, unsplit", who=s.who, what="step")


def test_round(
    engine: Engine,
    engine_of: Callable[..., tuple[Scheme, SecretBundle]],
    affordable_at: Callable[[Engine], Affordable],
    timed: bool,
    repeat: Repeat,
    record: Record,
) -> None:
    """A round of the demo's network by the run's own ledger: training, aggregation under the scheme, and the rest."""
    s = setting_of("unet", timed)
    is_affordable, why = affordable_at(engine).estimate(s.encrypted_values) if timed else (True, "")
    if not is_affordable:
        pytest.skip(f"{', '.join(engine)}: {why}")
    ledger = CostLedger()
    scheme, _ = engine_of(*engine)
    method = method_for("dcsfl")
    names = tuple(f"site-{index}" for index in range(CLIENTS))
    correction = method.correction(s.config.method)
    samples = (s.samples,) * CLIENTS
    parties = assemble(
        s.config, s.network, s.task, samples, samples, names, scheme=scheme, correction=correction, ledger=ledger
    )
    parts: dict[str, list[float]] = {"training": [], "aggregation": [], "averaging of bodies, correction": []}
    rounds = itertools.count()

    def one_round() -> int:
        number = next(rounds)
        plan = RoundPlan(number, tuple(Participant(client, 1) for client in range(CLIENTS)))
        start = time.perf_counter()
        outcome = method.run_round(parties, plan, lambda name, loss: None)
        whole, aggregation = time.perf_counter() - start, ledger.elapsed_ns(number) / 1e9
        parts["training"].append(outcome.train_seconds)
        parts["aggregation"].append(aggregation)
        parts["averaging of bodies, correction"].append(whole - aggregation - outcome.train_seconds)
        return number

    last = repeat(one_round)
    weights = [
        FlatLayout.of(client.head, client.tail).flatten(client.head, client.tail) for client in parties.clients
    ]
    assert (weights[0] == weights[1]).all(), "the clients ended the round with different heads or tails"
    sent = sum(row.bytes for row in ledger.rows(last) if row.stage == "frame" and row.party == names[0])
    about = {"clients": CLIENTS, "bits": s.config.encryption.bits, "bytes": sent}
    note = f"{len(s.samples)} images a client"
    who = ", ".join(engine)
    record(s.encrypted_values, group="trainer: a round", who=who, what="round", parts=parts, note=note, **about)

"""Whether channels-last tensors or `torch.compile` make a training step faster on the machine at hand.

    python bench/step_alternatives.py

The split step of bench_trainer.py as it is, with either, and with both, alternating in one process on one thread.
Writes bench/results/step-alternatives/NAME.json. docs/training-speed.md draws the conclusion.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

import machine
from bench_trainer import CPU, NETWORKS, Setting, TimedTransport, setting_of
from trainer.config import CorrectionConfig
from trainer.correction import Correction
from trainer.data.federated import SampleSet
from trainer.parties.client import Client
from trainer.parties.compute_server import ComputeServer
from trainer.parties.exchange import EXCHANGES

RESULTS = Path(__file__).parent / "results" / "step-alternatives"
ALTERNATIVES = {
    "as it is": (False, False),
    "channels last": (True, False),
    "compiled": (False, True),
    "both": (True, True),
}
"""Name -> (channels last, compiled)."""
REPEATS = 11
NETWORKS["redcnn, 96 channels"] = ("training.task=restoration", "network.name=redcnn", "network.channels=96")


def main() -> None:
    """Measure, print a table, write the record."""
    found = {}
    for name, batch in itertools.product(NETWORKS, (1, 4)):
        key = f"{name}, batch {batch}"
        found[key] = measure(name, batch)
        print(f"{key:30}" + "".join(f"  {way}: {_said(took)}" for way, took in found[key].items()), flush=True)
    print(machine.write_record(RESULTS, {"seconds": found}))


def measure(name: str, batch: int) -> dict[str, float | str]:
    """Median seconds of a step by alternative, or why there is none."""
    torch.compiler.reset()  # what was compiled for other shapes counts towards a limit
    steps: dict[str, Callable[[], float]] = {}
    found: dict[str, float | str] = {}
    for way, (channels_last, compiled) in ALTERNATIVES.items():
        s = setting_of(name, timed=True)
        samples = SampleSet(s.samples.images[:batch], s.samples.targets[:batch], s.samples.identifiers[:batch])
        step = step_of(s, samples, channels_last, compiled)
        try:
            step()
            step()
        except (RuntimeError, AssertionError) as error:
            found[way] = str(error).splitlines()[0]
        else:
            steps[way] = step
    times: dict[str, list[float]] = {way: [] for way in steps}
    for _ in range(REPEATS):
        for way, step in steps.items():
            start = time.perf_counter()
            step()
            times[way].append(time.perf_counter() - start)
    return found | {way: median(taken) for way, taken in times.items()}


def step_of(s: Setting, samples: SampleSet, channels_last: bool, compiled: bool) -> Callable[[], float]:
    """A client's step over all `samples`, its compute server in the same process."""
    training = s.config.training.model_copy(update={"batch_size": len(samples)})
    off, exact = Correction(CorrectionConfig(mode="off"), "body"), EXCHANGES["float32"]
    # The server copies its body, which loses what was compiled: the copy is compiled.
    compute = ComputeServer(s.network.body, [exact()], training, off, device=CPU)
    (body,) = compute._bodies
    parts = (s.network.head, body, s.network.tail)
    if channels_last:
        for part in parts:
            part.to(memory_format=torch.channels_last)
        images = samples.images.contiguous(memory_format=torch.channels_last)
        samples = SampleSet(images, samples.targets, samples.identifiers)
    for part in parts if compiled else ():
        part.compile()
    transport = TimedTransport(compute)
    client = Client(0, s.network.head, s.network.tail, s.task, training, transport, exact(), seed=1, device=CPU)
    rounds = itertools.count()

    def step() -> float:
        transport.times = []
        return client.train(next(rounds), samples)

    return step


def _said(took: float | str) -> str:
    return took if isinstance(took, str) else f"{1e3 * took:.1f} ms"


if __name__ == "__main__":
    main()

"""What it is worth that freed memory stays with the process (trainer/allocation.py): a step with and without.

    python bench/kept_memory.py

The split step of bench_trainer.py on one thread, each way in a process of its own: seconds of the processor, which
other work on the machine disturbs least, and page faults. Writes bench/results/kept-memory/NAME.json.
"""

from __future__ import annotations

import itertools
import json
import resource
import sys
import time
from pathlib import Path
from statistics import median

import torch

import machine
from bench_trainer import setting_of
from step_alternatives import step_of
from trainer.allocation import keep_freed_memory
from trainer.data.federated import SampleSet

RESULTS = Path(__file__).parent / "results" / "kept-memory"
STEPS = (("unet", 1, 96), ("unet", 4, 192), ("unet", 4, 320), ("unet", 8, 320), ("redcnn", 1, 96), ("redcnn", 1, 512))
"""Network, images a batch, pixels a side."""
REPEATS = 5


def main() -> None:
    """Measure in processes of their own, print a table, write the record."""
    if len(sys.argv) > 1:
        print(json.dumps(measure(*sys.argv[1:])))
        return
    found = []
    for (name, batch, size), way in itertools.product(STEPS, ("given back", "kept")):
        found.append(machine.measured_apart(__file__, name, batch, size, way))
        print(found[-1], flush=True)
    print(machine.write_record(RESULTS, {"steps": found}))


def measure(name: str, batch: str, size: str, way: str) -> dict[str, float | str]:
    """One step, the median of several; memory is the process' largest, in bytes."""
    if way == "kept" and not keep_freed_memory():
        raise SystemExit("this C library has no way to keep freed memory")
    count, side = int(batch), int(size)
    s = setting_of(name, timed=True)
    images = torch.rand((count, 1, side, side))
    targets = torch.randint(0, s.task.out_channels, (count, side, side)) if name == "unet" else images
    own = SampleSet(images, targets, tuple(map(str, range(count))))
    step = step_of(s, own, channels_last=False, compiled=False)
    step()
    seconds, faults = [], []
    for _ in range(REPEATS):
        start, before = time.process_time(), _usage().ru_minflt
        step()
        seconds.append(time.process_time() - start)
        faults.append(_usage().ru_minflt - before)
    what = {"network": name, "batch": count, "size": side, "freed_memory": way}
    return what | {"seconds": median(seconds), "page_faults": median(faults), "bytes": _usage().ru_maxrss * 1024}


def _usage() -> resource.struct_rusage:
    return resource.getrusage(resource.RUSAGE_SELF)


if __name__ == "__main__":
    main()

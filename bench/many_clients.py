"""Memory and seconds of a round with 16, 32 and 64 simulated clients in one process: growth must be linear.

    python bench/many_clients.py

The demo's network under `dcsfl` and `rlwe`, four random images of its size at every client, one thread, a process for
each number of clients. Writes bench/results/many-clients/NAME.json.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import torch

import he_core
import machine
from bench_trainer import setting_of
from he_core import CostLedger
from trainer.config import changed
from trainer.methods import method_for
from trainer.parties.messages import Participant, RoundPlan
from trainer.parties.parties import assemble

RESULTS = Path(__file__).parent / "results" / "many-clients"
CLIENTS = (16, 32, 64)
ROUNDS = 3


def main() -> None:
    """Measure in processes of their own, print a table, write the record."""
    if len(sys.argv) > 1:
        print(json.dumps(measure(int(sys.argv[1]))))
        return
    found = []
    for clients in CLIENTS:
        found.append(machine.measured_apart(__file__, clients))
        print(found[-1], flush=True)
    print(machine.write_record(RESULTS, {"rounds": found}))


def measure(clients: int) -> dict[str, float]:
    """Of one round, the median of several; memory is the process' largest, in bytes."""
    s = setting_of("unet", timed=True)
    torch.set_num_threads(1)
    before = _largest()
    config = changed(s.config, (f"data.clients={clients}", f"encryption.k_max={clients}"))
    ledger = CostLedger()
    method = method_for("dcsfl")
    encryption = config.encryption
    parties = assemble(
        config,
        s.network,
        s.task,
        (s.samples,) * clients,
        (s.samples,) * clients,
        tuple(f"site-{index}" for index in range(clients)),
        scheme=he_core.create(encryption.scheme, encryption.backend, encryption.parameters),
        correction=method.correction(config.method),
        ledger=ledger,
    )
    seconds = []
    for number in range(ROUNDS):
        plan = RoundPlan(number, tuple(Participant(client, 1) for client in range(clients)))
        start = time.perf_counter()
        method.run_round(parties, plan, lambda name, loss: None)
        seconds.append((time.perf_counter() - start, ledger.elapsed_ns(number) / 1e9))
    whole, encrypted = (sorted(column)[ROUNDS // 2] for column in zip(*seconds, strict=True))
    return {
        "clients": clients,
        "round_seconds": whole,
        "encryption_seconds": encrypted,
        "bytes_at_start": before,
        "bytes": _largest(),
    }


def _largest() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()

"""What the cuts cost on loopback: a crossing there and back, and a training step with its batch in parts.

    python bench/transport.py

In process, under FLARE, and over the direct stream: two processes with mutual TLS, one torch thread each, tensors of
1, 4 and 16 MB in float32; medians, all in one run. Coding and decoding of messages is in every crossing: "in process"
is that alone; a step in process passes tensors as they are. Writes bench/results/transport/NAME.json.
"""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from nvflare.collab.recipe import CollabRecipe

import machine
from trainer.federation import job, kits
from trainer.federation.processes import started
from transport_sites import TimedServer, TimingClient

RESULTS = Path(__file__).parent / "results" / "transport"


def main() -> None:
    """Measure, print the tables, write the record."""
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
    print("\n".join(tables(found)))
    print(machine.write_record(RESULTS, {"seconds": found}))


def tables(found: dict[str, Any]) -> list[str]:
    """In Markdown: milliseconds of a crossing; seconds of a step, and in brackets how many more than in process."""
    sizes, ways = list(found["steps"]), list(found["crossings"])
    parts = list(found["steps"][sizes[0]][ways[0]])
    crossings = [[f"{1e3 * found['crossings'][way][size]:.1f}" for size in sizes] for way in ways]
    lines = [_row("", sizes), _row("---", ["---"] * len(sizes)), *map(_row, ways, crossings), ""]
    lines += [_row("", ["", *parts]), _row("---", ["---"] * (1 + len(parts)))]
    for size, way in itertools.product(sizes, ways):
        took = found["steps"][size][way]
        more = {m: "" if way == ways[0] else f" ({1e3 * took[m]['more']:+.0f} ms)" for m in parts}
        lines.append(_row(size, [way, *(f"{took[m]['step']:.2f}{more[m]}" for m in parts)]))
    return lines


def _row(first: str, cells: list[str]) -> str:
    return "| " + " | ".join((first, *cells)) + " |"


def measure(folder: Path) -> dict[str, Any]:
    """Median seconds: of crossings by way and size; of steps by size, way and micro-batches."""
    result = folder / "result.json"
    prepared = kits.provision(folder / "kits", ("client-0",), kits.free_port())
    with (
        started(prepared, ("client-0",)) as processes,
        job.session(prepared / kits.ADMIN, kits.ADMIN, 120.0) as admin,
    ):
        job.wait_for_sites(admin, ("client-0",), 120.0, processes.check)
        recipe = CollabRecipe("transport", server=TimedServer(str(result)), client=TimingClient(str(result)))
        recipe.export(str(folder / "job"))
        submitted = admin.submit_job(str(folder / "job" / "transport"))
        while not admin.get_job_meta(submitted)["status"].startswith("FINISHED"):
            time.sleep(1.0)
            processes.check()
    return json.loads(result.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()

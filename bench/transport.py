"""What a crossing of the cuts costs, there and back on loopback: in process, under FLARE, over the direct stream.

    python bench/transport.py

Two processes under FLARE with mutual TLS, tensors of 1, 4 and 16 MB in float32; medians, all in one run. Coding and
decoding of messages is in every figure: "in process" is that alone. Writes bench/results/transport/NAME.json.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from pathlib import Path

from nvflare.collab.recipe import CollabRecipe

import machine
from trainer.federation import job, kits
from trainer.federation.processes import started
from transport_sites import EchoServer, TimingClient

RESULTS = Path(__file__).parent / "results" / "transport"


def main() -> None:
    """Measure, print a table, write the record."""
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
    for name, rows in found.items():
        print(f"{name:14}" + "".join(f"  {size}: {1e3 * seconds:8.1f} ms" for size, seconds in rows.items()))
    facts = machine.facts()
    name = re.sub(r"[^a-z0-9]+", "-", facts["cpu"]["model"].lower()).strip("-")
    target = RESULTS / f"{name}.json"
    record = {"seconds": found, "machine": {key: facts[key] for key in ("cpu", "cores", "versions")}}
    target.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(target)


def measure(folder: Path) -> dict[str, dict[str, float]]:
    """Median seconds by way and size."""
    result = folder / "result.json"
    prepared = kits.provision(folder / "kits", ("client-0",), kits.free_port())
    with (
        started(prepared, ("client-0",)) as processes,
        job.session(prepared / kits.ADMIN, kits.ADMIN, 120.0) as admin,
    ):
        job.wait_for_sites(admin, ("client-0",), 120.0, processes.check)
        recipe = CollabRecipe("transport", server=EchoServer(str(result)), client=TimingClient(str(result)))
        recipe.export(str(folder / "job"))
        submitted = admin.submit_job(str(folder / "job" / "transport"))
        while not admin.get_job_meta(submitted)["status"].startswith("FINISHED"):
            time.sleep(1.0)
            processes.check()
    return json.loads(result.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()

"""FLARE's environments for a federation on one machine: its production processes, or its simulator."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from trainer.config import Config
from trainer.federation import job, kits
from trainer.federation.flare import SITE_FILE
from trainer.federation.processes import end_all_of, started
from trainer.transport.in_process import AGGREGATION

CONNECT_SECONDS = 180.0
RUNNING = "RUNNING"


@dataclass(frozen=True)
class LocalJob:
    """hospitals: their site names, in client order. run: NAME/TIME of the run folder. own: each site's own file."""

    config: Config
    hospitals: tuple[str, ...]
    run: str
    own: Mapping[str, str]

    @property
    def clients(self) -> tuple[str, ...]:
        """FLARE's client sites."""
        return (*self.hospitals, AGGREGATION)


Status = Callable[[], str]
"""The job's status, as FLARE calls it; raises where it cannot come to an end."""


@contextmanager
def provisioned(workspace: Path, given: LocalJob) -> Iterator[Status]:
    """As between hospitals: FLARE's provisioning, certificates made on the spot, mutual TLS.

    Raises ProvisioningError, FlareUnreachableError, ProcessEndedError.
    """
    shutil.rmtree(workspace / "kits", ignore_errors=True)
    prepared = kits.provision(workspace / "kits", given.clients, kits.free_port())
    for site, text in given.own.items():
        (prepared / site / "local" / SITE_FILE).write_text(text, encoding="utf-8")
    with (
        started(prepared, given.clients) as processes,
        job.session(prepared / kits.ADMIN, kits.ADMIN, CONNECT_SECONDS) as admin,
    ):
        job.wait_for_sites(admin, given.clients, CONNECT_SECONDS, processes.check)
        submitted = job.submit(admin, given.config, given.hospitals, AGGREGATION, given.run)

        def status() -> str:
            processes.check(kits.SERVER)  # what a lost site means for the rounds is the coordinator's to decide
            return str(admin.get_job_meta(submitted)["status"])

        yield status


@contextmanager
def simulated(workspace: Path, given: LocalJob) -> Iterator[Status]:
    """FLARE's simulator: a process per site as well, but no certificates, no TLS, nothing to provision."""
    simulator = workspace / "simulator"
    shutil.rmtree(simulator, ignore_errors=True)
    for site, text in given.own.items():
        folder = simulator / "sites" / "local" / site
        folder.mkdir(parents=True)
        (folder / SITE_FILE).write_text(text, encoding="utf-8")
    exported = job.export(simulator / "job", given.config, given.hospitals, AGGREGATION, given.run)
    command = [sys.executable, "-m", "nvflare.private.fed.app.simulator.simulator", str(exported)]
    command += ["-w", str(simulator / "sites"), "-c", ",".join(given.clients), "-t", str(len(given.clients))]
    with (simulator / "console.txt").open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True
        )

    def status() -> str:
        ended = process.poll()
        return RUNNING if ended is None else f"FINISHED with status {ended}"

    try:
        yield status
    finally:
        process.kill()
        process.wait()
        end_all_of(simulator)


ENVIRONMENTS: dict[str, Callable[[Path, LocalJob], AbstractContextManager[Status]]] = {
    "provisioned": provisioned,
    "simulator": simulated,
}
"""`federation.environment` -> what carries the job while its block runs."""

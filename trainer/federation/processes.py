"""FLARE's processes on this machine: the server and a client per site, started, watched and ended together."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from trainer.errors import TrainerError
from trainer.federation.kits import ORGANISATION, SERVER

GRACE_SECONDS = 10.0


class ProcessEndedError(TrainerError):
    """A site's process that ended though the federation had not."""


class SiteProcesses:
    """One process per site, each in a session of its own with the process of its job."""

    def __init__(self, kits: Path) -> None:
        self._kits = kits
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, site: str) -> None:
        """Start the site's process; what it prints goes to console.txt in its folder."""
        kit = self._kits / site
        role = "server" if site == SERVER else "client"
        command = [sys.executable, "-m", f"nvflare.private.fed.app.{role}.{role}_train"]
        command += ["-m", str(kit), "-s", f"fed_{role}.json", "--set", "secure_train=true", "config_folder=config"]
        command += [f"org={ORGANISATION}", *([] if site == SERVER else [f"uid={site}"])]
        (kit / "transfer").mkdir(exist_ok=True)
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        with (kit / "console.txt").open("ab") as output:
            self._running[site] = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )

    def check(self, *sites: str) -> None:
        """Raise ProcessEndedError naming one of `sites` whose process is gone, and where its last words are.

        All sites if none is named.
        """
        for site, process in self._running.items():
            if (not sites or site in sites) and process.poll() is not None:
                raise ProcessEndedError(
                    f"the process of site {site} ended with status {process.returncode}; it wrote "
                    f"{self._kits / site / 'console.txt'}"
                )

    def kill(self, site: str) -> None:
        """End the site's process and its job's at once, as a power failure would."""
        process = self._running.pop(site)
        process.kill()
        end_all_of(self._kits / site)
        process.wait()

    def stop(self) -> None:
        """End all: asked first, then made to."""
        for process in self._running.values():
            process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for process in self._running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
            process.kill()
            process.wait()
        end_all_of(self._kits)
        self._running.clear()


@contextmanager
def started(kits: Path, sites: Sequence[str]) -> Iterator[SiteProcesses]:
    """The server and `sites` running; ended when the block is left, whatever happens."""
    processes = SiteProcesses(kits)
    try:
        for site in (SERVER, *sites):
            processes.start(site)
        yield processes
    finally:
        processes.stop()


def end_all_of(folder: Path) -> None:
    """End what was started with something below `folder`, and see it gone.

    Above all the processes of its jobs: they are in sessions of their own, and would wait for a server that is gone.
    """
    killed = []
    for process in psutil.process_iter(["cmdline"]):
        if any(argument.startswith(str(folder)) for argument in process.info["cmdline"] or ()):
            with suppress(psutil.NoSuchProcess):
                process.kill()
                killed.append(process)
    psutil.wait_procs(killed, GRACE_SECONDS)

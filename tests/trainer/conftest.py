"""Quick runs of real images, in this process or as the command a user types."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors import torch as safetensors

from trainer.checkpoint import read
from trainer.cli import main
from trainer.config import Config, load
from trainer.display import QuietDisplay
from trainer.events import NoEvents
from trainer.experiment import Experiment
from trainer.rounds import Run
from trainer.run_folder import RunFolder

QUICK = (
    "data.image_size=32",
    "data.clients=2",
    "data.max_slices=4",
    "network.features=[4,4,8,8,8,4]",
    "network.client_levels=1",
    "training.batch_size=4",
    "training.learning_rate=2e-3",
    "encryption.scheme=plain",
    "training.rounds=2",
    "run.threads=1",
    "run.examples=1",
)
"""Overrides of a run of two rounds that takes a fraction of a second, once torch is imported."""

TIMES = ("seconds", "share", "elapsed_ns")
"""What two runs of the same configuration may differ in, by the end of the name."""

Cli = Callable[..., Result]
QuickConfig = Callable[..., Config]


@pytest.fixture
def quick() -> tuple[str, ...]:
    """The overrides of a quick run, for a command line."""
    return QUICK


@pytest.fixture
def quick_config(tmp_path: Path) -> QuickConfig:
    """`quick_config("training.rounds=3", ...)`: the configuration of a quick run; its folder is under tmp_path."""
    return lambda *overrides: load((), (*QUICK, f"run.folder={tmp_path / 'runs'}", *overrides))


@pytest.fixture
def cli() -> Cli:
    """`cli("run", ...)`: the command in this process; `.exit_code`, `.stdout`, `.stderr`. A bug's trace is raised."""

    def invoke(*arguments: str | Path) -> Result:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture(autouse=True)
def _threads_as_they_were() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def new_run(config: Config, path: Path, display: QuietDisplay | None = None) -> Run:
    """A run in a new folder `path`, set up as the command line does, not yet started."""
    experiment = Experiment.prepare(config)
    folder = RunFolder.create(path)
    folder.write_config(config)
    folder.write_json("environment.json", {"python": "3"})
    folder.write_json("parts.json", experiment.parts())
    folder.write_json("data.json", experiment.describe_data())
    return Run(experiment, folder, display or QuietDisplay(), NoEvents())


def resumed_run(path: Path, display: QuietDisplay | None = None) -> Run:
    """The run in folder `path`, ready to go on after its last checkpoint."""
    folder = RunFolder.open(path)
    run = Run(Experiment.prepare(folder.config()), folder, display or QuietDisplay(), NoEvents())
    run.restore(read(folder.checkpoints / "latest"))
    return run


@pytest.fixture
def start() -> Callable[..., Run]:
    """`start(config, path, display)`: see `new_run`."""
    return new_run


@pytest.fixture
def go_on() -> Callable[..., Run]:
    """`go_on(path, display)`: see `resumed_run`."""
    return resumed_run


@dataclass
class Process:
    """A `dcsfl-train` in a process of its own; once waited for, `status` is its exit status, or -signal."""

    server: subprocess.Popen[str]
    pid: int
    folder: Path
    status: int | None = None

    def kill(self, number: int) -> None:
        """Send it a signal; it may have ended just before."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self) -> Process:
        """Wait for its end."""
        if self.status is None:
            self.status = int(_line(self.server))
        return self

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()


class Command:
    """Starts `dcsfl-train`, one at a time, in the folder `cwd`."""

    def __init__(self, server: subprocess.Popen[str], cwd: Path, streams: Path) -> None:
        self.cwd = cwd
        self._server, self._streams = server, streams
        self._last: Process | None = None

    def start(self, *arguments: str | Path, file_bytes: int | None = None) -> Process:
        """Start it; no file may grow over `file_bytes`."""
        if self._last is not None:
            self._last.wait()
        folder = Path(tempfile.mkdtemp(dir=self._streams))
        request = {
            "arguments": [str(argument) for argument in arguments],
            "cwd": str(self.cwd),
            "stdout": str(folder / "stdout"),
            "stderr": str(folder / "stderr"),
            "file_bytes": file_bytes,
        }
        print(json.dumps(request), file=self._server.stdin, flush=True)
        self._last = Process(self._server, int(_line(self._server)), folder)
        return self._last

    def run(self, *arguments: str | Path, file_bytes: int | None = None) -> Process:
        """Start it and wait for its end."""
        return self.start(*arguments, file_bytes=file_bytes).wait()

    def settle(self) -> None:
        """End what a failed test left running."""
        if self._last is not None and self._last.status is None:
            self._last.kill(signal.SIGKILL)
            self._last.wait()


def _line(server: subprocess.Popen[str]) -> str:
    line = server.stdout.readline() if server.stdout else ""
    if not line:
        raise RuntimeError("the process that starts the commands has ended")
    return line


@pytest.fixture(scope="session")
def _warm_server() -> Iterator[subprocess.Popen[str]]:
    script = Path(__file__).with_name("warm_command.py")
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        text=True,
    ) as server:
        yield server
        if server.stdin:
            server.stdin.close()


@pytest.fixture
def command(
    _warm_server: subprocess.Popen[str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Command]:
    """`dcsfl-train` in processes of their own, in tmp_path: `.run(...)`, `.start(...)`."""
    started = Command(_warm_server, tmp_path, tmp_path_factory.mktemp("streams"))
    yield started
    started.settle()


def final_state(run_folder: Path) -> dict[str, Any]:
    """Every tensor's bytes and every number that the final checkpoint holds, by party and name."""
    state: dict[str, Any] = {}
    for party in sorted(folder for folder in (run_folder / "checkpoints" / "final").iterdir() if folder.is_dir()):
        for name, tensor in safetensors.load_file(party / "state.safetensors").items():
            state[f"{party.name}/{name}"] = tensor.numpy().tobytes()
        state[f"{party.name}/numbers"] = json.loads((party / "state.json").read_text())
    return state


def untimed_rows(run_folder: Path, table: str) -> list[dict[str, Any]]:
    """The rows of TABLE.jsonl without what tells the time."""
    rows = [json.loads(line) for line in (run_folder / f"{table}.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if not key.endswith(TIMES)} for row in rows]


@pytest.fixture
def what_remains() -> Callable[[Path], dict[str, Any]]:
    """`what_remains(run_folder)`: all that must be the same however often a run was stopped and resumed."""

    def collect(run_folder: Path) -> dict[str, Any]:
        best = read(run_folder / "checkpoints" / "best")
        return {
            "state": final_state(run_folder),
            "metrics": untimed_rows(run_folder, "metrics"),
            "ledger": untimed_rows(run_folder, "ledger"),
            "best": best.round,
            "best_round": json.loads((run_folder / "summary.json").read_text())["best_round"],
        }

    return collect

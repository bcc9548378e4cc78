"""One session of training at the command line: a new run or a resumed one, to its last line on the screen."""

from __future__ import annotations

import shlex
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import click
from rich.console import Console

from he_core import HeCoreError
from trainer import checkpoint
from trainer.checkpoint import Snapshot
from trainer.config import Config, load
from trainer.display import Display, LoggedDisplay, display_for
from trainer.errors import ConfigError, RoundRefusedError, RunFolderError, TrainerError
from trainer.events import EventWriter, NoEvents, TensorBoardEvents
from trainer.experiment import Experiment
from trainer.interruption import FAILED, INTERRUPTED
from trainer.methods.options import check_federates
from trainer.rounds import Run
from trainer.run_folder import DATA, RunFolder, environment, flatten, new_path, refuse_existing


def start(config: Config, overrides: tuple[str, ...], into: Path | None, form: str, console: Console) -> None:
    """A new run. Whatever is wrong with the configuration is found before its folder is made."""
    folder = RunFolder(into or new_path(config))
    refuse_existing(folder.path)
    display, events = LoggedDisplay(display_for(form, console), folder.log), _events(config)
    experiment = Experiment.prepare(config)
    records = {
        "environment.json": environment(),
        "parts.json": experiment.parts(),
        DATA: experiment.describe_data(),
    }
    training = _training(experiment, folder, display, events, form, console)
    RunFolder.create(folder.path)
    try:
        folder.write_config(config, overrides)
        for name, content in records.items():
            folder.write_json(name, content)
    except TrainerError:
        folder.discard()
        raise
    _introduce(experiment, folder, display)
    _train(training, folder, form, display, console)


def resume(named: str, configs: tuple[Path, ...], overrides: tuple[str, ...], form: str, console: Console) -> None:
    """Go on with the run folder `named`, or with the newest if that is empty; a finished run is left as it is."""
    folder, config = asked_to_resume(named, configs, overrides)
    rounds = config.training.rounds
    display = display_for(form, console)
    if folder.is_finished(rounds):
        display.say(
            f"{folder.path} is finished: all {rounds} rounds are done. For more of them:\n"
            f"  {_command(folder)} training.rounds={2 * rounds}"
        )
        _print_path(folder, form)
        return
    snapshot = checkpoint.read(folder.checkpoints / "latest")
    display = LoggedDisplay(display, folder.log)
    events = _events(config)
    experiment = Experiment.prepare(config)
    folder.check_data(experiment.data_sha256)
    training = _training(experiment, folder, display, events, form, console)
    training.restore(snapshot)
    folder.write_config(config, overrides)
    _introduce(experiment, folder, display)
    display.say(f"{training.finished_rounds} of {rounds} rounds are done; going on")
    _train(training, folder, form, display, console)


def asked_to_resume(named: str, configs: tuple[Path, ...], overrides: tuple[str, ...]) -> tuple[RunFolder, Config]:
    """The folder to go on with, and its configuration: its own, perhaps with more rounds.

    Raises RunFolderError where there is none, and ConfigError naming the keys where what was asked for differs.
    """
    if named:
        folder = RunFolder.open(Path(named))
    else:
        asked = load(configs, overrides)
        folder = RunFolder.latest(asked.run.folder / asked.run.name)
    stored = folder.config()
    asked = load([folder.path / "config.yaml", *configs], overrides)
    was, now = flatten(stored.model_dump(mode="json")), flatten(asked.model_dump(mode="json"))
    differing = [key for key in {**was, **now} if now.get(key) != was.get(key)]
    if asked.training.rounds >= stored.training.rounds:
        differing = [key for key in differing if key != "training.rounds"]  # a longer run starts the same
    if differing:
        listed = ", ".join(f"{key} is {was.get(key)!r} there, {now.get(key)!r} here" for key in differing)
        raise ConfigError(f"cannot resume {folder.path}: {listed}. Start a new run, or leave these out")
    return folder, asked


class Training(Protocol):
    """A run that is about to start or to go on, wherever its parties are."""

    @property
    def finished_rounds(self) -> int: ...

    @property
    def saved_rounds(self) -> int: ...

    def restore(self, snapshot: Snapshot) -> None: ...

    def run(self) -> dict[str, Any]: ...


def _training(
    experiment: Experiment, folder: RunFolder, display: Display, events: EventWriter, form: str, console: Console
) -> Training:
    """What `federation.backend` asks for. Raises ConfigError."""
    if experiment.config.federation.backend == "in-process":
        return Run(experiment, folder, display, events)
    if find_spec("nvflare") is None:
        raise ConfigError("federation.backend=flare needs NVIDIA FLARE: pip install 'dcsfl[flare]'")
    check_federates(experiment.method)
    from trainer.federation.local import LocalFederation

    # The coordinator writes the log; here its lines are shown.
    return LocalFederation(experiment.config, len(experiment.data.clients), folder, display_for(form, console))


def _events(config: Config) -> EventWriter:
    return TensorBoardEvents() if config.run.tensorboard else NoEvents()


def _introduce(experiment: Experiment, folder: RunFolder, display: Display) -> None:
    display.say(f"run folder: {folder.path}\n{experiment.data.provenance}")
    for client in experiment.data.clients:
        display.say(
            f"{client.name}: {len(client.train)} training, {len(client.test)} test images; {client.description}"
        )
    for note in experiment.data.notes:
        display.say(f"note: {note}")


def _train(training: Training, folder: RunFolder, form: str, display: Display, console: Console) -> None:
    try:
        with display:
            summary = training.run()
    except KeyboardInterrupt:
        _tell(console, folder, f"stopped in round {training.finished_rounds + 1}. {_way_on(training, folder)}")
        sys.exit(INTERRUPTED)
    except RoundRefusedError as error:
        advice = "Find out why, then go on; encryption.on_refused=continue gives such a round up and takes the next"
        _tell(console, folder, f"error: {error}\n{advice}. {_way_on(training, folder)}")
        sys.exit(FAILED)
    except (TrainerError, HeCoreError) as error:
        _tell(console, folder, f"error: {error}\n{_way_on(training, folder)}")
        sys.exit(FAILED)
    figures = ", ".join(f"{name} {value:.4f}" for name, value in summary["final"].items())
    display.say(
        f"finished {summary['rounds']} rounds in {summary['wall_seconds']:.0f} s: {figures}; "
        f"encryption took {summary['encryption_seconds']:.1f} s, {summary['encryption_share']:.1%} of the time\n"
        f"report: {folder.path / 'report.html'}"
    )
    _print_path(folder, form)


def _way_on(training: Training, folder: RunFolder) -> str:
    if not training.saved_rounds:
        return f"No round is saved yet, so {folder.path} cannot be resumed: remove it, and start again"
    return (
        f"{training.saved_rounds} finished round(s) are saved. Go on with:\n  {_command(folder)}\n"
        f"To go on with other settings, change them in {folder.path / 'config.yaml'} before"
    )


def _command(folder: RunFolder) -> str:
    return f"dcsfl-train run --resume {shlex.quote(str(folder.path))}"


def _print_path(folder: RunFolder, form: str) -> None:
    if form == "quiet":
        click.echo(str(folder.path))


def _tell(console: Console, folder: RunFolder, text: str) -> None:
    console.print("\n" + text, markup=False, highlight=False, soft_wrap=True)
    with suppress(RunFolderError):  # a full disk may be what is being told
        folder.log(text)

"""A run that was stopped, however and whenever, and resumed, is the run that never stopped."""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from trainer import checkpoint
from trainer.display import QuietDisplay

VARIANTS = {
    "released": ("method.correction.mode=released",),
    "ema": ("method.correction.mode=ema",),
    "closed-form": ("method.correction.mode=closed-form", "method.correction.mu=10", "method.correction.steps=3"),
    "splitfed-v1": ("method.name=splitfed-v1",),
    "local": ("method.name=local",),
    "centralised": ("method.name=centralised",),
    "stochastic": ("encryption.rounding=stochastic",),
    "samples": ("method.weighting=samples", "data.max_slices=null", "data.clients=3"),
    "two-epochs": ("training.local_epochs=2", "training.batch_size=3"),
    "unquantised": ("encryption.scheme=none",),
    "rlwe": ("encryption.scheme=rlwe",),
    "paillier": ("encryption.scheme=paillier", "encryption.parameters.modulus_bits=2048"),
    "int8-cuts": ("training.cut_exchange=int8", "training.batch_size=2", "training.micro_batches=2"),
    "redcnn": ("training.task=restoration", "network.name=redcnn", "network.channels=4"),
}
QUICK_VARIANTS = ("released", "local", "int8-cuts")
# A learning rate this small changes no score, so only the first round is the best and saved for that.
NO_PROGRESS = "training.learning_rate=1e-20"
BRIEF = ("training.rounds=4", "run.examples=0")


class Killed(BaseException):
    """Stands for kill -9: nothing catches it, so nothing is written afterwards."""


class StopIn(QuietDisplay):
    """Raises in the middle of a round; `round_index` counts from the first round of the whole run."""

    def __init__(self, round_index: int, stop: type[BaseException]) -> None:
        self._round_index, self._stop = round_index, stop

    def begin(self, first_round: int, rounds: int, batches: int) -> None:
        self._left = (self._round_index - first_round) * batches + batches // 2

    def batch(self, client: str, loss: float) -> None:
        if self._left == 0:
            raise self._stop
        self._left -= 1


class FileOperations:
    """Runs an action before each operation that changes a file or folder, while it is watching."""

    _CHANGES = frozenset({"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "shutil.rmtree"})

    def __init__(self) -> None:
        self._action: Callable[[], None] | None = None
        sys.addaudithook(self._hook)

    @contextmanager
    def watching(self, action: Callable[[], None]) -> Iterator[None]:
        self._action = action
        try:
            yield
        finally:
            self._action = None

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._action is not None and (event in self._CHANGES or (event == "open" and _writes(*arguments))):
            self._action()


def _writes(path: object, mode: str | None, flags: int) -> bool:
    return isinstance(path, str | bytes | Path) and bool(flags & (os.O_WRONLY | os.O_RDWR))


@pytest.fixture(scope="session")
def file_operations() -> FileOperations:
    # An audit hook cannot be taken back, so there is one for all tests.
    return FileOperations()


def killing_before(number: int) -> Callable[[], None]:
    """An action that kills when it is called for the `number`-th time, from 0."""
    calls = count()

    def act() -> None:
        if next(calls) == number:
            raise Killed

    return act


# --- killed: nothing is written from one moment on --------------------------------------------------------


def test_killed_in_every_round_in_turn_it_is_the_uninterrupted_run(
    quick_config: Any, start: Any, go_on: Any, what_remains: Any, tmp_path: Path
) -> None:
    config = quick_config(*BRIEF)
    start(config, tmp_path / "whole").run()
    with pytest.raises(Killed):
        start(config, tmp_path / "killed", StopIn(1, Killed)).run()
    for round_index in (2, 3):
        resumed = go_on(tmp_path / "killed", StopIn(round_index, Killed))
        assert resumed.finished_rounds == round_index - 1
        with pytest.raises(Killed):
            resumed.run()
    go_on(tmp_path / "killed").run()
    assert what_remains(tmp_path / "killed") == what_remains(tmp_path / "whole")


def test_killed_in_the_first_round_there_is_no_checkpoint(quick_config: Any, start: Any, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        start(quick_config(), tmp_path / "killed", StopIn(0, Killed)).run()
    assert not (tmp_path / "killed" / "checkpoints").exists()


@pytest.mark.parametrize(
    "variant", [name if name in QUICK_VARIANTS else pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS]
)
def test_every_method_and_mode_resumes_bit_for_bit(
    variant: str, quick_config: Any, start: Any, go_on: Any, what_remains: Any, tmp_path: Path
) -> None:
    config = quick_config(*BRIEF, "checkpoint.every=2", *VARIANTS[variant])
    start(config, tmp_path / "whole").run()
    with pytest.raises(Killed):
        start(config, tmp_path / "killed", StopIn(3, Killed)).run()
    go_on(tmp_path / "killed").run()
    assert what_remains(tmp_path / "killed") == what_remains(tmp_path / "whole")


def test_a_kill_loses_the_rounds_after_the_last_checkpoint_and_their_rows(
    quick_config: Any, start: Any, go_on: Any, tmp_path: Path
) -> None:
    config = quick_config("training.rounds=6", "checkpoint.every=3", NO_PROGRESS)
    with pytest.raises(Killed):
        start(config, tmp_path / "run", StopIn(5, Killed)).run()
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 5
    assert go_on(tmp_path / "run").finished_rounds == 3
    for table in ("metrics", "ledger"):
        rounds = [
            json.loads(line)["round"] for line in (tmp_path / "run" / f"{table}.jsonl").read_text().splitlines()
        ]
        assert max(rounds) == 2


def test_a_row_torn_by_a_kill_is_written_anew(
    quick_config: Any, start: Any, go_on: Any, what_remains: Any, tmp_path: Path
) -> None:
    config = quick_config(*BRIEF)
    start(config, tmp_path / "whole").run()
    with pytest.raises(Killed):
        start(config, tmp_path / "killed", StopIn(2, Killed)).run()
    for table in ("metrics", "ledger"):
        with (tmp_path / "killed" / f"{table}.jsonl").open("a") as file:
            file.write('{"round": 2, "train_')
    go_on(tmp_path / "killed").run()
    assert what_remains(tmp_path / "killed") == what_remains(tmp_path / "whole")


@pytest.mark.slow
def test_killed_between_any_two_changes_on_the_disk_loses_nothing(
    file_operations: FileOperations, quick_config: Any, start: Any, go_on: Any, what_remains: Any, tmp_path: Path
) -> None:
    config = quick_config("run.examples=0")
    start(config, tmp_path / "whole").run()
    resumed = 0
    for number in count():
        path = tmp_path / f"killed-{number}"
        run = start(config, path)
        try:
            with file_operations.watching(killing_before(number)):
                run.run()
            break
        except Killed:
            pass
        if (path / "checkpoints" / "latest").exists():
            resumed += 1
            go_on(path).run()
            assert what_remains(path) == what_remains(tmp_path / "whole"), f"killed before change {number}"
        shutil.rmtree(path)
    assert resumed > 30


@pytest.mark.slow
def test_killed_between_any_two_changes_of_resuming_itself_loses_nothing(
    file_operations: FileOperations, quick_config: Any, start: Any, go_on: Any, what_remains: Any, tmp_path: Path
) -> None:
    config = quick_config(*BRIEF, "checkpoint.every=2")
    start(config, tmp_path / "whole").run()
    with pytest.raises(Killed):
        start(config, tmp_path / "killed", StopIn(3, Killed)).run()
    for number in count():
        path = tmp_path / f"killed-{number}"
        shutil.copytree(tmp_path / "killed", path, symlinks=True)
        try:
            with file_operations.watching(killing_before(number)):
                go_on(path)
            break
        except Killed:
            go_on(path).run()
        assert what_remains(path) == what_remains(tmp_path / "whole"), f"killed before change {number} of resuming"
        shutil.rmtree(path)
    assert number > 5


@pytest.mark.slow
def test_killed_at_random_times_over_and_over_a_run_still_becomes_the_uninterrupted_one(
    command: Any, quick: tuple[str, ...], what_remains: Any, tmp_path: Path
) -> None:
    overrides = (*quick, "training.rounds=40", "checkpoint.every=2", "encryption.rounding=stochastic")
    assert command.run("run", "--into", "whole", *overrides).status == 0
    run, seeded, saved = tmp_path / "killed", random.Random(20231), 0
    for _ in range(8):
        process = command.start("run", *(("--resume", run) if saved else ("--into", run, *overrides)))
        _after_rounds(process, run, saved + seeded.randint(2, 3))
        time.sleep(seeded.uniform(0, 0.1))
        process.kill(signal.SIGKILL)
        assert process.wait().status == -signal.SIGKILL, process.stderr
        saved = checkpoint.read(run / "checkpoints" / "latest").round + 1
        if saved > 35:
            break
    assert 8 < saved < 40
    assert command.run("run", "--resume", run).status == 0
    assert what_remains(run) == what_remains(tmp_path / "whole")


# --- stopped on request: Ctrl-C and SIGTERM --------------------------------------------------------------


def _after_rounds(process: Any, run_folder: Path, rounds: int) -> None:
    """Wait until that many rounds are in metrics.jsonl."""
    metrics = run_folder / "metrics.jsonl"
    for _ in range(3000):
        if metrics.exists() and len(metrics.read_text().splitlines()) >= rounds:
            return
        time.sleep(0.02)
    raise AssertionError(process.stderr)


@pytest.mark.parametrize("stopping", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_stopped_run_ends_with_130_and_names_the_command_that_goes_on(
    stopping: signal.Signals, command: Any, quick: tuple[str, ...], what_remains: Any, tmp_path: Path
) -> None:
    overrides = (*quick, "training.rounds=9", "checkpoint.every=5")
    assert command.run("run", "--into", "whole", *overrides).status == 0
    process = command.start("run", "--into", "my run", *overrides)
    _after_rounds(process, tmp_path / "my run", 2)
    process.kill(stopping)
    assert process.wait().status == 130, process.stderr
    assert "Traceback" not in process.stderr
    saved = checkpoint.read(tmp_path / "my run" / "checkpoints" / "latest").round + 1
    assert 2 <= saved < 9
    assert f"stopped in round {saved + 1}. {saved} finished round(s) are saved" in process.stderr
    assert len((tmp_path / "my run" / "metrics.jsonl").read_text().splitlines()) == saved
    assert json.loads((tmp_path / "my run" / "summary.json").read_text())["finished"] is False
    assert (tmp_path / "my run" / "report.html").exists()

    line = next(line for line in process.stderr.splitlines() if "--resume" in line)
    program, *arguments = shlex.split(line)
    assert program == "dcsfl-train"
    resumed = command.run(*arguments)
    assert resumed.status == 0, resumed.stderr
    assert f"{saved} of 9 rounds are done" in resumed.stderr
    assert what_remains(tmp_path / "my run") == what_remains(tmp_path / "whole")


def test_stopped_in_the_first_round_it_says_that_nothing_can_be_resumed(
    quick_config: Any, cli: Any, quick: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("trainer.session.display_for", lambda form, console: StopIn(0, KeyboardInterrupt))
    result = cli("run", "--into", tmp_path / "run", *quick)
    assert result.exit_code == 130
    assert "stopped in round 1. No round is saved yet" in result.stderr
    monkeypatch.undo()
    resumed = cli("run", "--resume", tmp_path / "run")
    assert resumed.exit_code == 1
    assert "no whole checkpoint" in resumed.stderr


def test_stopped_while_loading_it_ends_with_130_and_leaves_nothing(
    cli: Any, quick: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*arguments: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("trainer.experiment.load", interrupted)
    result = cli("run", "--into", tmp_path / "run", *quick)
    assert result.exit_code == 130
    assert "stopped before training" in result.stderr
    assert not (tmp_path / "run").exists()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize("stopping", [signal.SIGINT, signal.SIGTERM])
def test_stopped_while_a_round_is_recorded_the_record_is_finished_first(
    stopping: signal.Signals, file_operations: FileOperations, quick_config: Any, start: Any, tmp_path: Path
) -> None:
    run = start(quick_config(*BRIEF), tmp_path / "run")
    changes = count()

    def stop_once() -> None:
        if next(changes) == 20:
            signal.raise_signal(stopping)

    # Set for both: a shell that starts the tests in the background has them ignore SIGINT.
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(KeyboardInterrupt), file_operations.watching(stop_once):
            run.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert run.finished_rounds == run.saved_rounds == 1
    assert checkpoint.read(tmp_path / "run" / "checkpoints" / "latest").round == 0
    assert not list((tmp_path / "run" / "checkpoints").glob(".*"))


# --- grown and watched runs


@pytest.mark.parametrize(
    "stopped", [pytest.param(True, marks=pytest.mark.slow, id="stopped"), pytest.param(False, id="finished")]
)
def test_resumed_with_more_rounds_it_equals_a_run_of_that_many(
    stopped: bool, cli: Any, quick_config: Any, start: Any, what_remains: Any, tmp_path: Path
) -> None:
    start(quick_config(*BRIEF), tmp_path / "whole").run()
    run = start(quick_config(), tmp_path / "run", StopIn(1, KeyboardInterrupt) if stopped else None)
    if stopped:
        with pytest.raises(KeyboardInterrupt):
            run.run()
    else:
        run.run()
    assert cli("run", "--resume", tmp_path / "run", "training.rounds=4").exit_code == 0
    assert what_remains(tmp_path / "run") == what_remains(tmp_path / "whole")


def test_a_grown_run_is_not_called_finished_before_it_is(
    cli: Any, quick_config: Any, start: Any, go_on: Any, tmp_path: Path
) -> None:
    start(quick_config(), tmp_path / "run").run()
    (tmp_path / "run" / "config.yaml").write_text(quick_config(*BRIEF).dump())
    with pytest.raises(Killed):
        go_on(tmp_path / "run", StopIn(3, Killed)).run()
    assert not (tmp_path / "run" / "summary.json").exists()
    assert not (tmp_path / "run" / "checkpoints" / "final").exists()
    assert "3 of 4 rounds are done" in cli("run", "--resume", tmp_path / "run").stderr


def test_tensorboard_shows_each_round_once_after_a_kill(
    cli: Any, quick: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    overrides = (*quick, "run.tensorboard=true", "training.rounds=5", "checkpoint.every=5", NO_PROGRESS)
    monkeypatch.setattr("trainer.session.display_for", lambda form, console: StopIn(3, Killed))
    with pytest.raises(Killed):
        cli("run", "--into", tmp_path / "run", *overrides)
    monkeypatch.undo()
    assert "1 of 5 rounds are done" in cli("run", "--resume", tmp_path / "run").stderr
    events = EventAccumulator(str(tmp_path / "run" / "events"))
    events.Reload()
    assert [event.step for event in events.Scalars("train_loss_mean")] == [0, 1, 2, 3, 4]

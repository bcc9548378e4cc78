"""What `--resume` takes and refuses, and what it leaves as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

NO_PROGRESS = "training.learning_rate=1e-20"
BRIEF = ("training.rounds=4", "run.examples=0")


def test_resume_without_a_path_takes_the_run_saved_last(cli: Any, quick: tuple[str, ...], tmp_path: Path) -> None:
    place = f"run.folder={tmp_path}"
    folders = [tmp_path / "demo" / name for name in ("b", "a")]
    for folder in folders:
        assert cli("run", "--into", folder, *quick, place, "training.rounds=1").exit_code == 0
    result = cli("run", "--resume", place, *quick)
    assert result.exit_code == 0
    assert [len((folder / "metrics.jsonl").read_text().splitlines()) for folder in folders] == [1, 2]


def test_resume_without_a_path_where_there_is_no_run_says_so(cli: Any, tmp_path: Path) -> None:
    result = cli("run", "--resume", f"run.folder={tmp_path}")
    assert result.exit_code == 1
    assert f"no run with a checkpoint under {tmp_path / 'demo'}" in result.stderr


def test_resume_refuses_another_configuration_naming_keys_and_both_values(
    cli: Any, quick_config: Any, start: Any, tmp_path: Path
) -> None:
    start(quick_config("training.learning_rate=2e-3"), tmp_path / "run").run()
    before = _contents(tmp_path / "run")
    result = cli("run", "--resume", tmp_path / "run", "training.learning_rate=5e-4", "training.rounds=1")
    assert result.exit_code == 1
    assert "training.learning_rate is 0.002 there, 0.0005 here" in result.stderr
    assert "training.rounds is 2 there, 1 here" in result.stderr
    assert _contents(tmp_path / "run") == before


@pytest.mark.parametrize("how", ["text", "json", "quiet"])
def test_a_finished_run_is_left_as_it_is(how: str, cli: Any, quick_config: Any, start: Any, tmp_path: Path) -> None:
    start(quick_config(), tmp_path / "run").run()
    before = _contents(tmp_path / "run")
    options = {"text": (), "json": ("--format", "json"), "quiet": ("--quiet",)}[how]
    result = cli("run", "--resume", tmp_path / "run", *options)
    assert result.exit_code == 0
    assert _contents(tmp_path / "run") == before
    if how == "text":
        assert f"{tmp_path / 'run'} is finished: all 2 rounds are done" in result.stderr
    assert result.stdout == (f"{tmp_path / 'run'}\n" if how == "quiet" else "")


def test_a_run_whose_report_failed_is_finished_by_resuming(
    cli: Any, quick_config: Any, start: Any, what_remains: Any, tmp_path: Path
) -> None:
    start(quick_config(), tmp_path / "run").run()
    before = what_remains(tmp_path / "run")
    (tmp_path / "run" / "report.html").unlink()
    assert cli("run", "--resume", tmp_path / "run").exit_code == 0
    assert (tmp_path / "run" / "report.html").exists()
    assert what_remains(tmp_path / "run") == before


def test_resuming_adds_to_the_recorded_overrides(cli: Any, quick: tuple[str, ...], tmp_path: Path) -> None:
    cli("run", "--into", tmp_path / "run", *quick)
    cli("run", "--resume", tmp_path / "run", "training.rounds=3")
    recorded = (tmp_path / "run" / "overrides.yaml").read_text().splitlines()
    assert len(recorded) == len(quick) + 1
    assert recorded[-1] == "- training.rounds=3"


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}

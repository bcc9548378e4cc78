"""The run folder: every documented file is there, nothing else is, and the tables say what happened."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from trainer import run_folder
from trainer.config import load
from trainer.errors import RunFolderError
from trainer.run_folder import RunFolder, flatten

DOCUMENT = Path(__file__).parents[2] / "docs" / "run-folder.md"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with everything on, from the command line. Read it only."""
    from click.testing import CliRunner

    from trainer.cli import main

    path = tmp_path_factory.mktemp("finished") / "run"
    overrides = (
        "data.image_size=32",
        "data.clients=2",
        "data.max_slices=6",
        "network.features=[4,4,8,8,8,4]",
        "encryption.scheme=plain",
        "training.rounds=3",
        "training.batch_size=2",
        "run.threads=1",
        "run.tensorboard=true",
    )
    result = CliRunner().invoke(main, ["run", "--into", str(path), *overrides])
    assert result.exit_code == 0, result.output
    return path


def _rows(folder: Path, table: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{table}.jsonl").read_text().splitlines()]


def _documented(heading: str) -> set[str]:
    """The first column of the table under a heading of the document."""
    section = DOCUMENT.read_text(encoding="utf-8").partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))


# --- what a finished run leaves --------------------------------------------------------------------------------


def test_the_files_of_a_run_are_the_documented_ones(finished: Path) -> None:
    documented = _documented("## Files")
    assert {"config.yaml", "metrics.jsonl", "checkpoints/", "events/"} <= documented
    found = {entry.name + ("/" if entry.is_dir() else "") for entry in finished.iterdir()}
    assert found == documented


def test_the_keys_of_the_rows_are_the_documented_ones(finished: Path) -> None:
    for table in ("metrics", "ledger"):
        assert _documented(f"## `{table}.jsonl`") == set().union(*_rows(finished, table)), table


@pytest.mark.parametrize("table", ["metrics", "ledger"])
def test_the_csv_twin_holds_what_the_json_lines_hold(table: str, finished: Path) -> None:
    with (finished / f"{table}.csv").open(newline="") as file:
        twin = list(csv.DictReader(file))
    rows = [{key: str(value) for key, value in flatten(row).items()} for row in _rows(finished, table)]
    assert [{key: value for key, value in row.items() if value} for row in twin] == rows
    assert len(rows) > 2


def test_metrics_have_one_row_per_round_and_add_up(finished: Path) -> None:
    rows = _rows(finished, "metrics")
    summary = json.loads((finished / "summary.json").read_text())
    assert [row["round"] for row in rows] == [0, 1, 2]
    assert summary["finished"] is True
    assert summary["rounds"] == 3
    assert summary["final"] == rows[-1]["evaluation"]["mean"]
    assert summary["wall_seconds"] == pytest.approx(sum(row["wall_seconds"] for row in rows))
    best = max(rows, key=lambda row: row["evaluation"]["mean"]["dice"])
    assert summary["best_round"] == best["round"]
    assert str((finished / "checkpoints" / "best").readlink()) == f"round-{best['round']:04d}"
    for row in rows:
        assert row["train_loss_mean"] == pytest.approx(sum(row["train_loss"].values()) / 2)
        scores = [client["dice"] for client in row["evaluation"]["clients"].values()]
        assert row["evaluation"]["mean"]["dice"] == pytest.approx(sum(scores) / 2)
        assert row["wall_seconds"] >= row["train_seconds"] + row["evaluate_seconds"]


def test_the_ledger_accounts_for_the_encryption_time_of_the_metrics(finished: Path) -> None:
    ledger = _rows(finished, "ledger")
    assert [row["stage"] for row in ledger if row["round"] == -1] == ["keys"]
    for row in _rows(finished, "metrics"):
        spent = sum(cost["elapsed_ns"] for cost in ledger if cost["round"] == row["round"]) / 1e9
        assert row["encryption_seconds"] == pytest.approx(spent)


def test_the_folder_alone_repeats_the_run(finished: Path, start: Any, what_remains: Any, tmp_path: Path) -> None:
    start(load([finished / "config.yaml"]), tmp_path / "again").run()
    assert what_remains(tmp_path / "again") == what_remains(finished)


def test_overrides_are_recorded_as_typed_and_the_environment_with_versions(finished: Path) -> None:
    assert "- training.rounds=3\n" in (finished / "overrides.yaml").read_text()
    environment = json.loads((finished / "environment.json").read_text())
    assert {"torch", "numpy", "python", "cpu", "cores", "kernels", "commit", "started"} <= set(environment)
    assert environment["torch"].startswith("2.")


def test_the_log_has_every_round_with_the_time(finished: Path) -> None:
    lines = (finished / "run.log").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00  ", line) for line in lines)
    assert [line.split()[2] for line in lines if line.split()[1] == "round"] == ["1/3", "2/3", "3/3"]


def test_tensorboard_reads_the_metrics(finished: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(finished / "events"))
    events.Reload()
    rows = [flatten(row) for row in _rows(finished, "metrics")]
    assert set(events.Tags()["scalars"]) == {name.replace(".", "/") for row in rows for name in row}
    for name in ("train_loss_mean", "evaluation.mean.dice", "encryption_share"):
        shown = [(event.step, event.value) for event in events.Scalars(name.replace(".", "/"))]
        assert shown == [(row["round"], pytest.approx(row[name], rel=1e-6)) for row in rows]


# --- the class -------------------------------------------------------------------------------------------------


def test_columns_of_the_twin_are_the_union_over_the_rounds(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    folder.append("metrics", [{"round": 0, "evaluation": {"a": 1.0}}])
    folder.append("metrics", [{"round": 1, "evaluation": {"b": 2.0}}])
    assert (folder.path / "metrics.csv").read_text() == "round,evaluation.a,evaluation.b\n0,1.0,\n1,,2.0\n"


def test_keeping_rounds_drops_later_ones_and_a_torn_line(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    for table in ("metrics", "ledger"):
        folder.append(table, [{"round": number} for number in (-1, 0, 1, 2)])
        with (folder.path / f"{table}.jsonl").open("a") as file:
            file.write('{"round": 1')
    folder.keep_rounds(1)
    for table in ("metrics", "ledger"):
        assert (folder.path / f"{table}.jsonl").read_text() == '{"round": -1}\n{"round": 0}\n{"round": 1}\n'
        assert (folder.path / f"{table}.csv").read_text() == "round\n-1\n0\n1\n"


def test_a_run_folder_that_exists_is_refused_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"exists; choose another$"):
        RunFolder.create(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "latest").symlink_to("round-0000")
    with pytest.raises(RunFolderError, match=f"exists; choose another, or resume it with --resume {tmp_path}"):
        RunFolder.create(tmp_path)


def test_two_runs_that_start_in_one_second_get_folders_of_their_own(tmp_path: Path) -> None:
    config = load((), [f"run.folder={tmp_path}"])
    made = [RunFolder.create(run_folder.new_path(config)).path for _ in range(3)]
    assert len(set(made)) == 3
    assert all(re.fullmatch(r"\d{8}-\d{6}(-\d+)?", path.name) for path in made)


@pytest.mark.parametrize("name", ["config.yaml", "metrics.csv"])
def test_a_file_is_replaced_whole_or_not_at_all(name: str, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    folder.write_text(name, "old")
    (folder.path / f".{name}.partial").symlink_to("/dev/full")
    with pytest.raises(RunFolderError, match=f"cannot write .*{name}: No space left on device"):
        folder.write_text(name, "new" * 10_000)
    assert (folder.path / name).read_text() == "old"
    assert [file.name for file in folder.path.iterdir()] == [name]


def test_rows_that_cannot_be_written_are_an_error_that_names_the_table(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    (folder.path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(RunFolderError, match=r"cannot write .*metrics\.jsonl: No space left on device"):
        folder.append("metrics", [{"round": 0}])


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"finished": false, "rounds": 2}', '{"finished": true, "rounds": 1}']
)
def test_a_folder_is_finished_only_if_its_summary_says_so(text: str, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    folder.write_text("report.html", "")
    assert not folder.is_finished(2)
    folder.write_text("summary.json", text)
    assert not folder.is_finished(2)
    folder.write_json("summary.json", {"finished": True, "rounds": 2})
    assert folder.is_finished(2)

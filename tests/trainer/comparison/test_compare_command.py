"""`dcsfl-train compare` end to end: real runs in real processes, stopped in every way, and what it leaves."""

from __future__ import annotations

import csv
import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any

import pytest
from PIL import Image

CELLS = [f"{method}/seed-{seed}" for seed in (1, 2) for method in ("dcsfl", "local")]
TIMES = ("seconds", "runs_beside", "peak_bytes")


def cells_csv(folder: Path) -> list[dict[str, str]]:
    """The rows of comparison.csv without what tells time and memory."""
    with (folder / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{key: value for key, value in row.items() if not key.endswith(TIMES)} for row in rows]


def wait_for(done: Callable[[], bool], seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def printed(process: Any, stream: str = "stdout") -> str:
    """So far: the file is there once the process has begun."""
    file = process.folder / stream
    return str(file.read_text()) if file.exists() else ""


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def copy(real: Path, tmp_path: Path) -> Path:
    """A copy of the finished comparison, to be changed."""
    shutil.copytree(real, tmp_path / "copy", symlinks=True)
    return tmp_path / "copy"


def test_every_cell_is_an_ordinary_run_of_its_own(real: Path) -> None:
    for cell in CELLS:
        run = real / "cells" / cell
        assert json.loads((run / "summary.json").read_text())["finished"] is True
        assert (run / "report.html").exists()
        assert (run / "checkpoints" / "final").exists()
    assert "seed: 2\n" in (real / "cells" / CELLS[2] / "config.yaml").read_text()


def test_its_tables_are_the_final_rows_of_the_runs(real: Path) -> None:
    rows = cells_csv(real)
    assert len(rows) == len(CELLS) * 2
    for row in rows:
        run = real / "cells" / row["variant"] / f"seed-{row['seed']}"
        last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
        assert float(row["dice"]) == last["evaluation"]["clients"][row["client"]]["dice"]


def test_with_one_seed_all_see_the_same_data_and_are_shown_as_many_images(real: Path) -> None:
    rows = cells_csv(real)
    for seed in ("1", "2"):
        assert len({row["data_sha256"] for row in rows if row["seed"] == seed}) == 1
    assert len({row["image_passes"] for row in rows}) == 1


def test_runs_beside_each_other_are_told_with_their_memory(real: Path) -> None:
    records = json.loads((real / "cells.json").read_text())
    assert set(records) == set(CELLS)
    for record in records.values():
        assert record["peak_bytes"] > 100 << 20, "an interpreter with torch takes more"
        assert record["error"] is None
    assert max(record["together_seconds"] / record["seconds"] for record in records.values()) > 1.2


def test_pictures_are_written_and_every_image_has_a_column_per_variant(real: Path) -> None:
    for name in ("curves.png", "examples.png"):
        with Image.open(real / name) as picture:
            assert min(picture.size) > 200
    page = (real / "comparison.html").read_text()
    figures = re.findall(r'<figure class="example">.*?</figure>', page, re.DOTALL)
    assert len(figures) >= 2
    for figure in figures:
        assert figure.count("<img ") == 2 + 2 * 2


@pytest.mark.slow
def test_killed_stopped_and_resumed_one_at_a_time_it_is_the_whole_one(
    real: Path, tiny: tuple[str, ...], command: Any, what_remains: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "stopped"
    process = command.start("compare", *tiny, "--jobs=1", "--format=json", "--into", folder)
    wait_for(lambda: printed(process).count("\n") >= 1)
    process.kill(SIGKILL)
    assert process.wait().status == -SIGKILL
    assert not (folder / "comparison.csv").exists()

    def going_on() -> bool:
        """Whether it goes on; refused until what the killed one started has ended, which is with its round."""
        nonlocal process
        if printed(process):
            return True
        if "is being worked on" in printed(process, "stderr"):
            process = command.start("compare", "--resume", folder, "--jobs=1", "--format=json")
        return False

    process = command.start("compare", "--resume", folder, "--jobs=1", "--format=json")
    wait_for(going_on)
    wait_for(lambda: printed(process).count("\n") >= 8)
    process.kill(SIGTERM)
    assert process.wait().status == 130
    assert f"dcsfl-train compare --resume {folder}" in process.stderr

    last = command.run("compare", "--resume", folder, "--jobs=1", "--quiet")
    assert (last.status, last.stdout) == (0, f"{folder}\n"), last.stderr
    for cell in CELLS:
        assert what_remains(folder / "cells" / cell) == what_remains(real / "cells" / cell), cell
    assert cells_csv(folder) == cells_csv(real)
    assert (folder / "pairs.csv").read_bytes() == (real / "pairs.csv").read_bytes()


@pytest.mark.slow
def test_a_run_that_fails_is_told_and_the_others_go_on(copy: Path, cli: Any) -> None:
    wild = "dcsfl wild: training.learning_rate=1e30"
    result = cli("compare", "--resume", copy, "--variant", wild, "--jobs=2")
    assert result.exit_code == 1
    assert "2 of 6 runs failed" in result.stderr
    assert re.search(r"dcsfl wild, seed 1: .*NaN or infinite", result.stderr)
    rows = cells_csv(copy)
    assert {row["variant"] for row in rows} == {"dcsfl", "local"}
    page = (copy / "comparison.html").read_text()
    assert "dcsfl wild, seed 1 is missing" in page
    assert "Traceback" not in result.stderr


def test_results_are_made_anew_from_the_folder_alone(copy: Path, cli: Any) -> None:
    before = contents(copy)
    for name in ("comparison.csv", "comparison.json", "table.tex", "pairs.csv", "summary.csv"):
        (copy / name).unlink()
    result = cli("compare", "--resume", copy)
    assert result.exit_code == 0, result.stderr
    assert "0 to run" in result.stderr
    after = contents(copy)
    changed = {name for name in before if before[name] != after.get(name)}
    assert changed <= {"run.log"}


def test_json_prints_rows_alone_and_quiet_the_folder_alone(copy: Path, cli: Any) -> None:
    assert cli("compare", "--resume", copy, "--format=json").stdout == ""
    assert cli("compare", "--resume", copy, "--quiet").stdout == f"{copy}\n"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("training.rounds=9",), "training.rounds is 6 there, 9 here"),
        (("--variant", "local: training.batch_size=2"), "'local' has no overrides there, training.batch_size=2 here"),
        (("--methods", "fedvag"), "did you mean 'fedavg'?"),
    ],
)
def test_a_resume_that_asks_for_something_else_is_refused_and_nothing_changes(
    asked: tuple[str, ...], told: str, real: Path, cli: Any
) -> None:
    before = contents(real)
    result = cli("compare", "--resume", real, *asked)
    assert result.exit_code == 1
    assert told in result.stderr
    assert contents(real) == before


def test_changed_images_are_noticed_on_resuming(copy: Path, cli: Any) -> None:
    file = copy / "cells" / CELLS[0] / "data.json"
    file.write_text(file.read_text().replace('"sha256": "', '"sha256": "0'))
    result = cli("compare", "--resume", copy)
    assert result.exit_code == 1
    assert "the images are not those" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--methods=fedvag",), "error: unknown method.name='fedvag'; did you mean 'fedavg'?"),
        (("method.name=local",), "error: method.name=local: a comparison has several of these"),
        (("run.seed=3",), "error: run.seed=3: a comparison has several of these; name them with --seeds"),
        (("--variant", "dcsfl a: network.name=nonsense"), "error: variant 'dcsfl a': "),
        (("--variant", "dcsfl a: encryption.scheme=rsa"), "error: variant 'dcsfl a': "),
        (("training.rounds=0",), "error: config value training.rounds=0"),
        (("--resume", "nowhere"), "error: nowhere is no comparison: it does not exist"),
    ],
)
def test_a_users_mistake_ends_in_a_line_before_anything_is_made(
    arguments: tuple[str, ...], told: str, quick: tuple[str, ...], cli: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    result = cli("compare", *(quick if "--resume" not in arguments else ()), *arguments)
    assert result.exit_code == 1
    assert told in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_resume_without_a_folder_takes_the_comparison_changed_last(cli: Any, tmp_path: Path) -> None:
    result = cli("compare", "--resume", f"run.folder={tmp_path}")
    assert result.exit_code == 1
    assert f"there is no comparison under {tmp_path / 'demo'}" in result.stderr


def test_two_at_once_in_one_folder_are_refused(copy: Path, cli: Any) -> None:
    from trainer.comparison.folder import ComparisonFolder

    with ComparisonFolder(copy).locked():
        result = cli("compare", "--resume", copy)
    assert result.exit_code == 1
    assert "is being worked on" in result.stderr

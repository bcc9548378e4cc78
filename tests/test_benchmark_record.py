"""bench/results.py and bench/tables.py: what becomes of pytest-benchmark's records in a results file."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

import resultfile
import run
import tables
from samples import benchmark, peer, result

RECORDED = sorted((Path(__file__).parents[1] / "bench" / "results").glob("*.json"))


def test_seconds_are_kept_as_measured_and_scaled_when_shown() -> None:
    (row,) = resultfile.rows_of(benchmark(0.001, values=10_000), "avx2")
    assert (row["least_s"], row["median_s"], row["most_s"]) == pytest.approx((0.0005, 0.001, 0.002))
    assert resultfile.per_million(row) == pytest.approx(0.1)
    assert resultfile.is_scaled(row)


def test_a_benchmark_that_took_itself_apart_gives_a_row_for_each_part() -> None:
    rows = resultfile.rows_of(benchmark(0.3, parts={"client encrypt": [0.1, 0.2, 0.3], "server add": [0.01]}), "avx2")
    found = {row["what"]: (row["median_s"], row["repetitions"]) for row in rows}
    assert found == {"array to frame": (0.3, 5), "client encrypt": (0.2, 3), "server add": (0.01, 1)}


def test_times_taken_by_another_process_are_those_of_the_row() -> None:
    (row,) = resultfile.rows_of(peer(5.0, seconds=[1.0, 2.0, 4.0]), "avx2")
    assert (row["least_s"], row["median_s"], row["most_s"], row["repetitions"]) == (1.0, 2.0, 4.0, 3)


def test_every_benchmark_of_the_full_version_asks_for_the_record_that_its_row_is_made_from() -> None:
    files = {name for part in run.parts(run.FULL, ["avx2"]) for name in part.files}
    for name in sorted(files):
        tree = ast.parse((Path(run.__file__).parent / name).read_text(encoding="utf-8"))
        for function in tree.body:
            if isinstance(function, ast.FunctionDef) and function.name.startswith("test_"):
                asked = {argument.arg for argument in function.args.args}
                assert asked & {"record", "put"}, f"{name}: {function.name}"  # bench_stages.py's put() is a record


def test_a_peers_row_names_no_target_of_our_kernels() -> None:
    assert [resultfile.rows_of(made, "avx2")[0]["target"] for made in (benchmark(1.0), peer(1.0))] == ["avx2", ""]


def test_the_comparison_takes_one_target_and_those_with_all_three_steps() -> None:
    rows = result(targets=("avx2", "portable"))["rows"]
    rows += resultfile.rows_of(peer(1.0, who="Half a peer"), "avx2")
    found = resultfile.headlines(rows, "avx2")
    assert list(found) == ["ours, native", "Peer 1.0"], "fastest first, and nobody without all steps"
    assert all(row["target"] in ("avx2", "") for steps in found.values() for row in steps.values())


def test_expansion_is_measured_against_float32() -> None:
    (row,) = resultfile.rows_of(benchmark(1.0, values=1_000_000, bytes=8_000_000), "avx2")
    assert resultfile.expansion(row) == 2.0


def test_a_result_reads_back_as_it_was_written(tmp_path: Path) -> None:
    made = result()
    resultfile.write(made, tmp_path / "made.json")
    assert resultfile.read(tmp_path / "made.json") == made
    assert len((tmp_path / "made.json").read_text().splitlines()) < len(made["rows"]) + 60, "a row to a line"


@pytest.mark.parametrize(
    ("text", "told"), [("{", "not JSON"), ('{"format": 1}', "has format 1"), ("[]", "has format None")]
)
def test_a_file_that_is_no_result_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(resultfile.ResultError, match=told):
        resultfile.read(tmp_path / "other.json")


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(resultfile.ResultError, match=r"none\.json: No such file"):
        resultfile.read(tmp_path / "none.json")


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.name)
def test_recorded_results_read(file: Path) -> None:
    found = resultfile.read(file)
    assert resultfile.headlines(found["rows"], found["targets"][0])
    assert {name for row in found["rows"] for name in row} >= set(resultfile.KEY)


@pytest.mark.parametrize(
    ("value", "text"),
    [(32_810.4, "32,810 s"), (1.034, "1.03 s"), (0.32, "320 ms"), (0.00291, "2.91 ms"), (2.5e-7, "0.25 us")],
)
def test_seconds_are_written_with_three_digits_and_a_unit(value: float, text: str) -> None:
    assert tables.seconds(value) == text


def test_every_row_is_in_the_table_beside_its_spread() -> None:
    text = tables.markdown(result())
    assert "| **ours, native** | 10 ms (5 ms to 20 ms) |" in text
    assert "| Peer 1.0 | 1 s (500 ms to 2 s) |" in text
    assert "| ours, native | array to frame | avx2 | 1,000,000 |  | 16 | 10 ms | 5 ms to 20 ms | 5 | 2.75 |" in text
    assert "abc, with changes" in text
    assert "- nobody: too slow" in text


def test_what_was_scaled_says_so() -> None:
    made: dict[str, Any] = result()
    for row in made["rows"]:
        row["values"] = 4_897
    assert tables.markdown(made).count("4,897, scaled") == 2


def test_reasons_are_told_once() -> None:
    output = "\n".join(
        [
            "SKIPPED [1] bench/bench_growth.py:71: paillier, native: 100,000 values would take 2.31 s",
            "SKIPPED [2] bench/bench_growth.py:75: paillier, native: 100,000 values would take 2.31 s",
            "3 passed, 2 skipped",
        ]
    )
    assert run.reasons(output) == ["paillier, native: 100,000 values would take 2.31 s"]


def test_the_short_version_leaves_out_what_is_slow_and_the_full_one_runs_every_target() -> None:
    short, full = (run.parts(version, ["avx2", "portable"]) for version in (run.SHORT, run.FULL))
    assert {part.selection for part in short} == {"not slow"}
    assert {part.target for part in short} == {"avx2"}
    assert {part.target for part in full} == {"avx2", "portable"}
    assert all(part.needed != part.files[0].startswith("bench_peer_") for part in short + full)


def test_every_benchmark_is_in_the_full_version() -> None:
    there = {file.name for file in (Path(run.ROOT) / "bench").glob("bench_*.py")}
    assert {name for part in run.parts(run.FULL, ["avx2"]) for name in part.files} == there


def test_results_are_json_without_numbers_it_cannot_have() -> None:
    json.dumps(result(), allow_nan=False)

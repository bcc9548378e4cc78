"""bench/compare.py: a verdict for every row, and no ratio between machines that nobody asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import compare
import resultfile
from samples import result

COMMAND = Path(compare.__file__)


def row(least: float, median: float, most: float, **other: Any) -> resultfile.Row:
    base = {"group": "add", "who": "ours", "what": "it", "target": "avx2", "values": 10, "clients": None, "bits": 16}
    return base | {"least_s": least, "median_s": median, "most_s": most} | other


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ((9, 10, 11), (4, 5, 6), compare.FASTER),
        ((4, 5, 6), (9, 10, 11), compare.SLOWER),
        ((9, 10, 11), (9, 10, 11), compare.WITHIN),
        ((9, 10, 11), (9.5, 10.5, 12), compare.WITHIN),
        ((9, 10, 11), (7, 8, 10.5), compare.WITHIN),  # one slow repetition of the new is slower than the old's median
        ((9, 10, 30), (4, 5, 9.5), compare.FASTER),  # one slow repetition of the old hides nothing
    ],
)
def test_a_change_is_told_only_where_each_median_lies_outside_the_others_spread(
    before: tuple[float, float, float], after: tuple[float, float, float], verdict: str
) -> None:
    change = compare.Change(row(*before), row(*after))
    assert change.verdict == verdict
    assert change.ratio == pytest.approx(after[1] / before[1])


def test_rows_meet_by_what_they_measure_and_the_rest_is_counted() -> None:
    first, second = result(), result(seconds=0.001)
    second["rows"] = [one for one in second["rows"] if one["group"] != "add"]
    both, alone = compare.changes(first, second)
    assert {change.before["group"] for change in both} == {one["group"] for one in second["rows"]}
    assert {one["group"] for one in alone} == {"add"}
    text = compare.report(first, second)
    assert "2 rows are in one file alone" in text
    assert text.splitlines()[1].split()[:2] == ["0.100", "faster"], "the verdicts come first"


def test_other_bits_or_clients_are_other_rows() -> None:
    first, second = result(), result()
    for one in second["rows"]:
        one["bits"] = 8
    assert compare.changes(first, second)[0] == []


def test_different_machines_are_refused_with_the_words_that_allow_it() -> None:
    first, second = result(), result()
    second["machine"]["cpu"] = {"model": "Model 2", "cache": "1 KB", "telling_flags": ["avx2", "adx"]}
    with pytest.raises(resultfile.ResultError, match='--across "Model 2"'):
        compare.check_same_machine(first, second, None)
    with pytest.raises(resultfile.ResultError, match="different machines"):
        compare.check_same_machine(first, second, "Model 1")
    compare.check_same_machine(first, second, "Model 2")


def test_the_number_of_processors_makes_another_machine() -> None:
    first, second = result(), result()
    second["machine"]["cores"] = 64
    with pytest.raises(resultfile.ResultError, match="cores differ"):
        compare.check_same_machine(first, second, None)


def test_the_command_compares_two_files_and_refuses_a_third(tmp_path: Path) -> None:
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file, seconds in zip(files, (0.01, 0.001), strict=True):
        resultfile.write(result(seconds=seconds), file)
    ran = subprocess.run([sys.executable, str(COMMAND), *map(str, files)], capture_output=True, text=True, check=True)
    assert "faster" in ran.stdout
    refused = subprocess.run(
        [sys.executable, str(COMMAND), str(files[0]), "/nowhere.json"], capture_output=True, text=True, check=False
    )
    assert refused.returncode != 0
    assert "cannot read /nowhere.json" in refused.stderr

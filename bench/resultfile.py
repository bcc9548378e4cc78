"""A results file: JSON of a machine, a commit, and a row per benchmark. Made from pytest-benchmark's records.

A row's seconds are of its `values`, as measured; `per_million` scales them where rows of different counts are shown
side by side, and whoever shows them says so.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FORMAT = 2
MILLION = 1_000_000
FLOAT32_BYTES = 4
KEY = ("group", "who", "what", "target", "values", "clients", "bits")
"""What two rows of two files must share to be of the same thing."""

Row = dict[str, Any]
Result = dict[str, Any]


class ResultError(Exception):
    """A results file that cannot be used; says why."""


def rows_of(benchmark: dict[str, Any], target: str) -> list[Row]:
    """The rows of one benchmark of pytest-benchmark's record: one, and one for each part that it took apart."""
    extra, stats = benchmark["extra_info"], benchmark["stats"]
    if extra["seconds"]:
        whole = _row(extra, target, extra["seconds"])
    else:
        whole = _row(extra, target, [stats["min"], stats["median"], stats["max"]])
        whole["repetitions"] = stats["rounds"]
    parts = extra["parts"] or {}
    of_a_part = {"bytes_per_value": None, "error": None}
    return [whole, *(_row(extra, target, taken) | {"what": part} | of_a_part for part, taken in parts.items())]


def _row(extra: dict[str, Any], target: str, seconds: list[float]) -> Row:
    # Eight digits of a second's fraction would be noise, and the files are committed.
    return {
        "group": extra["group"],
        "who": extra["who"],
        "what": extra["what"],
        "target": "" if extra["is_peer"] else target,
        "is_peer": extra["is_peer"],
        "is_headline": extra["is_headline"],
        "values": extra["values"],
        "clients": extra["clients"],
        "bits": extra["bits"],
        "bytes_per_value": None if extra["bytes"] is None else round(extra["bytes"] / extra["values"], 4),
        "error": None if extra["error"] is None else _digits(extra["error"], 3),
        "note": extra["note"],
        "encrypts": extra.get("encrypts", True),
        "repetitions": len(seconds),
        "median_s": _digits(statistics.median(seconds), 4),
        "least_s": _digits(min(seconds), 4),
        "most_s": _digits(max(seconds), 4),
    }


def per_million(row: Row, name: str = "median_s") -> float:
    """Seconds for a million values, scaled where fewer or more were measured."""
    return float(row[name]) * MILLION / float(row["values"])


def is_scaled(row: Row) -> bool:
    return bool(row["values"] != MILLION)


def headlines(rows: Iterable[Row], target: str) -> dict[str, dict[str, Row]]:
    """who -> step -> the row that stands for it in the comparison: ours under `target`, and the peers'."""
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row["is_headline"] and row["target"] in ("", target):
            found.setdefault(row["who"], {})[row["group"]] = row
    steps = ("encrypt", "add", "decrypt")
    whole = {who: of for who, of in found.items() if all(step in of for step in steps)}
    return dict(sorted(whole.items(), key=lambda entry: sum(per_million(entry[1][step]) for step in steps)))


def expansion(row: Row) -> float | None:
    """Bytes on the wire for each byte of float32."""
    return None if row["bytes_per_value"] is None else row["bytes_per_value"] / FLOAT32_BYTES


def write(result: Result, file: Path) -> None:
    """A row to a line, so that two files can be compared by eye too."""
    rows = ",\n".join("  " + json.dumps(row) for row in result["rows"])
    head = json.dumps({name: value for name, value in result.items() if name != "rows"}, indent=1)
    file.write_text(f'{head[:-2]},\n "rows": [\n{rows}\n ]\n}}\n', encoding="utf-8")


def read(file: Path) -> Result:
    """Raises ResultError for a file that is not one of these."""
    try:
        result: Result = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultError(f"cannot read {file}: {error.strerror}") from None
    except ValueError as error:
        raise ResultError(f"{file} is not JSON: {error}") from None
    found = result.get("format") if isinstance(result, dict) else None
    if found != FORMAT:
        raise ResultError(f"{file} has format {found}, not {FORMAT}; record it anew with bench/run.py")
    return result


def _digits(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")

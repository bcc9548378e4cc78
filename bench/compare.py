"""Two results of one machine, row by row: `python bench/compare.py BEFORE.json AFTER.json`.

A row's ratio is the median after by the median before. It is "faster" or "slower" only where each median lies outside
the other's spread, least to most; otherwise "within the spread". Files of different machines are refused unless the
other machine is named: `--across "MODEL"`, as the refusal spells it. A spread within a run knows nothing of another
run's load: record both on a quiet machine, one after the other.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from resultfile import KEY, Result, ResultError, Row, read
from tables import seconds

FASTER, SLOWER, WITHIN = "faster", "slower", "within the spread"


@dataclass(frozen=True)
class Change:
    """A row of both files."""

    before: Row
    after: Row

    @property
    def ratio(self) -> float:
        return float(self.after["median_s"] / self.before["median_s"])

    @property
    def verdict(self) -> str:
        before, after = self.before, self.after
        if after["median_s"] < before["least_s"] and before["median_s"] > after["most_s"]:
            return FASTER
        if after["median_s"] > before["most_s"] and before["median_s"] < after["least_s"]:
            return SLOWER
        return WITHIN

    def line(self) -> str:
        row = self.before
        about = [row["group"], row["who"], row["what"], row["target"], f"{row['values']:,} values"]
        about += [f"{row[name]} {name}" for name in ("clients", "bits") if row[name] is not None]
        times = f"{seconds(row['median_s']):>8} -> {seconds(self.after['median_s']):>8}"
        return f"{self.ratio:7.3f}  {self.verdict:17}  {times}  {'; '.join(part for part in about if part)}"


def check_same_machine(before: Result, after: Result, across: str | None) -> None:
    """Raises ResultError where the files are of different machines and `across` is not the second one's model."""
    first, second = (result["machine"]["cpu"] for result in (before, after))
    if first == second and before["machine"]["cores"] == after["machine"]["cores"]:
        return
    if across == second["model"]:
        return
    differing = [name for name in first if first[name] != second.get(name)] or ["cores"]
    raise ResultError(
        f"these are of different machines ({first['model']}; {second['model']}: {', '.join(differing)} differ); "
        f'a ratio would say little about the code. To see it all the same: --across "{second["model"]}"'
    )


def changes(before: Result, after: Result) -> tuple[list[Change], list[Row]]:
    """Rows of both, in the order of the first file; and those of one file alone."""
    first, second = ({_key(row): row for row in result["rows"]} for result in (before, after))
    both = [Change(row, second[key]) for key, row in first.items() if key in second]
    alone = [row for key, row in (first | second).items() if key not in first or key not in second]
    return both, alone


def report(before: Result, after: Result) -> str:
    """Verdicts first, the largest changes on top, then how many rows there are of each kind."""
    both, alone = changes(before, after)
    order = {FASTER: 0, SLOWER: 1, WITHIN: 2}
    lines = ["  ratio  verdict              before      after  row"]
    lines += [change.line() for change in sorted(both, key=lambda one: (order[one.verdict], -abs(one.ratio - 1)))]
    counts = [f"{sum(change.verdict == verdict for change in both)} {verdict}" for verdict in order]
    lines += ["", f"{before['commit']['id'][:10]} -> {after['commit']['id'][:10]}: {', '.join(counts)}"]
    if alone:
        lines.append(f"{len(alone)} rows are in one file alone")
    return "\n".join(lines)


def _key(row: Row) -> tuple[object, ...]:
    return tuple(row[name] for name in KEY)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--across", metavar="MODEL", help="compare with another machine, named by its processor")
    options = parser.parse_args()
    try:
        before, after = read(options.before), read(options.after)
        check_same_machine(before, after, options.across)
    except ResultError as error:
        sys.exit(str(error))
    print(report(before, after))


if __name__ == "__main__":
    main()

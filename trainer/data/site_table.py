"""Sites by a table or by a pattern, for data sets that keep the images of several hospitals in one folder.

A CSV file with a column of subjects and one of sites, and perhaps one of the split. Columns are found by name,
without regard to case, spaces and underscores; those of FeTS (Partition_ID, Subject_ID) and of FLamby's KiTS19
(case_ids, site_ids, train_test_split) and IXI (Patient ID, Manufacturer, Split) are among them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from trainer.data.pair import Pair, one_line, printable
from trainer.data.problems import Problems
from trainer.data.site import Site, pooled
from trainer.data.subject import Prepared
from trainer.data.walk import ending
from trainer.errors import DataError

MAX_BYTES = 2**26
SUBJECT_COLUMNS = ("subject", "subjectid", "patient", "patientid", "case", "caseid", "caseids", "name", "image", "id")
SITE_COLUMNS = ("site", "siteid", "siteids", "centre", "center", "hospital", "partitionid", "client", "manufacturer")
SPLIT_COLUMNS = ("split", "traintestsplit")
_HELD_OUT = {"train": False, "training": False, "test": True, "testing": True, "val": True, "validation": True}


@dataclass(frozen=True)
class Row:
    """A subject's site, and whether the table holds it out; None if it does not say."""

    site: str
    held_out: bool | None


def by_table(file: Path, sites: list[Site], problems: Problems) -> tuple[list[Site], list[str]]:
    """The scans of `sites` regrouped by the table in `file`, and notes; subjects without a row go to `problems`.

    A row stands for a scan if it names its subject, or the scan itself, with or without file ending. Raises
    DataError, naming the file, for a table that cannot be used.
    """
    rows = read_table(file)
    used: set[str] = set()
    groups: dict[str, list[Prepared]] = {}
    missing: set[str] = set()
    for scan in pooled(sites):
        key = next((name for name in _names(scan.pair) if name in rows), None)
        if key is None:
            missing.add(scan.pair.subject)
            continue
        used.add(key)
        row = rows[key]
        held_out = scan.pair.held_out if row.held_out is None else row.held_out
        chosen = replace(scan, pair=replace(scan.pair, held_out=held_out))
        groups.setdefault(row.site, []).append(chosen)
    for subject in sorted(missing):
        problems.add(f"{printable(file)}: no row for {subject}")
    _check_one_site_each(groups, printable(file), problems)
    notes = [f"sites by {printable(file)}"]
    if rows.keys() - used:
        notes.append(f"{printable(file)}: {len(rows.keys() - used)} row(s) of subjects that are not here")
    return [Site(name, tuple(groups[name])) for name in sorted(groups)], notes


def by_pattern(pattern: str, sites: list[Site], problems: Problems) -> tuple[list[Site], list[str]]:
    """The scans of `sites` regrouped by the group of `pattern` in their names; names without it go to `problems`."""
    groups: dict[str, list[Prepared]] = {}
    for scan in pooled(sites):
        found = re.search(pattern, scan.pair.name)
        if found is None or not found[1]:
            problems.add(f"{scan.pair.name}: data.site_pattern={pattern!r} is not in this name")
            continue
        groups.setdefault(_site_name(found[1]), []).append(scan)
    _check_one_site_each(groups, f"data.site_pattern={pattern!r}", problems)
    return [Site(name, tuple(groups[name])) for name in sorted(groups)], [f"sites by data.site_pattern={pattern!r}"]


def read_table(file: Path) -> dict[str, Row]:
    """Subject -> row. Raises DataError, naming the file and all lines that are wrong."""
    try:
        if file.stat().st_size > MAX_BYTES:
            raise DataError(
                f"data.sites={printable(file)}: has more than {MAX_BYTES} bytes; that is no list of subjects"
            )
        with file.open(encoding="utf-8-sig", newline="") as stream:
            sample = stream.readline()
            stream.seek(0)
            delimiter = max(",;\t", key=sample.count)
            lines = list(csv.reader(stream, delimiter=delimiter, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        what = error.strerror if isinstance(error, OSError) else one_line(error)
        raise DataError(f"data.sites={printable(file)}: cannot be read as CSV: {what}") from None
    header = [re.sub("[^a-z0-9]", "", name.lower()) for name in (lines[0] if lines else [])]
    subject, site = _column(header, SUBJECT_COLUMNS), _column(header, SITE_COLUMNS)
    if subject is None or site is None:
        raise DataError(
            f"data.sites={printable(file)}: has the columns {printable(', '.join(lines[0])) if lines else 'none'}; "
            "expected one named subject (or patient, case, id) and one named site (or centre, hospital)"
        )
    return _rows(file, lines, len(header), (subject, site, _column(header, SPLIT_COLUMNS)))


def _rows(file: Path, lines: list[list[str]], width: int, columns: tuple[int, int, int | None]) -> dict[str, Row]:
    subject, site, split = columns
    rows: dict[str, Row] = {}
    problems = Problems()
    for number, line in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in line):
            continue
        if len(line) != width or not line[subject].strip() or not line[site].strip():
            problems.add(f"line {number}: has {len(line)} cells, or an empty one; {width} are needed")
            continue
        said = "" if split is None else line[split].strip().lower()
        if split is not None and said not in _HELD_OUT:
            problems.add(f"line {number}: split is {printable(line[split])!r}; expected train or test")
            continue
        row = Row(_site_name(line[site].strip()), None if split is None else _HELD_OUT[said])
        name = _plain(line[subject].strip())
        if rows.setdefault(name, row) != row:
            problems.add(f"line {number}: {printable(name)} has another site or split in a line before")
    problems.raise_if_any(f"data.sites={printable(file)} cannot be used as it is:")
    if not rows:
        raise DataError(f"data.sites={printable(file)}: has no line but the first")
    return rows


def _column(header: list[str], names: Iterable[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _names(pair: Pair) -> list[str]:
    """What a table may call `pair`, the most telling name first."""
    whole = [pair.subject, pair.name]
    return [*whole, *(PurePosixPath(name).name for name in whole)]


def _plain(subject: str) -> str:
    return printable(subject[: len(subject) - len(ending(subject))])


def _site_name(text: str) -> str:
    """A site called 3 becomes site-3; a name must not look like a path."""
    name = printable(text).replace("/", "-").replace("\\", "-")
    return f"site-{name}" if name.isdigit() else name


def _check_one_site_each(groups: Mapping[str, list[Prepared]], by: str, problems: Problems) -> None:
    where: dict[str, str] = {}
    for site, scans in groups.items():
        for scan in scans:
            if where.setdefault(scan.pair.subject, site) != site:
                problems.add(f"{scan.pair.subject}: {by} puts one subject at {where[scan.pair.subject]} and {site}")

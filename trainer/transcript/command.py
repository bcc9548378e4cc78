"""`dcsfl-train audit`: each log by itself, then all of them against each other."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from trainer.errors import RunFolderError
from trainer.interruption import FAILED
from trainer.run_folder import TRANSCRIPTS
from trainer.terminal import errors_in_a_line
from trainer.transcript.audit import Audit
from trainer.transcript.audit import audit as compare
from trainer.transcript.chain import Chain, TranscriptError, read_chain


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN_FOLDER|FILE...")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="A table, or one JSON object."
)
def audit(paths: tuple[Path, ...], form: str) -> None:
    """Check transcripts: that none was changed after the fact, and that the parties' tell the same of every round.

    Takes a run folder, whose logs are in transcripts/, or the logs that the parties hand over, one file each. Ends
    with status 1 where a log was changed or two do not fit each other, and names the entry.

    \b
    Examples:
      dcsfl-train audit runs/demo/20260131-120000
      dcsfl-train audit client-0.jsonl client-1.jsonl aggregation.jsonl
    """
    with errors_in_a_line():
        chains, broken = read(files_of(paths))
        found = compare(chains)
        found.findings[:0] = broken
        if form == "json":
            click.echo(json.dumps(as_json(found, chains)))
        else:
            show(found, chains, Console(width=None if sys.stdout.isatty() else 160))
        if found.all_findings:
            sys.exit(FAILED)


def files_of(paths: Sequence[Path]) -> list[Path]:
    """The logs behind run folders and files. Raises RunFolderError where there is none."""
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        # A federation on one machine has its sites' folders below the run's.
        logs = sorted(
            {*path.glob(f"{TRANSCRIPTS}/*.jsonl"), *path.glob(f"federation/sites/**/{TRANSCRIPTS}/*.jsonl")}
        )
        if not logs and not (path / "config.yaml").exists():
            logs = sorted(path.glob("*.jsonl"))
        if not logs:
            raise RunFolderError(f"{path} holds no transcripts: its method averages nothing, or it is of before them")
        files += logs
    return files


def read(files: Sequence[Path]) -> tuple[list[Chain], list[str]]:
    """The logs that are sound by themselves, and what is wrong with the others. Raises RunFolderError."""
    chains, broken = [], []
    for file in files:
        try:
            chains.append(read_chain(str(file), file.read_bytes()))
        except TranscriptError as error:
            broken.append(str(error))
        except OSError as error:
            raise RunFolderError(f"cannot read {file}: {error.strerror}") from None
    return chains, broken


def as_json(found: Audit, chains: Sequence[Chain]) -> dict[str, Any]:
    """What `--format json` prints."""
    return {
        "logs": [
            {"file": chain.name, "party": chain.party, "entries": len(chain.entries), "head": chain.head}
            for chain in chains
        ],
        "rounds": [
            {
                "round": about.number,
                "participants": about.first("participants"),
                "sum": about.first("sum"),
                "result": next((said["result"] for said in about.of("accepted")), None),
                "outcome": about.outcome,
                "findings": about.findings,
            }
            for about in found.rounds
        ],
        "findings": found.all_findings,
        "notes": found.notes,
    }


def show(found: Audit, chains: Sequence[Chain], out: Console) -> None:
    """Tables, then everything that does not fit."""
    logs = Table("log", "party", "entries", "head", title="each log by itself: unbroken")
    for chain in chains:
        logs.add_row(chain.name, chain.party, str(len(chain.entries)), chain.head[:16])
    out.print(logs)
    if found.rounds:
        table = Table("round", "clients", "weight", "sum", "result", "outcome", "fits", title="all logs, by round")
        for about in found.rounds:
            parts = about.first("participants") or []
            result = next((said["result"] for said in about.of("accepted")), None)
            table.add_row(
                str(about.number),
                str(len(parts) or "–"),  # noqa: RUF001
                str(sum(weight for _, weight in parts) or "–"),  # noqa: RUF001
                (about.first("sum") or "–")[:16],  # noqa: RUF001
                (result or "–")[:16],  # noqa: RUF001
                about.outcome,
                "NO" if about.findings else "yes",
            )
        out.print(table)
    for kind, lines in (("note", found.notes), ("mismatch", found.all_findings)):
        for line in lines:
            out.print(f"{kind}: {line}", markup=False, highlight=False, soft_wrap=True)
    entries = sum(len(chain.entries) for chain in chains)
    verdict = "do not fit" if found.all_findings else "fit each other"
    out.print(f"{len(chains)} logs, {entries} entries, {len(found.rounds)} rounds: they {verdict}")

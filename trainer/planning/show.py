"""A plan for people, as two tables and a sentence, and for programs, as one JSON object."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from trainer.planning.prediction import Workload
from trainer.planning.recommendation import Candidate, Recommendation, Wishes, objections
from trainer.planning.survey import Progress as Report

ASSUMED = (
    "a round's slowest path: clients work at the same time on machines like this one, each on a line of its own; "
    "the server's line is faster than theirs all together. < where it was too slow to measure how it grows"
)


@contextmanager
def progress_bar(console: Console) -> Iterator[Report]:
    """A bar on a terminal, nothing elsewhere; gives the function that moves it."""
    columns = (TextColumn("measuring {task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=1.0)

        def report(name: str, share: float) -> None:
            bar.update(task, description=name, completed=share)

        yield report


def seconds(value: float) -> str:
    """Three digits and a unit: `2.91 ms`, `1,234 s`."""
    unit, factor = next((pair for pair in (("s", 1.0), ("ms", 1e-3)) if value >= pair[1]), ("us", 1e-6))
    scaled = value / factor
    return f"{scaled:,.0f} {unit}" if scaled >= 100 else f"{scaled:.3g} {unit}"


def print_plan(
    workload: Workload, wishes: Wishes, candidates: Sequence[Candidate], recommendation: Recommendation
) -> None:
    """The tables, and the recommendation below."""
    out = Console(width=None if sys.stdout.isatty() else 160)
    out.print(_costs(workload, candidates, recommendation))
    out.print(_promises(workload, wishes, candidates, recommendation))
    chosen = recommendation.candidate
    if chosen is not None:
        out.print(f"recommended: {recommendation.why}", soft_wrap=True, highlight=False, markup=False)
        out.print(f"set {' '.join(overrides(chosen, workload))}", soft_wrap=True, highlight=False, markup=False)


def _costs(workload: Workload, candidates: Sequence[Candidate], recommendation: Recommendation) -> Table:
    table = Table(
        title=f"a round of {workload.clients} clients, {workload.codec.value_count:,} values each, "
        f"{workload.codec.bits} bits a value, lines of {workload.bits_per_second / 1e6:g} Mbit/s",
        caption=ASSUMED,
    )
    table.add_column("scheme", no_wrap=True)
    sums = f"add all {workload.clients}"
    for name in ("encrypt", "upload", sums, "download", "decrypt", "round", "bytes up", "bits a value"):
        table.add_column(name, justify="right")
    for candidate in candidates:
        prediction = candidate.prediction
        if prediction is None:
            continue
        table.add_row(
            f"{candidate.scheme}, {candidate.backend}",
            seconds(prediction.encrypt_seconds),
            seconds(prediction.upload_seconds),
            seconds(prediction.add_seconds),
            seconds(prediction.download_seconds),
            seconds(prediction.decrypt_seconds),
            ("< " if prediction.is_bound else "") + seconds(prediction.total_seconds),
            f"{prediction.upload_bytes:,}",
            f"{prediction.bits_per_value:.1f}",
            style="bold" if candidate is recommendation.candidate else None,
        )
    return table


def _promises(
    workload: Workload, wishes: Wishes, candidates: Sequence[Candidate], recommendation: Recommendation
) -> Table:
    table = Table(
        *("scheme", "error", "trust", "security", "set-up", "verdict"),
        caption="error: of the mean at most, relative to a value's clip limit; ~ where the scheme states none: the "
        "largest seen. set-up: once, keys included",
    )
    for candidate in candidates:
        offered, error, prediction = candidate.capabilities, candidate.mean_error, candidate.prediction
        is_chosen = candidate is recommendation.candidate
        against = "; ".join(objections(candidate, wishes, workload.codec))
        table.add_row(
            f"{candidate.scheme}, {candidate.backend}",
            "" if error is None else f"{'' if candidate.is_error_stated else '~'}{error:.1e}",
            "" if offered is None else offered.trust.label,
            "" if offered is None else f"{offered.security_bits} bits" if offered.encrypts else "none",
            "" if prediction is None else seconds(prediction.setup_seconds),
            escape("recommended" if is_chosen else f"ruled out: {against}" if against else "would do"),
            style="bold" if is_chosen else None,
        )
    return table


def overrides(candidate: Candidate, workload: Workload) -> list[str]:
    """What makes a run use `candidate`."""
    settings: dict[str, Any] = {"scheme": candidate.scheme, "backend": candidate.backend}
    settings |= {f"parameters.{name}": value for name, value in candidate.parameters.items()}
    settings |= {"bits": workload.codec.bits, "k_max": workload.codec.k_max}
    return [f"encryption.{name}={value}" for name, value in settings.items()]


def as_json(
    workload: Workload, wishes: Wishes, candidates: Sequence[Candidate], recommendation: Recommendation
) -> dict[str, Any]:
    """Everything the tables show, in seconds, bytes and bits."""
    chosen = recommendation.candidate
    return {
        "workload": {
            "values": workload.codec.value_count,
            "clients": workload.clients,
            "bits": workload.codec.bits,
            "k_max": workload.codec.k_max,
            "bits_per_second": workload.bits_per_second,
        },
        "wishes": {
            "trust": wishes.trust.label,
            "security_bits": wishes.security_bits,
            "mean_error": wishes.mean_error,
        },
        "candidates": [_row(candidate, wishes, workload) for candidate in candidates],
        "recommended": None if chosen is None else {"scheme": chosen.scheme, "backend": chosen.backend},
        "overrides": [] if chosen is None else overrides(chosen, workload),
        "why": recommendation.why,
    }


def _row(candidate: Candidate, wishes: Wishes, workload: Workload) -> dict[str, Any]:
    offered, prediction = candidate.capabilities, candidate.prediction
    return {
        "scheme": candidate.scheme,
        "backend": candidate.backend,
        "parameters": dict(candidate.parameters),
        "trust": None if offered is None else offered.trust.label,
        "trust_sentence": None if offered is None else offered.trust.sentence,
        "security_bits": None if offered is None else offered.security_bits,
        "mean_error": candidate.mean_error,
        "is_error_stated": candidate.is_error_stated,
        "prediction": None if prediction is None else prediction.as_row(),
        "ruled_out": list(objections(candidate, wishes, workload.codec)),
    }

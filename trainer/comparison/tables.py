"""The results as files for other programs: CSV, JSON, and tables for LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from trainer.comparison.claims import Claim
from trainer.comparison.convergence import SHARES, reach, reference
from trainer.comparison.pairs import TEST, Pair
from trainer.comparison.results import Results, Spread


def cell_rows(results: Results) -> list[dict[str, Any]]:
    """A row per run and client: the final metrics; bytes and seconds are those of the whole run."""
    return [
        {
            "variant": result.cell.variant.name,
            "method": result.cell.variant.method,
            "overrides": " ".join(result.cell.variant.overrides),
            "seed": result.cell.seed,
            "client": client.name,
            "training_images": client.train,
            "test_images": client.test,
            "rounds": len(result.run.rounds),
            "image_passes": result.image_passes,
            "run_bytes": result.curve.bytes[-1],
            "run_seconds": result.curve.seconds[-1],
            "run_encryption_seconds": result.encryption_seconds,
            "runs_beside": result.record.beside,
            "peak_bytes": result.record.peak_bytes or None,
            "data_sha256": result.run.data.sha256,
            **result.final.clients.get(client.name, {}),
        }
        for result in results.cells.values()
        for client in result.run.data.clients
    ]


def summary_rows(results: Results) -> list[dict[str, Any]]:
    """A row per variant: mean and sd over seeds of every metric, worst client, cost, and what convergence took."""
    rows = []
    for variant in results.variants:
        sent, seconds = results.totals(variant)
        row: dict[str, Any] = {"variant": variant.name, "method": variant.method, "seeds": len(results.of(variant))}
        for metric in results.metrics:
            row |= _columns(metric, results.spread(variant, metric))
        row |= _columns(f"{results.primary} worst client", results.worst_client(variant))
        row |= _columns(f"{results.primary} sd over clients", results.client_deviation(variant))
        row |= {"run_bytes": sent} | _columns("run_seconds", seconds)
        for share in SHARES:
            got = reach(results, variant, share)
            row |= {f"reach {share:.0%} {key}": value for key, value in asdict(got).items() if key != "seeds"}
        rows.append(row)
    return rows


def pair_rows(pairs: Iterable[Pair]) -> list[dict[str, Any]]:
    """A row per pair of variants."""
    return [
        {
            "one": pair.one,
            "other": pair.other,
            "difference": pair.difference,
            "low_95": pair.interval[0] if pair.interval else None,
            "high_95": pair.interval[1] if pair.interval else None,
            "seeds_same_sign": pair.same_sign,
            "seeds": len(pair.by_seed),
            "pairs_that_differ": pair.test.pairs,
            "signed_rank": pair.test.statistic,
            "p": pair.test.p,
            "p_holm": pair.p,
        }
        for pair in pairs
    ]


def csv_text(rows: list[dict[str, Any]]) -> str:
    """Rows as CSV, the columns being the union of theirs."""
    text = io.StringIO()
    writer = csv.DictWriter(
        text, list(dict.fromkeys(column for row in rows for column in row)), restval="", lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_json(results: Results, pairs: list[Pair], claims: list[Claim], remarks: list[str]) -> dict[str, Any]:
    """Everything the page says in numbers, and the curves it draws."""
    return {
        "primary": results.primary,
        "seeds": list(results.plan.seeds),
        "variants": summary_rows(results),
        "cells": cell_rows(results),
        "pairs": pair_rows(pairs),
        "test": TEST,
        "remarks": remarks,
        "reference": reference(results).name,
        "claims": [asdict(claim) for claim in claims],
        "curves": [
            {"variant": name, "seed": seed, **asdict(result.curve)} for (name, seed), result in results.cells.items()
        ],
        "left_out": results.plan.left_out,
        "failed": results.failed,
        "config": results.plan.shared.model_dump(mode="json"),
    }


def _columns(name: str, spread: Spread | None) -> dict[str, float | None]:
    return {
        f"{name} mean": spread.mean if spread else None,
        f"{name} sd": spread.deviation if spread else None,
    }

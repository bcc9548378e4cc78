"""What it takes to come close to the reference: rounds, bytes and seconds until a share of its result is reached."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.comparison import statistics
from trainer.comparison.plan import Variant
from trainer.comparison.results import Results

SHARES = (0.90, 0.95, 0.99)


@dataclass(frozen=True)
class Reached:
    """Means over the seeds that got there. reached: their number, of `seeds`; the others are None where it is 0."""

    reached: int
    seeds: int
    rounds: float | None
    bytes: float | None
    seconds: float | None


def reference(results: Results) -> Variant:
    """Whose final result is the measure: centralised where it is there, else the best variant."""

    def score(variant: Variant) -> float:
        spread = results.spread(variant, results.primary)
        return spread.mean if spread else float("-inf")

    return results.first("centralised") or max(results.variants, key=score)


def reach(results: Results, variant: Variant, share: float) -> Reached:
    """When `variant` first has `share` of the reference's final primary metric, seed by seed."""
    pairs = list(results.paired(variant, reference(results)))
    found = []
    for mine, theirs in pairs:
        target = share * theirs.curve.scores[-1]
        first = next((index for index, score in enumerate(mine.curve.scores) if score >= target), None)
        if first is not None:
            curve = mine.curve
            found.append((float(curve.rounds[first]), float(curve.bytes[first]), curve.seconds[first]))
    if not found:
        return Reached(0, len(pairs), None, None, None)
    rounds, sent, seconds = (statistics.mean(list(column)) for column in zip(*found, strict=True))
    return Reached(len(found), len(pairs), rounds, sent, seconds)

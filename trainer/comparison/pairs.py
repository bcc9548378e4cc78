"""Differences between variants, paired by seed and client, and whether they could be chance."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

from trainer.comparison import statistics
from trainer.comparison.results import Results
from trainer.comparison.statistics import SignedRank
from trainer.report import formats

TEST = "Wilcoxon signed-rank test, two-sided, exact, over pairs of the same seed and client; Holm-corrected"
LEVEL = 0.05


@dataclass(frozen=True)
class Pair:
    """Two variants on the primary metric: the first less the second.

    by_seed: differences of the mean over clients; interval: 95 %, Student's t over these; None of one seed.
    test: over seeds and clients. p: its p-value, Holm-corrected over all pairs of the comparison.
    """

    one: str
    other: str
    difference: float
    by_seed: tuple[float, ...]
    interval: tuple[float, float] | None
    test: SignedRank
    p: float

    @property
    def same_sign(self) -> int:
        """Seeds whose difference points where the mean one does."""
        return sum(value * self.difference > 0 for value in self.by_seed)


def compare_pairs(results: Results) -> list[Pair]:
    """All pairs of variants that have a seed in common, in the order of the variants."""
    found = []
    for one, other in combinations(results.variants, 2):
        by_seed, by_client = [], []
        for left, right in results.paired(one, other):
            mine, theirs = results.of_clients(left), results.of_clients(right)
            differences = [mine[name] - theirs[name] for name in mine if name in theirs]
            by_client += differences
            if differences:
                by_seed.append(statistics.mean(differences))
        if by_seed:
            found.append((one.name, other.name, tuple(by_seed), statistics.signed_rank(by_client)))
    corrected = statistics.holm([test.p for *_, test in found])
    return [
        Pair(one, other, statistics.mean(by_seed), by_seed, statistics.t_interval(by_seed), test, p)
        for (one, other, by_seed, test), p in zip(found, corrected, strict=True)
    ]


def remarks(results: Results, pairs: list[Pair]) -> list[str]:
    """What a reader must know before the p-values are believed."""
    seeds, clients = len(results.plan.seeds), len(results.data.clients)
    most = max((pair.test.pairs for pair in pairs), default=0)
    least = min(1.0, 2.0 ** (1 - most) * len(pairs)) if most else 1.0
    told = [
        f"The {seeds} times {clients} differences of a pair are not independent: clients of one seed share a model "
        "(or its training), and seeds share images. Tests that take them for independent find too much; read p as a "
        "measure of how consistently one is ahead on these clients, not as evidence about other hospitals.",
        f"With {most} pairs that differ, and {len(pairs)} comparisons corrected for, the least p possible is "
        f"{formats.p_value(least)}"
        + (f": no difference can come out below {LEVEL}, whatever its size. Add seeds." if least >= LEVEL else "."),
        "The interval is Student's t over seeds alone, the units that are drawn anew: it is wide with few of them, "
        "and honest.",
    ]
    if results.seeds_share_data:
        told.append("All seeds see the same images and the same split; they differ in weights and order of images.")
    else:
        told.append(
            "Each seed draws its own scanners or split: the spread over seeds holds that of the data too, which "
            "paired differences are free of."
        )
    return told

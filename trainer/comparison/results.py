"""What the cells of a comparison came to, read from their run folders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from trainer.comparison import statistics
from trainer.comparison.errors import ComparisonError
from trainer.comparison.folder import CellRecord, ComparisonFolder
from trainer.comparison.plan import Cell, Plan, Variant
from trainer.report import formats
from trainer.report.run_folder import Data, Evaluation, RunRecord, read_run

LOWER_IS_BETTER = ("hd95", "hd95_mm", "rmse")


@dataclass(frozen=True)
class Curve:
    """The primary metric after each evaluated round, and what had been spent by then.

    rounds count from 1. bytes: all that crossed between parties in training, 0 where a method needs no messages.
    seconds: wall time of the rounds without evaluation, all parties computing one after the other.
    """

    rounds: tuple[int, ...]
    scores: tuple[float, ...]
    bytes: tuple[int, ...]
    seconds: tuple[float, ...]


@dataclass(frozen=True)
class CellResult:
    """A finished cell."""

    cell: Cell
    run: RunRecord
    record: CellRecord

    @cached_property
    def final(self) -> Evaluation:
        """The metrics after the last round, not the best: choosing it by the test images would flatter."""
        return self.run.evaluated[-1][1]

    @cached_property
    def curve(self) -> Curve:
        talks = self.cell.variant.communicates
        sent = accumulate(
            (entry.cut_bytes + entry.aggregation_bytes + entry.handover_bytes if talks else 0)
            for entry in self.run.rounds
        )
        passed = accumulate(entry.wall_seconds - entry.evaluate_seconds for entry in self.run.rounds)
        points = [
            (entry.round + 1, entry.evaluation.mean[self.run.primary] or 0.0, sent_so_far, seconds)
            for entry, sent_so_far, seconds in zip(self.run.rounds, sent, passed, strict=True)
            if entry.evaluation is not None
        ]
        return Curve(*(tuple(column) for column in zip(*points, strict=True)))

    @property
    def image_passes(self) -> int:
        """Training images seen, each as often as it was."""
        sizes = {client.name: client.train for client in self.run.data.clients}
        pooled = sum(sizes.values())
        once = sum(
            sizes.get(name, pooled) for entry in self.run.rounds for name, took in entry.took_part.items() if took
        )
        return once * self.cell.config.training.local_epochs

    @property
    def encryption_seconds(self) -> float:
        return sum(entry.encryption_seconds for entry in self.run.rounds)


@dataclass(frozen=True)
class Spread:
    """Mean over seeds, and the standard deviation over seeds where there are several."""

    mean: float
    deviation: float | None
    seeds: int


@dataclass(frozen=True)
class Results:
    """All finished cells by (variant, seed), one at least; `failed` tells of the others why."""

    plan: Plan
    cells: dict[tuple[str, int], CellResult]
    failed: dict[str, str]

    @cached_property
    def data(self) -> Data:
        """The data of the first cell: names are those of every seed."""
        return next(iter(self.cells.values())).run.data

    @property
    def primary(self) -> str:
        """The metric that the task is judged by."""
        return next(iter(self.cells.values())).run.primary

    @cached_property
    def variants(self) -> list[Variant]:
        """Those that have a finished cell."""
        return [variant for variant in self.plan.variants if self.of(variant)]

    @cached_property
    def metrics(self) -> list[str]:
        """Every metric's name, those of single classes last."""
        names = dict.fromkeys(name for result in self.cells.values() for name in result.final.mean)
        return sorted(names, key=lambda name: "/" in name)

    @property
    def whole(self) -> list[str]:
        """Metrics over all classes."""
        return [name for name in self.metrics if "/" not in name]

    @property
    def classes(self) -> list[str]:
        """The primary metric of single classes, `dice/CLASS`."""
        return [name for name in self.metrics if name.startswith(f"{self.primary}/")]

    @property
    def seeds_share_data(self) -> bool:
        """Whether all seeds see the same images, equally split: the spread over seeds is that of training alone."""
        return len({result.run.data.sha256 for result in self.cells.values()}) == 1

    def of(self, variant: Variant) -> list[CellResult]:
        """Its finished cells, in the order of the seeds."""
        found = (self.cells.get((variant.name, seed)) for seed in self.plan.seeds)
        return [result for result in found if result is not None]

    def first(self, method: str) -> Variant | None:
        """The first variant of `method` that has a finished cell; None if none has."""
        return next((variant for variant in self.variants if variant.method == method), None)

    def spread(self, variant: Variant, metric: str) -> Spread | None:
        """Of the mean over clients; None where no run has the metric."""
        return _spread([result.final.mean.get(metric) for result in self.of(variant)])

    def worst_client(self, variant: Variant) -> Spread | None:
        """Of the primary metric at the client where it is worst, which may be another with every seed."""
        return _spread([min(self.of_clients(result).values(), default=None) for result in self.of(variant)])

    def client_deviation(self, variant: Variant) -> Spread | None:
        """Of the standard deviation of the primary metric over clients; None of a single client."""
        found = [statistics.deviation(list(self.of_clients(result).values())) for result in self.of(variant)]
        return _spread(found)

    def of_client(self, variant: Variant, client: str) -> Spread | None:
        """Of the primary metric on one client's test images."""
        return _spread([self.of_clients(result).get(client) for result in self.of(variant)])

    def of_clients(self, result: CellResult) -> dict[str, float]:
        """The primary metric of each client that has it."""
        scores = {name: scores.get(self.primary) for name, scores in result.final.clients.items()}
        return {name: value for name, value in scores.items() if value is not None}

    def paired(self, one: Variant, other: Variant) -> Iterator[tuple[CellResult, CellResult]]:
        """Their finished cells with the same seed."""
        for seed in self.plan.seeds:
            pair = self.cells.get((one.name, seed)), self.cells.get((other.name, seed))
            if pair[0] is not None and pair[1] is not None:
                yield pair[0], pair[1]

    def lines(self) -> list[str]:
        """The result of each variant in a line, for the screen."""
        lines = []
        for variant in self.variants:
            found, worst = self.spread(variant, self.primary), self.worst_client(variant)
            sent, seconds = self.totals(variant)
            lines.append(
                f"{variant.name}: {formats.metric_title(self.primary)} {spread_text(found, self.primary)}, worst "
                f"client {spread_text(worst, self.primary)}; a run sends {formats.bytes_(sent)} and computes "
                f"{formats.seconds(seconds.mean)}"
            )
        return lines

    def totals(self, variant: Variant) -> tuple[float, Spread]:
        """Bytes (mean over seeds) and seconds of a whole run."""
        curves = [result.curve for result in self.of(variant)]
        seconds = [curve.seconds[-1] for curve in curves]
        spread = Spread(statistics.mean(seconds), statistics.deviation(seconds), len(seconds))
        return statistics.mean([curve.bytes[-1] for curve in curves]), spread


def read_results(folder: ComparisonFolder, plan: Plan) -> Results:
    """Read every finished cell. Raises ReportError, and ComparisonError where cells saw different data."""
    records = folder.records()
    cells: dict[tuple[str, int], CellResult] = {}
    failed = {}
    for cell in plan.cells:
        record = records.get(cell.key, CellRecord())
        if folder.is_finished(cell):
            run = read_run(folder.run_folder(cell).path)
            cells[cell.variant.name, cell.seed] = CellResult(cell, run, record)
        else:
            failed[cell.name] = record.error or "not run"
    for seed in plan.seeds:
        seen = {result.run.data.sha256: result.cell.name for (_, of), result in cells.items() if of == seed}
        if len(seen) > 1:
            raise ComparisonError(
                f"{' and '.join(seen.values())} did not see the same images: data.json has different sha256. The "
                "files were changed in between: start a new comparison"
            )
    return Results(plan, cells, failed)


def is_better(metric: str, one: float, other: float) -> bool:
    """Whether `one` is at least as good a value of `metric` as `other`."""
    return one <= other if metric.partition("/")[0] in LOWER_IS_BETTER else one >= other


def spread_text(spread: Spread | None, metric: str, plus_minus: str = " ± ") -> str:
    """`0.776 ± 0.004`, to the metric's customary digits; the deviation is left out where there is one seed."""
    if spread is None:
        return formats.MISSING
    mean = formats.metric(spread.mean, metric)
    return mean if spread.deviation is None else f"{mean}{plus_minus}{formats.metric(spread.deviation, metric)}"


def _spread(values: list[float | None]) -> Spread | None:
    there = [value for value in values if value is not None]
    return Spread(statistics.mean(there), statistics.deviation(there), len(there)) if there else None

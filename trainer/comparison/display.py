"""What a comparison shows: bars on a terminal, lines otherwise, JSON lines, or nothing; and its log."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from trainer.comparison.folder import CellRecord
from trainer.comparison.plan import Cell
from trainer.display import round_line, summarise

Row = dict[str, Any]


class ComparisonDisplay:
    """Shows nothing; base of the others. `log` gets the lines that a person would read in any case."""

    def __init__(self, log: Callable[[str], None] = lambda text: None) -> None:
        self._log = log

    def __enter__(self) -> ComparisonDisplay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def begin(self, cells: int, finished: int) -> None:
        """There are so many cells, of which some are finished already."""
        return None

    def say(self, text: str) -> None:
        """Lines for people."""
        self._log(text)
        self._show(text)

    def cell_started(self, cell: Cell, finished_rounds: int) -> None:
        """A cell begins, or goes on after rounds that it has finished before."""
        self.say(_started(cell, finished_rounds))

    def round_done(self, cell: Cell, row: Row) -> None:
        """A row of the cell's metrics.jsonl."""
        return None

    def cell_ended(self, cell: Cell, record: CellRecord) -> None:
        """A cell has finished, or failed with `record.error`."""
        self.say(f"{cell.name}: " + ("finished" if record.error is None else f"failed: {record.error}"))

    def _show(self, text: str) -> None:
        return None


class JsonLines(ComparisonDisplay):
    """A JSON object per round on standard output: the row, and whose it is."""

    def round_done(self, cell: Cell, row: Row) -> None:
        print(json.dumps({"variant": cell.variant.name, "seed": cell.seed} | row), flush=True)


class Lines(ComparisonDisplay):
    """Plain lines, for logs."""

    def __init__(self, console: Console, log: Callable[[str], None]) -> None:
        super().__init__(log)
        self._console = console

    def round_done(self, cell: Cell, row: Row) -> None:
        self._show(f"{cell.name}: {round_line(row, cell.config.training.rounds)}")

    def _show(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class Bars(Lines):
    """A bar for all rounds of all cells, and one for each cell that runs."""

    def __init__(self, console: Console, log: Callable[[str], None]) -> None:
        super().__init__(console, log)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            refresh_per_second=4,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, cells: int, finished: int) -> None:
        self._all = self._progress.add_task("runs", total=cells, completed=finished, note="finished")

    def cell_started(self, cell: Cell, finished_rounds: int) -> None:
        self._log(_started(cell, finished_rounds))  # the bar shows it
        self._tasks[cell.key] = self._progress.add_task(
            cell.name, total=cell.config.training.rounds, completed=finished_rounds, note="starting"
        )

    def round_done(self, cell: Cell, row: Row) -> None:
        self._progress.update(self._tasks[cell.key], advance=1, note=summarise(row, most=1))

    def cell_ended(self, cell: Cell, record: CellRecord) -> None:
        self._progress.remove_task(self._tasks.pop(cell.key))
        self._progress.update(self._all, advance=int(record.error is None))
        super().cell_ended(cell, record)


def _started(cell: Cell, finished_rounds: int) -> str:
    return f"{cell.name}: " + (f"going on after round {finished_rounds}" if finished_rounds else "started")


def display_for(form: str, console: Console, log: Callable[[str], None]) -> ComparisonDisplay:
    """text: bars on a terminal, lines otherwise; json; quiet."""
    if form == "json":
        return JsonLines(log)
    if form == "quiet":
        return ComparisonDisplay(log)
    return Bars(console, log) if console.is_terminal else Lines(console, log)

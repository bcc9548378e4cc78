"""What a run shows: bars on a terminal, a line per round otherwise, JSON lines, or nothing; and its log."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Row = dict[str, Any]


class Display(Protocol):
    """Told what happens; `Row` is a row of metrics.jsonl."""

    def __enter__(self) -> Display: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def say(self, text: str) -> None:
        """A line for people."""
        ...

    def begin(self, first_round: int, rounds: int, batches: int) -> None:
        """Training starts at `first_round` of `rounds`, each of `batches` batches if every client takes part."""
        ...

    def batch(self, client: str, loss: float) -> None: ...

    def phase(self, text: str) -> None:
        """What the round is doing beside training, such as encrypting."""
        ...

    def round_done(self, row: Row) -> None: ...


class QuietDisplay:
    """Shows nothing; base of the others."""

    def __enter__(self) -> QuietDisplay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def say(self, text: str) -> None:
        return None

    def begin(self, first_round: int, rounds: int, batches: int) -> None:
        return None

    def batch(self, client: str, loss: float) -> None:
        return None

    def phase(self, text: str) -> None:
        return None

    def round_done(self, row: Row) -> None:
        return None


class JsonDisplay(QuietDisplay):
    """A JSON object per round on standard output."""

    def round_done(self, row: Row) -> None:
        print(json.dumps(row), flush=True)


class LineDisplay(QuietDisplay):
    """A plain line per round, for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rounds = 0

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def begin(self, first_round: int, rounds: int, batches: int) -> None:
        self._rounds = rounds

    def round_done(self, row: Row) -> None:
        self.say(round_line(row, self._rounds))


class BarDisplay(LineDisplay):
    """Two progress bars: rounds, and the batches of the round."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            refresh_per_second=4,
        )

    def __enter__(self) -> BarDisplay:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, first_round: int, rounds: int, batches: int) -> None:
        super().begin(first_round, rounds, batches)
        self._round_task = self._progress.add_task("rounds ", total=rounds, completed=first_round, note="")
        self._batch_task = self._progress.add_task("batches", total=batches, note="")

    def batch(self, client: str, loss: float) -> None:
        self._progress.update(self._batch_task, advance=1, note=f"{client}  loss {loss:.3f}")

    def phase(self, text: str) -> None:
        self._progress.update(self._batch_task, note=text)

    def round_done(self, row: Row) -> None:
        self._progress.update(self._round_task, advance=1, note=summarise(row, most=1))
        self._progress.reset(self._batch_task, note="")
        super().round_done(row)


class LoggedDisplay:
    """Shows what `shown` shows, and hands the lines a person would read to `log` in any case."""

    def __init__(self, shown: Display, log: Callable[[str], None]) -> None:
        self._shown = shown
        self._log = log
        self._rounds = 0

    def __enter__(self) -> LoggedDisplay:
        self._shown.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shown.__exit__(kind, error, trace)

    def say(self, text: str) -> None:
        self._shown.say(text)
        self._log(text)

    def begin(self, first_round: int, rounds: int, batches: int) -> None:
        self._rounds = rounds
        self._shown.begin(first_round, rounds, batches)

    def batch(self, client: str, loss: float) -> None:
        self._shown.batch(client, loss)

    def phase(self, text: str) -> None:
        self._shown.phase(text)

    def round_done(self, row: Row) -> None:
        self._shown.round_done(row)
        self._log(round_line(row, self._rounds))


def round_line(row: Row, rounds: int) -> str:
    """A round in a line; rounds count from 1 for people."""
    return f"round {row['round'] + 1}/{rounds}  {summarise(row)}  {row['wall_seconds']:.1f} s"


def summarise(row: Row, most: int | None = None) -> str:
    """Loss, metrics (the first `most`, all if not given) and encryption's share of a round, in a line."""
    scores = [(name, value) for name, value in row["evaluation"]["mean"].items() if "/" not in name]
    figures = "  ".join(f"{name} {value:.3f}" for name, value in scores[:most])
    loss = "skipped" if row["train_loss_mean"] is None else f"loss {row['train_loss_mean']:.3f}"
    if any(row["refused"].values()):
        loss = f"refused, {loss}"
    return f"{loss}  {figures}  encryption {row['encryption_share']:.1%} of the time"


def display_for(form: str, console: Console) -> Display:
    """text: bars on a terminal, lines otherwise; json; quiet."""
    if form == "json":
        return JsonDisplay()
    if form == "quiet":
        return QuietDisplay()
    return BarDisplay(console) if console.is_terminal else LineDisplay(console)

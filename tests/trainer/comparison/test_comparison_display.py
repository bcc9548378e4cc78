"""What a comparison shows on a terminal, in a log, as JSON, and what its own log keeps."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from trainer.comparison.display import Bars, ComparisonDisplay, JsonLines, Lines, display_for
from trainer.comparison.folder import CellRecord
from trainer.comparison.plan import Cell, Plan, parse_variants
from trainer.config import load

ROW = {
    "round": 0,
    "train_loss_mean": 0.5,
    "evaluation": {"mean": {"dice": 0.7, "hd95": 4.0, "dice/organ": 0.7}},
    "wall_seconds": 1.5,
    "encryption_share": 0.01,
    "refused": {},
}


def show(kind: str, console: Console) -> tuple[ComparisonDisplay, list[str]]:
    """A display that was told of one run that went well and one that failed; and its log."""
    log: list[str] = []
    shared = load((), ["training.rounds=2"])
    cells: tuple[Cell, ...] = Plan(parse_variants("dcsfl,local", ()), (1,), shared).cells
    display = display_for(kind, console, log.append)
    with display:
        display.begin(3, 1)
        display.cell_started(cells[0], 0)
        display.cell_started(cells[1], 1)
        display.round_done(cells[0], ROW)
        display.cell_ended(cells[0], CellRecord())
        display.cell_ended(cells[1], CellRecord(error="[b]disk[/b] is full"))
    return display, log


def console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, force_terminal=terminal, width=120), text


def test_lines_name_the_run_in_every_round(capsys: Any) -> None:
    to, text = console(terminal=False)
    display, _ = show("text", to)
    assert type(display) is Lines
    assert "dcsfl, seed 1: round 1/2  loss 0.500  dice 0.700" in text.getvalue()
    assert "local, seed 1: going on after round 1" in text.getvalue()
    assert "local, seed 1: failed: [b]disk[/b] is full" in text.getvalue()


def test_a_terminal_has_a_bar_for_every_run_and_one_for_all() -> None:
    to, text = console(terminal=True)
    display, _ = show("text", to)
    assert type(display) is Bars
    for told in ("runs", "2/3", "dcsfl, seed 1", "failed: [b]disk[/b] is full"):
        assert told in text.getvalue()


def test_json_is_the_row_and_whose_it_is(capsys: Any) -> None:
    to, text = console(terminal=False)
    display, _ = show("json", to)
    assert type(display) is JsonLines
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"variant": "dcsfl", "seed": 1} | ROW
    ]
    assert text.getvalue() == ""


@pytest.mark.parametrize(("kind", "terminal"), [("text", False), ("text", True), ("json", False), ("quiet", False)])
def test_the_log_has_beginnings_and_ends_whatever_is_shown(kind: str, terminal: bool, capsys: Any) -> None:
    to, _ = console(terminal=terminal)
    _, log = show(kind, to)
    assert log == [
        "dcsfl, seed 1: started",
        "local, seed 1: going on after round 1",
        "dcsfl, seed 1: finished",
        "local, seed 1: failed: [b]disk[/b] is full",
    ]

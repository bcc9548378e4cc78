"""What a run shows: bars on a terminal, plain lines elsewhere, JSON lines, or nothing."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from trainer.display import BarDisplay, JsonDisplay, LineDisplay, LoggedDisplay, QuietDisplay, display_for

ROW = {
    "round": 1,
    "train_loss_mean": 1.23456,
    "evaluation": {"mean": {"dice": 0.5, "dice/grey matter": 0.75}, "clients": {}},
    "encryption_share": 0.271,
    "wall_seconds": 3.14159,
    "refused": {"hospital-1": 0},
}


def test_a_terminal_gets_bars_and_anything_else_lines() -> None:
    assert isinstance(display_for("text", Console(file=io.StringIO(), force_terminal=True)), BarDisplay)
    assert type(display_for("text", Console(file=io.StringIO(), force_terminal=False))) is LineDisplay
    assert type(display_for("json", Console())) is JsonDisplay
    assert type(display_for("quiet", Console())) is QuietDisplay


def test_a_plain_line_has_round_loss_metric_share_and_time() -> None:
    out = io.StringIO()
    display = LineDisplay(Console(file=out, width=40))
    display.begin(0, 12, 8)
    display.batch("hospital-1", 0.5)
    display.round_done(ROW)
    assert out.getvalue() == "round 2/12  loss 1.235  dice 0.500  encryption 27.1% of the time  3.1 s\n"


def test_a_refused_round_says_so_in_its_line() -> None:
    out = io.StringIO()
    display = LineDisplay(Console(file=out, width=40))
    display.begin(0, 12, 8)
    display.round_done(ROW | {"refused": {"hospital-1": 1}})
    assert out.getvalue().startswith("round 2/12  refused, loss 1.235  dice 0.500  ")


def test_json_lines_are_the_rows(capsys: pytest.CaptureFixture[str]) -> None:
    display = JsonDisplay()
    display.say("not for machines")
    display.begin(0, 12, 8)
    display.round_done(ROW)
    assert json.loads(capsys.readouterr().out) == ROW


def test_the_log_gets_the_lines_whatever_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    logged: list[str] = []
    with LoggedDisplay(JsonDisplay(), logged.append) as display:
        display.say("a note")
        display.begin(0, 12, 8)
        display.batch("hospital-1", 0.5)
        display.round_done(ROW)
    assert logged == ["a note", "round 2/12  loss 1.235  dice 0.500  encryption 27.1% of the time  3.1 s"]
    assert json.loads(capsys.readouterr().out) == ROW


def test_nothing_of_a_text_is_taken_for_markup() -> None:
    out = io.StringIO()
    LineDisplay(Console(file=out, width=40, force_terminal=True)).say("[red]patient[/red] [1, 2]")
    assert out.getvalue() == "[red]patient[/red] [1, 2]\n"


def test_bars_count_rounds_from_where_the_run_goes_on() -> None:
    out = io.StringIO()
    with BarDisplay(Console(file=out, force_terminal=True, width=120)) as display:
        display.begin(3, 12, 8)
        display.batch("hospital-1", 0.5)
        display.phase("evaluating")
        display.round_done(ROW)
    assert "4/12" in out.getvalue()


def test_on_a_terminal_bars_show_loss_dice_and_the_share_of_encryption(
    quick: tuple[str, ...], tmp_path: Path
) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
    program = Path(sys.executable).with_name("dcsfl-train")
    with subprocess.Popen(
        # Enough batches that the bars, redrawn four times a second, are seen on the way.
        [program, "run", "--into", "run", *quick, "training.batch_size=1", "training.local_epochs=6"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TERM": "xterm-256color", "COLUMNS": "200"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = _read_all(ours)
    assert process.returncode == 0, shown
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    for pattern in (
        r"rounds +[━╸╺ ]+ 2/2 +loss \d\.\d{3}  dice 0\.\d{3}  encryption \d+\.\d% of the time",
        r"batches +[━╸╺ ]+ \d+/48",
        r"hospital-\d  loss \d\.\d{3}",
        r"round 2/2  loss",
    ):
        assert re.search(pattern, text), (pattern, text)


def _read_all(terminal: int) -> str:
    read = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # Linux reports the other side's end so
            break
        if not piece:
            break
        read += piece
    os.close(terminal)
    return read.decode()


def test_what_is_not_a_terminal_gets_no_control_characters(cli: Any, quick: tuple[str, ...], tmp_path: Path) -> None:
    result = cli("run", "--into", tmp_path / "run", *quick)
    assert result.stdout == ""
    assert "\x1b" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("round ")]
    assert len(lines) == 2
    assert re.fullmatch(
        r"round 2/2  loss \d\.\d{3}  dice \d\.\d{3}  iou \d\.\d{3}  hd95 \d+\.\d{3}  "
        r"encryption \d+\.\d% of the time  \d+\.\d s",
        lines[1],
    )

"""What a coordinator in another process writes into its run folder, shown as it comes."""

from __future__ import annotations

import json
from pathlib import Path

from trainer.display import Display
from trainer.run_folder import METRICS, RunFolder

TIME_AND_GAP = len("2026-01-31T12:00:00+00:00  ")


class Progress:
    """Follows run.log and metrics.jsonl from where they end now."""

    def __init__(self, folder: RunFolder, display: Display, rounds: int) -> None:
        self._log = _Lines(folder.path / "run.log")
        self._rows = _Lines(folder.path / f"{METRICS}.jsonl")
        self._display = display
        self.last_error = ""
        display.begin(len(folder.rows(METRICS)), rounds, 0)

    def show(self) -> None:
        """What was written since the last call."""
        for line in self._log.new():
            text = line[TIME_AND_GAP:]
            if text.startswith("error: "):
                self.last_error = text.removeprefix("error: ")
            elif not text.startswith("round "):  # shown from its figures below
                self._display.say(text)
        for line in self._rows.new():
            self._display.round_done(json.loads(line))


class _Lines:
    """Whole lines appended to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = path.stat().st_size if path.exists() else 0

    def new(self) -> list[str]:
        if not self._path.exists():
            return []
        size = self._path.stat().st_size
        if size < self._at:  # written anew: a resumed run drops the rows it will make again
            self._at = size
            return []
        with self._path.open("rb") as file:
            file.seek(self._at)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._at += len(whole)
        return whole.decode("utf-8", "replace").splitlines()

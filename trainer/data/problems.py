"""All problems of a user's folder in one error: nobody should have to repair files one run at a time."""

from __future__ import annotations

from trainer.errors import DataError

MAX_LINES = 20


class Problems:
    """Lines collected while files are looked at; each names the file, what was found, and the fix."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, line: str) -> None:
        """Remember one problem."""
        self._lines.append(line)

    @property
    def lines(self) -> tuple[str, ...]:
        """All that were remembered, in order."""
        return tuple(self._lines)

    def raise_if_any(self, heading: str) -> None:
        """Raise DataError(`heading` and the first 20 lines, then how many more) unless nothing was added."""
        if not self._lines:
            return
        shown = [f"  - {line}" for line in self._lines[:MAX_LINES]]
        hidden = len(self._lines) - MAX_LINES
        if hidden > 0:
            shown.append(f"  and {hidden} more")
        raise DataError("\n".join([heading, *shown]))

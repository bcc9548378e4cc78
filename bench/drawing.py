"""What the drawings of a result share: a panel, rows of names beside axes, logarithmic axes in whole units."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from resultfile import Result, Row
from trainer.report import theme

WIDTH = 13.0
NAMES_INCHES = 3.2


@dataclass(frozen=True)
class Panel:
    """A drawing: its name in ids and files, its title, what it says in words, what its colours mean."""

    name: str
    title: str
    description: str
    key: theme.Key
    figure: Callable[[], Figure]

    def svg(self) -> str:
        return theme.inline_svg(self.figure(), self.name, self.description)

    def write_png(self, file: Path) -> None:
        figure = self.figure()
        if self.key:
            theme.add_key(figure, self.key, len(self.key), anchor=(0.01, 0.995))
        theme.save_png(figure, file)


def rows_of_axes(names: Sequence[str], columns: int) -> tuple[Figure, list[Axes]]:
    """Axes side by side that will share a row for each name; `name_rows` names them once all is drawn."""
    drawn = theme.new_figure(WIDTH, 1.05 + 0.3 * len(names))
    return drawn, [drawn.add_subplot(1, columns, index + 1) for index in range(columns)]


def name_rows(axes: Sequence[Axes], names: Sequence[str]) -> None:
    """After drawing: styling an axis resets its ticks."""
    for index, axis in enumerate(axes):
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.yaxis.set_major_locator(FixedLocator(list(range(len(names)))))
        axis.set_yticklabels(names if index == 0 else [""] * len(names), parse_math=False, color=theme.INK)


def ordered(result: Result, rows: Sequence[Row]) -> list[str]:
    """Who is in `rows`, in the registry's order, which gives each the same colour everywhere; unknown ones last."""
    there = dict.fromkeys(row["who"] for row in rows)
    return [name for name in result["schemes"] if name in there] + [n for n in there if n not in result["schemes"]]


def name_of(group: str) -> str:
    """A panel's name in ids and files."""
    return re.sub(r"\W+", "-", group)


def log_style(axis: Axes, title: str, along: str) -> None:
    theme.style_axes(axis, title)
    axis.grid(visible=False)
    axis.grid(axis=along, color=theme.GRID, linewidth=0.8)
    axis.set_xlabel("")
    (axis.set_xscale if along == "x" else axis.set_yscale)("log")
    (axis.xaxis if along == "x" else axis.yaxis).set_minor_locator(NullLocator())


def log_range(axis: Axes, values: Iterable[float], *, room: float = 0.0, along: str = "x") -> None:
    """Whole powers of ten around `values`, every one of them a tick where they are few.

    room: for labels after the values, as a share of what they span.
    """
    positive = [value for value in values if value > 0]
    low, high = math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive)))
    every = max(1, math.ceil((high - low) / (4 if along == "x" else 6)))
    ticks = [10.0**power for power in range(low, high + 1, every)]
    span = math.log10(max(positive)) - low
    limits = (10.0**low * 0.8, max(10.0**high, max(positive) * 10 ** (0.1 + room * span)))
    if along == "x":
        axis.set_xlim(*limits)
        axis.xaxis.set_major_locator(FixedLocator(ticks))
    else:
        axis.set_ylim(*limits)
        axis.yaxis.set_major_locator(FixedLocator(ticks))


def tick_seconds(value: float) -> str:
    """A power of ten in whole units: `10 ms`, `1 s`, `10,000 s`."""
    for limit, scale, unit in ((0.99e-3, 1e6, "µs"), (0.99, 1e3, "ms")):
        if value < limit:
            return f"{value * scale:.0f} {unit}" if value * scale >= 1 else f"{value * scale:g} {unit}"
    return f"{value:,.0f} s"


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:]

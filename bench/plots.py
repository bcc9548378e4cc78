"""The drawings of a result. Each draws itself once, for the page (SVG that follows its theme) and as a PNG."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from he_core.cost import STAGES
from resultfile import FLOAT32_BYTES, Result, Row, headlines, is_scaled, per_million
from trainer.report import formats, theme

STEPS = ("encrypt", "add", "decrypt")
WIDTH = 13.0
NAMES_INCHES = 3.2
GROWTH = {"values": "values", "clients": "clients", "bits": "bits a value"}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
OURS, IN_THE_CLEAR, PEERS = theme.SERIES[0], theme.SERIES[2], theme.OTHER
WHO = [("this project", OURS), ("this project without encryption", IN_THE_CLEAR), ("peers", PEERS)]


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


def panels(result: Result) -> list[Panel]:
    """The drawings that `result` has rows for."""
    rows, target = result["rows"], result["targets"][0]
    who = headlines(rows, target)
    colours = {name: _colour(steps["encrypt"]) for name, steps in who.items()}
    found = [_cost_panel(who, colours), _size_panel(who, colours)]
    for group in dict.fromkeys(row["group"] for row in rows if row["group"].startswith("growth with ")):
        along = re.split(r"\W+", group)[2]
        found.append(_growth_panel(group, along, GROWTH[along], [row for row in rows if row["group"] == group]))
    for group, title, names in (
        ("stages of a round", "Where a round's time goes", stage_parts),
        ("trainer: a step", "Where a training step's time goes", None),
        ("trainer: a round", "Where a training round's time goes", None),
    ):
        mine = [row for row in rows if row["group"] == group and row["target"] == target]
        if mine:
            found.append(_share_panel(group, title, mine, names))
    return found


# --- who beside whom


def _cost_panel(who: dict[str, dict[str, Row]], colours: dict[str, str]) -> Panel:
    titles = {"encrypt": "Encrypt", "add": "Add one", "decrypt": "Decrypt"}

    def figure() -> Figure:
        drawn, axes = _rows_of_axes(list(who), len(STEPS))
        for axis, step in zip(axes, STEPS, strict=True):
            _dots(axis, titles[step], [steps[step] for steps in who.values()], list(colours.values()))
        _name_rows(axes, list(who))
        theme.place(drawn, columns=len(STEPS), left=NAMES_INCHES, right=0.3, bottom=0.4, top=0.5, gap=0.35)
        return drawn

    described = "Seconds for a million values, on logarithmic axes: encrypting, adding one, decrypting; per scheme"
    return Panel("cost", "Seconds for a million values", described, WHO, figure)


def _size_panel(who: dict[str, dict[str, Row]], colours: dict[str, str]) -> Panel:
    def figure() -> Figure:
        drawn, (sizes, errors) = _rows_of_axes(list(who), 2)
        _points(
            sizes,
            "Bytes a value on the wire",
            [steps["encrypt"] for steps in who.values()],
            list(colours.values()),
            "bytes_per_value",
            lambda value: f"{value:.3g}",
        )
        sizes.axvline(FLOAT32_BYTES, color=theme.GRID, linewidth=1.6, linestyle=(0, (4, 3)), zorder=0)
        sizes.annotate(
            "float32",
            (FLOAT32_BYTES, 0),
            xycoords=("data", "axes fraction"),
            xytext=(5, 3),
            textcoords="offset points",
            fontsize=8.5,
            color=theme.MUTED,
            ha="left",
            va="bottom",
        )
        _points(
            errors,
            "Largest error of the mean",
            [steps["decrypt"] for steps in who.values()],
            list(colours.values()),
            "error",
            lambda value: f"{value:.1e}",
        )
        _name_rows((sizes, errors), list(who))
        theme.place(drawn, columns=2, left=NAMES_INCHES, right=0.3, bottom=0.4, top=0.6, gap=0.5)
        return drawn

    described = "Bytes on the wire for each value and the largest error of the mean, on logarithmic axes; per scheme"
    return Panel("size", "Bytes and error", described, WHO, figure)


def _rows_of_axes(names: Sequence[str], columns: int) -> tuple[Figure, list[Axes]]:
    """Axes side by side that will share a row for each name; `_name_rows` names them once all is drawn."""
    drawn = theme.new_figure(WIDTH, 1.05 + 0.3 * len(names))
    return drawn, [drawn.add_subplot(1, columns, index + 1) for index in range(columns)]


def _name_rows(axes: Sequence[Axes], names: Sequence[str]) -> None:
    """After drawing: styling an axis resets its ticks."""
    for index, axis in enumerate(axes):
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.yaxis.set_major_locator(FixedLocator(list(range(len(names)))))
        axis.set_yticklabels(names if index == 0 else [""] * len(names), parse_math=False, color=theme.INK)


def _colour(row: Row) -> str:
    if row["is_peer"]:
        return PEERS
    return OURS if row["encrypts"] else IN_THE_CLEAR


def _dots(axis: Axes, title: str, rows: Sequence[Row], colours: Sequence[str]) -> None:
    """Medians with their spread; hollow where the figure is scaled to a million values."""
    _log_style(axis, title, "x")
    for position, (row, colour) in enumerate(zip(rows, colours, strict=True)):
        median, least, most = (per_million(row, name) for name in ("median_s", "least_s", "most_s"))
        axis.plot([least, most], [position, position], color=colour, linewidth=2.2, alpha=0.55)
        face = theme.SURFACE if is_scaled(row) else colour
        axis.plot(median, position, "o", color=colour, markerfacecolor=face, markersize=6.5, markeredgewidth=1.6)
        _label(axis, most, position, formats.seconds(median))
    spread = [per_million(row, name) for row in rows for name in ("least_s", "most_s")]
    _log_range(axis, spread, room=0.3)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_seconds(value)))


def _points(
    axis: Axes, title: str, rows: Sequence[Row], colours: Sequence[str], name: str, text: Callable[[float], str]
) -> None:
    _log_style(axis, title, "x")
    for position, (row, colour) in enumerate(zip(rows, colours, strict=True)):
        axis.plot(row[name], position, "o", color=colour, markersize=6.5)
        _label(axis, row[name], position, text(row[name]))
    _log_range(axis, [row[name] for row in rows], room=0.18)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:.0e}"))


def _label(axis: Axes, x: float, y: float, text: str) -> None:
    axis.annotate(text, (x, y), xytext=(8, 0), textcoords="offset points", va="center", fontsize=9, color=theme.INK)


# --- growth


def _growth_panel(group: str, along: str, label: str, rows: list[Row]) -> Panel:
    who = list(dict.fromkeys(row["who"] for row in rows))
    what = list(dict.fromkeys(row["what"] for row in rows))
    colours = {name: theme.SERIES[index % len(theme.SERIES)] for index, name in enumerate(who)}
    log_x = along != "bits"

    def figure() -> Figure:
        drawn = theme.new_figure(WIDTH, 3.9)
        for index, kind in enumerate(what):
            axis = drawn.add_subplot(1, len(what), index + 1)
            _log_style(axis, kind[:1].upper() + kind[1:], "y")
            mine = [row for row in rows if row["what"] == kind]
            for name, marker in zip(who, MARKERS * 2, strict=False):
                _line(axis, [row for row in mine if row["who"] == name], along, colours[name], marker)
            _log_range(axis, [row[end] for row in mine for end in ("least_s", "most_s")], along="y")
            axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_seconds(value)))
            positions = sorted({row[along] for row in rows})
            if log_x:
                axis.set_xscale("log")
            axis.xaxis.set_major_locator(FixedLocator(positions))
            axis.xaxis.set_minor_locator(NullLocator())
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
            axis.set_xlabel(label, fontsize=9.5, color=theme.MUTED)
        theme.place(drawn, columns=len(what), left=0.75, right=0.5, bottom=0.62, top=0.45, gap=0.85)
        return drawn

    described = f"Seconds over {label}, on logarithmic axes, a line for each scheme: {', '.join(what)}"
    counts = {name: {row["values"] for row in rows if row["who"] == name} for name in who}
    differ = along != "values" and len(set().union(*counts.values())) > 1
    key = [(f"{name}, {max(counts[name]):,} values" if differ else name, colour) for name, colour in colours.items()]
    return Panel(name_of(group), _sentence(group), described, key, figure)


def _line(axis: Axes, rows: Sequence[Row], along: str, colour: str, marker: str) -> None:
    rows = sorted(rows, key=lambda row: row[along])
    at = [row[along] for row in rows]
    axis.vlines(at, [row["least_s"] for row in rows], [row["most_s"] for row in rows], color=colour, linewidth=1.2)
    axis.plot(at, [row["median_s"] for row in rows], color=colour, linewidth=1.8, marker=marker, markersize=5)


# --- shares


def stage_parts(name: str) -> tuple[int, str]:
    """Order and colour of a stage of the pipeline, the client's in full colour order."""
    stage = name.partition(" ")[2]
    return (STAGES.index(stage) if stage in STAGES else len(STAGES), stage)


def _share_panel(group: str, title: str, rows: list[Row], order: Callable[[str], tuple[int, str]] | None) -> Panel:
    who = list(dict.fromkeys(row["who"] for row in rows))
    parts = list(dict.fromkeys(row["what"] for row in rows if row["what"] not in WHOLES))
    if order is not None:
        parts.sort(key=lambda part: (part.partition(" ")[0] == "server", order(part)))
        names = list(dict.fromkeys(order(part)[1] for part in sorted(parts, key=order)))
        colours = {part: theme.SERIES[names.index(order(part)[1]) % len(theme.SERIES)] for part in parts}
        key = [(name, theme.SERIES[index % len(theme.SERIES)]) for index, name in enumerate(names)]
    else:
        colours = {part: theme.SERIES[index % len(theme.SERIES)] for index, part in enumerate(parts)}
        key = list(colours.items())
    medians = {(row["who"], row["what"]): row["median_s"] for row in rows}
    totals = {name: sum(medians.get((name, part), 0.0) for part in parts) for name in who}
    values = {row["who"]: row["values"] for row in rows}

    def figure() -> Figure:
        drawn, (axis,) = _rows_of_axes(who, 1)
        theme.style_axes(axis, title)
        axis.grid(visible=False)
        axis.set_xlabel("share of the time", fontsize=9.5, color=theme.MUTED)
        axis.xaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
        _name_rows([axis], who)
        for position, name in enumerate(who):
            left = 0.0
            for part in parts:
                share = medians.get((name, part), 0.0) / totals[name]
                is_server = part.startswith("server ")
                axis.barh(
                    position,
                    share,
                    0.62,
                    left,
                    color=colours[part],
                    edgecolor=theme.SURFACE,
                    linewidth=0.8,
                    hatch="////" if is_server else None,
                )
                if share >= 0.07 and not is_server:
                    axis.text(
                        left + share / 2,
                        position,
                        f"{100 * share:.0f} %",
                        ha="center",
                        va="center",
                        fontsize=8.5,
                        color=theme.SURFACE,
                    )
                left += share
            counted = f"{values[name]:,} values" if values[name] > 1 else "an image"
            axis.annotate(
                f"{formats.seconds(totals[name])}, {counted}",
                (1, position),
                xytext=(8, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
                color=theme.INK,
            )
        axis.set_xlim(0, 1)
        theme.place(drawn, columns=1, left=NAMES_INCHES, right=2.3, bottom=0.55, top=0.45, gap=0)
        return drawn

    described = f"{title}, in shares: {', '.join(parts)}"
    return Panel(name_of(group), title, described, key, figure)


WHOLES = ("stages", "step", "round")
"""Rows that stand for all their parts."""


def name_of(group: str) -> str:
    """A panel's name in ids and files."""
    return re.sub(r"\W+", "-", group)


# --- axes


def _log_style(axis: Axes, title: str, along: str) -> None:
    theme.style_axes(axis, title)
    axis.grid(visible=False)
    axis.grid(axis=along, color=theme.GRID, linewidth=0.8)
    axis.set_xlabel("")
    (axis.set_xscale if along == "x" else axis.set_yscale)("log")
    (axis.xaxis if along == "x" else axis.yaxis).set_minor_locator(NullLocator())


def _log_range(axis: Axes, values: Iterable[float], *, room: float = 0.0, along: str = "x") -> None:
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


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]

"""How cost grows: a line for each scheme over values, clients or bits, with the spread."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from drawing import WIDTH, Panel, log_range, log_style, name_of, sentence, tick_seconds
from resultfile import Row
from trainer.report import theme

GROWTH = {"values": "values", "clients": "clients", "bits": "bits a value"}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")


def growth_panel(group: str, along: str, rows: list[Row], who: dict[str, int]) -> Panel:
    """who: a scheme's place among all, which gives it its colour and marker."""
    label = GROWTH[along]
    what = list(dict.fromkeys(row["what"] for row in rows))
    colours = {name: theme.SERIES[place % len(theme.SERIES)] for name, place in who.items()}
    log_x = along != "bits"

    def figure() -> Figure:
        drawn = theme.new_figure(WIDTH, 3.9)
        for index, kind in enumerate(what):
            axis = drawn.add_subplot(1, len(what), index + 1)
            log_style(axis, kind[:1].upper() + kind[1:], "y")
            mine = [row for row in rows if row["what"] == kind]
            for name, place in who.items():
                marker = MARKERS[place % len(MARKERS)]
                _line(axis, [row for row in mine if row["who"] == name], along, colours[name], marker)
            log_range(axis, [row[end] for row in mine for end in ("least_s", "most_s")], along="y")
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
    return Panel(name_of(group), sentence(group), described, key, figure)


def _line(axis: Axes, rows: Sequence[Row], along: str, colour: str, marker: str) -> None:
    rows = sorted(rows, key=lambda row: row[along])
    at = [row[along] for row in rows]
    axis.vlines(at, [row["least_s"] for row in rows], [row["most_s"] for row in rows], color=colour, linewidth=1.2)
    axis.plot(at, [row["median_s"] for row in rows], color=colour, linewidth=1.8, marker=marker, markersize=5)

"""This project's schemes beside the peers: seconds of each step, bytes on the wire, error."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from drawing import NAMES_INCHES, Panel, log_range, log_style, name_rows, rows_of_axes, tick_seconds
from resultfile import FLOAT32_BYTES, Row, is_scaled, per_million
from trainer.report import formats, theme

STEPS = ("encrypt", "add", "decrypt")
OURS, IN_THE_CLEAR, PEERS = theme.SERIES[0], theme.SERIES[2], theme.OTHER
WHO = [("this project", OURS), ("this project without encryption", IN_THE_CLEAR), ("peers", PEERS)]


def cost_panel(who: dict[str, dict[str, Row]], colours: dict[str, str]) -> Panel:
    titles = {"encrypt": "Encrypt", "add": "Add one", "decrypt": "Decrypt"}

    def figure() -> Figure:
        drawn, axes = rows_of_axes(list(who), len(STEPS))
        for axis, step in zip(axes, STEPS, strict=True):
            _dots(axis, titles[step], [steps[step] for steps in who.values()], list(colours.values()))
        name_rows(axes, list(who))
        theme.place(drawn, columns=len(STEPS), left=NAMES_INCHES, right=0.3, bottom=0.4, top=0.5, gap=0.35)
        return drawn

    described = "Seconds for a million values, on logarithmic axes: encrypting, adding one, decrypting; per scheme"
    return Panel("cost", "Seconds for a million values", described, WHO, figure)


def size_panel(who: dict[str, dict[str, Row]], colours: dict[str, str]) -> Panel:
    def figure() -> Figure:
        drawn, (sizes, errors) = rows_of_axes(list(who), 2)
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
        name_rows((sizes, errors), list(who))
        theme.place(drawn, columns=2, left=NAMES_INCHES, right=0.3, bottom=0.4, top=0.6, gap=0.5)
        return drawn

    described = "Bytes on the wire for each value and the largest error of the mean, on logarithmic axes; per scheme"
    return Panel("size", "Bytes and error", described, WHO, figure)


def colour(row: Row) -> str:
    if row["is_peer"]:
        return PEERS
    return OURS if row["encrypts"] else IN_THE_CLEAR


def _dots(axis: Axes, title: str, rows: Sequence[Row], colours: Sequence[str]) -> None:
    """Medians with their spread; hollow where the figure is scaled to a million values."""
    log_style(axis, title, "x")
    for position, (row, colour) in enumerate(zip(rows, colours, strict=True)):
        median, least, most = (per_million(row, name) for name in ("median_s", "least_s", "most_s"))
        axis.plot([least, most], [position, position], color=colour, linewidth=2.2, alpha=0.55)
        face = theme.SURFACE if is_scaled(row) else colour
        axis.plot(median, position, "o", color=colour, markerfacecolor=face, markersize=6.5, markeredgewidth=1.6)
        label(axis, most, position, formats.seconds(median))
    spread = [per_million(row, name) for row in rows for name in ("least_s", "most_s")]
    log_range(axis, spread, room=0.3)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_seconds(value)))


def _points(
    axis: Axes, title: str, rows: Sequence[Row], colours: Sequence[str], name: str, text: Callable[[float], str]
) -> None:
    log_style(axis, title, "x")
    for position, (row, colour) in enumerate(zip(rows, colours, strict=True)):
        axis.plot(row[name], position, "o", color=colour, markersize=6.5)
        label(axis, row[name], position, text(row[name]))
    log_range(axis, [row[name] for row in rows], room=0.18)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:.0e}"))


def label(axis: Axes, x: float, y: float, text: str) -> None:
    axis.annotate(text, (x, y), xytext=(8, 0), textcoords="offset points", va="center", fontsize=9, color=theme.INK)

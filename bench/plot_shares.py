"""Where time goes: a bar of a whole for each scheme or network, in shares of its parts."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from drawing import NAMES_INCHES, Panel, name_of, name_rows, rows_of_axes
from he_core.cost import STAGES
from resultfile import Row
from trainer.report import formats, theme

WHOLES = ("stages", "step", "round")
"""Rows that stand for all their parts."""


def stage_parts(name: str) -> tuple[int, str]:
    """Place in the pipeline and name of a stage, from `client encrypt` or `server add`."""
    stage = name.partition(" ")[2]
    return (STAGES.index(stage) if stage in STAGES else len(STAGES), stage)


def share_panel(
    title: str, group: str, rows: list[Row], who: list[str], order: Callable[[str], tuple[int, str]] | None
) -> Panel:
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
        drawn, (axis,) = rows_of_axes(who, 1)
        theme.style_axes(axis, title)
        axis.grid(visible=False)
        axis.set_xlabel("share of the time", fontsize=9.5, color=theme.MUTED)
        axis.xaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
        name_rows([axis], who)
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

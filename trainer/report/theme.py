"""Colours and the two ways a figure leaves: as PNG in the light colours, as SVG that follows the page's theme.

A figure is drawn once, in the light colours. In the SVG each of them is replaced by the CSS variable of the same
role, so that one drawing serves the light page, the dark page and print.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import BinaryIO

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

INK, MUTED, GRID, SURFACE, OTHER = "#16181d", "#5b6068", "#e3e4e8", "#ffffff", "#9a9fa8"

# Categorical colours in an order that keeps neighbours apart for colour-blind readers, one set per background.
SERIES = (
    "#2a78d6",
    "#1baf7a",
    "#eda100",
    "#008300",
    "#4a3aa7",
    "#e34948",
    "#e87ba4",
    "#eb6834",
    "#7a5230",
    "#00838f",
    "#77860a",
)
_SERIES_DARK = (
    "#3987e5",
    "#199e70",
    "#c98500",
    "#0ca30c",
    "#9085e9",
    "#e66767",
    "#d55181",
    "#d95926",
    "#b08052",
    "#26a5b3",
    "#a9b83a",
)

CSS_VARIABLES = {
    "--ink": (INK, "#eceef1"),
    "--muted": (MUTED, "#a3a8b1"),
    "--grid": (GRID, "#33363d"),
    "--surface": (SURFACE, "#15171b"),
    "--other": (OTHER, "#7b808a"),
    **{f"--series-{index}": pair for index, pair in enumerate(zip(SERIES, _SERIES_DARK, strict=True), start=1)},
}
"""CSS variable -> its colour on a light and on a dark page. Figures are drawn in the light ones, all distinct."""

Key = Sequence[tuple[str, str]]
"""What colours mean: (name, light colour) pairs."""

_WITHOUT_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}
_TAG = re.compile(r"<[^>]*>")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of `width` by `height` inches on the light surface, outside pyplot's global state."""
    return Figure(figsize=(width, height), facecolor=SURFACE)


def place(figure: Figure, *, columns: int, left: float, right: float, bottom: float, top: float, gap: float) -> None:
    """Fix the margins of `figure`, of `columns` columns of axes `gap` apart, in inches, so that axes line up."""
    width, height = figure.get_size_inches()
    each = (width - left - right - gap * (columns - 1)) / columns
    figure.subplots_adjust(
        left / width, bottom / height, 1 - right / width, 1 - top / height, wspace=gap / each, hspace=0.14
    )


def style_axes(axes: Axes, title: str) -> None:
    """Quiet axes: title at the left, horizontal grid only, no frame, whole numbers of rounds on the x axis."""
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK, pad=10, parse_math=False)
    axes.set_facecolor("none")
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(GRID)
    axes.tick_params(colors=MUTED, labelsize=9.5, length=0, pad=5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.set_xlabel("round", fontsize=9.5, color=MUTED)


def add_key(owner: Axes | Figure, key: Key, columns: int, anchor: tuple[float, float], title: str = "") -> None:
    """Draw `key` on `owner` with its upper left corner at `anchor` (fractions of `owner`), under `title` if given.

    Names are set as plain text: a `$` in one starts no formula, a leading `_` hides nothing.
    """
    legend = owner.legend(
        [Patch(color=colour) for _, colour in key],
        ["name"] * len(key),
        loc="upper left",
        bbox_to_anchor=anchor,
        ncols=max(1, columns),
        frameon=False,
        fontsize=9,
        labelcolor=MUTED,
        handlelength=0.9,
        handleheight=0.7,
        columnspacing=1.4,
        borderpad=0,
        borderaxespad=0,
        title=title or None,
        title_fontsize=9,
        alignment="left",
    )
    for text, (name, _) in zip(legend.get_texts(), key, strict=True):
        text.set_parse_math(False)
        text.set_text(name)


def css_colour(colour: str) -> str:
    """The CSS of a light colour: its variable where it has one, so that it follows the page's theme."""
    return next((f"var({name})" for name, (light, _) in CSS_VARIABLES.items() if light == colour), colour)


def save_png(figure: Figure, file: Path | BinaryIO) -> None:
    """Write `figure` to `file` at 160 dots per inch, fewer where a side would pass Agg's limit of 2^16 pixels."""
    figure.savefig(file, format="png", dpi=min(160.0, 60_000 / max(figure.get_size_inches())))


def inline_svg(figure: Figure, name: str, description: str) -> str:
    """`figure` as an `<svg>` element for the page; `name` keeps its ids apart from those of other figures.

    `description` is what a screen reader says. The colours are CSS variables with the light colour as fallback.
    """
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=_WITHOUT_METADATA)
    text = buffer.getvalue().decode("utf-8")
    text = text[text.index("<svg") :]
    # matplotlib's own style rule would apply to the whole page once inlined.
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    text = text.replace("<svg", f'<svg role="img" aria-label="{escape(description)}"', 1)
    # Tags alone are rewritten; names of clients and classes, which are text, stay as they are.
    return _TAG.sub(lambda tag: _themed(tag.group(), name), text)


def _themed(tag: str, name: str) -> str:
    tag = (
        tag.replace(' id="', f' id="{name}-').replace('href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-")
    )
    tag = re.sub(r"font-family: [^;\"]*", "font-family: inherit", tag)
    for variable, (colour, _) in CSS_VARIABLES.items():
        tag = tag.replace(colour, f"var({variable}, {colour})")
    return tag

"""The primary metric against rounds, bytes and seconds: a line per variant, the band what the seeds cover."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from trainer.comparison.plan import Variant
from trainer.comparison.results import Curve, Results
from trainer.report import formats, theme
from trainer.report.curves import Panel

_PLAIN, _VARIED = "-", (0, (4, 1.6))


@dataclass(frozen=True)
class Line:
    """A variant's points: x and the mean, least and most over the seeds, all float64[n]."""

    x: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def panels(results: Results) -> list[Panel]:
    """Over rounds, bytes and seconds, in that order."""
    title = formats.metric_title(results.primary, unit=True)
    return [
        _panel(results, "rounds", f"{title} over rounds", "round", lambda curve: curve.rounds, str),
        _panel(
            results,
            "bytes",
            f"{title} over bytes sent",
            "sent, all clients",
            lambda curve: curve.bytes,
            formats.bytes_,
        ),
        _panel(
            results, "seconds", f"{title} over seconds", "computing", lambda curve: curve.seconds, formats.seconds
        ),
    ]


def colour(results: Results, variant: Variant) -> str:
    """Each variant has its own while there are enough; from then on all are grey."""
    index = [found.name for found in results.variants].index(variant.name)
    return theme.SERIES[index] if index < len(theme.SERIES) else theme.OTHER


def line(curves: Sequence[Curve], x_of: Callable[[Curve], Sequence[float]]) -> Line:
    """Round by round over the seeds; where one was evaluated less often, over the rounds that all have."""
    common = sorted(set.intersection(*(set(curve.rounds) for curve in curves)))
    at = [[curve.rounds.index(number) for number in common] for curve in curves]
    scores = np.array([[curve.scores[i] for i in where] for curve, where in zip(curves, at, strict=True)])
    x = np.array([[x_of(curve)[i] for i in where] for curve, where in zip(curves, at, strict=True)], dtype=np.float64)
    return Line(x.mean(axis=0), scores.mean(axis=0), scores.min(axis=0), scores.max(axis=0))


def _panel(
    results: Results,
    name: str,
    title: str,
    label: str,
    x_of: Callable[[Curve], Sequence[float]],
    tick: Callable[[float], str],
) -> Panel:
    drawn = [
        (variant, colour(results, variant), line([r.curve for r in results.of(variant)], x_of))
        for variant in results.variants
    ]

    def draw(axes: Axes) -> None:
        theme.style_axes(axes, title)
        widest = max(float(found.x[-1]) for _, _, found in drawn)
        # The first variant of those as their method is lies above the others, and dashes above all.
        upwards = sorted(enumerate(drawn), key=lambda each: (bool(each[1][0].overrides), -each[0]))
        for _, (variant, shade, found) in upwards:
            style = _VARIED if variant.overrides else _PLAIN
            if found.x[-1] == 0:  # sends nothing: what it came to is a level, wherever the others are
                axes.axhline(found.mean[-1], color=shade, linewidth=1.2, linestyle=(0, (1, 2)))
                continue
            axes.fill_between(found.x, found.low, found.high, color=shade, alpha=0.13, linewidth=0)
            axes.plot(found.x, found.mean, color=shade, linewidth=1.9, linestyle=style)
        axes.set_xlabel(label, fontsize=9.5, color=theme.MUTED)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=name == "rounds"))
        if name != "rounds":
            axes.xaxis.set_major_formatter(
                FuncFormatter(lambda value, _: tick(value) if 0 <= value <= widest else "")
            )

    names = ", ".join(variant.name for variant in results.variants)
    description = f"{title}: {names}; lines are means over seeds, bands reach from the worst seed to the best"
    return Panel(name, description, [(variant.name, shade) for variant, shade, _ in drawn], draw)

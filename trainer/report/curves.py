"""Curves over rounds: loss, metrics, classes; and the cost of each stage, stacked.

Each panel draws itself on given axes, so that `curves.png` and the page are the same drawings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes

from he_core.cost import STAGES
from trainer.report import theme
from trainer.report.formats import metric_title
from trainer.report.ledger_table import by_round
from trainer.report.run_folder import RunRecord

MOST_NAMED_CLIENTS = len(theme.SERIES)
"""Above this many clients their curves are drawn grey: colours could not be told apart any more."""

_PANEL_INCHES = (4.6, 2.9)
_BARS_INCHES = (13.0, 2.9)
_ROW_OF_KEY_INCHES = 0.2
_LETTERS_ACROSS = 42


@dataclass(frozen=True)
class Panel:
    """One plot: what it says in words, what its colours mean, and the function that draws it.

    `name` becomes part of ids in the page's markup, unescaped: it is never made of strings of the run.
    """

    name: str
    description: str
    key: theme.Key
    draw: Callable[[Axes], None]

    @property
    def key_columns(self) -> int:
        """Columns of the key that fit under the panel in `curves.png`, by the longest name."""
        return max(1, min(len(self.key), _LETTERS_ACROSS // (4 + max(len(name) for name, _ in self.key))))

    def svg(self, inches: tuple[float, float] = _PANEL_INCHES) -> str:
        """The panel as an inline `<svg>` element, without its key: the page sets that as text."""
        figure = theme.new_figure(*inches)
        self.draw(figure.add_subplot())
        theme.place(figure, columns=1, left=0.5, right=0.1, bottom=0.5, top=0.4, gap=0.0)
        return theme.inline_svg(figure, self.name, self.description)


def panels(run: RunRecord) -> list[Panel]:
    """The panels that `run` has numbers for, in reading order."""
    found = [_loss_panel(run)]
    if run.evaluated:
        names = list(run.evaluated[-1][1].mean)
        metrics = [name for name in names if "/" not in name]
        found += [_metric_panel(run, name, f"metric-{index}") for index, name in enumerate(metrics)]
        if classes := [name for name in names if name.startswith(f"{run.primary}/")]:
            found.append(_class_panel(run, classes))
    return found


def write_panels(drawn: Sequence[Panel], file: Path) -> None:
    """Draw panels side by side, each above its key, into the PNG `file`."""
    below = _ROW_OF_KEY_INCHES * max(math.ceil(len(panel.key) / panel.key_columns) for panel in drawn)
    width, height = _PANEL_INCHES
    figure = theme.new_figure(width * len(drawn), height + below)
    for index, panel in enumerate(drawn, start=1):
        axes = figure.add_subplot(1, len(drawn), index)
        panel.draw(axes)
        theme.add_key(axes, panel.key, panel.key_columns, anchor=(0.0, -0.28))
    theme.place(figure, columns=len(drawn), left=0.6, right=0.2, bottom=0.7 + below, top=0.45, gap=0.65)
    theme.save_png(figure, file)


def stage_panel(run: RunRecord) -> Panel | None:
    """Seconds of every stage, stacked, over rounds; None where no round has a row in the ledger."""
    numbers = [entry.round for entry in run.rounds]
    stages = by_round(run.ledger, numbers)
    if not stages:
        return None
    description = f"Seconds of aggregation in each round, stacked by stage: {', '.join(stages)}"
    key = [(stage, stage_colour(stage)) for stage in stages]
    return Panel("stages", description, key, lambda axes: _stage_bars(axes, numbers, stages))


def stage_svg(panel: Panel) -> str:
    """The stage panel as an inline `<svg>` element, as wide as the page."""
    return panel.svg(_BARS_INCHES)


def stage_colour(stage: str) -> str:
    """The light colour of `stage`: its own for each of the pipeline's, one grey for all others."""
    return theme.SERIES[STAGES.index(stage)] if stage in STAGES else theme.OTHER


def _loss_panel(run: RunRecord) -> Panel:
    per_client = {name: [entry.train_loss.get(name) for entry in run.rounds] for name in run.client_names}
    mean = [entry.train_loss_mean for entry in run.rounds]
    numbers = [entry.round for entry in run.rounds]
    description = "Training loss over rounds, each client and their mean"
    draw = _client_lines("Training loss", numbers, per_client, mean)
    return Panel("loss", description, _client_key(run), draw)


def _metric_panel(run: RunRecord, metric: str, panel_name: str) -> Panel:
    per_client = {
        name: [found.clients.get(name, {}).get(metric) for _, found in run.evaluated] for name in run.client_names
    }
    mean = [found.mean.get(metric) for _, found in run.evaluated]
    numbers = [number for number, _ in run.evaluated]
    description = f"{metric_title(metric)} on the test images over rounds, each client and their mean"
    draw = _client_lines(f"{metric_title(metric, unit=True)} on test images", numbers, per_client, mean)
    return Panel(panel_name, description, _client_key(run), draw)


def _class_panel(run: RunRecord, names: Sequence[str]) -> Panel:
    colours = [theme.SERIES[index] if index < len(theme.SERIES) else theme.OTHER for index in range(len(names))]
    numbers = [number for number, _ in run.evaluated]

    def draw(axes: Axes) -> None:
        theme.style_axes(axes, f"{metric_title(run.primary)} per class, mean over clients")
        for name, colour in zip(names, colours, strict=True):
            values = _plottable(found.mean.get(name) for _, found in run.evaluated)
            axes.plot(numbers, values, color=colour, linewidth=1.8, marker=_marker(numbers), markersize=3.5)

    description = f"{metric_title(run.primary)} of each class over rounds, mean over clients"
    key = [(name.partition("/")[2], colour) for name, colour in zip(names, colours, strict=True)]
    return Panel("classes", description, key, draw)


def _client_key(run: RunRecord) -> theme.Key:
    names = run.client_names
    if len(names) > MOST_NAMED_CLIENTS:
        return [(f"{len(names)} clients", theme.OTHER), ("mean", theme.INK)]
    return [*zip(names, theme.SERIES, strict=False), ("mean", theme.INK)]


def _client_lines(
    title: str, rounds: Sequence[int], per_client: dict[str, list[float | None]], mean: Sequence[float | None]
) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        theme.style_axes(axes, title)
        named = len(per_client) <= MOST_NAMED_CLIENTS
        for index, values in enumerate(per_client.values()):
            colour, alpha = (theme.SERIES[index], 0.9) if named else (theme.OTHER, 0.5)
            axes.plot(
                rounds,
                _plottable(values),
                color=colour,
                linewidth=1.2,
                alpha=alpha,
                marker=_marker(rounds),
                markersize=3.5,
            )
        axes.plot(rounds, _plottable(mean), color=theme.INK, linewidth=2.4, marker=_marker(rounds), markersize=3.5)

    return draw


def _stage_bars(axes: Axes, rounds: Sequence[int], stages: dict[str, list[float]]) -> None:
    theme.style_axes(axes, "Seconds per round, all parties together")
    # A hairline of the surface keeps stacked segments apart; among very many rounds it would hide the bars.
    edge = 0.6 if len(rounds) <= 60 else 0.0
    bottom = [0.0] * len(rounds)
    for stage, values in stages.items():
        colour = stage_colour(stage)
        axes.bar(rounds, values, 0.72, bottom, color=colour, edgecolor=theme.SURFACE, linewidth=edge)
        bottom = [low + value for low, value in zip(bottom, values, strict=True)]
    # A few rounds are drawn as slim bars at the left, not as walls across the page.
    axes.set_xlim(rounds[0] - 0.6, max(rounds[-1], rounds[0] + 11) + 0.6)


def _marker(rounds: Sequence[int]) -> str:
    """Dots where there are few rounds: a run of one round is a dot, not an empty plot."""
    return "o" if len(rounds) <= 30 else ""


def _plottable(values: Iterable[float | None]) -> list[float]:
    """Missing and infinite values as NaN, which leaves a gap in the curve."""
    return [value if value is not None and math.isfinite(value) else math.nan for value in values]

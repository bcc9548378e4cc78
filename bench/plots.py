"""The drawings of a result, in reading order."""

from __future__ import annotations

import re

from drawing import Panel, ordered
from plot_comparison import colour, cost_panel, size_panel
from plot_growth import growth_panel
from plot_shares import share_panel, stage_parts
from resultfile import Result, headlines


def panels(result: Result) -> list[Panel]:
    """The drawings that `result` has rows for."""
    rows, target = result["rows"], result["targets"][0]
    who = headlines(rows, target)
    colours = {name: colour(steps["encrypt"]) for name, steps in who.items()}
    found = [cost_panel(who, colours), size_panel(who, colours)]
    for group in dict.fromkeys(row["group"] for row in rows if row["group"].startswith("growth with ")):
        along = re.split(r"\W+", group)[2]
        mine = [row for row in rows if row["group"] == group]
        everyone = ordered(result, rows)  # a scheme keeps its colour where others are missing
        place = {name: everyone.index(name) for name in ordered(result, mine)}
        found.append(growth_panel(group, along, mine, place))
    for group, title, names in (
        ("stages of a round", "Where a round's time goes", stage_parts),
        ("trainer: a step", "Where a training step's time goes", None),
        ("trainer: a round", "Where a training round's time goes", None),
    ):
        mine = [row for row in rows if row["group"] == group and row["target"] == target]
        if mine:
            found.append(share_panel(title, group, mine, ordered(result, mine), names))
    return found

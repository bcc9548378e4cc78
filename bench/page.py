"""One self-contained HTML page of a result: no script, nothing fetched, opens from disk. Looks like a run report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import trainer.report
from drawing import Panel
from plot_comparison import STEPS
from resultfile import Result, Row, expansion, headlines, is_scaled, per_million
from tables import facts
from trainer.report import formats
from trainer.report.theme import CSS_VARIABLES, css_colour

TEMPLATE = "page.html.j2"
REPORT = Path(trainer.report.__file__).parent  # its style sheet


def render(result: Result, panels: Sequence[Panel], name: str) -> str:
    """The page as HTML text; every string of the result is escaped."""
    found = headlines(result["rows"], result["targets"][0])
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in result["rows"]:
        groups[row["group"]].append(row)
    return (
        _environment()
        .get_template(TEMPLATE)
        .render(
            result=result,
            name=name,
            headlines=found,
            tiles=tiles(found),
            steps=STEPS,
            facts=facts(result),
            # The drawings are the only strings that enter unescaped; matplotlib escapes the texts in them.
            drawings={panel.name: (Markup(panel.svg()), panel.key, panel.title) for panel in panels},
            groups=groups,
            css_variables=CSS_VARIABLES,
        )
    )


def tiles(found: dict[str, dict[str, Row]]) -> list[dict[str, str]]:
    """The fastest of this project's schemes that encrypts, beside the fastest peer that does; or nothing."""
    encrypted = {who: steps for who, steps in found.items() if steps["encrypt"]["encrypts"]}
    encrypting = [who for who, steps in encrypted.items() if not steps["encrypt"]["is_peer"]]
    peers = {who: steps for who, steps in encrypted.items() if steps["encrypt"]["is_peer"]}
    if not encrypting:
        return []
    best = found[encrypting[0]]
    made = [{"name": "Fastest encryption", "value": encrypting[0], "more": "of this project's, for a million values"}]
    for step in STEPS:
        row = best[step]
        nearest = min(peers.values(), key=lambda steps: per_million(steps[step]), default=None)
        more = f"{formats.seconds(per_million(row, 'least_s'))} to {formats.seconds(per_million(row, 'most_s'))}"
        if nearest is not None:
            ratio = per_million(nearest[step]) / per_million(row)
            more += f"; the fastest peer takes {ratio:.3g} times as long ({nearest[step]['who']})"
        made.append({"name": TITLES[step], "value": formats.seconds(per_million(row)), "more": more})
    size = best["encrypt"]["bytes_per_value"]
    more = f"{expansion(best['encrypt']):.2f} times the float32 it stands for"
    made.append({"name": "On the wire, a value", "value": f"{size:.2f} bytes", "more": more})
    return made


TITLES = {"encrypt": "Encrypt", "add": "Add one client's", "decrypt": "Decrypt"}


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader([Path(__file__).parent, REPORT]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(seconds=formats.seconds, css_colour=css_colour, per_million=per_million)
    environment.tests.update(scaled=is_scaled)
    environment.globals.update(expansion=expansion)
    return environment

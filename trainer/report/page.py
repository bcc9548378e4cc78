"""Writing the report: numbers from the run folder, put into the page's template."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from trainer.report import curves, formats, ledger_table, parties
from trainer.report.errors import ReportError
from trainer.report.examples import Examples, read_examples, write_examples
from trainer.report.run_folder import RunRecord, read_run
from trainer.report.theme import CSS_VARIABLES, css_colour

TEMPLATE = "report.html.j2"
FLOAT32_BYTES = 4


@dataclass(frozen=True)
class Totals:
    """Sums over the finished rounds. Seconds are wall time, but `encryption_seconds` adds up all parties."""

    rounds: int
    encrypted: bool
    wall_seconds: float
    train_seconds: float
    evaluate_seconds: float
    encryption_seconds: float
    cut_bytes: int
    aggregation_bytes: int
    saturated_values: int
    bytes_per_value: float | None

    @property
    def encryption_share(self) -> float | None:
        """Share of the wall time that encrypted aggregation took."""
        return self.encryption_seconds / self.wall_seconds if self.wall_seconds else None

    @property
    def time_parts(self) -> list[tuple[str, float, float]]:
        """(name, seconds, share) of training, encryption, evaluation and the rest; shares add up to 1.

        Parties that work at once can add up to more than the wall time; the shares are of their sum then.
        """
        named = [
            ("training", self.train_seconds),
            ("encrypted aggregation" if self.encrypted else "aggregation", self.encryption_seconds),
            ("evaluation", self.evaluate_seconds),
        ]
        named.append(("other", max(0.0, self.wall_seconds - sum(value for _, value in named))))
        whole = sum(value for _, value in named)
        return [(name, value, value / whole if whole else 0.0) for name, value in named]


def write_report(run_folder: Path) -> Path:
    """Write `report.html`, `curves.png` and, where there are examples, `examples.png` into `run_folder`.

    Reads only files of that folder. The page is one file: no script, nothing fetched. Returns its path. Raises
    ReportError naming the file that is missing or malformed, or that cannot be written.
    """
    run = read_run(run_folder)
    examples = read_examples(run_folder / "examples.npz", run.data.task, run.data.class_names)
    page, partial = run_folder / "report.html", run_folder / ".report.html.partial"
    html = render(run, examples)
    try:
        curves.write_panels(curves.panels(run), run_folder / "curves.png")
        if examples is not None:
            write_examples(examples, run_folder / "examples.png")
        partial.write_text(html, encoding="utf-8")
        partial.replace(page)  # last and at once: a page that is there is whole, and so are its pictures
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ReportError(f"cannot write the report into {run_folder}: {error.strerror}") from None
    return page


def totals(run: RunRecord) -> Totals:
    """Sums over the finished rounds of `run`."""
    return Totals(
        rounds=len(run.rounds),
        encrypted=parties.exposure(run).encrypted,
        wall_seconds=sum(entry.wall_seconds for entry in run.rounds),
        train_seconds=sum(entry.train_seconds for entry in run.rounds),
        evaluate_seconds=sum(entry.evaluate_seconds for entry in run.rounds),
        encryption_seconds=sum(entry.encryption_seconds for entry in run.rounds),
        cut_bytes=sum(entry.cut_bytes for entry in run.rounds),
        aggregation_bytes=sum(entry.aggregation_bytes for entry in run.rounds),
        saturated_values=sum(entry.saturated_values for entry in run.rounds),
        bytes_per_value=ledger_table.bytes_per_value(run.ledger),
    )


def render(run: RunRecord, examples: Examples | None) -> str:
    """The page as HTML text; every string of the run folder is escaped."""
    total = totals(run)
    seen = parties.exposure(run)
    stage_panel = curves.stage_panel(run)
    return (
        environment()
        .get_template(TEMPLATE)
        .render(
            run=run,
            final=_final_metrics(run),
            last_evaluation=run.evaluated[-1] if run.evaluated else None,
            total=total,
            seen=seen,
            parties=parties.party_views(seen),
            limits=parties.unprotected(seen),
            examples=examples,
            # The drawings are the only strings that enter unescaped; matplotlib escapes the texts in them.
            panels=[(Markup(panel.svg()), panel.key) for panel in curves.panels(run)],
            stage_bars=(Markup(curves.stage_svg(stage_panel)), stage_panel.key) if stage_panel else None,
            stages=ledger_table.by_stage(run.ledger, total.rounds, total.wall_seconds),
            ledger_parties=ledger_table.by_party(run.ledger),
            stage_colour=curves.stage_colour,
            float32_bytes=FLOAT32_BYTES,
            css_variables=CSS_VARIABLES,
        )
    )


def _final_metrics(run: RunRecord) -> dict[str, float | None]:
    if run.summary is not None and run.summary.final:
        return run.summary.final
    return run.evaluated[-1][1].mean if run.evaluated else {}


def environment() -> Environment:
    """Where templates lie, with the filters that they use; undefined names are errors, strings are escaped."""
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(
        seconds=formats.seconds,
        bytes=formats.bytes_,
        flops=formats.flops,
        count=formats.count,
        percent=formats.percent,
        metric=formats.metric,
        metric_title=formats.metric_title,
        metric_unit=formats.metric_unit,
        signed_metric=formats.signed_metric,
        p_value=formats.p_value,
        css_colour=css_colour,
    )
    return found

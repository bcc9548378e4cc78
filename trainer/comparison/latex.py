"""Tables with booktabs for a paper: the results, those of single classes, and the paired tests."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.comparison.pairs import TEST, Pair
from trainer.comparison.plan import Variant
from trainer.comparison.results import Results, Spread, is_better, spread_text
from trainer.report import formats

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "×": r"$\times$",  # noqa: RUF001
    "µ": r"\textmu{}",
    "–": "--",  # noqa: RUF001
    "−": "$-$",  # noqa: RUF001
}


def escaped(text: str) -> str:
    """`text` with LaTeX's special characters set as themselves."""
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


def tables(results: Results, pairs: Sequence[Pair]) -> str:
    """The file table.tex: needs `\\usepackage{booktabs}`. Bold is the best mean of a column."""
    seeds = len(results.plan.seeds)
    head = (
        "% Made by dcsfl-train compare. In the preamble: \\usepackage{booktabs}; names beyond Latin need XeLaTeX.\n"
        "% Numbers are means over seeds, with the standard deviation over seeds.\n"
    )
    caption = (
        f"Final test metrics, mean over {len(results.data.clients)} clients; mean ± standard deviation over "
        f"{seeds} seed{'s' if seeds > 1 else ''}. Bytes and seconds are of a whole run, all parties together."
    )
    test = f"Differences of {formats.metric_title(results.primary)}: first less second. {TEST}. "
    classes = f"{formats.metric_title(results.primary)} of each class, as in the table before."
    interval = "Intervals: 95 %, Student's t over seeds." if seeds > 1 else ""
    return (
        head
        + _table(caption, "tab:comparison", *_results(results))
        + "\n"
        + (_table(classes, "tab:comparison-classes", *_classes(results)) + "\n" if results.classes else "")
        + _table(test + interval, "tab:comparison-pairs", *_pairs(results, pairs))
    )


def _results(results: Results) -> tuple[list[str], list[list[str]]]:
    heading = ["Method", *(formats.metric_title(name, unit=True) for name in results.whole)]
    heading += ["Worst client", "Bytes", "Seconds"]
    rows = []
    for variant in results.variants:
        sent, seconds = results.totals(variant)
        scores = [_bold(results, variant, name) for name in results.whole]
        cost = [escaped(formats.bytes_(sent)), escaped(_seconds(seconds))]
        rows.append(
            [
                escaped(variant.name),
                *scores,
                escaped(spread_text(results.worst_client(variant), results.primary)),
                *cost,
            ]
        )
    return [escaped(text) for text in heading], rows


def _classes(results: Results) -> tuple[list[str], list[list[str]]]:
    heading = ["Method", *(name.partition("/")[2] for name in results.classes)]
    rows = [
        [escaped(variant.name), *(_bold(results, variant, name) for name in results.classes)]
        for variant in results.variants
    ]
    return [escaped(text) for text in heading], rows


def _pairs(results: Results, pairs: Sequence[Pair]) -> tuple[list[str], list[list[str]]]:
    heading = ["Pair", "Difference", "95 % interval", "Seeds", "$n$", "$p$", "$p$ (Holm)"]
    heading[2] = escaped(heading[2])
    rows = []
    for pair in pairs:
        interval = formats.MISSING
        if pair.interval:
            interval = " to ".join(formats.signed_metric(bound, results.primary) for bound in pair.interval)
        rows.append(
            [
                f"{escaped(pair.one)} -- {escaped(pair.other)}",
                _signed(formats.signed_metric(pair.difference, results.primary)),
                " to ".join(_signed(part) for part in interval.split(" to ")),
                f"{pair.same_sign}/{len(pair.by_seed)}",
                str(pair.test.pairs),
                escaped(formats.p_value(pair.test.p)),
                escaped(formats.p_value(pair.p)),
            ]
        )
    return heading, rows


def _table(caption: str, label: str, heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [
        r"\begin{table}",
        r"\centering",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{escaped(caption)}}}",
        rf"\label{{{label}}}",
        rf"\begin{{tabular}}{{@{{}}l{'r' * (len(heading) - 1)}@{{}}}}",
        r"\toprule",
        " & ".join(heading) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _best(results: Results, metric: str) -> float | None:
    means = [spread.mean for spread in (results.spread(variant, metric) for variant in results.variants) if spread]
    return next((mean for mean in means if all(is_better(metric, mean, other) for other in means)), None)


def _bold(results: Results, variant: Variant, metric: str) -> str:
    """Mean and deviation, the mean in bold where none is better."""
    spread = results.spread(variant, metric)
    text = escaped(spread_text(spread, metric))
    if spread is None or spread.mean != _best(results, metric):
        return text
    mean, plus_minus, deviation = text.partition(r" $\pm$ ")
    return rf"\textbf{{{mean}}}{plus_minus}{deviation}"


def _seconds(spread: Spread) -> str:
    return f"{spread.mean:,.0f}" + ("" if spread.deviation is None else f" ± {spread.deviation:,.0f}")


def _signed(text: str) -> str:
    """`-0.0123` with a minus sign rather than a hyphen."""
    return f"${text}$" if text[:1] in "+-" else escaped(text)

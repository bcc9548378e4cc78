"""Writing the results of a comparison into its folder."""

from __future__ import annotations

from collections import Counter

from markupsafe import Markup

from trainer.comparison import curves, latex, tables
from trainer.comparison.claims import check_claims
from trainer.comparison.convergence import SHARES, reach, reference
from trainer.comparison.examples import RULE, make_gallery
from trainer.comparison.folder import ComparisonFolder
from trainer.comparison.pairs import LEVEL, TEST, compare_pairs, remarks
from trainer.comparison.results import Results, spread_text
from trainer.data import FederatedData
from trainer.errors import RunFolderError
from trainer.report.curves import write_panels
from trainer.report.page import environment
from trainer.report.theme import CSS_VARIABLES

PAGE, CELLS, SUMMARY, PAIRS, TABLE, EVERYTHING = (
    "comparison.html",
    "comparison.csv",
    "summary.csv",
    "pairs.csv",
    "table.tex",
    "comparison.json",
)
TEMPLATE = "comparison.html.j2"
_SIZE = (4.6, 3.2)


def write_results(folder: ComparisonFolder, results: Results, data: FederatedData) -> None:
    """Write tables, JSON, pictures and, last, the page; `data` are those of the first seed. Raises RunFolderError."""
    pairs, claims = compare_pairs(results), check_claims(results)
    told = remarks(results, pairs)
    files = folder.files
    files.write_text(CELLS, tables.csv_text(tables.cell_rows(results)))
    files.write_text(SUMMARY, tables.csv_text(tables.summary_rows(results)))
    files.write_text(PAIRS, tables.csv_text(tables.pair_rows(pairs)))
    files.write_text(TABLE, latex.tables(results, pairs))
    files.write_json(EVERYTHING, tables.as_json(results, pairs, claims, told))
    drawn = curves.panels(results)
    try:
        write_panels(drawn, folder.path / "curves.png")
        gallery = make_gallery(folder, results, data, folder.path / "examples.png")
    except OSError as error:
        raise RunFolderError(f"cannot write pictures into {folder.path}: {error.strerror}") from None
    page = (
        environment()
        .get_template(TEMPLATE)
        .render(
            results=results,
            claims=claims,
            pairs=pairs,
            remarks=told,
            test=TEST,
            level=LEVEL,
            reference=reference(results),
            reached={
                variant.name: [(share, reach(results, variant, share)) for share in SHARES]
                for variant in results.variants
            },
            shares=SHARES,
            spread_text=spread_text,
            colour=lambda variant: curves.colour(results, variant),
            # The drawings are the only strings that enter unescaped; matplotlib escapes the texts in them.
            panels=[(Markup(panel.svg(_SIZE)), panel.key) for panel in drawn],
            gallery=gallery,
            rule=RULE,
            passes=Counter(result.image_passes for result in results.cells.values()),
            css_variables=CSS_VARIABLES,
        )
    )
    files.write_text(PAGE, page)

"""The page: self-contained, escaped, and in agreement with the files it is made from."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainer.report import theme, write_report
from trainer.report.curves import panels
from trainer.report.formats import bytes_, metric, seconds
from trainer.report.run_folder import read_run

VOID = {"meta", "img", "br", "hr", "link", "input"}
HOSTILE = '<script>alert("x")</script>'


class Page(HTMLParser):
    """What the tests ask of a page: its tags and attributes, headings, tables, ids, and whether it is well nested."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.words = ""
        self._open: list[str] = []
        self._table: list[list[str]] | None = None
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self._table = self.tables.setdefault(dict(attrs).get("id") or f"table-{len(self.tables)}", [])
        elif tag == "tr" and self._table is not None:
            self._table.append([])
        elif tag in ("td", "th") and self._table is not None:
            self._table[-1].append("")
        elif tag in ("h1", "h2"):
            self.headings.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "style":
            return
        self.words += data
        if "td" in self._open or "th" in self._open:
            assert self._table
            self._table[-1][-1] += data
        elif self._open and self._open[-1] in ("h1", "h2"):
            self.headings[-1] += data

    def row(self, table: str, first: str) -> dict[str, str]:
        """The row of `table` that starts with `first`, by column heading."""
        head, *rows = self.tables[table]
        return dict(zip(head, next(row for row in rows if row[0] == first), strict=True))


def rows_of(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
def page_of(make_run):
    """`page_of(**options)` -> (run folder, its parsed page, the page's text)."""

    def render(**options):
        folder = make_run(**options)
        text = write_report(folder).read_text(encoding="utf-8")
        return folder, Page(text), text

    return render


def test_report_writes_page_and_both_pictures_into_the_run_folder(make_run):
    folder = make_run(rounds=2, clients=2)
    assert write_report(folder) == folder / "report.html"
    for name in ("curves.png", "examples.png"):
        with Image.open(folder / name) as image:
            assert image.format == "PNG"
            assert min(image.size) > 200


def test_page_fetches_nothing_and_runs_nothing(page_of):
    _, page, text = page_of(rounds=2, clients=2)
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base", "form")
        for name in ("src", "href", "xlink:href", "srcset", "data", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/png;base64,"))
        assert not [name for name in attributes if name.startswith("on")]
    assert "@import" not in text
    assert all(found.startswith("#") for found in re.findall(r"url\(\s*[\"']?([^)]*)", text))
    policies = [found["content"] for tag, found in page.tags if found.get("http-equiv") == "Content-Security-Policy"]
    assert policies
    assert "default-src 'none'" in policies[0]


def test_page_has_its_sections_in_order_and_links_to_each(page_of):
    _, page, _ = page_of(rounds=2, clients=2)
    assert page.headings == [
        "demo",
        "Who saw what",
        "Example predictions",
        "Curves",
        "Clients",
        "Cost ledger",
        "The network and its cuts",
        "Data",
        "Configuration",
        "Environment",
        "What is not protected",
    ]
    ids = [found["id"] for _, found in page.tags if "id" in found]
    assert not [name for name, times in Counter(ids).items() if times > 1]
    targets = {found["href"] for tag, found in page.tags if tag == "a"}
    assert targets <= {f"#{name}" for name in ids}


def test_stage_table_shows_the_sums_of_the_ledger_rows(page_of):
    folder, page, _ = page_of(rounds=3)
    rows = rows_of(folder / "ledger.jsonl")
    rounds = rows_of(folder / "metrics.jsonl")
    for stage in ("quantise", "encrypt", "add", "decrypt"):
        mine = [row for row in rows if row["stage"] == stage]
        shown = page.row("ledger-stages", stage)
        elapsed = sum(row["elapsed_ns"] for row in mine) / 1e9
        assert shown["total"] == seconds(elapsed)
        assert shown["mean per round"] == seconds(elapsed / 3)
        assert shown["bytes"] == bytes_(sum(row["bytes"] for row in mine))
        assert shown["values"] == f"{sum(row['values'] for row in mine):,}"
        share = 100 * elapsed / sum(entry["wall_seconds"] for entry in rounds)
        assert float(shown["share of round"].removesuffix("%")) == pytest.approx(share, abs=0.06)
    assert page.row("ledger-stages", "keys")["mean per round"] == "before round 0"
    assert page.row("ledger-stages", "all stages")["total"] == seconds(sum(row["elapsed_ns"] for row in rows) / 1e9)


def test_party_table_shows_the_sums_of_the_ledger_rows(page_of):
    folder, page, _ = page_of(rounds=3)
    for party in ("client-2", "aggregation server"):
        mine = [row for row in rows_of(folder / "ledger.jsonl") if row["party"] == party]
        shown = page.row("ledger-parties", party)
        assert shown["total"] == seconds(sum(row["elapsed_ns"] for row in mine) / 1e9)
        assert shown["frames"] == bytes_(sum(row["bytes"] for row in mine if row["stage"] == "frame"))
    assert page.row("ledger-parties", "aggregation server")["decrypt"] == "–"  # noqa: RUF001


def test_headline_shows_the_totals_of_the_rounds(page_of):
    folder, page, _ = page_of(rounds=3)
    rounds = rows_of(folder / "metrics.jsonl")
    final = json.loads((folder / "summary.json").read_text())["final"]
    head = page.words[: page.words.index("What crossed")]
    for shown in (
        metric(final["dice"], "dice"),
        seconds(sum(entry["encryption_seconds"] for entry in rounds)),
        bytes_(sum(entry["cut_bytes"] for entry in rounds)),
        bytes_(sum(entry["aggregation_bytes"] for entry in rounds)),
        f"{28_431 / 7_812:.2f} bytes",
    ):
        assert shown in head


def test_client_table_shows_each_clients_last_metrics(page_of):
    folder, page, _ = page_of(rounds=3)
    last = rows_of(folder / "metrics.jsonl")[-1]
    table = next(name for name, rows in page.tables.items() if rows[0][0] == "Client")
    shown = page.row(table, "client-1")
    assert shown["Dice, grey matter"] == metric(last["evaluation"]["clients"]["client-1"]["dice/grey matter"], "dice")
    assert shown["loss"] == metric(last["train_loss"]["client-1"], "loss")
    assert page.row(table, "mean")["Dice"] == metric(last["evaluation"]["mean"]["dice"], "dice")


def test_strings_of_the_run_are_escaped(page_of):
    names = [HOSTILE, '" onload="alert(1)']
    folder, page, text = page_of(
        rounds=2, client_names=names, class_names=["background", HOSTILE, "b<i>"], provenance=HOSTILE
    )
    assert HOSTILE not in text
    assert page.words.count(HOSTILE) > 5
    assert not [tag for tag, found in page.tags if tag == "script" or "onload" in found]
    assert (folder / "curves.png").exists()


def test_names_of_metrics_and_stages_are_escaped(make_run):
    folder = make_run(rounds=2, clients=2)
    hostile = json.dumps('x" onload="alert(1)"><script>')[1:-1]
    for file, known in (("metrics.jsonl", '"dice"'), ("ledger.jsonl", '"keys"'), ("ledger.jsonl", '"add"')):
        text = (folder / file).read_text()
        assert known in text
        extra = f'"dice": 0.5, "{hostile}"' if known == '"dice"' else f'"{hostile}"'
        (folder / file).write_text(text.replace(known, extra))
    page = Page(write_report(folder).read_text())
    assert not [tag for tag, found in page.tags if tag == "script" or "onload" in found]
    assert page.words.count('x" onload="alert(1)"><script>') > 3


def test_names_are_drawn_as_they_are_not_as_formulas(page_of):
    _, page, _ = page_of(
        rounds=2, client_names=["_site", r"$\frac$", "a # b"], class_names=["background", "$x$", "_y"]
    )
    for name in ("_site", r"$\frac$", "$x$"):
        assert name in page.words


def test_restoration_run_reports_psnr_and_a_signed_difference(page_of):
    _, page, _ = page_of(task="restoration", rounds=2, clients=2)
    assert "Final PSNR" in page.words
    assert "prediction minus truth" in page.words
    assert "SSIM on test images" in page.words


def test_local_run_has_no_aggregation_server_and_an_empty_ledger(page_of):
    _, page, _ = page_of(method="local", rounds=2, clients=2)
    assert "Aggregation server" not in page.words
    assert "its ledger is empty" in page.words
    assert "ledger-stages" not in page.tables


@pytest.mark.parametrize("scheme", ["none", "plain"])
def test_run_without_encryption_says_so_at_the_top(page_of, scheme):
    _, page, _ = page_of(scheme=scheme, rounds=1, clients=2)
    assert f"Nothing was encrypted in this run (scheme {scheme})" in page.words
    assert "ciphertexts" not in page.words
    assert "secret key" not in page.words


def test_encrypted_run_says_what_stays_unprotected(page_of):
    _, page, _ = page_of(rounds=1, clients=2)
    limits = page.words[page.words.index("What is not protected") :]
    assert "Activations and gradients at the cuts are not encrypted" in limits
    assert "The aggregated model is not protected" in limits
    assert "Nothing was encrypted" not in page.words


def test_run_without_examples_is_reported_without_them(make_run):
    folder = make_run(rounds=1, clients=2)
    (folder / "examples.npz").unlink()
    assert "kept no example images" in write_report(folder).read_text()
    assert not (folder / "examples.png").exists()


def test_rounds_without_evaluation_leave_loss_curves_and_no_metric(make_run):
    folder = make_run(rounds=2, clients=2)
    rounds = [{**entry, "evaluation": None} for entry in rows_of(folder / "metrics.jsonl")]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in rounds))
    (folder / "summary.json").write_text(json.dumps({"final": {}, "best_round": None, "finished": True}))
    page = Page(write_report(folder).read_text())
    assert "Training loss" in page.words
    assert "on test images" not in page.words


def test_missing_metrics_are_shown_as_a_dash_not_as_nan(make_run):
    folder = make_run(rounds=2, clients=2)
    text = (folder / "metrics.jsonl").read_text()
    (folder / "metrics.jsonl").write_text(re.sub(r'"dice/grey matter": [\d.]+', '"dice/grey matter": NaN', text))
    page = Page(write_report(folder).read_text())
    table = next(name for name, rows in page.tables.items() if rows[0][0] == "Client")
    assert page.row(table, "client-0")["Dice, grey matter"] == "–"  # noqa: RUF001
    assert "nan" not in page.words.lower()


def test_a_run_of_volumes_begun_in_voxels_and_resumed_in_mm_shows_mm_of_its_rounds_alone(make_run):
    folder = make_run(rounds=4, clients=2)
    rounds = rows_of(folder / "metrics.jsonl")
    for number, entry in enumerate(rounds):
        for scores in (entry["evaluation"]["mean"], *entry["evaluation"]["clients"].values()):
            scores.update({"hd95": 90.0 + number} if number < 3 else {"hd95_mm": 4.25})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in rounds))
    final = {"final": rounds[-1]["evaluation"]["mean"], "best_round": 3, "finished": True}
    (folder / "summary.json").write_text(json.dumps(final))
    page = Page(write_report(folder).read_text())
    table = next(name for name, rows in page.tables.items() if rows[0][0] == "Client")
    assert page.row(table, "mean")["HD95 (mm)"] == "4.25"
    assert "HD95 4.25 mm" in page.words
    assert "HD95 (px)" not in page.words
    panel = next(panel for panel in panels(read_run(folder)) if "HD95" in panel.description)
    axes = theme.new_figure(4, 3).add_subplot()
    panel.draw(axes)
    for line in axes.lines:
        assert np.array_equal(line.get_ydata(), [np.nan, np.nan, np.nan, 4.25], equal_nan=True)


def test_more_clients_than_colours_are_drawn_grey(page_of):
    clients = len(theme.SERIES) + 1
    _, page, _ = page_of(rounds=2, clients=clients)
    assert f"{clients} clients" in page.words[page.words.index("Training loss") :]


def test_the_parts_show_blocks_and_flops_and_the_choices_mark_this_runs_cut(page_of):
    _, page, _ = page_of(rounds=1, clients=2)
    parts = next(table for table in page.tables.values() if table[0][:2] == ["Part", "held by"])
    assert parts[1][2:] == ["conv_0, pool", "2,544", "0.52 %", "44.2 M", "130 M"]
    assert parts[2][-2:] == ["–", "–"]  # noqa: RUF001
    choices = page.tables["choices"]
    assert [(row[0], row[-1]) for row in choices[1:]] == [("1", "chosen"), ("2", ""), ("3", "")]
    assert choices[1][1:6] == ["7,812", "2.0 %", "614 M", "30.0 %", "1.18 MB"]
    assert "the client keeps 1 tensor of an image, 590 kB" in " ".join(page.words.split())

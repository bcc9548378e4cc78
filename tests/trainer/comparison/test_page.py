"""The page of a comparison: self-contained, escaped, well nested, and the numbers of the runs."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from trainer.comparison import write
from trainer.comparison.write import PAGE, write_results
from trainer.data import load as load_data

HOSTILE = '<script>alert("x")</script>'


class Nested(HTMLParser):
    """Raises where tags are not closed in order; collects ids, links and text."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids += [found["id"]] if found.get("id") else []  # type: ignore[list-item]
        self.links += [found["href"]] if found.get("href") else []  # type: ignore[list-item]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        return None

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words += data


@pytest.fixture
def page(real: Path) -> str:
    return (real / PAGE).read_text(encoding="utf-8")


def test_it_is_well_nested_and_every_link_leads_somewhere(page: str, real: Path) -> None:
    found = Nested(page)
    assert len(found.ids) == len(set(found.ids))
    for link in found.links:
        if link.startswith("#"):
            assert link.removeprefix("#") in found.ids
        else:
            assert (real / link).is_file(), link


def test_it_fetches_nothing_and_runs_no_script(page: str) -> None:
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)
    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'src="([^"]*)"', page))
    assert "default-src 'none'" in page


def test_it_states_claims_tests_and_what_is_held_equal(page: str) -> None:
    words = " ".join(Nested(page).words.split())
    for told in (
        "DC-SFL is within 0.01 of SplitFed V1",
        "not tested",
        "Wilcoxon signed-rank test, two-sided, exact",
        "not independent",
        "Every run passes over 48 training images",
        "the first round whose Dice reaches a share",
    ):
        assert told.lower() in words.lower(), told


def test_names_of_clients_and_classes_are_escaped(compared: Any, monkeypatch: Any) -> None:
    # The images themselves are not what is tested here, and these runs have no weights to predict with.
    monkeypatch.setattr(write, "make_gallery", lambda *arguments: None)
    made = compared({"dcsfl": {1: [[0.5, 0.6]]}, "local": {1: [[0.4, 0.5]]}}, clients=(HOSTILE, "$x_1$"))
    data = load_data(made.plan.shared.data, "segmentation", 1)
    write_results(made.folder, made.results, data)
    text = (made.folder.path / PAGE).read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    Nested(text)
    for name in ("comparison.csv", "table.tex", "comparison.json", "summary.csv", "pairs.csv", "curves.png"):
        assert (made.folder.path / name).stat().st_size > 100


def test_one_seed_and_one_client_make_a_page_without_spread(compared: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(write, "make_gallery", lambda *arguments: None)
    made = compared({"dcsfl": {1: [[0.5]]}, "local": {1: [[0.4]]}}, clients=("only",))
    write_results(made.folder, made.results, load_data(made.plan.shared.data, "segmentation", 1))
    words = " ".join(Nested((made.folder.path / PAGE).read_text()).words.split())
    assert "over 1 seed." in words
    assert "nan" not in words.lower()

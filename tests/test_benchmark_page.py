"""bench/page.py and bench/plots.py: one page that needs nothing but itself."""

from __future__ import annotations

import re
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest

import drawing
import page
import plots
import run
from samples import result

RESULTS = Path(page.__file__).parent / "results"


@pytest.fixture(scope="module")
def html() -> str:
    made = result()
    return page.render(made, plots.panels(made), "model-1")


def test_nothing_is_fetched(html: str) -> None:
    fetched = re.findall(r"""(?:src|href|action|data)\s*=\s*["'](?!#|data:)[^"']*""", html)
    assert fetched == []
    assert "@import" not in html
    assert re.findall(r"url\((?!#)[^)]*\)", html) == []
    assert "<script" not in html
    assert "default-src 'none'" in html, "and a browser would refuse to"


def test_recorded_pages_fetch_nothing() -> None:
    for file in RESULTS.glob("*.html"):
        assert re.findall(r"""(?:src|href)\s*=\s*["'](?:https?:)?//[^"']*""", file.read_text()) == [], file.name


def test_every_tag_is_closed(html: str) -> None:
    class Tags(HTMLParser):
        open_tags: list[str]

        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("meta", "br", "img"):
                self.open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open_tags.pop() == tag

    tags = Tags()
    tags.open_tags = []
    tags.feed(re.sub(r"<(\w+)([^<>]*)/>", r"<\1\2></\1>", html))
    assert tags.open_tags == []


def test_the_page_shows_every_drawing_and_each_row_of_the_comparison(html: str) -> None:
    drawn = plots.panels(result())
    assert {panel.name for panel in drawn} == {
        "cost",
        "size",
        "growth-with-values",
        "growth-with-clients-100-000-values",
        "stages-of-a-round",
    }
    for panel in drawn:
        assert f'aria-label="{escape(panel.description)}"' in html
    for text in ("ours, native", "Peer 1.0", "10.0 ms", "5.00 ms – 20.0 ms", "2.75", "0.69 ×", "nobody: too slow"):  # noqa: RUF001
        assert text in html, text


def test_names_are_text_and_never_markup() -> None:
    made = result()
    for row in made["rows"]:
        row["who"] = row["who"].replace("Peer", "<b>Peer</b> $x^2$")
    html = page.render(made, plots.panels(made), "<i>")
    assert "<b>Peer" not in html
    assert "<i>" not in html
    assert "&lt;b&gt;Peer&lt;/b&gt; $x^2$" in html


def test_a_result_without_encryption_or_peers_still_has_a_page() -> None:
    made = result()
    made["rows"] = [row | {"encrypts": False} for row in made["rows"] if not row["is_peer"]]
    assert "ours, native" in page.render(made, plots.panels(made), "model-1")


def test_one_command_writes_every_file(tmp_path: Path) -> None:
    opened = run.write(result(), tmp_path, "model-1")
    names = {file.name for file in tmp_path.iterdir()}
    assert opened == tmp_path / "model-1.html"
    assert {"model-1.json", "model-1.md", "model-1.html", "model-1-cost.png"} <= names


@pytest.mark.parametrize(
    ("value", "text"), [(1e-6, "1 µs"), (1e-3, "1 ms"), (0.1, "100 ms"), (1.0, "1 s"), (1e4, "10,000 s")]
)
def test_ticks_are_whole_units(value: float, text: str) -> None:
    assert drawing.tick_seconds(value) == text

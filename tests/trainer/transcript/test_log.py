"""A party's file: only ever appended to, also by a resume after a kill at any byte."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.errors import RunFolderError
from trainer.transcript.chain import GENESIS, TranscriptError, read_chain
from trainer.transcript.log import Transcript

SUMMED = {"participants": [[0, 1]], "codec": GENESIS, "sum": GENESIS}


def events_of(path: Path) -> list[str]:
    return [entry.event for entry in read_chain(path.name, path.read_bytes()).entries]


def test_entries_of_before_the_file_is_named_come_after_its_start(tmp_path: Path) -> None:
    transcript = Transcript("aggregation", scheme="plain")
    transcript.record("summed", round=0, **SUMMED)
    transcript.open(tmp_path / "log", 0)
    transcript.record("summed", round=1, **SUMMED)
    transcript.sync()
    chain = read_chain("log", (tmp_path / "log").read_bytes())
    assert [(entry.event, entry.round) for entry in chain.entries] == [
        ("started", None),
        ("summed", 0),
        ("summed", 1),
    ]
    assert chain.entries[0].facts == {"scheme": "plain"}
    assert chain.party == "aggregation"


def test_a_resume_after_a_kill_at_any_byte_appends_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    first = Transcript("client-0")
    first.open(path, 0)
    first.record("summed", round=0, **SUMMED)
    whole, start = path.read_bytes(), path.read_bytes().index(b"\n") + 1
    for cut in range(start, len(whole) + 1):
        path.write_bytes(whole[:cut])
        again = Transcript("client-0", scheme="rlwe")
        again.open(path, 5)
        again.record("summed", round=5, **SUMMED)
        assert path.read_bytes().startswith(whole[:cut])
        kept = ["started", "summed"] if cut >= len(whole) - 1 else ["started"]
        assert events_of(path) == [*kept, "resumed", "summed"]


def test_a_kill_in_the_middle_of_a_resume_is_got_over_as_well(tmp_path: Path) -> None:
    path = tmp_path / "log"
    Transcript("client-0").open(path, 0)
    path.write_bytes(path.read_bytes() + b'{"half a line')
    before = path.read_bytes()
    Transcript("client-0").open(path, 1)
    for cut in range(len(before) + 2, len(path.read_bytes()) - 1):
        torn = path.read_bytes()[:cut]
        other = tmp_path / f"cut-{cut}"
        other.write_bytes(torn)
        Transcript("client-0").open(other, 1)
        assert other.read_bytes().startswith(torn)
        assert events_of(other) == ["started", "resumed"]


def test_a_log_that_was_altered_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "log"
    transcript = Transcript("client-0")
    transcript.open(path, 0)
    for number in range(3):
        transcript.record("summed", round=number, **SUMMED)
    altered = path.read_bytes().replace(b'"round":1', b'"round":7')
    path.write_bytes(altered)
    with pytest.raises(TranscriptError, match=r"log, entry 2 .*altered"):
        Transcript("client-0").open(path, 3)
    assert path.read_bytes() == altered


def test_facts_that_are_not_the_events_are_a_bug_that_shows(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no event is called"):
        Transcript("client-0").record("summoned", round=0)
    with pytest.raises(ValueError, match=r"lacks \['sum'\]"):
        Transcript("client-0").record("summed", round=0, participants=[[0, 1]], codec=GENESIS)
    with pytest.raises(ValueError, match="round is not of its form"):
        Transcript("client-0").record("summed", round=-1, **SUMMED)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="file/log"):
        Transcript("client-0").open(tmp_path / "file" / "log", 0)


def test_a_disk_that_is_full_is_told_and_the_log_can_be_gone_on_with(tmp_path: Path) -> None:
    """A real failure: the kernel refuses to let the file grow."""
    script = """
import resource, signal, sys
from pathlib import Path
from trainer.errors import RunFolderError
from trainer.transcript.log import Transcript
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
transcript = Transcript("client-0")
transcript.open(Path(sys.argv[1]), 0)
resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))
try:
    for number in range(9):
        transcript.record("averaged", round=number, participants=[[0, 1]], result="0" * 64)
except RunFolderError as error:
    print(error)
"""
    path = tmp_path / "log"
    run = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True, cwd=".")
    assert "Free some space" in run.stdout
    assert path.stat().st_size == 600
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 600
    Transcript("client-0").open(path, 0)
    assert events_of(path)[0] == "started"
    assert events_of(path)[-1] == "resumed"

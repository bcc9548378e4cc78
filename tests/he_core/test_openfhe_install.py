"""The environment of OpenFHE's workers: what is taken for an interpreter, and what is said where there is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from he_core.arith.openfhe_backend import install, interpreter

THIS = (sys.version_info.major, sys.version_info.minor)


def program(path: Path, text: str) -> Path:
    path.write_text(text, encoding="ascii")
    path.chmod(0o755)
    return path


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenFHE runs nowhere yet."""
    monkeypatch.setattr(interpreter, "place", lambda: interpreter.Place(obstacle="not there"))


def arguments(monkeypatch: pytest.MonkeyPatch, *given: str) -> None:
    monkeypatch.setattr(sys, "argv", ["install", *given])


def test_this_python_fits_its_own_version_and_no_other(tmp_path: Path) -> None:
    here = Path(sys.executable)
    assert install.fits(here, THIS)
    assert not install.fits(here, (3, 9))
    assert not install.fits(tmp_path / "absent", THIS)
    assert not install.fits(program(tmp_path / "shim", "#!/bin/sh\necho pyenv: not installed >&2\nexit 127\n"), THIS)
    assert not install.fits(program(tmp_path / "pypy", f"#!/bin/sh\necho {THIS[0]} {THIS[1]} pypy\n"), THIS)


def test_interpreters_are_looked_for_on_the_path_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = program(tmp_path / "python3.10", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert next(install.candidates((3, 10))) == first


@pytest.mark.usefixtures("nowhere")
def test_without_an_interpreter_the_fix_is_named_and_the_exit_status_tells(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(install, "candidates", lambda python: iter(()))
    for given, status in (((), 1), (("--optional",), 0)):
        arguments(monkeypatch, *given, "--into", str(tmp_path / "made"))
        assert install.main() == status
        said = capsys.readouterr().err
        assert "no CPython 3.10" in said
        assert "no CPython 3.12" in said
        assert "python3.10 -m venv" in said
    assert not (tmp_path / "made").exists()


@pytest.mark.usefixtures("nowhere")
def test_an_installation_that_fails_leaves_nothing_and_says_its_last_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    broken = program(tmp_path / "python", '#!/bin/sh\nmkdir -p "$5"; echo disk is full >&2; exit 1\n')
    monkeypatch.setattr(install, "candidates", lambda python: iter((broken,)))
    monkeypatch.setattr(install, "fits", lambda path, python: True)
    arguments(monkeypatch, "--into", str(tmp_path / "made"))
    assert install.main() == 1
    assert "disk is full" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


def test_where_openfhe_runs_nothing_is_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(interpreter, "place", lambda: interpreter.Place(tmp_path / "python"))
    arguments(monkeypatch)
    assert install.main() == 0
    assert "OpenFHE runs under" in capsys.readouterr().out

"""Peers that cannot run in this interpreter: driven in a process under one that has them, which times its own steps.

Named by an environment variable, or found in a folder of this environment, such as `.venv/flower`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peers import count_for

HERE = Path(__file__).parent


def interpreter(variable: str, folder: str, package: str) -> str:
    """A Python that has `package`. Skips the tests of the module where there is none, with what to do."""
    found = os.environ.get(variable) or str(Path(sys.prefix) / folder / "bin" / "python")
    if not Path(found).exists():
        told = f"set {variable} to a Python that has {package}, or make {Path(sys.prefix).name}/{folder} with it"
        pytest.skip(f"no interpreter for {package}: {told}", allow_module_level=True)
    probe = subprocess.run([found, "-c", f"import {package}"], check=False, capture_output=True)
    if probe.returncode != 0:
        last = probe.stderr.decode(errors="replace").strip().splitlines()[-1:]
        pytest.skip(f"{variable}: {package} does not load: {''.join(last)}", allow_module_level=True)
    return found


class Driven:
    """A peer's process."""

    def __init__(self, python: str, script: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [python, str(HERE / script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Its answer. Raises RuntimeError where it ended instead."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the peer's process ended with status {self._process.wait()}; its trace is above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class DrivenSuite:
    """`PeerSuite`, by the times that the peer's process takes. Needs the fixture `command`: (python, script, ...)."""

    @pytest.fixture(scope="class")
    def driven(self, command: tuple[str, ...]) -> Iterator[Driven]:
        made = Driven(*command)
        yield made
        made.end()

    @pytest.fixture(scope="class")
    def begun(self, driven: Driven, timed: bool) -> int:
        """The count of values."""
        count = count_for(lambda count: driven.ask("whole_pass", count=count), None, timed)
        driven.ask("begin", count=count)
        return count

    @pytest.mark.parametrize(
        ("step", "what"),
        [("encrypt", "array to bytes"), ("add", "bytes parsed and added"), ("decrypt", "bytes to mean")],
    )
    def test_step(
        self, repeat: Any, record: Callable[..., None], driven: Driven, begun: int, step: str, what: str
    ) -> None:
        seconds: list[float] = []
        repeat(lambda: seconds.append(driven.ask(step)["seconds"]))
        checked, about = driven.ask("check", step=step), driven.ask("describe")
        record(
            begun,
            group=step,
            who=about["name"],
            what=what,
            note=about["note"],
            encrypts=about["encrypts"],
            bytes=checked["bytes"],
            error=checked["error"],
            seconds=seconds,
            is_peer=True,
            is_headline=True,
        )

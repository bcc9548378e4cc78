"""`python -m he_core.arith.openfhe_backend.install`: makes the environment that OpenFHE's workers run in.

Looks for a CPython that a wheel of the package loads on (on PATH, among pyenv's, the system's), makes a virtual
environment inside this one (`interpreter.own_environment`) and installs numpy and openfhe into it. Does nothing where
OpenFHE runs already.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from he_core.arith.openfhe_backend import interpreter

WHEELS = {(3, 10): "1.6.1.0.22.4", (3, 12): "1.6.1.0.24.4"}
"""Python -> the build of OpenFHE that loads on it: the first is built on Ubuntu 22.04, the second on 24.04."""

_IS_FIT = "import ensurepip, sys, venv; print(*sys.version_info[:2], sys.implementation.name)"


class InstallationError(Exception):
    """No environment with OpenFHE could be made."""


def candidates(python: tuple[int, int]) -> Iterator[Path]:
    """Programs that may be a CPython of that version."""
    name = f"python{python[0]}.{python[1]}"
    on_path = shutil.which(name)
    if on_path:
        yield Path(on_path)
    pyenv = Path.home() / ".pyenv" / "versions"
    yield from sorted(pyenv.glob(f"{python[0]}.{python[1]}.*/bin/python"), reverse=True)
    yield from (Path(folder) / name for folder in ("/usr/bin", "/usr/local/bin"))


def fits(program: Path, python: tuple[int, int]) -> bool:
    """Whether it runs, is a CPython of that version, and can make environments (pyenv's shims are and do not)."""
    try:
        run = subprocess.run([program, "-I", "-c", _IS_FIT], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return run.stdout.split() == [*map(str, python), "cpython"]


def install(target: Path) -> Path:
    """The interpreter of a new environment at `target` that has OpenFHE. Raises InstallationError."""
    tried = []
    for python, release in WHEELS.items():
        program = next((path for path in candidates(python) if fits(path, python)), None)
        if program is None:
            tried.append(f"no CPython {python[0]}.{python[1]} that can make virtual environments")
            continue
        made = target / "bin" / "python"
        steps: list[list[str | Path]] = [
            [program, "-m", "venv", "--clear", target],
            [
                made,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                f"openfhe=={release}",
                "numpy>=2,<3",
            ],
            [made, "-I", "-c", "import numpy, openfhe"],
        ]
        for step in steps:
            run = subprocess.run(step, stderr=subprocess.PIPE, text=True, check=False)
            if run.returncode:
                last = (run.stderr.strip().splitlines() or ["no message"])[-1]
                tried.append(f"{program}: {last}")
                shutil.rmtree(target, ignore_errors=True)
                break
        else:
            return made
    raise InstallationError("; ".join(tried))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m he_core.arith.openfhe_backend.install", description=__doc__)
    parser.add_argument(
        "--optional", action="store_true", help="end well, with a line that says why, if it cannot be"
    )
    parser.add_argument("--into", type=Path, help="make the environment there, for another use than workers")
    arguments = parser.parse_args()
    place = interpreter.place()
    if arguments.into is None and place.obstacle is None:
        print(f"OpenFHE runs {f'under {place.python}' if place.python else 'in this Python'}")
        return 0
    try:
        print(f"OpenFHE runs under {install(arguments.into or interpreter.own_environment())}")
    except InstallationError as error:
        print(f"the schemes on OpenFHE cannot run here: {error}. {interpreter.REMEDY}", file=sys.stderr)
        return 0 if arguments.optional else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

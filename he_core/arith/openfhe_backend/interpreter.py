"""Which Python has OpenFHE: this one, or one beside it that a worker can run under."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

VARIABLE = "DCSFL_OPENFHE_PYTHON"
RELEASE = "1.6.1"
"""The release whose objects `library` can read; builds for different systems follow it, as in 1.6.1.0.22.4."""

PROBE_SECONDS = 60
_PROBE = """
import json, sys
from importlib.metadata import version
import numpy, openfhe
print(json.dumps(version("openfhe")))
"""
REMEDY = (
    "OpenFHE's wheels load on CPython 3.10 (glibc 2.35 or newer) or 3.12 (a C++ runtime of GCC 13 or newer) only. "
    "Install one of the two, then: python -m he_core.arith.openfhe_backend.install; or by hand: "
    "python3.10 -m venv VENV && VENV/bin/pip install numpy openfhe==1.6.1.0.22.4, and name VENV/bin/python in "
    f"the environment variable {VARIABLE}"
)


@dataclass(frozen=True)
class Place:
    """Where OpenFHE runs. python: the interpreter of workers, None for this process. obstacle: why nowhere."""

    python: Path | None = None
    obstacle: str | None = None


def own_environment() -> Path:
    """The environment that `install` makes: inside this one, so that it goes where this one goes."""
    return Path(sys.prefix) / "openfhe"


@cache
def place() -> Place:
    """The first of: the interpreter `DCSFL_OPENFHE_PYTHON` names, this process, the environment of `install`."""
    named = os.environ.get(VARIABLE)
    if named:
        return _beside(Path(named), f"{VARIABLE}={named!r}")
    here = _here()
    if here is not None:
        return Place(obstacle=here) if here else Place()
    python = own_environment() / "bin" / "python"
    if python.exists():
        return _beside(python, str(python))
    return Place(obstacle=f"openfhe does not import under this Python. {REMEDY}")


def _here() -> str | None:
    """ "" where OpenFHE works in this process, None where it does not import, else what is wrong with it."""
    try:
        import openfhe  # noqa: F401

        return _unfit("this Python", version("openfhe")) or ""
    except (ImportError, PackageNotFoundError):  # absent, or a wheel of another Python
        return None


def _beside(python: Path, named: str) -> Place:
    if not os.access(python, os.X_OK):
        return Place(obstacle=f"{named}: no such program. {REMEDY}")
    command = [str(python), "-I", "-c", _PROBE]
    try:
        probe = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
        found = json.loads(probe.stdout) if probe.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        return Place(obstacle=f"{named} does not run as a Python: {error}")
    if not isinstance(found, str):
        last = (probe.stderr.strip().splitlines() or [f"exit status {probe.returncode}"])[-1]
        return Place(obstacle=f"{named} cannot import numpy and openfhe: {last}. {REMEDY}")
    unfit = _unfit(named, found)
    return Place(obstacle=unfit) if unfit else Place(python)


def _unfit(named: str, found: str) -> str | None:
    if found != RELEASE and not found.startswith(f"{RELEASE}."):
        return f"{named} has openfhe {found}; this engine knows the objects of {RELEASE}. {REMEDY}"
    return None

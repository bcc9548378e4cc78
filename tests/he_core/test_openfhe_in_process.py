"""bfv and ckks without a worker: the conformance suite once more under a Python that OpenFHE loads on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = Path(sys.prefix) / "in-process" / "bin" / "python"
SUITES = (
    "test_conformance.py",
    "test_conformance_refusals.py",
    "test_frozen_frames.py",
    "test_openfhe.py",
    "test_threshold_bfv.py",
    "test_threshold_bfv_parameters.py",
)
_IS_IN_PROCESS = """
from he_core.arith.openfhe_backend import interpreter
place = interpreter.place()
assert place.python is None and place.obstacle is None, place
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not PYTHON.exists(), reason="no CPython 3.10 or 3.12 on this machine: OpenFHE's wheels load on no other"
)
def test_the_suites_of_every_scheme_pass_for_openfhe_in_process() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "DCSFL"))}
    environment["PATH"] = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{environment['PATH']}"  # meson, for the extension
    subprocess.run([PYTHON, "-c", _IS_IN_PROCESS], cwd=ROOT, env=environment, check=True)
    command = [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "bfv or ckks or openfhe"]
    command += [str(Path("tests") / "he_core" / suite) for suite in SUITES]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    print(run.stdout[-2_000:])
    assert run.returncode == 0
    passed = re.search(r"(\d+) passed", run.stdout)
    assert passed is not None
    assert int(passed[1]) > 200
    assert "skipped" not in run.stdout

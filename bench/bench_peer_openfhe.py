"""OpenFHE driven directly (`driven_openfhe.py`), under the Python that the `openfhe` backend would use."""

from __future__ import annotations

import sys

import pytest

from elsewhere import DrivenSuite
from he_core.arith.openfhe_backend.interpreter import place

PLACE = place()
if PLACE.obstacle is not None:
    pytest.skip(PLACE.obstacle, allow_module_level=True)
PYTHON = str(PLACE.python or sys.executable)


class TestBfv(DrivenSuite):
    @pytest.fixture(scope="class")
    def command(self) -> tuple[str, ...]:
        return PYTHON, "driven_openfhe.py", "bfv"


class TestCkks(DrivenSuite):
    @pytest.fixture(scope="class")
    def command(self) -> tuple[str, ...]:
        return PYTHON, "driven_openfhe.py", "ckks"

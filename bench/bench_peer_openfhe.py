"""OpenFHE driven directly (`driven_openfhe.py`), under an interpreter that its wheels load in."""

from __future__ import annotations

import pytest

from elsewhere import DrivenSuite, interpreter

PYTHON = interpreter("DCSFL_OPENFHE_PYTHON", "openfhe", "openfhe")


class TestBfv(DrivenSuite):
    @pytest.fixture(scope="class")
    def command(self) -> tuple[str, ...]:
        return PYTHON, "driven_openfhe.py", "bfv"


class TestCkks(DrivenSuite):
    @pytest.fixture(scope="class")
    def command(self) -> tuple[str, ...]:
        return PYTHON, "driven_openfhe.py", "ckks"

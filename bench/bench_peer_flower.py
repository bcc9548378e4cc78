"""Flower's SecAgg+ (`driven_flower.py`), in an environment of its own: flwr pins what others here exclude."""

from __future__ import annotations

import pytest

from elsewhere import DrivenSuite, interpreter

PYTHON = interpreter("DCSFL_FLOWER_PYTHON", "flower", "flwr")


class TestSecAggPlus(DrivenSuite):
    @pytest.fixture(scope="class")
    def command(self) -> tuple[str, ...]:
        return PYTHON, "driven_flower.py"

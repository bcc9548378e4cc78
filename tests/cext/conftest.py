"""Every implementation of a kind of kernel that runs here, as a parameter of the tests that ask for `kernels`."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import pytest


@dataclass(frozen=True)
class Implementation:
    """The functions of a module, on one target where it has targets."""

    name: str
    module: ModuleType
    fixed: tuple[tuple[str, str], ...] = ()

    def __getattr__(self, function: str) -> Any:
        return partial(getattr(self.module, function), **dict(self.fixed))


def _implementations(numba_twin: ModuleType) -> list[Implementation]:
    found = [Implementation("numba", numba_twin)]
    try:
        native = importlib.import_module("he_core._native")
    except ModuleNotFoundError:  # installed without a compiler: numba is all there is to test
        return found
    return found + [Implementation(name, native, (("target", name),)) for name in native.targets()]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`kernels`: numba's, which the test module names as NUMBA_TWIN, and those of every C target."""
    twin = getattr(metafunc.module, "NUMBA_TWIN", None)
    if twin is not None and "kernels" in metafunc.fixturenames:
        found = _implementations(twin)
        metafunc.parametrize("kernels", found, ids=[implementation.name for implementation in found])

"""Which kernels the engine takes: C where it was built, else numba, of every kind, with one warning."""

from __future__ import annotations

import importlib
import sys

import pytest

from he_core.arith import checksum_numba, codec_numba, coefficients_numba, fields_numba, rlwe_numba
from he_core.arith.kernels import KERNELS, Kernels, choose_kernels


def test_without_the_extension_every_kernel_is_numbas_and_one_warning_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "he_core._native", None)
    with pytest.warns(RuntimeWarning, match="_native is not built: the engine runs on gmpy2 and numba") as caught:
        kernels = choose_kernels()
    assert kernels == Kernels("numba", fields_numba, coefficients_numba, checksum_numba, codec_numba, rlwe_numba)
    assert len(caught) == 1


def test_with_the_extension_every_kernel_is_its() -> None:
    native = pytest.importorskip("he_core._native", reason="installed without a C compiler", exc_type=ImportError)
    assert choose_kernels() == KERNELS == Kernels(native.target(), native, native, native, native, native)


def test_an_extension_that_is_there_but_does_not_load_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ImportError(f"{name}: undefined symbol")

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(ImportError, match="undefined symbol"):
        choose_kernels()

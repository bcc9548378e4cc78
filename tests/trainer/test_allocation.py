"""Freed memory that stays with the process; in processes of their own, as it cannot be taken back."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS_OF_A_LARGE_BLOCK = """
import resource, sys
import numpy as np
from trainer.allocation import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
for _ in range(3):
    np.empty(100 << 20, np.uint8)[::4096] = 1
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.empty(100 << 20, np.uint8)[::4096] = 1
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(way: str) -> int:
    said = subprocess.run(
        [sys.executable, "-c", FAULTS_OF_A_LARGE_BLOCK, way], check=True, capture_output=True, text=True
    )
    return int(said.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone can be told")
def test_a_large_block_is_fetched_from_the_system_once() -> None:
    assert faults("given back") > 25  # of 25,600 small pages, or 50 large ones
    assert faults("kept") < 10


def test_another_c_library_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer import allocation

    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not allocation.keep_freed_memory()

"""How many runs there are at a time: by cores, by memory as measured, or as asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trainer.comparison.display import ComparisonDisplay
from trainer.comparison.folder import ComparisonFolder
from trainer.comparison.memory import available_bytes, taken_bytes
from trainer.comparison.plan import Plan, parse_variants
from trainer.comparison.pool import Pool, jobs_by_cores, threads_of
from trainer.config import load

GIB = 1 << 30


@pytest.mark.slow
@pytest.mark.parametrize(("free", "jobs", "together"), [(0, None, False), (64 * GIB, None, True), (0, 2, True)])
def test_a_further_run_starts_where_memory_allows_or_as_asked(
    free: int, jobs: int | None, together: bool, quick: tuple[str, ...], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    shared = load((), [*quick, "training.rounds=20", "run.examples=0"])
    plan = Plan(parse_variants("dcsfl,local", ()), (1,), shared)
    folder = ComparisonFolder.create(tmp_path / "comparison", plan)
    with folder.locked() as lock:
        pool = Pool(folder, lock, ComparisonDisplay(), jobs=jobs, threads=1, free_bytes=lambda: free)
        pool.run(plan.cells)
    assert all(folder.is_finished(cell) for cell in plan.cells)
    beside = [pool.records[cell.key].beside for cell in plan.cells]
    assert (max(beside) > 1.05) is together, beside  # type: ignore[type-var]


def test_threads_of_a_run_are_counted_against_the_cores(monkeypatch: Any) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    plan = Plan(parse_variants("dcsfl", ()), (1,), load((), ["training.threads=3", "run.threads=2"]))
    assert threads_of(plan) == 3
    assert jobs_by_cores(threads_of(plan)) == 2
    assert jobs_by_cores(16) == 1


def test_memory_of_a_session_is_that_of_all_its_processes() -> None:
    held = "b = bytearray(64 << 20); b[::4096] = b'x' * len(b[::4096]); print(flush=True); input()"
    script = (
        f"import subprocess, sys; c = subprocess.Popen([sys.executable, '-c', {held!r}], stdin=0); {held}; c.wait()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout
    process.stdout.readline(), process.stdout.readline()
    now, most = taken_bytes(process.pid)
    process.communicate(b"\n\n")
    assert most >= now > 128 << 20
    assert taken_bytes(process.pid) == (0, 0)


@pytest.mark.parametrize(
    ("limit", "used", "cache", "expected"),
    [("max", 0, 0, 8 * GIB), (str(6 * GIB), 4 * GIB, GIB, 3 * GIB), (str(GIB), 2 * GIB, 0, 0)],
)
def test_a_containers_limit_counts_less_what_is_used_but_for_cache(
    limit: str, used: int, cache: int, expected: int, tmp_path: Path
) -> None:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text(f"MemTotal: 1 kB\nMemAvailable:  {8 * GIB // 1024} kB\n")
    (tmp_path / "proc" / "self" / "cgroup").write_text("0::/user/job\n")
    outer = tmp_path / "cgroup" / "user"
    (outer / "job").mkdir(parents=True)
    (outer / "memory.max").write_text(limit)
    (outer / "memory.current").write_text(str(used))
    (outer / "memory.stat").write_text(f"anon 1\ninactive_file {cache}\n")
    assert available_bytes(tmp_path / "proc", tmp_path / "cgroup") == expected


def test_this_machine_has_memory_to_give() -> None:
    assert available_bytes() > 0

"""What every benchmark records about the machine, and the engines it measures: one thread on one processor."""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from he_core import Scheme, SecretBundle, registry

MILLION = 1_000_000
# The sets that choose a kernel here or in GMP; the full list is in pytest-benchmark's own record.
TELLING_FLAGS = ("avx2", "adx", "bmi2", "avx512f", "avx512ifma", "avx512_vbmi2", "vaes")

HERE = [(status.scheme, status.backend) for status in registry.default().statuses() if status.obstacle is None]


def _cpu() -> dict[str, Any]:
    """Model and flags of the first processor, as Linux tells them."""
    text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").partition("\n\n")[0]
    lines = (line.partition(":") for line in text.splitlines())
    facts = {name.strip(): value.strip() for name, _, value in lines}
    flags = facts.get("flags", "").split()
    return {
        "model": facts.get("model name", platform.machine()),
        "cache": facts.get("cache size", "unknown"),
        "telling_flags": [flag for flag in TELLING_FLAGS if flag in flags],
    }


def _kernels() -> dict[str, Any]:
    """The target in use and all that run here; numba where no compiler built the extension."""
    try:
        native = importlib.import_module("he_core._native")
    except ModuleNotFoundError:
        return {"target": "numba", "targets": ["numba"]}
    return {"target": native.target(), "targets": list(native.targets())}


def _versions() -> dict[str, str]:
    found = {}
    for name in ("gmpy2", "numpy", "numba", "google-crc32c", "phe", "tenseal"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Add what a figure depends on; the commit is recorded by pytest-benchmark beside it."""
    import gmpy2

    machine_info["dcsfl"] = {
        "cpu": _cpu(),
        "kernels": _kernels(),
        "gmp": gmpy2.mp_version(),
        "versions": _versions(),
        "threads": 1,
    }


@pytest.fixture(autouse=True)
def one_processor() -> Iterator[None]:
    """Hold the process to one processor for the benchmark, whatever pool of threads a peer keeps."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    yield
    os.sched_setaffinity(0, allowed)


@pytest.fixture(scope="session")
def engine_of() -> Callable[[str, str], tuple[Scheme, SecretBundle]]:
    """(scheme, backend) -> the scheme on one thread, with default parameters, and a key pair made once."""
    made: dict[tuple[str, str], tuple[Scheme, SecretBundle]] = {}

    def engine(scheme: str, backend: str) -> tuple[Scheme, SecretBundle]:
        if (scheme, backend) not in made:
            created = registry.create(scheme, backend, threads=1)
            made[scheme, backend] = (created, created.generate_keys())
        return made[scheme, backend]

    return engine


@pytest.fixture
def per_value(benchmark: BenchmarkFixture) -> Callable[..., None]:
    """Put into the record what was measured: the median per value, and for a million of them.

    per_value(values, bytes=..., who="rlwe, native", what="array to frame", is_peer=..., is_reference=...)
    bytes: the result's size. who, what: row of a table of results, for benchmarks that share a group. is_peer:
    another library's. is_reference: the one of the peer's benchmarks in the group that ours are compared with.
    """

    def record(
        values: int,
        *,
        bytes: int | None = None,
        who: str | None = None,
        what: str | None = None,
        is_peer: bool = False,
        is_reference: bool = False,
    ) -> None:
        row = {"values": values, "who": who, "what": what, "is_peer": is_peer, "is_reference": is_reference}
        benchmark.extra_info.update(row)
        if bytes is not None:
            benchmark.extra_info["bits_per_value"] = round(8 * bytes / values, 2)
        if benchmark.stats is not None:  # None where benchmarks run once as tests
            seconds = benchmark.stats.stats.median / values
            benchmark.extra_info["nanoseconds_per_value"] = round(seconds * 1e9, 2)
            benchmark.extra_info["seconds_per_million_values"] = round(seconds * MILLION, 4)

    return record


def is_timed(config: pytest.Config) -> bool:
    """False where benchmarks run once as tests: few values say as much then."""
    return bool(config.getoption("benchmark_enable") or not config.getoption("benchmark_disable"))


@pytest.fixture(scope="session")
def timed(pytestconfig: pytest.Config) -> bool:
    return is_timed(pytestconfig)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`engine_name`: every (scheme, backend) that runs here; `value_count`: a few values, and a million where timed.

    Run once as a test, without timing, a million values would say no more than a thousand and take minutes.
    """
    if "engine_name" in metafunc.fixturenames:
        metafunc.parametrize("engine_name", HERE, ids="-".join, scope="session")
    if "value_count" in metafunc.fixturenames:
        sizes = [pytest.param(1_000, id="1e3")]
        if is_timed(metafunc.config):
            sizes.append(pytest.param(MILLION, id="1e6", marks=pytest.mark.slow))
        metafunc.parametrize("value_count", sizes, scope="session")

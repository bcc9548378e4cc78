"""What every benchmark shares: the engines, one thread on one processor; how much is affordable; the record.

`-m "not slow"` is the short version of the benchmarks, which `bench/run.py` runs by default.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import machine
from affordable import FEW, LADDER, MILLION, PAPER, Affordable
from he_core import Scheme, SecretBundle, registry
from workload import Workload

SECONDS_A_BENCHMARK = 0.4
LONG = 0.4  # seconds: an action that takes longer is repeated three times
CLIENTS = (4, 16, 64)
OF_MANY = 100_000  # values of many clients: 64 frames of a million may be half a gigabyte
LEAST_ROUNDS, LEAST_LONG_ROUNDS, MOST_ROUNDS = 5, 3, 40  # a figure without a spread is no figure

HERE = [(status.scheme, status.backend) for status in registry.default().statuses() if status.obstacle is None]

Engine = tuple[str, str]
Engines = Callable[[str, str], tuple[Scheme, SecretBundle]]


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Add what a figure depends on; the commit is recorded by pytest-benchmark beside it."""
    machine_info["dcsfl"] = machine.facts()


@pytest.fixture(autouse=True)
def one_processor() -> Iterator[None]:
    """Hold the process to one processor for the benchmark, whatever pool of threads a peer keeps."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    yield
    os.sched_setaffinity(0, allowed)


@pytest.fixture(scope="session")
def engine_of() -> Engines:
    """(scheme, backend) -> the scheme on one thread, with default parameters, and a key pair made once."""
    made: dict[Engine, tuple[Scheme, SecretBundle]] = {}

    def engine(scheme: str, backend: str) -> tuple[Scheme, SecretBundle]:
        if (scheme, backend) not in made:
            created = registry.create(scheme, backend, threads=1)
            made[scheme, backend] = (created, created.generate_keys())
        return made[scheme, backend]

    return engine


@pytest.fixture(scope="session")
def affordable_at(engine_of: Engines) -> Callable[[Engine], Affordable]:
    """Engine -> what it can do in time, measured once."""
    made: dict[Engine, Affordable] = {}

    def affordable(engine: Engine) -> Affordable:
        if engine not in made:
            rounds = itertools.count()
            made[engine] = Affordable(lambda count: Workload(*engine_of(*engine), count).whole_pass(next(rounds)))
        return made[engine]

    return affordable


@pytest.fixture(scope="session")
def workload_of(
    engine_of: Engines, affordable_at: Callable[[Engine], Affordable], timed: bool
) -> Callable[..., Workload]:
    """(engine, at most this many values, bits, k_max) -> the workload of as many as are affordable.

    Kept, so that benchmarks of the same workload share what was made for it.
    """
    made: dict[Any, Workload] = {}

    def workload(engine: Engine, at_most: int = MILLION, **codec: int) -> Workload:
        count = affordable_at(engine).largest(at_most) if timed else FEW
        key = (engine, count, *codec.items())
        if key not in made:
            made.clear()  # one at a time: ten million values and their frames are large
            made[key] = Workload(*engine_of(*engine), count, **codec)
        return made[key]

    return workload


@pytest.fixture
def workload(engine: Engine, workload_of: Callable[..., Workload]) -> Workload:
    """A million values at the engine, or as many as are affordable there."""
    return workload_of(engine)


@pytest.fixture
def repeat(benchmark: BenchmarkFixture) -> Callable[..., Any]:
    """`repeat(action)`: time it three times at least, more often where that is quick; returns its last result.

    setup: as pytest-benchmark's, called before each repetition: (args, kwargs) for the action, or None.
    """

    def run(action: Callable[..., Any], setup: Callable[[], Any] | None = None) -> Any:
        if benchmark.disabled:
            return benchmark.pedantic(action, setup=setup, rounds=1, iterations=1)
        started = time.perf_counter()
        arguments, named = (setup() if setup else None) or ((), {})
        ready = time.perf_counter()
        action(*arguments, **named)
        took = time.perf_counter() - ready
        # What is set up is not in the figure, but in the time of the whole.
        whole = took + 0.3 * (ready - started)
        least = LEAST_ROUNDS if took < LONG else LEAST_LONG_ROUNDS
        rounds = max(least, min(MOST_ROUNDS, int(SECONDS_A_BENCHMARK / max(whole, 1e-9))))
        return benchmark.pedantic(action, setup=setup, rounds=rounds, iterations=1)

    return run


@pytest.fixture
def record(benchmark: BenchmarkFixture) -> Callable[..., None]:
    """`record(values, group=..., who=..., what=..., ...)`: what was measured, into the record. See `resultfile.row`.

    bytes: the result's size. error: the largest of the mean. seconds: the times of the repetitions, where another
    process took them. parts: part -> its seconds in each repetition. is_headline: the row of its group that stands
    for `who` in the comparison. note: what a reader must know. encrypts: whether who adds cannot read the sum.
    """

    def put(
        values: int,
        *,
        group: str,
        who: str,
        what: str,
        bytes: int | None = None,
        error: float | None = None,
        clients: int | None = None,
        bits: int | None = None,
        seconds: Sequence[float] | None = None,
        parts: dict[str, list[float]] | None = None,
        note: str = "",
        encrypts: bool = True,
        is_peer: bool = False,
        is_headline: bool = False,
    ) -> None:
        benchmark.group = group
        benchmark.extra_info.update(
            group=group,
            values=values,
            who=who,
            what=what,
            bytes=bytes,
            error=error,
            clients=clients,
            bits=bits,
            seconds=None if seconds is None else list(seconds),
            parts=parts,
            note=note,
            encrypts=encrypts,
            is_peer=is_peer,
            is_headline=is_headline,
        )

    return put


def is_timed(config: pytest.Config) -> bool:
    """False where benchmarks run once as tests: few values say as much then."""
    return bool(config.getoption("benchmark_enable") or not config.getoption("benchmark_disable"))


@pytest.fixture(scope="session")
def timed(pytestconfig: pytest.Config) -> bool:
    return is_timed(pytestconfig)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`engine`: every (scheme, backend) that runs here; the others: what growth is measured on."""
    if "engine" in metafunc.fixturenames:
        metafunc.parametrize("engine", HERE, ids="-".join, scope="session")
    if "value_count" in metafunc.fixturenames:
        metafunc.parametrize("value_count", LADDER[1:] if is_timed(metafunc.config) else [FEW], scope="session")
    if "count_of_many" in metafunc.fixturenames:
        counts = [PAPER, pytest.param(OF_MANY, marks=pytest.mark.slow)] if is_timed(metafunc.config) else [FEW]
        metafunc.parametrize("count_of_many", counts, scope="session")
    if "clients" in metafunc.fixturenames:
        metafunc.parametrize("clients", CLIENTS if is_timed(metafunc.config) else CLIENTS[-1:], scope="session")

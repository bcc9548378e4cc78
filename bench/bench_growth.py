"""How cost grows: with the number of values, of clients, and of bits a value. Per scheme, on one thread.

A count of values that would take too long is left out, and the record says by which measurement.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from affordable import MILLION, Affordable
from he_core import Encryptor, HeCoreError
from workload import K_MAX, Workload

Record = Callable[..., None]
Repeat = Callable[..., Any]
Engine = tuple[str, str]

BITS = (8, 16, 24)
CLIENT, SERVER = "client: encrypt and decrypt", "server: every frame to the sum's"


@pytest.fixture
def in_time(
    engine: Engine, affordable_at: Callable[[Engine], Affordable], workload_of: Callable[..., Workload], timed: bool
) -> Callable[..., Workload]:
    """(count, k_max) -> a workload of that many values; skips where they are not affordable, or cannot be."""

    def workload(count: int, **codec: int) -> Workload:
        is_affordable, why = affordable_at(engine).estimate(count) if timed else (True, "")
        if not is_affordable:
            pytest.skip(f"{', '.join(engine)}: {why}")
        return possible(workload_of(engine, count, **codec))

    return workload


@pytest.fixture
def of_count(in_time: Callable[..., Workload], value_count: int) -> Workload:
    return in_time(value_count)


@pytest.fixture
def of_many(in_time: Callable[..., Workload], count_of_many: int, clients: int) -> Workload:
    return in_time(count_of_many, k_max=max(clients, K_MAX))


@pytest.fixture(params=BITS)
def of_bits(request: pytest.FixtureRequest, engine: Engine, workload_of: Callable[..., Workload]) -> Workload:
    return possible(workload_of(engine, MILLION, bits=request.param))


def possible(w: Workload) -> Workload:
    """Skips what the scheme refuses, with its reason."""
    try:
        w.scheme.plaintext(w.codec.shape)
    except HeCoreError as error:
        pytest.skip(f"{w.who}: {error}")
    return w


def measure_client(w: Workload, repeat: Repeat, record: Record, group: str, clients: int = 2) -> None:
    """Array to frame, and the sum's frame to the mean: all that a client does in a round, in one figure."""
    encryptor = Encryptor(w.scheme, w.public)
    total = w.sum_of(w.contributions(w.SAME_ROUND, clients), w.SAME_ROUND)

    def part() -> Any:
        return encryptor.encrypt(w.update, w.codec, round=w.SAME_ROUND, client=0), w.decrypt(total, w.SAME_ROUND)

    part()
    data, mean = repeat(part)
    error = w.error(mean, w.mean_update(clients))
    about = {"who": w.who, "what": CLIENT, "bits": w.bits, "clients": clients}
    record(w.value_count, group=group, bytes=len(data), error=error, **about)


def measure_server(w: Workload, repeat: Repeat, record: Record, group: str, clients: int = 2) -> None:
    """Every client's frame into the sum, and the sum's frame out: all that the server does in a round."""
    frames = w.contributions(w.SAME_ROUND, clients)
    total = repeat(lambda: w.sum_of(frames, w.SAME_ROUND))
    error = w.error(w.decrypt(total, w.SAME_ROUND), w.mean_update(clients))
    about = {"who": w.who, "what": SERVER, "bits": w.bits, "clients": clients}
    record(w.value_count, group=group, bytes=len(total), error=error, **about)


def test_client_over_values(of_count: Workload, repeat: Repeat, record: Record) -> None:
    measure_client(of_count, repeat, record, "growth with values")


def test_server_over_values(of_count: Workload, repeat: Repeat, record: Record) -> None:
    measure_server(of_count, repeat, record, "growth with values")


def test_client_over_clients(of_many: Workload, repeat: Repeat, record: Record, clients: int) -> None:
    """A client's own cost depends on the others' number only by the room that their sum needs."""
    measure_client(of_many, repeat, record, _with_clients(of_many), clients)


def test_server_over_clients(of_many: Workload, repeat: Repeat, record: Record, clients: int) -> None:
    measure_server(of_many, repeat, record, _with_clients(of_many), clients)


@pytest.mark.slow
def test_client_over_bits(of_bits: Workload, repeat: Repeat, record: Record) -> None:
    measure_client(of_bits, repeat, record, "growth with bits")


@pytest.mark.slow
def test_server_over_bits(of_bits: Workload, repeat: Repeat, record: Record) -> None:
    measure_server(of_bits, repeat, record, "growth with bits")


def _with_clients(w: Workload) -> str:
    return f"growth with clients, {w.value_count:,} values"

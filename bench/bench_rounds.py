"""A round as each party pays for it, per scheme, on one thread: a million values where they are affordable.

Client: float32 array to frame. Server: one more frame into the sum. Client: the sum's frame to the float32 mean. Each
shares its group with the peers' benchmarks of the same step (`bench_peer_*.py`).

A scheme may keep what it derives from a round's number. `fresh-round` has that derivation in, as a client meets it
with its first encryption of a round; `same-round` has it behind it, as a client that encrypted before it decrypts.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from he_core import CostLedger, Decryptor, Encryptor
from he_core.cost import StageCost
from workload import BITS, Workload

Record = Callable[..., None]
Repeat = Callable[..., Any]


@pytest.mark.parametrize(
    ("key", "is_fresh"),
    [
        pytest.param("public", True, id="public-key-fresh-round"),
        pytest.param("public", False, id="public-key-same-round", marks=pytest.mark.slow),
        pytest.param("secret", True, id="key-holder-fresh-round", marks=pytest.mark.slow),
    ],
)
def test_array_to_frame(workload: Workload, repeat: Repeat, record: Record, key: str, is_fresh: bool) -> None:
    w = workload
    encryptor = Encryptor(w.scheme, getattr(w, key))
    encryptor.encrypt(w.update, w.codec, round=w.SAME_ROUND, client=0)  # tables, which a key keeps
    last = w.SAME_ROUND

    def round_number() -> tuple[tuple[int], dict[str, Any]]:
        nonlocal last
        last = next(w.rounds) if is_fresh else w.SAME_ROUND
        return (last,), {}

    data = repeat(lambda number: encryptor.encrypt(w.update, w.codec, round=number, client=0), round_number)
    error = w.error(w.decrypt(w.sum_of([data], last), last), w.update)
    what = f"array to frame, {'public key' if key == 'public' else 'key holder'}"
    what += "" if is_fresh else ", again in the same round"
    headline = key == "public" and is_fresh
    record(
        w.value_count,
        group="encrypt",
        who=w.who,
        what=what,
        bytes=len(data),
        error=error,
        bits=BITS,
        encrypts=w.scheme.capabilities.encrypts,
        is_headline=headline,
    )


def test_frame_into_the_sum(workload: Workload, repeat: Repeat, record: Record) -> None:
    w = workload
    first, second = w.contributions(w.SAME_ROUND)
    aggregator = w.opened(w.SAME_ROUND)

    def with_one_addend() -> None:
        nonlocal aggregator
        aggregator = w.opened(w.SAME_ROUND)
        aggregator.add(first)

    repeat(lambda: aggregator.add(second), with_one_addend)
    error = w.error(w.decrypt(aggregator.result(), w.SAME_ROUND), w.mean_update())
    what = "frame parsed, checked and added"
    record(
        w.value_count,
        group="add",
        who=w.who,
        what=what,
        bytes=len(second),
        error=error,
        bits=BITS,
        encrypts=w.scheme.capabilities.encrypts,
        is_headline=True,
    )


@pytest.mark.parametrize(
    "is_fresh",
    [pytest.param(False, id="same-round"), pytest.param(True, id="fresh-round", marks=pytest.mark.slow)],
)
def test_sum_to_mean(workload: Workload, repeat: Repeat, record: Record, is_fresh: bool) -> None:
    w = workload
    same = w.sum_of(w.contributions(w.SAME_ROUND), w.SAME_ROUND)
    w.decrypt(same, w.SAME_ROUND)

    def total() -> tuple[tuple[bytes, int], dict[str, Any]]:
        if not is_fresh:
            return (same, w.SAME_ROUND), {}
        number = next(w.rounds)
        return (w.sum_of(w.contributions(number), number), number), {}

    mean = repeat(w.decrypt, total)
    error = w.error(mean, w.mean_update())
    what = "sum's frame to mean" + (", first in its round" if is_fresh else "")
    record(
        w.value_count,
        group="decrypt",
        who=w.who,
        what=what,
        bytes=mean.nbytes,
        error=error,
        bits=BITS,
        encrypts=w.scheme.capabilities.encrypts,
        is_headline=not is_fresh,
    )


def test_stages_of_a_round(
    benchmark: BenchmarkFixture, workload: Workload, repeat: Repeat, record: Record, timed: bool
) -> None:
    """Where the time goes: the ledger's stages of one client's part of a round and the server's work for it."""
    w = workload
    parts: dict[str, list[float]] = defaultdict(list)
    numbers = itertools.count(1_000_000)

    def others_frame() -> tuple[tuple[int, bytes], dict[str, Any]]:
        number = next(numbers)
        return (number, w.others.encrypt(w.updates[1], w.codec, round=number, client=1)), {}

    def part_of_a_round(number: int, first: bytes) -> Any:
        client, server = CostLedger(), CostLedger()
        aggregator = w.opened(number, server)
        aggregator.add(first)
        before = _seconds(server.rows())
        data = Encryptor(w.scheme, w.public, ledger=client).encrypt(w.update, w.codec, round=number, client=0)
        aggregator.add(data)
        for stage, spent in _seconds(server.rows()).items():
            parts[f"server {stage}"].append(spent - before[stage])
        total = aggregator.result()
        decryptor = Decryptor(w.scheme, w.secret, ledger=client)
        mean = decryptor.decrypt(total, w.codec, round=number)
        for stage, spent in _seconds(client.rows()).items():
            parts[f"client {stage}"].append(spent)
        return mean

    mean = repeat(part_of_a_round, others_frame)
    error = w.error(mean, w.mean_update())
    record(
        w.value_count, group="stages of a round", who=w.who, what="stages", error=error, bits=BITS, parts=dict(parts)
    )
    assert {"client encrypt", "client decrypt", "server add"} <= set(parts)


def _seconds(rows: Iterable[StageCost]) -> dict[str, float]:
    return {row.stage: row.elapsed_ns / 1e9 for row in rows}

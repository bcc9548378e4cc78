"""A round as each party pays for it, per scheme, on one thread: 16-bit values, 8 clients at most.

Client: float32 array to frame. Server: one more frame into the sum. Client: the sum's frame to the float32 mean. Each
shares its group with the peers' benchmarks of the same step (`bench_peer_*.py`), so that one run compares them.

A scheme may keep what it derives from a round's number. `fresh-round` has that derivation in, as a client meets it
with its first encryption of a round; `same-round` has it behind it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from he_core import Aggregator, Codec, Decryptor, Encryptor, Scheme, SecretBundle, registry

FEW = 1_000
SEVERAL = 10_000
MILLION = 1_000_000
SECONDS_FOR_A_MILLION = 10.0  # a scheme that takes longer is measured on several values
ROUNDS = 9
PerValue = Callable[..., None]


@dataclass
class Round:
    """Two clients' updates at one engine; round numbers are used once, but for `SAME_ROUND`."""

    scheme: Scheme
    keys: SecretBundle
    value_count: int
    rounds: itertools.count = field(default_factory=lambda: itertools.count(2))

    SAME_ROUND = 1

    @cached_property
    def codec(self) -> Codec:
        return Codec(bits=16, k_max=8, lengths=(self.value_count,), limits=(0.05,))

    @cached_property
    def updates(self) -> list[NDArray[np.float32]]:
        random = np.random.default_rng(1)
        return [random.uniform(-0.05, 0.05, self.value_count).astype(np.float32) for _ in range(2)]

    @cached_property
    def mean(self) -> NDArray[np.float32]:
        return np.mean(self.updates, axis=0)

    @cached_property
    def public(self) -> Any:
        return self.scheme.public_key(self.keys.public)

    @cached_property
    def secret(self) -> Any:
        return self.scheme.secret_key(self.keys)

    @cached_property
    def others(self) -> Encryptor:
        """A client in a process of its own: nothing that it keeps helps the scheme object under measurement."""
        scheme = registry.create(self.scheme.name, self.scheme.backend, threads=1)
        return Encryptor(scheme, scheme.secret_key(self.keys))

    @property
    def who(self) -> str:
        return f"{self.scheme.name}, {self.scheme.backend}"

    def contributions(self, round: int) -> list[bytes]:
        return [
            self.others.encrypt(update, self.codec, round=round, client=client)
            for client, update in enumerate(self.updates)
        ]

    def opened(self, round: int) -> Aggregator:
        aggregator = Aggregator(self.scheme, self.public)
        aggregator.open(round, self.codec.shape)
        return aggregator

    def sum_of(self, contributions: list[bytes], round: int) -> bytes:
        aggregator = self.opened(round)
        for data in contributions:
            aggregator.add(data)
        return aggregator.result()

    def decrypt(self, total: bytes, round: int) -> NDArray[np.float32]:
        return Decryptor(self.scheme, self.secret).decrypt(total, self.codec, round=round)

    def assert_is_mean(self, mean: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
        assert mean.dtype == np.float32
        np.testing.assert_allclose(mean, expected, rtol=0, atol=0.51 * self.codec.steps[0])


@pytest.fixture(scope="session")
def round_of_two(
    engine_name: tuple[str, str], engine_of: Callable[..., tuple[Scheme, SecretBundle]], timed: bool
) -> Round:
    """A million values where the scheme encrypts and decrypts them in seconds."""
    scheme, keys = engine_of(*engine_name)
    few = Round(scheme, keys, FEW)
    if not timed:
        return few
    encryptor = Encryptor(scheme, few.public)
    encryptor.encrypt(few.updates[0], few.codec, round=0, client=0)  # tables
    start = time.perf_counter()
    encryptor.encrypt(few.updates[1], few.codec, round=0, client=1)
    encrypted = time.perf_counter()
    few.decrypt(few.sum_of(few.contributions(few.SAME_ROUND), few.SAME_ROUND), few.SAME_ROUND)
    estimate = max(encrypted - start, time.perf_counter() - encrypted) * MILLION / FEW
    return Round(scheme, keys, MILLION if estimate < SECONDS_FOR_A_MILLION else SEVERAL)


@pytest.mark.parametrize(
    ("key", "is_fresh"),
    [
        pytest.param("public", True, id="public-key-fresh-round"),
        pytest.param("public", False, id="public-key-same-round"),
        pytest.param("secret", True, id="key-holder-fresh-round"),
    ],
)
def test_array_to_frame(
    benchmark: BenchmarkFixture, round_of_two: Round, per_value: PerValue, key: str, is_fresh: bool
) -> None:
    r = round_of_two
    encryptor = Encryptor(r.scheme, getattr(r, key))
    update = r.updates[0]
    encryptor.encrypt(update, r.codec, round=r.SAME_ROUND, client=0)  # tables, which a key keeps
    last_round = r.SAME_ROUND

    def round_number() -> tuple[tuple[int], dict[str, Any]]:
        nonlocal last_round
        last_round = next(r.rounds) if is_fresh else r.SAME_ROUND
        return (last_round,), {}

    benchmark.group = "client encrypts, per value"
    data = benchmark.pedantic(
        lambda number: encryptor.encrypt(update, r.codec, round=number, client=0),
        setup=round_number,
        rounds=ROUNDS,
        iterations=1,
    )
    r.assert_is_mean(r.decrypt(r.sum_of([data], last_round), last_round), update)
    what = f"array to frame, {'public key' if key == 'public' else 'key holder'}"
    what += "" if is_fresh else ", again in the same round"
    per_value(r.value_count, bytes=len(data), who=r.who, what=what)


def test_frame_into_the_sum(benchmark: BenchmarkFixture, round_of_two: Round, per_value: PerValue) -> None:
    r = round_of_two
    first, second = r.contributions(r.SAME_ROUND)
    aggregator = r.opened(r.SAME_ROUND)

    def with_one_addend() -> None:
        nonlocal aggregator
        aggregator = r.opened(r.SAME_ROUND)
        aggregator.add(first)

    benchmark.group = "server adds, per value"
    benchmark.pedantic(lambda: aggregator.add(second), setup=with_one_addend, rounds=2 * ROUNDS, iterations=1)
    r.assert_is_mean(r.decrypt(aggregator.result(), r.SAME_ROUND), r.mean)
    per_value(r.value_count, bytes=len(second), who=r.who, what="frame parsed, checked and added")


@pytest.mark.parametrize("is_fresh", [pytest.param(True, id="fresh-round"), pytest.param(False, id="same-round")])
def test_sum_to_mean(benchmark: BenchmarkFixture, round_of_two: Round, per_value: PerValue, is_fresh: bool) -> None:
    r = round_of_two
    same = r.sum_of(r.contributions(r.SAME_ROUND), r.SAME_ROUND)
    r.decrypt(same, r.SAME_ROUND)

    def total() -> tuple[tuple[bytes, int], dict[str, Any]]:
        if not is_fresh:
            return (same, r.SAME_ROUND), {}
        number = next(r.rounds)
        return (r.sum_of(r.contributions(number), number), number), {}

    benchmark.group = "client decrypts, per value"
    mean = benchmark.pedantic(r.decrypt, setup=total, rounds=ROUNDS, iterations=1)
    r.assert_is_mean(mean, r.mean)
    what = "sum's frame to mean" + ("" if is_fresh else ", again in the same round")
    per_value(r.value_count, bytes=mean.nbytes, who=r.who, what=what)

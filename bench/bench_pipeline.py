"""Every stage of the pipeline in isolation, per scheme, on one thread: 16-bit values, 8 clients at most.

Each benchmark proves its result after timing it. Paillier's fixed-base tables belong to the first encryption under a
key; `test_first_encryption` has them in, the others do not.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from he_core import Aggregator, Codec, Decryptor, Encryptor, Scheme, SecretBundle, frame, registry
from he_core.frame import FrameHeader, Kind, Participant
from he_core.packing import Plaintext, Words

K_MAX = 8
SECONDS_A_BENCHMARK = 3.0
LEAST_ROUNDS = 3  # a figure without a spread is no figure
PerValue = Callable[..., None]


@dataclass
class Workload:
    """An update of `value_count` values at one engine, with the result of every stage, made once when asked for."""

    scheme: Scheme
    keys: SecretBundle
    value_count: int

    @cached_property
    def codec(self) -> Codec:
        return Codec(bits=16, k_max=K_MAX, lengths=(self.value_count,), limits=(0.05,))

    @cached_property
    def update(self) -> NDArray[np.float32]:
        return np.random.default_rng(1).uniform(-0.05, 0.05, self.value_count).astype(np.float32)

    @cached_property
    def plaintext(self) -> Plaintext:
        return self.scheme.plaintext(self.codec.shape)

    @cached_property
    def numbers(self) -> NDArray:
        return self.plaintext.quantise(self.codec, self.update, 1, None)[0]

    @cached_property
    def words(self) -> Words:
        return self.plaintext.pack(self.numbers)

    @cached_property
    def public(self) -> Any:
        return self.scheme.public_key(self.keys.public)

    @cached_property
    def secret(self) -> Any:
        return self.scheme.secret_key(self.keys)

    @cached_property
    def ciphertext(self) -> Any:
        return self.scheme.encrypt(self.secret, self.words, self.codec.shape, 0)

    @cached_property
    def payload(self) -> bytes:
        return bytes(self.scheme.serialise(self.public, self.ciphertext))

    @cached_property
    def header(self) -> FrameHeader:
        return FrameHeader(
            Kind.CONTRIBUTION,
            self.scheme.name,
            self.scheme.parameters.digest,
            self.public.key_id,
            0,
            self.codec.shape,
            self.codec.digest,
            (Participant(0, 1),),
        )

    @cached_property
    def contribution(self) -> bytes:
        return frame.encode(self.header, self.payload)

    def assert_decrypts_to(self, ciphertext: Any, addends: int) -> None:
        """The ciphertext holds `addends` times the update's numbers."""
        words = self.scheme.decrypt(self.secret, ciphertext, 0)
        sums = self.plaintext.unpack(words, self.value_count)
        np.testing.assert_array_equal(sums, addends * self.numbers)

    def run(self, benchmark: BenchmarkFixture, stage: Callable[[], Any]) -> Any:
        """Time `stage`, repeated for about three seconds and three times at least."""
        stage_name = benchmark.name.partition("[")[0].removeprefix("test_")
        benchmark.group = f"{stage_name} {self.value_count}"
        if self.value_count < 100_000:
            return benchmark(stage)
        return benchmark.pedantic(stage, rounds=self._rounds(stage, benchmark), iterations=1)

    def _rounds(self, stage: Callable[[], Any], benchmark: BenchmarkFixture) -> int:
        if benchmark.disabled:
            return 1
        start = time.perf_counter()
        stage()
        return max(LEAST_ROUNDS, min(100, int(SECONDS_A_BENCHMARK / (time.perf_counter() - start))))


@pytest.fixture(scope="session")
def workload(
    engine_name: tuple[str, str], value_count: int, engine_of: Callable[..., tuple[Scheme, SecretBundle]]
) -> Workload:
    return Workload(*engine_of(*engine_name), value_count)


def test_prepare(benchmark: BenchmarkFixture, workload: Workload, per_value: PerValue) -> None:
    """What the encryptions and decryptions of a round share: for `rlwe`, the expansion of its public polynomials."""
    w = workload
    rounds = itertools.count(1)
    w.run(benchmark, lambda: w.scheme.prepare(w.public, w.codec.shape, next(rounds)))
    last = next(rounds)
    words = w.scheme.decrypt(w.secret, w.scheme.encrypt(w.public, w.words, w.codec.shape, last), last)
    np.testing.assert_array_equal(words, w.words)
    per_value(w.value_count)


def test_quantise(benchmark: BenchmarkFixture, workload: Workload, per_value: PerValue) -> None:
    w = workload
    numbers, saturated = w.run(benchmark, lambda: w.plaintext.quantise(w.codec, w.update, 1, None))
    assert saturated == 0
    mean = w.plaintext.dequantise(w.codec, numbers, 1, 1)
    np.testing.assert_allclose(mean, w.update, rtol=0, atol=0.51 * w.codec.steps[0])
    per_value(w.value_count)


def test_pack(benchmark: BenchmarkFixture, workload: Workload, per_value: PerValue) -> None:
    w = workload
    numbers = w.numbers
    words = w.run(benchmark, lambda: w.plaintext.pack(numbers))
    np.testing.assert_array_equal(w.plaintext.unpack(words, w.value_count), numbers)
    per_value(w.value_count, bytes=words.nbytes)


@pytest.mark.parametrize("key", ["public", "secret"])
def test_encrypt(benchmark: BenchmarkFixture, workload: Workload, per_value: PerValue, key: str) -> None:
    """Under the public key alone, and for a key holder, who may work with the factors."""
    w = workload
    chosen, words = getattr(w, key), w.words
    w.scheme.encrypt(chosen, words, w.codec.shape, 0)  # tables, which a key keeps
    ciphertext = w.run(benchmark, lambda: w.scheme.encrypt(chosen, words, w.codec.shape, 0))
    w.assert_decrypts_to(ciphertext, 1)
    per_value(w.value_count, bytes=w.scheme.payload_bytes(w.codec.shape))


@pytest.mark.parametrize("key", ["public", "secret"])
def test_first_encryption(benchmark: BenchmarkFixture, workload: Workload, per_value: PerValue, key: str) -> None:
    """A fresh scheme object, as in a process just started: tables and all."""
    w = workload
    words = w.words

    def fresh() -> tuple[tuple[Scheme, Any], dict[str, Any]]:
        scheme = registry.create(w.scheme.name, w.scheme.backend, threads=1)
        holder = scheme.public_key(w.keys.public) if key == "public" else scheme.secret_key(w.keys)
        return (scheme, holder), {}

    benchmark.group = f"first_encryption {w.value_count}"
    ciphertext = benchmark.pedantic(
        lambda scheme, holder: scheme.encrypt(holder, words, w.codec.shape, 0),
        setup=fresh,
        rounds=LEAST_ROUNDS,
        iterations=1,
    )
    w.assert_decrypts_to(ciphertext, 1)
    per_value(w.value_count)


def test_frame(benchmark: BenchmarkFixture, workload: Workload, per_value: PerValue) -> None:
    w = workload
    ciphertext = w.ciphertext
    data = w.run(benchmark, lambda: frame.encode(w.header, w.scheme.serialise(w.public, ciphertext)))
    assert data == w.contribution
    per_value(w.value_count, bytes=len(data))


def test_parse(benchmark: BenchmarkFixture, workload: Workload, per_value: PerValue) -> None:
    w = workload
    data = w.contribution
    parsed = w.run(benchmark, lambda: w.scheme.parse(w.public, frame.parse(data).payload, w.codec.shape))
    assert bytes(w.scheme.serialise(w.public, parsed)) == w.payload
    per_value(w.value_count, bytes=len(data))


def test_add(benchmark: BenchmarkFixture, workload: Workload, per_value: PerValue) -> None:
    """Both addends as they come off the wire; a scheme may overwrite the first, so each addition gets its own."""
    w = workload

    def addends() -> tuple[Any, Any]:
        payload = memoryview(w.payload)
        return w.scheme.parse(w.public, payload, w.codec.shape), w.scheme.parse(w.public, payload, w.codec.shape)

    benchmark.group = f"add {w.value_count}"
    total = benchmark.pedantic(
        lambda left, right: w.scheme.add(w.public, left, right),
        setup=lambda: (addends(), {}),
        rounds=5,
        iterations=1,
    )
    w.assert_decrypts_to(total, 2)
    per_value(w.value_count)


def test_add_words_in_numpy(benchmark: BenchmarkFixture, value_count: int, per_value: PerValue) -> None:
    """The floor under any `add`: as many 64-bit words as carry the values at two a word, added in place."""
    word_count = value_count // 2
    left = np.random.default_rng(2).integers(0, 1 << 50, word_count, np.uint64)
    right = np.random.default_rng(3).integers(0, 1 << 50, word_count, np.uint64)
    benchmark.group = f"add {value_count}"
    total = benchmark.pedantic(
        lambda accumulator: np.add(accumulator, right, out=accumulator),
        setup=lambda: ((left.copy(),), {}),
        rounds=20,
        iterations=1,
    )
    np.testing.assert_array_equal(total, left + right)
    per_value(value_count, bytes=total.nbytes, who="numpy", what=f"{word_count:,} uint64 words in place")


def test_decrypt(benchmark: BenchmarkFixture, workload: Workload, per_value: PerValue) -> None:
    w = workload
    ciphertext = w.ciphertext
    benchmark.group = f"decrypt {w.value_count}"
    words = benchmark.pedantic(lambda: w.scheme.decrypt(w.secret, ciphertext, 0), rounds=LEAST_ROUNDS, iterations=1)
    np.testing.assert_array_equal(w.plaintext.unpack(words, w.value_count), w.numbers)
    per_value(w.value_count)


def test_unpack(benchmark: BenchmarkFixture, workload: Workload, per_value: PerValue) -> None:
    """Words to the mean: unpack and dequantise."""
    w = workload
    words = w.words
    mean = w.run(
        benchmark,
        lambda: w.plaintext.dequantise(w.codec, w.plaintext.unpack(words, w.value_count), 1, 1),
    )
    np.testing.assert_allclose(mean, w.update, rtol=0, atol=0.51 * w.codec.steps[0])
    per_value(w.value_count)


def test_round_of_two(benchmark: BenchmarkFixture, workload: Workload, per_value: PerValue) -> None:
    """From two updates to their mean through the three roles, as training runs it."""
    w = workload

    def one_round() -> NDArray[np.float32]:
        aggregator = Aggregator(w.scheme, w.public)
        aggregator.open(0, w.codec.shape)
        encryptor = Encryptor(w.scheme, w.secret)
        for client in range(2):
            aggregator.add(encryptor.encrypt(w.update, w.codec, round=0, client=client))
        return Decryptor(w.scheme, w.secret).decrypt(aggregator.result(), w.codec, round=0)

    benchmark.group = f"round_of_two {w.value_count}"
    mean = benchmark.pedantic(one_round, rounds=1, iterations=1)
    np.testing.assert_allclose(mean, w.update, rtol=0, atol=0.51 * w.codec.steps[0])
    per_value(w.value_count)

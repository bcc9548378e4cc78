"""One thread beside two, not held to a processor: encryption and decryption under the schemes whose work is split."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from he_core import Codec, Scheme, registry
from he_core.packing import Words

PerValue = Callable[..., None]
THREADS = (1, 2)
# rlwe: enough polynomials that starting the threads does not show; paillier: a few blocks of ciphertexts a thread.
VALUES = {"rlwe": 4_000_000, "paillier": 161 * 64}
FEW = {"rlwe": 10_000, "paillier": 161 * 3}
HERE = [
    (status.scheme, status.backend)
    for status in registry.default().statuses()
    if status.scheme in VALUES and status.obstacle is None
]


@pytest.fixture(autouse=True)
def one_processor() -> None:
    """Unlike everywhere else in this folder, the process keeps all its processors."""
    if len(os.sched_getaffinity(0)) < max(THREADS):
        pytest.skip(f"needs {max(THREADS)} processors")


@dataclass
class Batch:
    """An update's words under a scheme, and a pair of keys."""

    scheme: Scheme
    codec: Codec
    words: Words
    public: Any
    secret: Any


@pytest.fixture(scope="module", params=HERE, ids="-".join)
def batches(request: pytest.FixtureRequest, timed: bool) -> dict[int, Batch]:
    """threads -> the same update and keys at a scheme object with that many threads."""
    name, backend = request.param
    count = (VALUES if timed else FEW)[name]
    codec = Codec(bits=16, k_max=8, lengths=(count,), limits=(0.05,))
    update = np.random.default_rng(1).uniform(-0.05, 0.05, count).astype(np.float32)
    made, keys = {}, None
    for threads in THREADS:
        scheme = registry.create(name, backend, threads=threads)
        keys = keys or scheme.generate_keys()
        plaintext = scheme.plaintext(codec.shape)
        words = plaintext.pack(plaintext.quantise(codec, update, 1, None)[0])
        made[threads] = Batch(scheme, codec, words, scheme.public_key(keys.public), scheme.secret_key(keys))
    return made


@pytest.mark.parametrize("threads", THREADS)
def test_encrypt(benchmark: BenchmarkFixture, batches: dict[int, Batch], per_value: PerValue, threads: int) -> None:
    b = batches[threads]
    benchmark.group = "threads: encrypt"
    ciphertext = benchmark.pedantic(
        lambda: b.scheme.encrypt(b.public, b.words, b.codec.shape, 0), rounds=9, iterations=1, warmup_rounds=1
    )
    np.testing.assert_array_equal(b.scheme.decrypt(b.secret, ciphertext, 0), b.words)
    what = f"public key, {threads} thread{'s' * (threads > 1)}"
    per_value(b.codec.value_count, who=f"{b.scheme.name}, {b.scheme.backend}", what=what)


@pytest.mark.parametrize("threads", THREADS)
def test_decrypt(benchmark: BenchmarkFixture, batches: dict[int, Batch], per_value: PerValue, threads: int) -> None:
    b = batches[threads]
    payload = bytes(b.scheme.serialise(b.public, b.scheme.encrypt(b.public, b.words, b.codec.shape, 0)))
    ciphertext = b.scheme.parse(b.public, memoryview(payload), b.codec.shape)
    benchmark.group = "threads: decrypt"
    words = benchmark.pedantic(
        lambda: b.scheme.decrypt(b.secret, ciphertext, 0), rounds=5, iterations=1, warmup_rounds=1
    )
    np.testing.assert_array_equal(words, b.words)
    what = f"{threads} thread{'s' * (threads > 1)}"
    per_value(b.codec.value_count, who=f"{b.scheme.name}, {b.scheme.backend}", what=what)

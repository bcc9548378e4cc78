"""TenSEAL's CKKS as NVFlare's users run it: N = 8,192, primes of 60, 40 and 40 bits, scale 2^40, public key.

4,096 values a ciphertext, as many as it holds. One thread in its pool, and the process held to one processor. A
float32 array goes in and comes out: TenSEAL takes arrays and gives lists. `bytes` is what travels; `objects` are
ciphertexts that never leave the process.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

ts = pytest.importorskip("tenseal", reason="tenseal is not installed; pip install 'dcsfl[peers]'")

PRIMES_BITS = [60, 40, 40]
VALUES_A_CIPHERTEXT = 4_096
FEW = 5_000  # two ciphertexts, the second not full
MILLION = 1_000_000
ROUNDS = 5
PRECISION = 2.0**-20
WHO = f"TenSEAL {version('tenseal')} CKKS, N = 8192"
PerValue = Callable[..., None]


@pytest.fixture(scope="module")
def context() -> Any:
    made = ts.context(
        ts.SCHEME_TYPE.CKKS,
        poly_modulus_degree=2 * VALUES_A_CIPHERTEXT,
        coeff_mod_bit_sizes=PRIMES_BITS,
        encryption_type=ts.ENCRYPTION_TYPE.ASYMMETRIC,
        n_threads=1,
    )
    made.global_scale = 2.0**40
    return made


@pytest.fixture(scope="module")
def update(timed: bool) -> NDArray[np.float32]:
    return np.random.default_rng(1).uniform(-0.05, 0.05, MILLION if timed else FEW).astype(np.float32)


def encrypt(context: Any, values: NDArray[np.float32]) -> list[Any]:
    return [
        ts.ckks_vector(context, values[start : start + VALUES_A_CIPHERTEXT])
        for start in range(0, len(values), VALUES_A_CIPHERTEXT)
    ]


def to_bytes(vectors: list[Any]) -> list[bytes]:
    return [vector.serialize() for vector in vectors]


def from_bytes(context: Any, received: list[bytes]) -> list[Any]:
    return [ts.ckks_vector_from(context, data) for data in received]


def add(totals: list[Any], addends: list[Any]) -> list[Any]:
    """Into `totals`."""
    for total, addend in zip(totals, addends, strict=True):
        total += addend  # noqa: PLW2901  in place, as its operator is
    return totals


def decrypt(vectors: list[Any]) -> NDArray[np.float32]:
    return np.concatenate([np.array(vector.decrypt(), np.float32) for vector in vectors])


def assert_holds(vectors: list[Any], expected: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(decrypt(vectors), expected, rtol=0, atol=PRECISION)


# --- what travels


def test_peer_array_to_bytes(
    benchmark: BenchmarkFixture, context: Any, update: NDArray[np.float32], per_value: PerValue
) -> None:
    benchmark.group = "client encrypts, per value"
    sent = benchmark.pedantic(lambda: to_bytes(encrypt(context, update)), rounds=ROUNDS, iterations=1)
    assert_holds(from_bytes(context, sent), update)
    per_value(len(update), bytes=sum(map(len, sent)), who=WHO, what="array to bytes", is_peer=True, is_reference=True)


def test_peer_bytes_into_the_sum(
    benchmark: BenchmarkFixture, context: Any, update: NDArray[np.float32], per_value: PerValue
) -> None:
    sent = to_bytes(encrypt(context, update))
    benchmark.group = "server adds, per value"
    totals = benchmark.pedantic(
        lambda totals: add(totals, from_bytes(context, sent)),
        setup=lambda: ((from_bytes(context, sent),), {}),
        rounds=2 * ROUNDS,
        iterations=1,
    )
    assert_holds(totals, 2 * update)
    what = "bytes parsed and added"
    per_value(len(update), bytes=sum(map(len, sent)), who=WHO, what=what, is_peer=True, is_reference=True)


def test_peer_bytes_to_mean(
    benchmark: BenchmarkFixture, context: Any, update: NDArray[np.float32], per_value: PerValue
) -> None:
    sent = to_bytes(add(encrypt(context, update), encrypt(context, update)))
    benchmark.group = "client decrypts, per value"
    mean = benchmark.pedantic(lambda: decrypt(from_bytes(context, sent)) / np.float32(2), rounds=ROUNDS, iterations=1)
    np.testing.assert_allclose(mean, update, rtol=0, atol=PRECISION)
    per_value(len(update), bytes=mean.nbytes, who=WHO, what="bytes to mean", is_peer=True, is_reference=True)


# --- what stays in the process


def test_peer_array_to_objects(
    benchmark: BenchmarkFixture, context: Any, update: NDArray[np.float32], per_value: PerValue
) -> None:
    benchmark.group = "client encrypts, per value"
    vectors = benchmark.pedantic(lambda: encrypt(context, update), rounds=ROUNDS, iterations=1)
    assert_holds(vectors, update)
    per_value(len(update), who=WHO, what="array to objects", is_peer=True)


def test_peer_objects_added(
    benchmark: BenchmarkFixture, context: Any, update: NDArray[np.float32], per_value: PerValue
) -> None:
    addends = encrypt(context, update)
    benchmark.group = "server adds, per value"
    totals = benchmark.pedantic(
        lambda totals: add(totals, addends),
        setup=lambda: (([vector.copy() for vector in addends],), {}),
        rounds=2 * ROUNDS,
        iterations=1,
    )
    assert_holds(totals, 2 * update)
    per_value(len(update), who=WHO, what="objects added in place", is_peer=True)


def test_peer_objects_to_array(
    benchmark: BenchmarkFixture, context: Any, update: NDArray[np.float32], per_value: PerValue
) -> None:
    vectors = encrypt(context, update)
    benchmark.group = "client decrypts, per value"
    values = benchmark.pedantic(lambda: decrypt(vectors), rounds=ROUNDS, iterations=1)
    np.testing.assert_allclose(values, update, rtol=0, atol=PRECISION)
    per_value(len(update), who=WHO, what="objects to array", is_peer=True)

"""Packed Paillier beside python-paillier (`phe`), one key of 3,072 bits, one core, in one run.

`phe` encrypts a value per ciphertext, as its users do, so it is measured on few values; both report seconds per
million values, extrapolated from the median per value. It gets a fixed precision, so that its exponents agree and its
additions are single multiplications, and gmpy2, which it uses where installed. It has no way to encrypt faster for
who holds the secret key; decryption uses the factors in both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import phe
import pytest
from phe.util import HAVE_GMP
from pytest_benchmark.fixture import BenchmarkFixture

from he_core import Codec, Scheme, SecretBundle
from he_core.codec import CodecShape
from he_core.schemes.paillier import PaillierSecretKey

PHE_VALUES = 3
PRECISION = 2.0**-20
PACKED = "paillier, gmpy2, packed"
PHE = f"phe {phe.__version__} Paillier 3072, a value per ciphertext"
PerValue = Callable[..., None]


@pytest.fixture(scope="module")
def ours(engine_of: Callable[..., tuple[Scheme, SecretBundle]]) -> tuple[Scheme, PaillierSecretKey]:
    scheme, keys = engine_of("paillier", "gmpy2")
    key = scheme.secret_key(keys)
    assert isinstance(key, PaillierSecretKey)
    return scheme, key


@pytest.fixture(scope="module")
def theirs(ours: tuple[Scheme, PaillierSecretKey]) -> tuple[phe.PaillierPublicKey, phe.PaillierPrivateKey]:
    """The same modulus at `phe`."""
    assert HAVE_GMP, "phe runs without gmpy2 here: no comparison"
    _, key = ours
    public = phe.PaillierPublicKey(key.public.n)
    return public, phe.PaillierPrivateKey(public, key.p, key.q)


@pytest.fixture(
    scope="module", params=[pytest.param(1, id="1-word"), pytest.param(64, id="64-words", marks=pytest.mark.slow)]
)
def codec(request: pytest.FixtureRequest, ours: tuple[Scheme, PaillierSecretKey]) -> Codec:
    """As many values as fill the words; per word the cost is the same, larger batches get wider tables."""
    scheme, _ = ours
    probe = scheme.plaintext(CodecShape(16, 8, 1))
    word = next(count for count in range(1, 10_000) if probe.word_count(count + 1) == 2)
    return Codec(bits=16, k_max=8, lengths=(word * request.param,), limits=(0.05,))


def update(count: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(-0.05, 0.05, count).astype(np.float32)


# --- python-paillier


def test_peer_encrypt(benchmark: BenchmarkFixture, theirs: Any, per_value: PerValue) -> None:
    public, private = theirs
    values = [float(value) for value in update(PHE_VALUES)]
    benchmark.group = "client encrypts, per value"
    encrypted = benchmark.pedantic(
        lambda: [public.encrypt(value, precision=PRECISION) for value in values], rounds=3, iterations=1
    )
    np.testing.assert_allclose([private.decrypt(number) for number in encrypted], values, atol=PRECISION)
    size = PHE_VALUES * public.nsquare.bit_length() // 8
    per_value(PHE_VALUES, bytes=size, who=PHE, what="floats to objects", is_peer=True, is_reference=True)


def test_peer_add(benchmark: BenchmarkFixture, theirs: Any, per_value: PerValue) -> None:
    public, private = theirs
    values = [float(value) for value in update(PHE_VALUES)]
    left = [public.encrypt(value, precision=PRECISION) for value in values]
    benchmark.group = "server adds, per value"
    sums = benchmark.pedantic(lambda: [number + number for number in left], rounds=20, iterations=1)
    np.testing.assert_allclose([private.decrypt(number) for number in sums], 2 * np.array(values), atol=2 * PRECISION)
    per_value(PHE_VALUES, who=PHE, what="objects added", is_peer=True, is_reference=True)


def test_peer_decrypt(benchmark: BenchmarkFixture, theirs: Any, per_value: PerValue) -> None:
    public, private = theirs
    values = [float(value) for value in update(PHE_VALUES)]
    encrypted = [public.encrypt(value, precision=PRECISION) for value in values]
    benchmark.group = "client decrypts, per value"
    decrypted = benchmark.pedantic(lambda: [private.decrypt(number) for number in encrypted], rounds=3, iterations=1)
    np.testing.assert_allclose(decrypted, values, atol=PRECISION)
    per_value(PHE_VALUES, who=PHE, what="objects to floats", is_peer=True, is_reference=True)


# --- packed, here: quantising and packing are part of the time, as encoding is of theirs


@pytest.mark.parametrize("holder", ["public-key-only", "key-holder"])
def test_packed_encrypt(
    benchmark: BenchmarkFixture,
    ours: tuple[Scheme, PaillierSecretKey],
    codec: Codec,
    per_value: PerValue,
    holder: str,
) -> None:
    scheme, secret = ours
    key = secret.public if holder == "public-key-only" else secret
    plaintext, values = scheme.plaintext(codec.shape), update(codec.value_count)

    def encrypt() -> Any:
        numbers, _ = plaintext.quantise(codec, values, 1, None)
        return scheme.encrypt(key, plaintext.pack(numbers), codec.shape, 0)

    benchmark.group = "client encrypts, per value"
    ciphertext = benchmark.pedantic(encrypt, rounds=5, iterations=1, warmup_rounds=1)  # the warm-up makes the tables
    numbers = plaintext.unpack(scheme.decrypt(secret, ciphertext, 0), codec.value_count)
    mean = plaintext.dequantise(codec, numbers, 1, 1)
    np.testing.assert_allclose(mean, values, atol=0.51 * codec.steps[0])
    size = len(scheme.serialise(secret.public, ciphertext))
    per_value(codec.value_count, bytes=size, who=PACKED, what=f"array to objects, {holder}")


def test_packed_add(
    benchmark: BenchmarkFixture, ours: tuple[Scheme, PaillierSecretKey], codec: Codec, per_value: PerValue
) -> None:
    scheme, secret = ours
    plaintext = scheme.plaintext(codec.shape)
    numbers, _ = plaintext.quantise(codec, update(codec.value_count), 1, None)
    left, right = (scheme.encrypt(secret, plaintext.pack(numbers), codec.shape, 0) for _ in range(2))
    benchmark.group = "server adds, per value"
    total = benchmark.pedantic(
        lambda accumulator: scheme.add(secret.public, accumulator, right),
        setup=lambda: ((left.copy(),), {}),
        rounds=20,
        iterations=1,
    )
    sums = plaintext.unpack(scheme.decrypt(secret, total, 0), codec.value_count)
    np.testing.assert_array_equal(sums, 2 * numbers)
    per_value(codec.value_count, who=PACKED, what="objects added")


def test_packed_decrypt(
    benchmark: BenchmarkFixture, ours: tuple[Scheme, PaillierSecretKey], codec: Codec, per_value: PerValue
) -> None:
    scheme, secret = ours
    plaintext, values = scheme.plaintext(codec.shape), update(codec.value_count)
    numbers, _ = plaintext.quantise(codec, values, 1, None)
    ciphertext = scheme.encrypt(secret, plaintext.pack(numbers), codec.shape, 0)

    def decrypt() -> Any:
        sums = plaintext.unpack(scheme.decrypt(secret, ciphertext, 0), codec.value_count)
        return plaintext.dequantise(codec, sums, 1, 1)

    benchmark.group = "client decrypts, per value"
    mean = benchmark.pedantic(decrypt, rounds=3, iterations=1)
    np.testing.assert_allclose(mean, values, atol=0.51 * codec.steps[0])
    per_value(codec.value_count, who=PACKED, what="objects to array")

"""rlwe on every backend against ciphertexts made by an independent slow implementation (generate_rlwe.py)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from he_core import registry
from he_core.codec import CodecShape
from he_core.keys import PublicBundle, SecretBundle
from he_core.params import RlweParameters
from he_core.planner import plan
from he_core.schemes.rlwe import Rlwe, RlweSecretKey

VECTORS = json.loads((Path(__file__).parent / "rlwe.json").read_text(encoding="ascii"))
PARAMETERS = RlweParameters(**VECTORS["parameters"])
WORD_COUNT = len(VECTORS["sum"]["words"])
SHAPE = CodecShape(16, 8, 2 * WORD_COUNT)
BACKENDS = [
    status.backend for status in registry.default().statuses() if status.scheme == "rlwe" and status.obstacle is None
]


def replay(*seeds: bytes) -> Callable[[int], bytes]:
    """An entropy source that gives `seeds` in turn."""
    left: Iterator[bytes] = iter(seeds)

    def entropy(count: int) -> bytes:
        seed = next(left)
        assert len(seed) == count
        return seed

    return entropy


def scheme_of(backend: str, *seeds: bytes) -> Rlwe:
    made = cast(Rlwe, registry.create("rlwe", backend, VECTORS["parameters"], threads=1))
    return Rlwe(PARAMETERS, made._arithmetic, entropy=replay(*seeds))


def key_of(scheme: Rlwe) -> RlweSecretKey:
    """The vectors' key pair, under the vectors' key id."""
    key = VECTORS["key"]
    public = PublicBundle("rlwe", PARAMETERS.as_dict(), {name: bytes.fromhex(key[name]) for name in ("a_seed", "b")})
    secret = scheme.secret_key(SecretBundle(public, {"s": bytes.fromhex(key["s"])}))
    object.__setattr__(secret.public, "key_id", bytes.fromhex(VECTORS["key_id"]))
    return secret


def plaintext_of(words: list[int]) -> np.ndarray:
    """The fields that the vectors' words, one a coefficient, are made of, as the scheme takes them."""
    bits, at_once = SHAPE.field_bits, VECTORS["layout"]["plaintext_bits"] // SHAPE.field_bits
    fields = [word >> (i * bits) & (1 << bits) - 1 for word in words for i in range(at_once)]
    return np.array(fields[: SHAPE.value_count], np.uint32).view(np.uint8).reshape(-1, 4)


def test_the_planner_gives_the_vectors_layout() -> None:
    layout = plan(PARAMETERS, SHAPE)
    assert {name: getattr(layout, name) for name in VECTORS["layout"]} == VECTORS["layout"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_key_pair_from_the_vectors_seed_is_theirs(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    key = VECTORS["key"]
    monkeypatch.setattr("secrets.token_bytes", lambda count: bytes.fromhex(key["a_seed"])[:count])
    bundle = scheme_of(backend, bytes.fromhex(key["seed"])).generate_keys()
    assert bundle.public.material["b"].hex() == key["b"]
    assert bundle.material["s"].hex() == key["s"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("index", range(len(VECTORS["messages"])))
def test_a_message_under_the_vectors_seed_has_their_bytes(backend: str, index: int) -> None:
    message = VECTORS["messages"][index]
    scheme = scheme_of(backend, bytes.fromhex(message["seed"]))
    key = key_of(scheme)
    ciphertext = scheme.encrypt(key.public, plaintext_of(message["words"]), SHAPE, VECTORS["round"])
    assert bytes(scheme.serialise(key.public, ciphertext)).hex() == message["payload"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_messages_add_and_decrypt_to_the_vectors_sum(backend: str) -> None:
    scheme = scheme_of(backend)
    key = key_of(scheme)
    left, right = (
        scheme.parse(key.public, memoryview(bytes.fromhex(message["payload"])), SHAPE)
        for message in VECTORS["messages"]
    )
    total = scheme.add(key.public, left, right)
    assert bytes(scheme.serialise(key.public, total)).hex() == VECTORS["sum"]["payload"]
    np.testing.assert_array_equal(scheme.decrypt(key, total, VECTORS["round"]), plaintext_of(VECTORS["sum"]["words"]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_vectors_sum_decrypts_as_it_comes(backend: str) -> None:
    scheme = scheme_of(backend)
    key = key_of(scheme)
    total = scheme.parse(key.public, memoryview(bytes.fromhex(VECTORS["sum"]["payload"])), SHAPE)
    np.testing.assert_array_equal(scheme.decrypt(key, total, VECTORS["round"]), plaintext_of(VECTORS["sum"]["words"]))

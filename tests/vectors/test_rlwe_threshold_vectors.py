"""A threshold group's dealing, encryption and parts against an independent slow implementation, on every backend."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from he_core import SecretBundle, registry
from he_core.codec import CodecShape
from he_core.params import RlweParameters
from he_core.schemes.rlwe_threshold import ThresholdRlwe

VECTORS = json.loads((Path(__file__).parent / "rlwe_threshold.json").read_text(encoding="ascii"))
SHAPE = CodecShape(16, 8, 10)
BACKENDS = [
    status.backend for status in registry.default().statuses() if status.scheme == "rlwe" and status.obstacle is None
]


def replay(*names: str) -> Callable[[int], bytes]:
    """An entropy source that gives these seeds of the vectors in turn."""
    left = iter([bytes.fromhex(VECTORS[name]) for name in names])
    return lambda count: next(left)[:count]


def scheme_of(backend: str, *names: str) -> ThresholdRlwe:
    made = cast(ThresholdRlwe, registry.create("rlwe", backend, VECTORS["parameters"], threads=1))
    return ThresholdRlwe(RlweParameters(**VECTORS["parameters"]), made._arithmetic, entropy=replay(*names))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_the_planner_gives_the_vectors_widths() -> None:
    flooding = scheme_of(BACKENDS[0]).flooding(SHAPE)
    assert (flooding.plaintext_bits, flooding.flooding_bits) == (VECTORS["key_bits"], VECTORS["flooding_bits"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_dealing_an_encrypted_key_and_a_part_have_the_vectors_bytes(backend: str) -> None:
    seed = bytes.fromhex(VECTORS["public_seed"])
    scheme = scheme_of(backend, "secret_seed", "sharing_seed", "message_seed", "noise_seed")
    dealt = scheme.deal(seed)
    assert digest(dealt.public) == VECTORS["public"]
    assert [digest(share) for share in dealt.shares] == VECTORS["shares"]
    # As if this one client's contribution were the group's key: the others' are zeros.
    zeros = bytes(len(dealt.public))
    public = scheme.joint_key(seed, [dealt.public, zeros, zeros, zeros, zeros])
    holder = VECTORS["holder"]
    material = scheme.joint_share(holder, [dealt.shares[holder], zeros, zeros, zeros, zeros])
    key = scheme.secret_key(SecretBundle(public, material))
    words = np.zeros((SHAPE.value_count, 4), np.uint8)
    ciphertext = scheme.encrypt(key.public, words, SHAPE, 0)
    payload = bytes(scheme.serialise(key.public, ciphertext))
    assert digest(payload[: scheme.flooding(SHAPE).payload_bytes]) == VECTORS["encrypted_key"]
    part = scheme.partial_decrypt(key, ciphertext, tuple(VECTORS["holders"]))
    assert digest(part) == VECTORS["part"]

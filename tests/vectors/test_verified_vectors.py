"""Verified sums against known answers that the engine had no part in."""

from __future__ import annotations

import hmac
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import generate_verified
from he_core import Aggregator, Codec, Decryptor, Encryptor, PublicBundle, SecretBundle, Verifier, create
from he_core.frame import Participant

HERE = Path(__file__).parent
DOCUMENT = json.loads((HERE / "verified.json").read_text(encoding="ascii"))
SCHEME = create("plain")
KEYS = SecretBundle(PublicBundle("plain", {}, {"nonce": bytes.fromhex(DOCUMENT["nonce"])}), {})
VERIFIER = Verifier(bytes.fromhex(DOCUMENT["key"]), bytes.fromhex(DOCUMENT["session"]))


@pytest.fixture(params=DOCUMENT["cases"], ids=lambda case: case["name"])
def case(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


def codec_of(case: dict[str, Any]) -> Codec:
    sizes = tuple(case["lengths"]), tuple(case["limits"]), case["weight_reference"]
    return Codec(case["bits"], case["k_max"], *sizes, verified=True)


def test_the_vectors_are_what_their_generator_makes() -> None:
    assert generate_verified.document() == (HERE / "verified.json").read_text(encoding="ascii")


def test_the_generators_own_hmac_is_the_standard_librarys() -> None:
    for message in (b"", b"what do ya want for nothing?", bytes(200)):
        ours = generate_verified.hmac_sha256(generate_verified.KEY, message)
        assert ours == hmac.digest(generate_verified.KEY, message, "sha256")


def test_the_generator_imports_nothing_of_the_engine() -> None:
    assert "he_core" not in (HERE / "generate_verified.py").read_text(encoding="utf-8")


def test_contributions_and_their_sum_are_the_known_bytes(case: dict[str, Any]) -> None:
    codec = codec_of(case)
    assert codec.digest.hex() == case["codec_digest"]
    aggregator = Aggregator(SCHEME, SCHEME.public_key(KEYS.public))
    aggregator.open(case["round"], codec.shape)
    encryptor = Encryptor(SCHEME, SCHEME.public_key(KEYS.public), verifier=VERIFIER)
    for client in case["clients"]:
        who = {"round": case["round"], "client": client["client"], "weight": client["weight"]}
        data = encryptor.encrypt(np.array(client["values"], np.float32), codec, **who)
        assert data.hex() == client["frame"]
        aggregator.add(data)
    total = aggregator.result()
    assert total.hex() == case["sum_frame"]
    Decryptor(SCHEME, SCHEME.secret_key(KEYS), verifier=VERIFIER).decrypt(total, codec, round=case["round"])


def test_the_known_sums_pass(case: dict[str, Any]) -> None:
    participants = [Participant(client["client"], client["weight"]) for client in case["clients"]]
    VERIFIER.check(
        np.array(case["sums"], np.uint32),
        codec_of(case),
        round=case["round"],
        key_id=KEYS.public.key_id,
        participants=participants,
    )

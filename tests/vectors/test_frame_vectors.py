"""Codec, packing and frames against known answers that the engine had no part in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import generate_frames
from he_core import Aggregator, Codec, Decryptor, Encryptor, PublicBundle, SecretBundle, create, frame
from he_core.arith.fields import FieldLayout

HERE = Path(__file__).parent
DOCUMENT = json.loads((HERE / "frames.json").read_text(encoding="ascii"))
SCHEME = create("plain")
KEYS = SecretBundle(PublicBundle("plain", {}, {"nonce": bytes.fromhex(DOCUMENT["nonce"])}), {})


@pytest.fixture(params=DOCUMENT["cases"], ids=lambda case: case["name"])
def case(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


def codec_of(case: dict[str, Any]) -> Codec:
    return Codec(case["bits"], case["k_max"], tuple(case["lengths"]), tuple(case["limits"]), case["weight_reference"])


def test_the_vectors_are_what_their_generator_makes() -> None:
    assert generate_frames.crc32c(b"123456789") == 0xE3069283
    assert generate_frames.document() == (HERE / "frames.json").read_text(encoding="ascii")


def test_the_generator_imports_nothing_of_the_engine() -> None:
    source = (HERE / "generate_frames.py").read_text(encoding="utf-8")
    assert "he_core" not in source


def test_the_codec_gives_the_known_fields_and_digest(case: dict[str, Any]) -> None:
    codec = codec_of(case)
    assert codec.digest.hex() == case["codec_digest"]
    assert codec.shape.field_bits == case["field_bits"]
    for client in case["clients"]:
        fields, saturated = codec.quantise(np.array(client["values"], np.float32), client["weight"])
        assert fields.tolist() == client["fields"]
        assert saturated == client["saturated"]


def test_packing_gives_the_known_words(case: dict[str, Any]) -> None:
    width = case["field_bits"]
    for layout, name in (
        (FieldLayout(width, 64 // width, 8), "words_in_64_bits"),
        (FieldLayout(width, 2047 // width, 256), "words_of_2047_bits"),
    ):
        for client in case["clients"]:
            words = layout.pack(np.array(client["fields"], np.uint32))
            assert words.tobytes().hex() == client[name]
            assert layout.unpack(words, len(client["fields"])).tolist() == client["fields"]


def test_plain_frames_are_the_known_bytes(case: dict[str, Any]) -> None:
    codec, public = codec_of(case), SCHEME.public_key(KEYS.public)
    aggregator = Aggregator(SCHEME, public)
    aggregator.open(case["round"], codec.shape)
    for client in case["clients"]:
        data = Encryptor(SCHEME, public).encrypt(
            np.array(client["values"], np.float32),
            codec,
            round=case["round"],
            client=client["client"],
            weight=client["weight"],
        )
        assert data.hex() == client["frame"]
        aggregator.add(data)
    total = aggregator.result()
    assert total.hex() == case["sum_frame"]
    mean = Decryptor(SCHEME, SCHEME.secret_key(KEYS)).decrypt(total, codec, round=case["round"])
    np.testing.assert_array_equal(mean, np.array(case["mean"], np.float32))


def test_known_frames_parse_to_what_they_say(case: dict[str, Any]) -> None:
    parsed = frame.parse(bytes.fromhex(case["sum_frame"]))
    assert parsed.header.kind is frame.Kind.SUM
    assert parsed.header.scheme == "plain"
    assert parsed.header.round == case["round"]
    assert parsed.header.shape == codec_of(case).shape
    assert parsed.header.key_id == KEYS.public.key_id
    assert parsed.header.codec_digest.hex() == case["codec_digest"]
    assert parsed.header.participants == tuple(
        frame.Participant(client["client"], client["weight"]) for client in case["clients"]
    )

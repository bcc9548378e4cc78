"""Frames of every version ever released keep their meaning: `tests/fixtures/v1` is read by this engine."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from he_core import Aggregator, Codec, Decryptor, Scheme, SecretBundle, create, frame, keystore
from he_core.errors import BackendUnavailableError
from he_core.packing import Reals

FROZEN = Path(__file__).parents[1] / "fixtures" / "v1"
DOCUMENT: dict[str, Any] = json.loads((FROZEN / "frames.json").read_text(encoding="ascii"))
ROUND: int = DOCUMENT["round"]


@dataclass(frozen=True)
class Frozen:
    """One scheme's frozen frames and the key that reads them."""

    scheme: Scheme
    keys: SecretBundle
    codec: Codec

    @property
    def contributions(self) -> list[bytes]:
        name = self.scheme.name
        return [(FROZEN / f"{name}-contribution-of-client-{c}.frame").read_bytes() for c in DOCUMENT["clients"]]

    @property
    def total(self) -> bytes:
        return (FROZEN / f"{self.scheme.name}-sum.frame").read_bytes()


@pytest.fixture(scope="module", params=DOCUMENT["means"])
def frozen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Frozen:
    path = tmp_path_factory.mktemp("keys") / "secret.json"
    shutil.copy(FROZEN / f"TEST-ONLY-{request.param}.secret.json", path)
    path.chmod(0o600)  # version control keeps no modes
    keys = keystore.load_secret(path)
    try:
        scheme = create(request.param, parameters=keys.public.parameters, threads=1)
    except BackendUnavailableError as error:
        pytest.skip(str(error))
    codec = DOCUMENT["codec"]
    lengths, limits = tuple(codec["lengths"]), tuple(codec["limits"])
    return Frozen(scheme, keys, Codec(codec["bits"], codec["k_max"], lengths, limits, codec["weight_reference"]))


def test_a_frozen_sum_decrypts_to_the_mean_it_had(frozen: Frozen) -> None:
    decryptor = Decryptor(frozen.scheme, frozen.scheme.secret_key(frozen.keys))
    mean = decryptor.decrypt(frozen.total, frozen.codec, round=ROUND)
    expected = np.array(DOCUMENT["means"][frozen.scheme.name], np.float32)
    # Real numbers come out of floating-point transforms, whose last bit is the machine's.
    np.testing.assert_allclose(mean, expected, rtol=0, atol=0 if frozen.scheme.capabilities.exact else 1e-8)


def test_the_mean_they_had_is_the_mean_of_the_updates(frozen: Frozen) -> None:
    codec = frozen.codec
    limits = np.repeat(codec.limits, codec.lengths)
    weighted = np.array(DOCUMENT["updates"]) * np.array(DOCUMENT["weights"])[:, None] / codec.weight_reference
    if not isinstance(frozen.scheme.plaintext(codec.shape), Reals):
        weighted = np.clip(weighted, -limits, limits)  # what a client hands in is its weighted update
    expected = weighted.sum(axis=0) * codec.weight_reference / sum(DOCUMENT["weights"])
    bound = np.repeat(codec.steps, codec.lengths) * codec.weight_reference / sum(DOCUMENT["weights"])
    assert np.all(np.abs(np.array(DOCUMENT["means"][frozen.scheme.name]) - expected) <= bound)


def test_frozen_contributions_add_up_to_the_frozen_sum(frozen: Frozen) -> None:
    aggregator = Aggregator(frozen.scheme, frozen.scheme.public_key(frozen.keys.public))
    aggregator.open(ROUND, frozen.codec.shape, clients=DOCUMENT["clients"])
    for contribution in frozen.contributions:
        aggregator.add(contribution)
    assert aggregator.result() == frozen.total


def test_frozen_headers_say_what_they_said(frozen: Frozen) -> None:
    entries = [frame.Participant(*entry) for entry in zip(DOCUMENT["clients"], DOCUMENT["weights"], strict=True)]
    contributions = [frame.parse(data).header for data in frozen.contributions]
    total = frame.parse(frozen.total).header
    assert [header.kind for header in contributions] == [frame.Kind.CONTRIBUTION] * 2
    assert [header.participants for header in contributions] == [(entry,) for entry in entries]
    assert (total.kind, total.participants) == (frame.Kind.SUM, tuple(entries))
    for header in (*contributions, total):
        assert header.round == ROUND
        assert header.scheme == frozen.scheme.name
        assert header.parameters_digest == frozen.scheme.parameters.digest
        assert header.key_id == frozen.keys.public.key_id
        assert header.shape == frozen.codec.shape
        assert header.codec_digest == frozen.codec.digest


def test_the_frozen_public_key_is_the_public_half_of_the_secret_one(frozen: Frozen) -> None:
    public = keystore.load_public(FROZEN / f"TEST-ONLY-{frozen.scheme.name}.public.json")
    assert public == frozen.keys.public

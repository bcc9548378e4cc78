"""A threshold group's frames keep their meaning too: `tests/fixtures/v1` has shares, a sum and parts of it."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import generate_rlwe_threshold as oracle
from he_core import Aggregator, Codec, Decryptor, SecretBundle, ShareHolder, create, frame, keystore
from he_core.errors import BackendUnavailableError
from he_core.scheme import ThresholdScheme, threshold_scheme

FROZEN = Path(__file__).parents[1] / "fixtures" / "v1"
DOCUMENT: dict[str, Any] = json.loads((FROZEN / "frames.json").read_text(encoding="ascii"))
ROUND: int = DOCUMENT["round"]
HOLDERS = tuple(DOCUMENT["holders"])
MADE = DOCUMENT["codec"]
CODEC = Codec(MADE["bits"], MADE["k_max"], tuple(MADE["lengths"]), tuple(MADE["limits"]), MADE["weight_reference"])
PARTICIPANTS = tuple(
    frame.Participant(client, weight) for client, weight in zip(DOCUMENT["clients"], DOCUMENT["weights"], strict=True)
)


@dataclass(frozen=True)
class FrozenGroup:
    """One group's frozen frames, and the shares that answer them, in the order of HOLDERS."""

    name: str
    scheme: ThresholdScheme
    shares: list[SecretBundle]

    def read(self, what: str) -> bytes:
        return (FROZEN / f"{self.name}-{what}.frame").read_bytes()

    @property
    def parts(self) -> list[bytes]:
        return [self.read(f"part-of-holder-{holder}") for holder in HOLDERS]


@pytest.fixture(scope="module", params=DOCUMENT["means_together"])
def frozen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FrozenGroup:
    folder, shares = tmp_path_factory.mktemp("keys"), []
    for holder in HOLDERS:
        path = folder / f"{holder}.json"
        shutil.copy(FROZEN / f"TEST-ONLY-{request.param}.share-{holder}.json", path)
        path.chmod(0o600)  # version control keeps no modes
        shares.append(keystore.load_secret(path))
    public = shares[0].public
    try:
        scheme = threshold_scheme(create(public.scheme, parameters=public.parameters, threads=1))
    except BackendUnavailableError as error:
        pytest.skip(str(error))
    return FrozenGroup(request.param, scheme, shares)


def test_frozen_parts_open_the_frozen_sum_to_the_mean_it_had(frozen: FrozenGroup) -> None:
    decryptor = Decryptor(frozen.scheme, frozen.scheme.secret_key(frozen.shares[1]))
    mean = decryptor.decrypt(frozen.read("sum"), CODEC, round=ROUND, partials=frozen.parts)
    np.testing.assert_array_equal(mean, np.array(DOCUMENT["means_together"][frozen.name], np.float32))


def test_the_mean_they_had_is_the_one_of_a_shared_key(frozen: FrozenGroup) -> None:
    assert DOCUMENT["means_together"][frozen.name] == DOCUMENT["means"][frozen.scheme.name]


def test_a_frozen_part_and_a_new_one_of_the_other_share_open_it_too(frozen: FrozenGroup) -> None:
    keys = [frozen.scheme.secret_key(share) for share in frozen.shares]
    fresh = ShareHolder(frozen.scheme, keys[1]).partial(
        frozen.read("sum"), CODEC, round=ROUND, holders=HOLDERS, participants=PARTICIPANTS
    )
    decryptor = Decryptor(frozen.scheme, keys[0])
    mean = decryptor.decrypt(frozen.read("sum"), CODEC, round=ROUND, partials=[frozen.parts[0], fresh])
    np.testing.assert_array_equal(mean, np.array(DOCUMENT["means_together"][frozen.name], np.float32))


def test_frozen_contributions_add_up_to_the_frozen_sum(frozen: FrozenGroup) -> None:
    aggregator = Aggregator(frozen.scheme, frozen.scheme.public_key(frozen.shares[0].public))
    aggregator.open(ROUND, CODEC.shape, clients=DOCUMENT["clients"])
    for client in DOCUMENT["clients"]:
        aggregator.add(frozen.read(f"contribution-of-client-{client}"))
    assert aggregator.result() == frozen.read("sum")


def test_frozen_parts_say_of_which_sum_whose_and_for_whom_they_are(frozen: FrozenGroup) -> None:
    """By docs/wire-format.md alone."""
    total = frozen.read("sum")
    for holder, part in zip(HOLDERS, frozen.parts, strict=True):
        parsed = frame.parse(part)
        assert parsed.header.kind == 3
        assert parsed.header.participants == PARTICIPANTS
        start = hashlib.sha256(total).digest() + struct.pack("<4I", holder, 2, *HOLDERS)
        assert bytes(parsed.payload[: len(start)]) == start
        assert len(parsed.payload) == len(start) + frozen.scheme.partial_bytes(CODEC.shape)


def test_the_frozen_public_key_is_the_public_half_of_every_share(frozen: FrozenGroup) -> None:
    public = keystore.load_public(FROZEN / f"TEST-ONLY-{frozen.name}.public.json")
    assert [share.public for share in frozen.shares] == [public, public]
    assert public.key_id == frame.parse(frozen.read("sum")).header.key_id


# --- rlwe, by plain Python integers


@pytest.fixture(scope="module")
def rlwe(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[list[int], list[int]]]:
    """Holder -> the exact first N coefficients of lambda share u mod Q, and its frozen part as numbers."""
    payload = (FROZEN / "2-of-3-rlwe-sum.frame").read_bytes()
    u_bytes = 12 * oracle.DEGREE
    data = bytes(frame.parse(payload).payload[:u_bytes])
    u = oracle.restored([int.from_bytes(data[i : i + 12], "little") for i in range(0, u_bytes, 12)], 96)
    half, found = pow(2, -1, oracle.Q), {}
    for holder, weight in ((0, 3 * half), (2, -half)):  # lambda of {0, 2}: (2+1)/(2-0) and (0+1)/(0-2)
        document = json.loads((FROZEN / f"TEST-ONLY-2-of-3-rlwe.share-{holder}.json").read_text(encoding="ascii"))
        path = tmp_path_factory.mktemp("share") / "share.json"
        path.write_text(json.dumps(document), encoding="ascii")
        path.chmod(0o600)
        stored = struct.unpack(f"<{2 * oracle.DEGREE}Q", keystore.load_secret(path).material["share"])
        share = oracle.joined([stored[: oracle.DEGREE], stored[oracle.DEGREE :]])
        exact = [weight * x % oracle.Q for x in oracle.product(u, share)[: oracle.KEY_DEGREE]]
        part = bytes(frame.parse((FROZEN / f"2-of-3-rlwe-part-of-holder-{holder}.frame").read_bytes()).payload[48:])
        found[holder] = (exact, list(struct.unpack(f"<{oracle.KEY_DEGREE}I", part)))
    return found


def test_a_frozen_part_of_rlwe_is_its_shares_product_under_noise_of_the_stated_width(
    rlwe: dict[int, tuple[list[int], list[int]]],
) -> None:
    flooding_bits, unit = 91, oracle.Q / 2**32  # docs/rlwe.md; a part is rounded to units
    for exact, part in rlwe.values():
        doubled = [2 * ((y * oracle.Q - (x << 32)) % (oracle.Q << 32)) for x, y in zip(exact, part, strict=True)]
        noise = [(value if value < oracle.Q << 32 else value - (oracle.Q << 33)) / 2.0**33 for value in doubled]
        assert max(map(abs, noise)) <= 2.0**flooding_bits + unit
        # As wide as stated and not less: 1 / sqrt(3) of it in deviation, of 2,048 samples within 4 per cent.
        assert abs(np.std(noise) * 3**0.5 / 2.0**flooding_bits - 1) < 0.04

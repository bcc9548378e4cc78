"""What shares and those who combine their parts refuse, and the seals around parts."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from he_core import Aggregator, Codec, Decryptor, ShareHolder, Trust, create, frame
from he_core.errors import FrameError, HeCoreError, ParameterError, WrongKindError, WrongParticipantsError
from he_core.frame import Kind, Participant
from he_core.params import RlweParameters
from he_core.sealing import PARTIALS, seal, unseal
from he_core.threshold_errors import (
    KeyUsedUpError,
    NoThresholdError,
    PartialsDoNotFitError,
    SealError,
    SecondSumError,
    TooFewPartialsError,
    WrongHoldersError,
    WrongSumError,
)

if TYPE_CHECKING:
    from tests.he_core.conftest import ThresholdGroup

CODEC = Codec(bits=16, k_max=8, lengths=(5000,), limits=(1.0,))
CLIENTS = 3


def updates_for(clients: int, codec: Codec = CODEC) -> list[np.ndarray]:
    generator = np.random.default_rng(clients)
    return [generator.uniform(-0.9, 0.9, codec.value_count).astype(np.float32) for _ in range(clients)]


@pytest.fixture(scope="module")
def total(group: ThresholdGroup) -> bytes:
    return group.sum(updates_for(CLIENTS), CODEC)


ENTRIES = tuple(Participant(client, 1) for client in range(CLIENTS))


# --- what is refused


def test_a_share_answers_one_sum_a_round_and_the_same_again(group: ThresholdGroup, total: bytes) -> None:
    holder = ShareHolder(group.scheme, group.keys[0])
    ask = {"round": 0, "participants": ENTRIES}
    first = holder.partial(total, CODEC, holders=(0, 1, 2), **ask)  # type: ignore[arg-type]
    assert holder.partial(total, CODEC, holders=(2, 1, 0), **ask) == first  # type: ignore[arg-type]
    other = group.sum(updates_for(CLIENTS), CODEC)
    for data, holders in ((other, (0, 1, 2)), (total, (0, 1, 3))):
        with pytest.raises(SecondSumError):
            holder.partial(data, CODEC, holders=holders, **ask)  # type: ignore[arg-type]


def test_a_single_contribution_is_not_decrypted_as_a_sum(group: ThresholdGroup) -> None:
    alone = group.sum(updates_for(1), CODEC)
    holder = ShareHolder(group.scheme, group.keys[0])
    with pytest.raises(WrongParticipantsError):
        holder.partial(alone, CODEC, round=0, holders=(0, 1, 2), participants=ENTRIES)
    with pytest.raises(WrongParticipantsError):
        holder.partial(alone, CODEC, round=0, holders=(0, 1, 2), participants=ENTRIES[:1])


def test_a_key_serves_no_more_rounds_than_its_flooding_covers(group: ThresholdGroup) -> None:
    most = group.scheme.flooding(CODEC.shape).decryptions
    total = group.sum(updates_for(CLIENTS), CODEC, round=most)
    with pytest.raises(KeyUsedUpError, match="ceremony"):
        group.partials(total, (0, 1, 2), CODEC, round=most)


def test_a_damaged_or_foreign_partial_decryption_is_found(group: ThresholdGroup, total: bytes) -> None:
    partials = group.partials(total, (0, 1, 2), CODEC)
    decryptor = Decryptor(group.scheme, group.keys[0])
    parsed = frame.parse(partials[1])
    garbage = bytes(parsed.payload[:-8192]) + os.urandom(8192)
    forged = frame.encode(parsed.header, garbage)
    with pytest.raises(PartialsDoNotFitError, match=r"\[0, 1, 2\]"):
        decryptor.decrypt(total, CODEC, round=0, partials=[partials[0], forged, partials[2]])


def test_partial_decryptions_of_other_sums_sets_or_twice_are_refused(group: ThresholdGroup, total: bytes) -> None:
    decryptor = Decryptor(group.scheme, group.keys[0])
    partials = group.partials(total, (0, 1, 2), CODEC)
    other = group.partials(group.sum(updates_for(CLIENTS), CODEC), (0, 1, 2), CODEC)
    with pytest.raises(WrongSumError):
        decryptor.decrypt(total, CODEC, round=0, partials=[*partials[:2], other[2]])
    with pytest.raises(WrongHoldersError, match="twice"):
        decryptor.decrypt(total, CODEC, round=0, partials=[partials[0], partials[0], partials[1]])
    mixed = [*partials[:2], group.partials(total, (0, 1, 3), CODEC)[2]]
    with pytest.raises(WrongHoldersError):
        decryptor.decrypt(total, CODEC, round=0, partials=mixed)
    with pytest.raises(FrameError):
        decryptor.decrypt(total, CODEC, round=0, partials=[*partials[:2], total])


@pytest.mark.parametrize("position", [0, 32, 36, 40, 44, 48, -1])
@pytest.mark.parametrize("value", [0x00, 0xFF])
def test_hostile_payloads_of_partial_decryptions_are_refused_or_decrypt_right(
    group: ThresholdGroup, total: bytes, position: int, value: int
) -> None:
    partials = group.partials(total, (0, 1, 2), CODEC)
    parsed = frame.parse(partials[1])
    payload = bytearray(parsed.payload)
    payload[position] = value
    hostile = frame.encode(parsed.header, bytes(payload))
    try:
        mean = Decryptor(group.scheme, group.keys[0]).decrypt(
            total, CODEC, round=0, partials=[partials[0], hostile, partials[2]]
        )
    except HeCoreError:
        return
    assert hostile == partials[1] or position == -1
    assert mean.shape == (CODEC.value_count,)


@pytest.mark.parametrize("length", [0, 10, 39, 40, 51, 52, 8243, 8245])
def test_payloads_of_any_other_length_are_refused(group: ThresholdGroup, total: bytes, length: int) -> None:
    partials = group.partials(total, (0, 1, 2), CODEC)
    parsed = frame.parse(partials[1])
    assert len(parsed.payload) == 32 + 4 + 4 + 12 + 8192
    hostile = frame.encode(parsed.header, (bytes(parsed.payload) + bytes(8))[:length])
    with pytest.raises(FrameError):
        Decryptor(group.scheme, group.keys[0]).decrypt(total, CODEC, round=0, partials=[partials[0], hostile])


def test_a_scheme_with_a_shared_key_says_that_it_has_no_threshold() -> None:
    shared = create("rlwe", threads=1)
    key = shared.secret_key(shared.generate_keys())
    with pytest.raises(NoThresholdError, match="threshold and clients"):
        ShareHolder(shared, key)


def test_nobody_makes_a_threshold_key_alone_nor_decrypts_alone(group: ThresholdGroup, total: bytes) -> None:
    assert group.scheme.capabilities.trust is Trust.THRESHOLD
    with pytest.raises(ParameterError, match="ceremony"):
        group.scheme.generate_keys()
    with pytest.raises(TooFewPartialsError):
        Decryptor(group.scheme, group.keys[0]).decrypt(total, CODEC, round=0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": 1, "clients": 3},
        {"threshold": 4, "clients": 3},
        {"threshold": 2},
        {"clients": 3},
        {"threshold": 2, "clients": 257},
        {"threshold": True, "clients": 2},
    ],
)
def test_thresholds_out_of_range_are_refused_by_name(wrong: dict[str, int]) -> None:
    with pytest.raises(ParameterError) as refusal:
        RlweParameters.from_literal(wrong)
    assert refusal.value.name in ("threshold", "clients")


def test_a_shared_keys_parameters_have_the_digest_they_always_had() -> None:
    assert RlweParameters().as_dict() == {"security_bits": 128, "failure_bits": 64}
    canonical = b'["rlwe",{"failure_bits":64,"security_bits":128}]'
    assert RlweParameters().digest == hashlib.sha256(b"dcsfl parameters 1\0" + canonical).digest()
    assert RlweParameters(threshold=2, clients=3).digest != RlweParameters().digest


@pytest.mark.parametrize("name", ["holder", "share"])
def test_share_material_out_of_range_is_refused(group: ThresholdGroup, name: str) -> None:
    bundle = group.bundles[0]
    for value in (b"", bundle.material[name][:-1], b"\xff" * len(bundle.material[name])):
        damaged = dataclasses.replace(bundle, material={**bundle.material, name: value})
        with pytest.raises(ParameterError):
            group.scheme.secret_key(damaged)


# --- seals


def test_a_sealed_part_opens_for_the_group_alone_and_where_it_belongs() -> None:
    secret, key_id = os.urandom(32), os.urandom(32)
    where = {"purpose": PARTIALS, "key_id": key_id, "round": 3, "sender": 1}
    sealed = seal(b"partial", secret, **where)  # type: ignore[arg-type]
    assert b"partial" not in sealed
    assert unseal(sealed, secret, **where) == b"partial"  # type: ignore[arg-type]
    attempts = [(sealed, os.urandom(32), where), (sealed[:-1], secret, where), (b"", secret, where)]
    attempts += [
        (sealed, secret, {**where, name: value})
        for name, value in (("round", 4), ("sender", 2), ("key_id", bytes(32)), ("purpose", b"another"))
    ]
    for data, key, place in attempts:
        with pytest.raises(SealError):
            unseal(data, key, **place)  # type: ignore[arg-type]


def test_a_partial_decryption_is_a_frame_of_its_own_kind(group: ThresholdGroup, total: bytes) -> None:
    header = frame.parse(group.partials(total, (0, 1, 2), CODEC)[0]).header
    assert header.kind is Kind.PARTIAL
    aggregator = Aggregator(group.scheme, group.scheme.public_key(group.public))
    aggregator.open(0, CODEC.shape)
    with pytest.raises(WrongKindError):
        aggregator.add(group.partials(total, (0, 1, 2), CODEC)[0])

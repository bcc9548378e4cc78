"""Threshold groups on real keys: any t of n decrypt, t - 1 do not, and what partial decryptions show is bounded."""

from __future__ import annotations

import itertools
import math
import os
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from he_core import Codec, Decryptor, ShareHolder, keystore
from he_core.arith.wide_ring import MODULUS, PRIMES, restored, scaled
from he_core.codec import CodecShape
from he_core.errors import ParameterError
from he_core.flooding import LEAST_DECRYPTIONS, V_BITS, plan_flooding
from he_core.frame import Participant
from he_core.params import LATTICE_MODULUS_BITS, RlweParameters
from he_core.schemes.rlwe_threshold import ThresholdShare
from he_core.threshold_errors import (
    TooFewPartialsError,
)

if TYPE_CHECKING:
    from tests.he_core.conftest import ThresholdGroup

CODEC = Codec(bits=16, k_max=8, lengths=(5000,), limits=(1.0,))
CLIENTS = 3


def updates_for(clients: int, codec: Codec = CODEC) -> list[np.ndarray]:
    generator = np.random.default_rng(clients)
    return [generator.uniform(-0.9, 0.9, codec.value_count).astype(np.float32) for _ in range(clients)]


def assert_mean(mean: np.ndarray, updates: list[np.ndarray], codec: Codec = CODEC) -> None:
    codes = np.sum([np.rint(update.astype(np.float64) * codec.max_code) for update in updates], axis=0)
    np.testing.assert_allclose(mean, codes / codec.max_code / len(updates), rtol=3e-7)


@pytest.fixture(scope="module")
def total(group: ThresholdGroup) -> bytes:
    return group.sum(updates_for(CLIENTS), CODEC)


ENTRIES = tuple(Participant(client, 1) for client in range(CLIENTS))


# --- any t decrypt


@pytest.mark.parametrize("holders", list(itertools.combinations(range(5), 3)))
def test_every_set_of_t_decrypts_the_sum(group: ThresholdGroup, total: bytes, holders: tuple[int, ...]) -> None:
    partials = group.partials(total, holders, CODEC)
    mean = Decryptor(group.scheme, group.keys[4]).decrypt(total, CODEC, round=0, partials=partials)
    assert_mean(mean, updates_for(CLIENTS))


@pytest.mark.parametrize(("threshold", "holders"), [(2, 2), (2, 4), (4, 4), (3, 9)])
def test_other_thresholds_decrypt_too(threshold: int, holders: int, threshold_group: type[ThresholdGroup]) -> None:
    group = threshold_group(threshold, holders)
    total = group.sum(updates_for(2), CODEC)
    last = tuple(range(holders - threshold, holders))
    mean = Decryptor(group.scheme, group.keys[0]).decrypt(
        total, CODEC, round=0, partials=group.partials(total, last, CODEC)
    )
    assert_mean(mean, updates_for(2))


def test_holders_that_are_away_cost_nothing_while_t_remain(group: ThresholdGroup) -> None:
    """Holders 0 and 3 neither send an update nor decrypt; nothing is asked of them and nothing is rearranged."""
    updates = updates_for(2)
    total = group.sum(updates, CODEC, round=7)
    partials = group.partials(total, (1, 2, 4), CODEC, round=7)
    mean = Decryptor(group.scheme, group.keys[2]).decrypt(total, CODEC, round=7, partials=partials)
    assert_mean(mean, updates)


def test_a_full_sum_of_k_max_updates_decrypts(group: ThresholdGroup) -> None:
    updates = updates_for(8)
    total = group.sum(updates, CODEC)
    mean = Decryptor(group.scheme, group.keys[0]).decrypt(
        total, CODEC, round=0, partials=group.partials(total, (0, 1, 2), CODEC)
    )
    assert_mean(mean, updates)


@pytest.mark.parametrize("security_bits", [192, 256])
def test_stronger_groups_decrypt(security_bits: int, threshold_group: type[ThresholdGroup]) -> None:
    group = threshold_group(2, 3, security_bits=security_bits)
    total = group.sum(updates_for(2), CODEC)
    mean = Decryptor(group.scheme, group.keys[0]).decrypt(
        total, CODEC, round=0, partials=group.partials(total, (0, 2), CODEC)
    )
    assert_mean(mean, updates_for(2))


def test_shares_work_after_a_round_trip_through_the_key_store(
    group: ThresholdGroup, total: bytes, tmp_path: os.PathLike
) -> None:
    keys = []
    for j, bundle in enumerate(group.bundles[:3]):
        path = tmp_path / f"share-{j}"  # type: ignore[operator]
        keystore.save_secret(path, bundle, "correct horse")
        keys.append(group.scheme.secret_key(keystore.load_secret(path, "correct horse")))
    partials = [
        ShareHolder(group.scheme, key).partial(total, CODEC, round=0, holders=(0, 1, 2), participants=ENTRIES)
        for key in keys
    ]
    assert_mean(Decryptor(group.scheme, keys[0]).decrypt(total, CODEC, round=0, partials=partials), updates_for(3))


# --- t - 1 do not


def test_fewer_than_t_partial_decryptions_are_refused(group: ThresholdGroup, total: bytes) -> None:
    partials = group.partials(total, (0, 1, 2), CODEC)
    decryptor = Decryptor(group.scheme, group.keys[0])
    for some in ([], partials[:1], partials[:2]):
        with pytest.raises(TooFewPartialsError, match="threshold is 3"):
            decryptor.decrypt(total, CODEC, round=0, partials=some)
    with pytest.raises(TooFewPartialsError):
        group.partials(total, (0, 1), CODEC)


def _opened_with(group: ThresholdGroup, total: bytes, holders: tuple[int, ...]) -> np.ndarray:
    """round((v - sum of lambda_j s_j u) / spacing), lambda_j of the set `holders`: past every refusal."""
    ciphertext, ring = group.ciphertext(total, CODEC), group.scheme._ring
    wide = [low | high << 64 for low, high in zip(ciphertext.u_low.tolist(), ciphertext.u_high.tolist(), strict=True)]
    u = ring.transform(restored(wide, 96))
    opened = ciphertext.v.copy()
    for j in holders:
        part = ring.times(
            ring.product(u, cast(ThresholdShare, group.keys[j]).transformed),
            group.scheme._sharing.lagrange(j, holders),
        )
        opened -= np.array(scaled(part[:, : ciphertext.flooding.key_degree], V_BITS), np.uint32)
    spacing_bits = V_BITS - ciphertext.flooding.plaintext_bits
    return (opened + np.uint32(1 << spacing_bits - 1)).view(np.int32) >> spacing_bits


def test_t_minus_1_shares_combined_as_if_they_were_t_give_noise(group: ThresholdGroup, total: bytes) -> None:
    """Without flooding, even: the same sum opens to small keys with t shares, to uniform ones with fewer."""
    bound = group.scheme.flooding(CODEC.shape).largest_key
    assert np.abs(_opened_with(group, total, (0, 2, 4))).max() <= bound
    for holders in itertools.chain(itertools.combinations(range(5), 2), [(0,), (3,)]):
        keys = _opened_with(group, total, holders)
        # Uniform on [-512, 512): deviation 295.6; of 2,048 samples the deviation is within 5 per cent of it.
        assert 280 < keys.std() < 311
        assert np.abs(keys).max() > bound


def test_t_minus_1_shares_fit_every_secret_alike(group: ThresholdGroup) -> None:
    """Shamir: whatever the secret, some polynomial goes through it and the t - 1 shares, so they do not tell it."""
    prime, shares = PRIMES[0], {1: 123456789, 2: 987654321}
    for secret in (0, 1, prime - 1):
        points = {0: secret, **shares}
        third = sum(
            value * math.prod((3 - other) * pow(x - other, -1, prime) for other in points if other != x)
            for x, value in points.items()
        )
        back = [1, 2, 3]
        values = {1: shares[1], 2: shares[2], 3: third % prime}
        found = sum(group.scheme._sharing.lagrange(x - 1, [y - 1 for y in back]) * values[x] for x in back) % prime
        assert found == secret


# --- the flooding


@pytest.mark.parametrize(
    ("threshold", "clients", "k_max"), [(2, 2, 2), (3, 5, 8), (8, 8, 8), (10, 20, 32), (2, 64, 64)]
)
def test_the_flooding_hides_the_noise_to_2_to_the_minus_40_over_all_rounds(
    threshold: int, clients: int, k_max: int
) -> None:
    made = plan_flooding(RlweParameters(threshold=threshold, clients=clients), CodecShape(16, k_max, 100))
    assert made.decryptions >= LEAST_DECRYPTIONS
    assert made.distance_bits >= 40
    # and still decrypts: t noises, the bound, and roundings of v and parts fit half a spacing
    rounding = (k_max + threshold + 2) / 2 * MODULUS / 2**32
    assert threshold * 2.0**made.flooding_bits + made.noise_bound + rounding <= MODULUS / 2 ** (
        made.plaintext_bits + 1
    )


def test_what_cannot_be_hidden_is_refused_with_what_to_relax() -> None:
    with pytest.raises(ParameterError, match=r"lower k_max to \d+ or fewer or threshold and clients"):
        plan_flooding(RlweParameters(threshold=128, clients=256), CodecShape(8, 4096, 100))


def test_the_modulus_is_within_the_table_at_every_strength() -> None:
    assert all(prime % 2**14 == 1 and prime < 2**52 for prime in PRIMES)
    for prime in PRIMES:
        assert pow(3, prime - 1, prime) == 1
    for bits, degree in ((128, 4096), (192, 8192), (256, 8192)):
        assert RlweParameters(bits, threshold=2, clients=3).wide_degree == degree
        assert LATTICE_MODULUS_BITS[degree, bits] >= MODULUS.bit_length()


def test_measured_noise_keeps_its_bounds(group: ThresholdGroup) -> None:
    """e, without flooding, below E; flooded partial decryptions spread over the width, whatever they hide."""
    updates = updates_for(8)
    total = group.sum(updates, CODEC)
    ciphertext, ring, plan = group.ciphertext(total, CODEC), group.scheme._ring, group.scheme.flooding(CODEC.shape)
    wide = [low | high << 64 for low, high in zip(ciphertext.u_low.tolist(), ciphertext.u_high.tolist(), strict=True)]
    u, holders = ring.transform(restored(wide, 96)), (0, 1, 3)
    exact = np.zeros((2, plan.key_degree), np.uint64)
    for j in holders:
        product = ring.product(u, cast(ThresholdShare, group.keys[j]).transformed)[:, : plan.key_degree]
        exact = ring.add(exact, ring.times(product, group.scheme._sharing.lagrange(j, holders)))
    whole = _whole(exact)
    spacing, scale = MODULUS >> plan.plaintext_bits, MODULUS / 2**32
    v = [int(value) * MODULUS >> 32 for value in ciphertext.v]
    noise = [(x - y + spacing // 2) % spacing - spacing // 2 for x, y in zip(v, whole, strict=True)]
    assert max(map(abs, noise)) < plan.noise_bound + (8 + 1) * scale  # v's roundings are in it
    flood = _whole(ring.noise(bytes(32), 11, plan.key_degree, plan.flooding_bits))
    centred = [x if x < MODULUS // 2 else x - MODULUS for x in flood]
    half = 2**plan.flooding_bits
    assert -half <= min(centred) < -0.98 * half
    assert 0.98 * half < max(centred) < half
    assert abs(np.mean(np.array(centred, float))) < 5 * half / math.sqrt(3 * len(centred))


def _whole(residues: np.ndarray) -> list[int]:
    inverse = pow(PRIMES[0], -1, PRIMES[1])
    return [
        int(a) + PRIMES[0] * ((int(b) - int(a)) * inverse % PRIMES[1])
        for a, b in zip(*residues.tolist(), strict=True)
    ]


def test_no_two_partial_decryptions_of_one_sum_are_alike(group: ThresholdGroup, total: bytes) -> None:
    first, second = (group.partials(total, (0, 1, 2), CODEC)[0] for _ in range(2))
    assert first != second

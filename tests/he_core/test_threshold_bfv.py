"""Threshold groups of bfv on real keys: any t of n decrypt, t - 1 do not, OpenFHE's flooding is as wide as stated."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

import lattice_oracle as oracle
import rlwe_oracle
from he_core import Codec, Decryptor, Trust, frame
from he_core.arith.openfhe_backend import interpreter
from he_core.arith.tower_ring import TowerRing
from he_core.errors import CiphertextRangeError, FrameError, ParameterError
from he_core.threshold_errors import (
    KeyUsedUpError,
    PartialsDoNotFitError,
    TooFewPartialsError,
    WrongHoldersError,
)

if TYPE_CHECKING:
    from tests.he_core.conftest import ThresholdGroup

needs_openfhe = pytest.mark.skipif(
    interpreter.place().obstacle is not None, reason=f"no OpenFHE: {interpreter.place().obstacle}"
)
CODEC = Codec(bits=16, k_max=8, lengths=(9000,), limits=(1.0,))
THRESHOLD, HOLDERS, CLIENTS = 3, 5, 3


def updates() -> list[np.ndarray]:
    generator = np.random.default_rng(CLIENTS)
    return [generator.uniform(-0.9, 0.9, CODEC.value_count).astype(np.float32) for _ in range(CLIENTS)]


@pytest.fixture(scope="module")
def bfv(threshold_group: type[ThresholdGroup]) -> ThresholdGroup:
    return threshold_group(THRESHOLD, HOLDERS, "bfv")


@pytest.fixture(scope="module")
def total(bfv: ThresholdGroup) -> bytes:
    return bfv.sum(updates(), CODEC)


def times(ring: TowerRing, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of two transforms, a transform."""
    return ring.transform(ring.product(a, b))


# --- any t decrypt, t - 1 do not


@needs_openfhe
@pytest.mark.parametrize("holders", list(itertools.combinations(range(HOLDERS), THRESHOLD)))
def test_every_set_of_t_decrypts_the_sum_exactly(bfv: ThresholdGroup, total: bytes, holders: tuple[int, ...]) -> None:
    partials = bfv.partials(total, holders, CODEC)
    mean = Decryptor(bfv.scheme, bfv.keys[4]).decrypt(total, CODEC, round=0, partials=partials)
    codes = np.sum([np.rint(update.astype(np.float64) * CODEC.max_code) for update in updates()], axis=0)
    np.testing.assert_allclose(mean, codes / CODEC.max_code / CLIENTS, rtol=3e-7)


@needs_openfhe
def test_fewer_than_t_parts_and_a_share_alone_are_refused(bfv: ThresholdGroup, total: bytes) -> None:
    partials = bfv.partials(total, (0, 1, 2), CODEC)
    decryptor = Decryptor(bfv.scheme, bfv.keys[0])
    for some in ([], partials[:1], partials[:2]):
        with pytest.raises(TooFewPartialsError, match="threshold is 3"):
            decryptor.decrypt(total, CODEC, round=0, partials=some)
    with pytest.raises(TooFewPartialsError):
        bfv.partials(total, (0, 1), CODEC)
    with pytest.raises(WrongHoldersError, match="0 to 4"):
        bfv.scheme.partial_decrypt(bfv.keys[0], bfv.ciphertext(total, CODEC), (0, 1, 5))
    assert bfv.scheme.capabilities.trust is Trust.THRESHOLD
    with pytest.raises(ParameterError, match="ceremony"):
        bfv.scheme.generate_keys()


def _phase(bfv: ThresholdGroup, total: bytes, holders: tuple[int, ...]) -> np.ndarray:
    """c0 W + sum of lambda_j s_j c1 of the first chunk, lambda_j of the set `holders`: past refusals, no noise."""
    ring, ciphertext = bfv.scheme._ring, bfv.ciphertext(total, CODEC)
    phase = ring.multiplied(ciphertext.c0[:1])[0]
    for j in holders:
        secret = ring.times(bfv.keys[j].residues, bfv.scheme._sharing.lagrange(j, holders))
        phase = ring.add(phase, times(ring, secret, ciphertext.c1[0]))
    return phase


@needs_openfhe
def test_t_minus_1_shares_combined_as_if_they_were_t_give_noise(bfv: ThresholdGroup, total: bytes) -> None:
    """Without flooding, even: with t shares every coefficient is near a multiple, with fewer it is anywhere."""
    ring, precision_bits = bfv.scheme._ring, bfv.scheme.context(CODEC.shape).precision_bits
    spacing = ring.modulus / 2**precision_bits

    def off(holders: tuple[int, ...]) -> np.ndarray:
        numbers = np.array(oracle.joined(ring.coefficients(_phase(bfv, total, holders)), ring.primes), dtype=object)
        return np.array([float(x / spacing) % 1 for x in numbers])

    right = off((0, 2, 4))
    assert np.minimum(right, 1 - right).max() < 1e-6
    for holders in [*itertools.combinations(range(HOLDERS), THRESHOLD - 1), (0,), (3,)]:
        counts, _ = np.histogram(off(holders), bins=16, range=(0, 1))
        # Uniform: 512 of 8,192 in each of 16, deviation 22; 132 is six of them.
        assert np.abs(counts - len(right) / 16).max() < 132


@needs_openfhe
def test_parts_of_fewer_than_t_under_their_own_factors_do_not_fit(bfv: ThresholdGroup, total: bytes) -> None:
    scheme, ciphertext = bfv.scheme, bfv.ciphertext(total, CODEC)
    parts = {}
    for j in (0, 1):
        secret = scheme._ring.times(bfv.keys[j].residues, scheme._sharing.lagrange(j, (0, 1)))
        noisy = scheme._multiparty.partial(scheme.context(CODEC.shape), secret, ciphertext.c1)
        parts[j] = scheme._ring.divided(noisy).astype("<u8").tobytes()
    parts[2] = bytes(len(parts[0]))  # a third that adds nothing
    with pytest.raises(PartialsDoNotFitError):
        scheme.combine(bfv.keys[0].public, ciphertext, 0, parts, CODEC.shape)


# --- the key


@needs_openfhe
def test_the_joint_key_is_ringlwe_under_a_sum_of_ternary_secrets_that_no_message_holds(bfv: ThresholdGroup) -> None:
    ring = bfv.scheme._ring
    public = bfv.keys[0].public.residues
    secret = np.zeros_like(bfv.keys[0].residues)
    for j in (1, 2, 4):
        secret = ring.add(secret, ring.times(bfv.keys[j].residues, bfv.scheme._sharing.lagrange(j, (1, 2, 4))))
    values = oracle.joined(ring.coefficients(secret), ring.primes)
    assert set(values) <= set(range(-HOLDERS, HOLDERS + 1))
    assert 0.8 < np.var(values) / (2 / 3 * HOLDERS) < 1.2  # of five ternary ones
    errors = oracle.joined(ring.coefficients(ring.add(public[:3], times(ring, public[3:], secret))), ring.primes)
    assert max(map(abs, errors)) < 8 * 3.19 * HOLDERS**0.5
    assert 0.8 < np.std(errors) / (3.19 * HOLDERS**0.5) < 1.2
    for deal, bundle in zip(bfv.deals, bfv.bundles, strict=True):
        assert bundle.material["share"][:64] not in deal.public
        assert secret.tobytes()[:64] not in deal.public


@needs_openfhe
def test_a_common_a_comes_from_the_public_seed_and_from_nothing_else(bfv: ThresholdGroup) -> None:
    seed = bytes(range(32))
    scheme = bfv.scheme
    first, second = (scheme.joint_key(seed, [scheme.deal(seed).public] * HOLDERS) for _ in range(2))
    assert first.key_id != second.key_id
    keys = [scheme.public_key(made).residues for made in (first, second)]
    np.testing.assert_array_equal(keys[0][3:], keys[1][3:])


# --- the flooding


@needs_openfhe
def test_openfhes_noise_is_uniform_over_the_first_two_primes_and_hides_what_is_below_the_bound(
    bfv: ThresholdGroup, total: bytes
) -> None:
    scheme, ring = bfv.scheme, bfv.scheme._ring
    ciphertext, plan = bfv.ciphertext(total, CODEC), bfv.scheme.flooding(CODEC.shape)
    secret = bfv.keys[3].residues
    part = scheme._multiparty.partial(scheme.context(CODEC.shape), secret, ciphertext.c1[:1])[0]
    exact = ring.times(times(ring, secret, ciphertext.c1[0]), -1)
    noise = np.array([x / plan.width for x in oracle.joined(ring.coefficients(ring.add(part, exact)), ring.primes)])
    assert plan.width == ring.primes[0] * ring.primes[1]
    assert noise.min() >= -0.5
    assert noise.max() <= 0.5
    counts, _ = np.histogram(noise, bins=16, range=(-0.5, 0.5))
    assert np.abs(counts - len(noise) / 16).max() < 132  # as above
    assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < 6 / len(noise) ** 0.5

    # e itself, of a sum of three, without the division that c0 goes through: under E by far.
    context, public = scheme.context(CODEC.shape), bfv.keys[0].public.residues
    numbers = np.zeros((1, ring.degree), np.uint32)
    whole_secret = np.zeros_like(secret)
    for j in (0, 1, 2):
        whole_secret = ring.add(
            whole_secret, ring.times(bfv.keys[j].residues, scheme._sharing.lagrange(j, (0, 1, 2)))
        )
    summed = np.zeros((6, ring.degree), np.uint64)
    for _ in range(8):
        fresh = scheme._lattice.encrypt(context, public, numbers)[0]
        summed = np.concatenate([ring.add(summed[:3], fresh[:3]), ring.add(summed[3:], fresh[3:])])
    errors = oracle.joined(
        ring.coefficients(ring.add(summed[:3], times(ring, summed[3:], whole_secret))), ring.primes
    )
    assert 500 < max(map(abs, errors)) < plan.noise_bound


@needs_openfhe
def test_a_key_serves_no_more_rounds_than_its_flooding_covers(bfv: ThresholdGroup) -> None:
    most = bfv.scheme.flooding(CODEC.shape).decryptions
    total = bfv.sum(updates(), CODEC, round=most)
    with pytest.raises(KeyUsedUpError, match="ceremony"):
        bfv.partials(total, (0, 1, 2), CODEC, round=most)


@needs_openfhe
def test_no_two_partial_decryptions_of_one_sum_are_alike(bfv: ThresholdGroup, total: bytes) -> None:
    first, second = (bfv.partials(total, (0, 1, 2), CODEC)[0] for _ in range(2))
    assert first != second


# --- docs/wire-format.md, by plain Python alone


def words_of_the_sum() -> list[int]:
    """16 bits and 8 clients: a field to a word."""
    fields = [CODEC.quantise(update, 1)[0] for update in updates()]
    return [int(value) for value in np.sum(fields, axis=0, dtype=np.uint64)]


def rounded(coefficients: list[int], modulus: int) -> list[int]:
    """Words of a chunk, t = 2^19."""
    return [(2 * (x << 19) + modulus) // (2 * modulus) % 2**19 for x in coefficients]


@needs_openfhe
def test_a_frame_of_a_sum_and_frames_of_its_parts_are_read_by_plain_python(
    bfv: ThresholdGroup, total: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    degree, chunks, primes = 8192, 2, bfv.scheme.parameters.moduli
    width, last, holders = primes[0] * primes[1], primes[2], (1, 2, 4)
    numbers = np.frombuffer(frame.parse(total).payload, "<u8").tolist()
    assert len(numbers) == 4 * chunks * degree
    c0 = numbers[:degree]
    c1 = [numbers[(chunks + tower) * degree : (chunks + tower + 1) * degree] for tower in range(3)]
    shares = {j: np.frombuffer(bfv.bundles[j].material["share"], "<u8").reshape(3, degree).tolist() for j in holders}
    rows = []
    for tower, prime in enumerate(primes):
        monkeypatch.setattr(oracle, "Q", prime)
        secret = [0] * degree
        for j in holders:
            top = math.prod(other + 1 for other in holders if other != j)
            factor = top * pow(math.prod(other - j for other in holders if other != j), -1, prime)
            secret = [(x + factor * y) % prime for x, y in zip(secret, shares[j][tower], strict=True)]
        phase = [x * y % prime for x, y in zip(secret, c1[tower], strict=True)]
        if tower == 2:
            phase = [(x + width * y) % prime for x, y in zip(phase, c0, strict=True)]
        rows.append(oracle.Ring(degree).coefficients(phase))
    expected = words_of_the_sum()[:degree]
    assert rounded(oracle.joined(rows, primes), math.prod(primes)) == expected

    opened = c0
    for part in bfv.partials(total, holders, CODEC):
        payload = frame.parse(part).payload[32 + 4 * (2 + THRESHOLD) :]
        residues = np.frombuffer(payload, "<u8").tolist()
        assert len(residues) == chunks * degree
        opened = [(x + y) % last for x, y in zip(opened, residues, strict=False)]
    assert rounded(oracle.Ring(degree).coefficients(opened), last) == expected


@needs_openfhe
def test_the_common_a_and_a_dealing_are_those_of_plain_python(bfv: ThresholdGroup) -> None:
    primes, seed = bfv.scheme.parameters.moduli, bytes(range(9, 41))
    scheme = type(bfv.scheme)(bfv.scheme.parameters, bfv.scheme._multiparty, entropy=lambda count: seed[:count])
    ring = scheme._ring

    def drawn(domain: int, index: int) -> np.ndarray:
        data = rlwe_oracle.stream(seed, domain, index, 48 * ring.degree)
        values = [int.from_bytes(data[i : i + 16], "little") for i in range(0, len(data), 16)]
        return np.array([[x % prime for x in values[tower::3]] for tower, prime in enumerate(primes)], np.uint64)

    public = scheme.joint_key(seed, [scheme.deal(seed).public] * HOLDERS)
    np.testing.assert_array_equal(scheme.public_key(public).residues[3:], drawn(9, 0))
    dealt = [np.frombuffer(share, "<u8").reshape(3, -1).astype(object) for share in scheme.deal(seed).shares]
    slopes = [drawn(10, index).astype(object) for index in range(THRESHOLD - 1)]
    moduli = np.array(primes, object)[:, None]
    secrets = [
        (dealt[j] - sum(c * (j + 1) ** (i + 1) for i, c in enumerate(slopes))) % moduli for j in range(HOLDERS)
    ]
    for secret in secrets[1:]:
        np.testing.assert_array_equal(secret, secrets[0])
    assert set(oracle.joined(ring.coefficients(secrets[0].astype(np.uint64)), primes)) <= {-1, 0, 1}


# --- what comes from outside


@needs_openfhe
@pytest.mark.parametrize("place", ["c0", "c1-first", "c1-last"])
def test_a_residue_at_its_prime_is_refused_by_its_index(bfv: ThresholdGroup, total: bytes, place: str) -> None:
    degree, chunks = bfv.scheme.parameters.degree, 2
    first, _, last = bfv.scheme.parameters.moduli
    at = {"c0": chunks * degree - 1, "c1-first": chunks * degree, "c1-last": 4 * chunks * degree - 1}[place]
    payload = np.frombuffer(bytes(frame.parse(total).payload), "<u8").copy()
    payload[at] = first if place == "c1-first" else last
    with pytest.raises(CiphertextRangeError) as refusal:
        bfv.scheme.parse(bfv.keys[0].public, memoryview(payload.tobytes()), CODEC.shape)
    assert refusal.value.index == at
    payload[at] -= 1
    bfv.scheme.parse(bfv.keys[0].public, memoryview(payload.tobytes()), CODEC.shape)


@needs_openfhe
def test_damaged_out_of_range_and_foreign_parts_are_found(bfv: ThresholdGroup, total: bytes) -> None:
    partials = bfv.partials(total, (0, 1, 2), CODEC)
    decryptor = Decryptor(bfv.scheme, bfv.keys[0])
    parsed = frame.parse(partials[1])
    start = len(parsed.payload) - bfv.scheme.partial_bytes(CODEC.shape)
    for value, error in ((2**59, PartialsDoNotFitError), (2**60 - 1, CiphertextRangeError)):
        payload = bytearray(parsed.payload)
        payload[start : start + 8] = value.to_bytes(8, "little")
        forged = frame.encode(parsed.header, bytes(payload))
        with pytest.raises(error):
            decryptor.decrypt(total, CODEC, round=0, partials=[partials[0], forged, partials[2]])
    short = frame.encode(parsed.header, bytes(parsed.payload)[:-8])
    with pytest.raises(FrameError):
        decryptor.decrypt(total, CODEC, round=0, partials=[partials[0], short, partials[2]])


@needs_openfhe
@pytest.mark.parametrize("name", ["holder", "share"])
def test_share_material_out_of_range_is_refused(bfv: ThresholdGroup, name: str) -> None:
    bundle = bfv.bundles[0]
    for value in (b"", bundle.material[name][:-1], b"\xff" * len(bundle.material[name])):
        damaged = dataclasses.replace(bundle, material={**bundle.material, name: value})
        with pytest.raises(ParameterError):
            bfv.scheme.secret_key(damaged)

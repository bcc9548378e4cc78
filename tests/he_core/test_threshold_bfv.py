"""Threshold groups of bfv on real keys: any t of n decrypt, t - 1 do not, OpenFHE's flooding is as wide as stated."""

from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import lattice_oracle as oracle
from he_core import Codec, Decryptor, Trust, create, frame
from he_core.arith.openfhe_backend import interpreter, library
from he_core.arith.tower_ring import TowerRing, smallest_root
from he_core.codec import CodecShape
from he_core.errors import CiphertextRangeError, FrameError, ParameterError
from he_core.flooding import DISTANCE_BITS, LEAST_DECRYPTIONS
from he_core.flooding_bfv import flooded_sum
from he_core.params import LATTICE_MODULUS_BITS, BfvParameters, CkksParameters
from he_core.schemes.bfv import PLAINTEXT_BITS
from he_core.schemes.residues import MAX_ADDENDS
from he_core.threshold_errors import (
    KeyUsedUpError,
    NoFloodingError,
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


def whole(rows: np.ndarray, primes: tuple[int, ...]) -> list[int]:
    """Numbers in [-Q/2, Q/2) from residues, by the Chinese remainder theorem in Python's integers."""
    modulus = primes[0]
    values = [int(value) for value in rows[0]]
    for row, prime in zip(rows[1:], primes[1:], strict=True):
        inverse = pow(modulus, -1, prime)
        values = [x + modulus * ((int(y) - x) * inverse % prime) for x, y in zip(values, row, strict=True)]
        modulus *= prime
    return [x - modulus if x > modulus // 2 else x for x in values]


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
        numbers = np.array(whole(ring.coefficients(_phase(bfv, total, holders)), ring.primes), dtype=object)
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
    values = whole(ring.coefficients(secret), ring.primes)
    assert set(values) <= set(range(-HOLDERS, HOLDERS + 1))
    assert 0.8 < np.var(values) / (2 / 3 * HOLDERS) < 1.2  # of five ternary ones
    errors = whole(ring.coefficients(ring.add(public[:3], times(ring, public[3:], secret))), ring.primes)
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
    noise = np.array([x / plan.width for x in whole(ring.coefficients(ring.add(part, exact)), ring.primes)])
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
    errors = whole(ring.coefficients(ring.add(summed[:3], times(ring, summed[3:], whole_secret))), ring.primes)
    assert 500 < max(map(abs, errors)) < plan.noise_bound


@pytest.mark.parametrize("security_bits", [128, 192, 256])
@pytest.mark.parametrize(("threshold", "clients", "k_max"), [(2, 3, 8), (8, 16, 32), (64, 64, MAX_ADDENDS)])
@pytest.mark.parametrize("values", [1, 10**6, 10**9])
def test_the_flooding_hides_the_noise_to_2_to_the_minus_40_over_all_rounds_and_still_decrypts(
    security_bits: int, threshold: int, clients: int, k_max: int, values: int
) -> None:
    parameters = BfvParameters(security_bits, threshold, clients)
    coefficients = -(-values // parameters.degree) * parameters.degree
    made = flooded_sum(parameters, CodecShape(14, k_max, values), coefficients)
    assert made.distance_bits >= DISTANCE_BITS
    assert made.decryptions >= LEAST_DECRYPTIONS
    assert made.largest_residue < parameters.moduli[2] / 2 ** (PLAINTEXT_BITS + 1)


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


@pytest.mark.parametrize("literal", [{"threshold": 2, "clients": 3}, {"threshold": 2}])
def test_ckks_refuses_a_threshold_by_name_and_says_which_schemes_have_one(literal: dict[str, int]) -> None:
    with pytest.raises(NoFloodingError, match=r"threshold=2: .*of ckks.* use bfv or rlwe"):
        CkksParameters.from_literal(literal)


_A_PART_OF_CKKS = """
import sys, types
import numpy as np
engine = sys.modules["he_core"] = types.ModuleType("he_core")
engine.__path__ = [sys.argv[1]]
from he_core.arith.openfhe_backend import library
import openfhe

context = library._opened("slots", 2048, 128, 50, 45, 8)
[public, secret], _ = context.generate_keys()
[residues], _ = context.encrypt(public, np.zeros((1, 2048)))
ciphertext = context._deserialise("Ciphertext", context._ciphertext.filled(residues[0]))
[part] = context._context.MultipartyDecryptMain([ciphertext], context.secret_key(secret.tobytes()))
rows = np.empty((1, 2048), "<u8")
context._template(part, 1).read(rows, context._serialise(part))
np.concatenate([residues[0], secret, rows]).tofile(sys.argv[2])
try:
    openfhe.CCParamsCKKSRNS().SetMultipartyMode(openfhe.NOISE_FLOODING_MULTIPARTY)
except RuntimeError as error:
    print(error)
"""


@needs_openfhe
def test_what_openfhe_floods_ckks_with_does_not_hide_what_a_round_of_a_million_values_shows(tmp_path: Any) -> None:
    """Why there is no threshold for ckks, measured on its own calls: the figures of docs/openfhe.md."""
    python = interpreter.place().python or sys.executable
    engine, path = str(interpreter.Path(interpreter.__file__).parents[2]), tmp_path / "residues"
    run = subprocess.run(
        [python, "-I", "-c", _A_PART_OF_CKKS, engine, path], check=True, capture_output=True, text=True
    )
    assert "not available for CKKSRNS" in run.stdout
    _, c1, secret, part = np.fromfile(path, "<u8").reshape(4, 2048).tolist()
    noisy = [(x - y * s) % oracle.Q for x, y, s in zip(part, c1, secret, strict=True)]
    noise = [oracle.centred(x) for x in oracle.Ring(2048).coefficients(noisy)]
    assert 0.93 < np.std(noise) / 2**20 < 1.07  # Gaussian: of 2,048 samples within four deviations of that

    # Three clients' key, sums of eight: e has this variance; a Gaussian shifted by e diverges by e^2 / (2 sigma^2).
    degree, clients, k_max, sigma = 2048, 3, 8, 3.19
    variance = k_max * sigma**2 * (4 / 3 * degree * clients + 1)
    assert 0.25 < 10**6 * variance / (2 * np.var(noise)) < 0.37


# --- parameters


@pytest.mark.parametrize(("security_bits", "degree"), [(128, 8192), (192, 16384), (256, 16384)])
def test_the_ring_of_a_group_is_the_smallest_that_the_published_table_allows(security_bits: int, degree: int) -> None:
    parameters = BfvParameters(security_bits, threshold=2, clients=3)
    assert parameters.degree == degree
    bits = sum(prime.bit_length() for prime in parameters.moduli)
    assert LATTICE_MODULUS_BITS[degree, security_bits] >= bits
    assert LATTICE_MODULUS_BITS[degree // 2, security_bits] < bits
    for prime in parameters.moduli:
        assert prime % (2 * degree) == 1
        assert prime < 2**60
        assert all(pow(base, prime - 1, prime) == 1 for base in (2, 3, 5, 7, 11))


@needs_openfhe
@pytest.mark.parametrize("security_bits", [128, 192, 256])
def test_openfhe_admits_the_ring_at_that_strength_and_has_the_same_primes(security_bits: int) -> None:
    wanted = {"threshold": 2, "clients": 3, "security_bits": security_bits}
    scheme: Any = create("bfv", parameters=wanted, threads=1)
    for shape in (CodecShape(16, 8, 1), CodecShape(2, 1, 1), CodecShape(14, MAX_ADDENDS, 1)):
        scheme._lattice.start(scheme.context(shape))
    assert library.MOST_PARTIES == BfvParameters.MOST_CLIENTS


@needs_openfhe
def test_a_group_of_192_bits_decrypts_too(threshold_group: type[ThresholdGroup]) -> None:
    group = threshold_group(2, 2, "bfv", security_bits=192)
    total = group.sum(updates(), CODEC)
    mean = Decryptor(group.scheme, group.keys[1]).decrypt(
        total, CODEC, round=0, partials=group.partials(total, (0, 1), CODEC)
    )
    np.testing.assert_allclose(mean, np.mean(updates(), axis=0), atol=2e-5)


@pytest.mark.parametrize("wrong", [{"threshold": 1, "clients": 3}, {"threshold": 2, "clients": 65}, {"clients": 3}])
def test_thresholds_out_of_range_are_refused_by_name(wrong: dict[str, int]) -> None:
    with pytest.raises(ParameterError) as refusal:
        BfvParameters.from_literal(wrong)
    assert refusal.value.name in ("threshold", "clients")


def test_a_shared_keys_parameters_have_the_digest_they_always_had() -> None:
    assert BfvParameters().as_dict() == {"security_bits": 128}
    assert BfvParameters(threshold=2, clients=3).digest != BfvParameters().digest


# --- the ring beside the library


@pytest.mark.parametrize("degree", [8192, 16384])
def test_division_by_what_noise_fills_is_that_of_whole_numbers(degree: int) -> None:
    ring = TowerRing(degree)
    polynomial = ring.uniform(os.urandom(32), 1, 0)
    width, last = ring.primes[0] * ring.primes[1], ring.last
    quotient = ring.divided(ring.transform(polynomial)[None])[0]
    expected = [(2 * x + width) // (2 * width) for x in whole(polynomial, ring.primes)]
    assert [int(x) % last for x in ring.centred(quotient)] == [x % last for x in expected]
    back = ring.coefficients(ring.multiplied(quotient[None])[0])
    assert [x % ring.modulus for x in whole(back, ring.primes)] == [x % last * width % ring.modulus for x in expected]


def test_transforms_are_in_openfhes_order_by_plain_python(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = TowerRing(8192)
    polynomial = ring.uniform(bytes(32), 1, 0)
    for row, transformed, prime in zip(polynomial, ring.transform(polynomial), ring.primes, strict=True):
        monkeypatch.setattr(oracle, "Q", prime)
        slow = oracle.Ring(8192)
        assert slow.psi == smallest_root(prime, 8192)
        assert slow.evaluated([int(x) for x in row]) == transformed.tolist()
    np.testing.assert_array_equal(ring.coefficients(ring.transform(polynomial)), polynomial)


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

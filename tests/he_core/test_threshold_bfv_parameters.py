"""Which threshold groups OpenFHE's schemes admit: bfv's rings and flooding by computation, and why ckks has none."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import lattice_oracle as oracle
from he_core import Codec, Decryptor, create
from he_core.arith.openfhe_backend import interpreter, library
from he_core.codec import CodecShape
from he_core.errors import ParameterError
from he_core.flooding import DISTANCE_BITS, LEAST_DECRYPTIONS
from he_core.flooding_bfv import flooded_sum
from he_core.params import LATTICE_MODULUS_BITS, BfvParameters, CkksParameters
from he_core.schemes.bfv import PLAINTEXT_BITS
from he_core.schemes.residues import MAX_ADDENDS
from he_core.threshold_errors import NoFloodingError

if TYPE_CHECKING:
    from tests.he_core.conftest import ThresholdGroup

needs_openfhe = pytest.mark.skipif(
    interpreter.place().obstacle is not None, reason=f"no OpenFHE: {interpreter.place().obstacle}"
)


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
    codec = Codec(bits=16, k_max=8, lengths=(100,), limits=(1.0,))
    updates = [np.linspace(-1, 1, 100, dtype=np.float32)] * 2
    total = group.sum(updates, codec)
    mean = Decryptor(group.scheme, group.keys[1]).decrypt(
        total, codec, round=0, partials=group.partials(total, (0, 1), codec)
    )
    np.testing.assert_allclose(mean, updates[0], atol=2e-5)


@pytest.mark.parametrize("wrong", [{"threshold": 1, "clients": 3}, {"threshold": 2, "clients": 65}, {"clients": 3}])
def test_thresholds_out_of_range_are_refused_by_name(wrong: dict[str, int]) -> None:
    with pytest.raises(ParameterError) as refusal:
        BfvParameters.from_literal(wrong)
    assert refusal.value.name in ("threshold", "clients")


def test_a_shared_keys_parameters_have_the_digest_they_always_had() -> None:
    assert BfvParameters().as_dict() == {"security_bits": 128}
    for parameters, canonical in (
        (BfvParameters(), b'["bfv",{"security_bits":128}]'),
        (BfvParameters(threshold=2, clients=3), b'["bfv",{"clients":3,"security_bits":128,"threshold":2}]'),
    ):
        assert parameters.digest == hashlib.sha256(b"dcsfl parameters 1\0" + canonical).digest()


# --- the flooding


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


# --- ckks


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

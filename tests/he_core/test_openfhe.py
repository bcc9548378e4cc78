"""bfv and ckks: their ring and precision, and that sums, keys and ciphertexts are OpenFHE's own."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import lattice_oracle as oracle
from he_core import Aggregator, Codec, Decryptor, Encryptor, Scheme, create
from he_core.arith.openfhe_backend import interpreter
from he_core.codec import CodecShape
from he_core.errors import LibraryError, ParameterError, RingTooSmallError
from he_core.params import LATTICE_MODULUS_BITS, BfvParameters, CkksParameters, LatticeParameters
from he_core.schemes.bfv import Bfv
from he_core.schemes.residues import MAX_ADDENDS, ResidueScheme, ResidueVector

NAMES = ("bfv", "ckks")
needs_openfhe = pytest.mark.skipif(
    interpreter.place().obstacle is not None, reason=f"no OpenFHE: {interpreter.place().obstacle}"
)


class NoLibrary:
    """In place of OpenFHE where nothing is computed: layouts and refusals need none."""

    name = "none"
    conversion_ns = 0


def without_library(scheme: str) -> ResidueScheme:
    from he_core.schemes.ckks import Ckks

    made: dict[str, Any] = {
        "bfv": lambda: Bfv(BfvParameters(), NoLibrary()),  # type: ignore[arg-type]
        "ckks": lambda: Ckks(CkksParameters(), NoLibrary()),  # type: ignore[arg-type]
    }
    return made[scheme]()


def residue_scheme(name: str, **parameters: int) -> ResidueScheme:
    scheme = create(name, parameters=parameters, threads=1)
    assert isinstance(scheme, ResidueScheme)
    return scheme


# --- parameters


@pytest.mark.parametrize(("security_bits", "degree"), [(128, 2048), (192, 4096), (256, 4096)])
def test_the_ring_is_the_smallest_that_the_published_table_allows(security_bits: int, degree: int) -> None:
    for parameters in (BfvParameters(security_bits), CkksParameters(security_bits)):
        assert parameters.degree == degree
        assert LATTICE_MODULUS_BITS[degree, security_bits] >= parameters.MODULUS_BITS
        assert degree == 2048 or LATTICE_MODULUS_BITS[degree // 2, security_bits] < parameters.MODULUS_BITS


def test_the_modulus_is_the_largest_prime_of_its_kind_below_2_to_50() -> None:
    def is_prime(n: int) -> bool:  # Miller and Rabin; these bases decide below 3.3e24 (Sorenson and Webster 2015)
        odd = n - 1 >> (shift := (n - 1 & 1 - n).bit_length() - 1)
        return all(
            (x := pow(base, odd, n)) in (1, n - 1) or any((x := x * x % n) == n - 1 for _ in range(shift - 1))
            for base in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)
        )

    q, step = LatticeParameters.MODULUS, 1 << 13
    assert q == oracle.Q
    assert q % step == 1
    assert is_prime(q)
    assert not any(is_prime(candidate) for candidate in range(q + step, 1 << 50, step))


@needs_openfhe
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("security_bits", [128, 192, 256])
def test_openfhe_admits_the_ring_at_that_strength_and_has_the_same_modulus(name: str, security_bits: int) -> None:
    """OpenFHE checks parameters against its own copy of the standard's tables; a context opens or raises."""
    scheme = residue_scheme(name, security_bits=security_bits)
    for shape in (CodecShape(16, 8, 1), CodecShape(2, 1, 1), CodecShape(14, MAX_ADDENDS, 1)):
        scheme._lattice.start(scheme.context(shape))


@needs_openfhe
def test_what_openfhe_refuses_is_raised_by_its_own_words() -> None:
    scheme = residue_scheme("bfv")
    context = scheme.context(CodecShape(16, 8, 1))
    broken = type(context)(**{**vars(context), "precision_bits": 31})  # t too large for q at this degree
    with pytest.raises(LibraryError, match="security requirement"):
        scheme._lattice.start(broken)


@pytest.mark.parametrize(("bits", "k_max"), [(22, 8), (24, 2), (17, 256), (15, 1024)])
def test_bfv_says_which_wish_to_relax_where_the_ring_is_too_small(bits: int, k_max: int) -> None:
    with pytest.raises(RingTooSmallError, match=rf"bits={bits}: with k_max={k_max} .* holds 24; lower either"):
        without_library("bfv").plaintext(CodecShape(bits, k_max, 10))


@pytest.mark.parametrize("name", NAMES)
def test_more_addends_than_the_ring_has_room_for_are_refused(name: str) -> None:
    scheme = without_library(name)
    scheme.payload_bytes(CodecShape(8, MAX_ADDENDS, 10))
    with pytest.raises(RingTooSmallError, match="k_max=1025"):
        scheme.payload_bytes(CodecShape(8, MAX_ADDENDS + 1, 10))


@pytest.mark.parametrize("literal", [{"security_bits": 100}, {"security_bits": True}, {"security_bits": "128"}])
def test_parameters_past_the_table_are_refused_by_name(literal: dict[str, Any]) -> None:
    for parameters in (BfvParameters, CkksParameters):
        with pytest.raises(ParameterError) as caught:
            parameters.from_literal(literal)
        assert caught.value.name == "security_bits"


@pytest.mark.parametrize(("bits", "k_max", "values_a_coefficient"), [(16, 8, 1), (8, 8, 2), (5, 8, 3), (2, 2, 8)])
def test_bfv_puts_as_many_values_in_a_coefficient_as_fit(bits: int, k_max: int, values_a_coefficient: int) -> None:
    scheme = without_library("bfv")
    chunk = 2 * 2048 * 50 // 8
    full = CodecShape(bits, k_max, 2048 * values_a_coefficient)
    assert scheme.payload_bytes(full) == chunk
    assert scheme.payload_bytes(CodecShape(bits, k_max, full.value_count + 1)) == 2 * chunk


# --- against OpenFHE and against plain Python


def frame_means(scheme: Scheme, updates: list[np.ndarray], codec: Codec) -> np.ndarray:
    keys = scheme.generate_keys()
    public = scheme.public_key(keys.public)
    aggregator = Aggregator(scheme, public)
    aggregator.open(0, codec.shape)
    for client, update in enumerate(updates):
        aggregator.add(Encryptor(scheme, public).encrypt(update, codec, round=0, client=client))
    return Decryptor(scheme, scheme.secret_key(keys)).decrypt(aggregator.result(), codec, round=0)


@needs_openfhe
@pytest.mark.slow
@pytest.mark.parametrize(("name", "limit"), [("bfv", None), ("ckks", 1e-6)])
def test_a_million_values_of_eight_clients(name: str, limit: float | None) -> None:
    codec = Codec(bits=16, k_max=8, lengths=(1_000_000,), limits=(0.05,))
    source = np.random.default_rng(3)
    updates = [source.uniform(-0.05, 0.05, codec.value_count).astype(np.float32) for _ in range(8)]
    exact = np.mean(np.array(updates, np.float64), axis=0)
    error = np.abs(frame_means(create(name), updates, codec) - exact).max()
    print(f"\n{name}: largest error {error:.3g}, quantisation step {codec.steps[0]:.3g}")
    assert 0 < error < (codec.steps[0] if limit is None else limit)


_ADD_IN_OPENFHE = """
import sys, types
import numpy as np
engine = sys.modules["he_core"] = types.ModuleType("he_core")
engine.__path__ = [sys.argv[1]]
from he_core.arith.openfhe_backend import library

parts = np.fromfile(sys.argv[2], "<u8").reshape(2, -1, 2, 2048)
context = library._opened(sys.argv[3], 2048, 128, 50, int(sys.argv[4]), int(sys.argv[5]))
out = np.empty_like(parts[0])
for row, left, right in zip(out, *parts):
    left, right = (context._deserialise("Ciphertext", context._ciphertext.filled(side)) for side in (left, right))
    context._context.EvalAddInPlace(left, right)
    context._ciphertext.read(row, context._serialise(left))
out.tofile(sys.argv[2])
"""


@needs_openfhe
@pytest.mark.parametrize("name", NAMES)
def test_a_sum_is_the_one_that_openfhe_makes_in_place(name: str, tmp_path: Any) -> None:
    """Residue for residue: the server's addition is EvalAddInPlace without its objects."""
    scheme = residue_scheme(name)
    public = scheme.public_key(scheme.generate_keys().public)
    shape = CodecShape(16, 8, 5000)
    source = np.random.default_rng(4)
    numbers = source.uniform(-1, 1, 5000) if scheme.number == "<f8" else source.integers(0, 1 << 16, 5000)
    words = numbers.astype(scheme.number).view(np.uint8).reshape(5000, -1)
    left, right = (scheme.encrypt(public, words, shape, 0) for _ in range(2))
    path, context = tmp_path / "residues", scheme.context(shape)
    np.stack([left.residues, right.residues]).tofile(path)
    python = interpreter.place().python or sys.executable
    engine = str(interpreter.Path(interpreter.__file__).parents[2])
    sizes = [context.encoding, str(context.precision_bits), str(context.addends)]
    subprocess.run([python, "-I", "-c", _ADD_IN_OPENFHE, engine, path, *sizes], check=True)
    ours = scheme.parse(public, memoryview(scheme.serialise(public, scheme.add(public, left, right))), shape)
    np.testing.assert_array_equal(ours.residues.reshape(-1), np.fromfile(path, "<u8"))


@needs_openfhe
@pytest.mark.parametrize("name", NAMES)
def test_a_full_sum_of_one_and_the_same_ciphertext_still_decrypts(name: str) -> None:
    """Noise that adds up in step is the worst there is: 1,024 times one's, where independent ones give 32 times."""
    scheme = residue_scheme(name)
    keys = scheme.generate_keys()
    public, secret = scheme.public_key(keys.public), scheme.secret_key(keys)
    shape = CodecShape(14, MAX_ADDENDS, 4096)
    numbers = np.linspace(-1, 1, 4096) if scheme.number == "<f8" else np.arange(4096) * 4 + 3
    words = numbers.astype(scheme.number).view(np.uint8).reshape(4096, -1)
    total = scheme.encrypt(public, words, shape, 0)
    for _ in range(10):
        total = scheme.add(public, total, ResidueVector(shape, total.residues.copy(), total.addends))
    assert total.addends == MAX_ADDENDS
    sums = scheme.decrypt(secret, total, 0).view(scheme.number).reshape(-1)
    np.testing.assert_allclose(sums, MAX_ADDENDS * numbers, rtol=0, atol=0 if name == "bfv" else 1e-3)


@needs_openfhe
def test_openfhe_decrypts_what_plain_python_encrypted() -> None:
    scheme = residue_scheme("bfv")
    keys = scheme.generate_keys()
    public, secret = scheme.public_key(keys.public), scheme.secret_key(keys)
    ring = oracle.Ring(2048)
    b, a = ([int(value) for value in row] for row in public.residues)
    numbers = [pow(7, j, 1 << 19) for j in range(2048)]
    ciphertext = oracle.bfv_encrypt(ring, (b, a), numbers, 19, seed=5)
    shape = CodecShape(16, 8, 2048)
    parsed = scheme.parse(public, memoryview(oracle.packed(ciphertext)), shape)
    assert scheme.decrypt(secret, parsed, 0).view("<u4").reshape(-1).tolist() == numbers


@needs_openfhe
@pytest.mark.parametrize("precision_bits", [1, 2, 24])
def test_every_number_below_t_can_be_encrypted(precision_bits: int) -> None:
    """t / 2 is the one where OpenFHE's signed representatives end."""
    scheme = residue_scheme("bfv")
    context = scheme.context(CodecShape(precision_bits, 1, 1) if precision_bits > 1 else CodecShape(2, 1, 1))
    context = type(context)(**{**vars(context), "precision_bits": precision_bits})
    t = 1 << precision_bits
    numbers = np.resize(np.array([0, 1, t // 2 - 1, t // 2, t // 2 + 1, t - 1]) % t, (1, 2048)).astype(np.uint32)
    public, secret = scheme._lattice.generate_keys(context)
    out = np.empty_like(numbers)
    scheme._lattice.decrypt(context, secret, scheme._lattice.encrypt(context, public, numbers), out)
    np.testing.assert_array_equal(out, numbers)


@needs_openfhe
@pytest.mark.parametrize("name", NAMES)
def test_every_encryption_is_fresh(name: str) -> None:
    scheme = residue_scheme(name)
    public = scheme.public_key(scheme.generate_keys().public)
    shape = CodecShape(16, 8, 4096)
    words = np.zeros((4096, scheme.number.itemsize), np.uint8)
    first, second = (scheme.encrypt(public, words, shape, 0).residues for _ in range(2))
    assert not np.any(first == second, axis=2).all(axis=1).any()
    assert np.count_nonzero(first[0] == first[1]) < 3


@needs_openfhe
@pytest.mark.parametrize("name", NAMES)
def test_conversions_are_booked_apart_from_encryption_and_decryption(name: str) -> None:
    from he_core.cost import CostLedger

    scheme, ledger = create(name, threads=2), CostLedger()
    keys = scheme.generate_keys()
    public, codec = scheme.public_key(keys.public), Codec(16, 8, (50_000,), (1.0,))
    aggregator = Aggregator(scheme, public, ledger=ledger)
    aggregator.open(0, codec.shape)
    update = np.zeros(50_000, np.float32)
    aggregator.add(Encryptor(scheme, public, ledger=ledger).encrypt(update, codec, round=0, client=0))
    Decryptor(scheme, scheme.secret_key(keys), ledger=ledger).decrypt(aggregator.result(), codec, round=0)
    rows = {row.stage: row for row in ledger.rows() if row.party == "client"}
    assert rows["convert"].calls == 2
    assert all(rows[stage].elapsed_ns > 0 for stage in ("encrypt", "convert", "decrypt"))

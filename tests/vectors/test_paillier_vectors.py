"""Every Paillier arithmetic against known answers that the engine had no part in."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import generate_paillier
from he_core import PublicBundle, SecretBundle
from he_core.arith.fixed_base import FixedBaseTable, window_bits_for
from he_core.arith.paillier_gmpy2 import Gmpy2PaillierArithmetic
from he_core.arith.paillier_native import NativePaillierArithmetic
from he_core.params import PaillierParameters
from he_core.schemes.paillier import Paillier, PaillierArithmetic, PaillierSecretKey

HERE = Path(__file__).parent


def native_targets() -> tuple[str, ...]:
    """Targets of the C kernels that run here; none where they were not built."""
    try:
        return importlib.import_module("he_core._native").targets()
    except ModuleNotFoundError:
        return ()


SETS = json.loads((HERE / "paillier.json").read_text(encoding="ascii"))["sets"]

Make = Callable[[int, Callable[[int], bytes]], PaillierArithmetic]


def _native(target: str) -> Make:
    return lambda threads, entropy: NativePaillierArithmetic(threads, entropy=entropy, target=target)


ARITHMETICS: dict[str, Make] = {
    "gmpy2": lambda threads, entropy: Gmpy2PaillierArithmetic(threads, entropy=entropy),
    **{f"native-{target}": _native(target) for target in native_targets()},
}
"""name -> (threads, entropy) -> arithmetic: a new one adds its line."""


@pytest.fixture(params=SETS, ids=lambda vectors: f"{vectors['modulus_bits']}-bit")
def vectors(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


@pytest.fixture(params=ARITHMETICS)
def make(request: pytest.FixtureRequest) -> Callable[[int, Callable[[int], bytes]], PaillierArithmetic]:
    return ARITHMETICS[request.param]


def rows(vectors: dict[str, Any], name: str) -> np.ndarray:
    """One column of the vectors as uint8[rows, bytes]."""
    return np.array([list(bytes.fromhex(row[name])) for row in vectors["rows"]], np.uint8)


def secret_key(vectors: dict[str, Any]) -> PaillierSecretKey:
    scheme = Paillier(PaillierParameters(vectors["modulus_bits"]), Gmpy2PaillierArithmetic())
    material = {name: bytes.fromhex(vectors[name]) for name in ("n", "h", "p", "q")}
    public = PublicBundle("paillier", scheme.parameters.as_dict(), {name: material[name] for name in ("n", "h")})
    return scheme.secret_key(SecretBundle(public, {name: material[name] for name in ("p", "q")}))


def replay(vectors: dict[str, Any]) -> Callable[[int], bytes]:
    """An entropy source that hands out the vectors' randomisers, once."""
    stream = rows(vectors, "randomiser").tobytes()
    position = 0

    def entropy(count: int) -> bytes:
        nonlocal position
        position += count
        assert position <= len(stream), "more randomness was drawn than the randomisers need"
        return stream[position - count : position]

    return entropy


@pytest.mark.slow
def test_the_vectors_are_what_their_generator_makes() -> None:
    assert generate_paillier.document() == (HERE / "paillier.json").read_text(encoding="ascii")


def test_the_generator_imports_nothing_of_the_engine() -> None:
    source = (HERE / "generate_paillier.py").read_text(encoding="utf-8")
    assert "he_core" not in source
    assert "gmpy2" not in source


@pytest.mark.parametrize("threads", [1, 3])
def test_encryption_gives_the_known_ciphertexts(vectors: dict[str, Any], make: Any, threads: int) -> None:
    arithmetic = make(threads, replay(vectors))
    ciphertexts = arithmetic.encrypt(secret_key(vectors).public, rows(vectors, "word"))
    np.testing.assert_array_equal(ciphertexts, rows(vectors, "ciphertext"))


@pytest.mark.parametrize("threads", [1, 3])
def test_encryption_with_the_factors_gives_the_same_bits(vectors: dict[str, Any], make: Any, threads: int) -> None:
    arithmetic = make(threads, replay(vectors))
    ciphertexts = arithmetic.encrypt_with_factors(secret_key(vectors), rows(vectors, "word"))
    np.testing.assert_array_equal(ciphertexts, rows(vectors, "ciphertext"))


@pytest.mark.parametrize("threads", [1, 3])
def test_decryption_gives_the_known_words(vectors: dict[str, Any], make: Any, threads: int) -> None:
    words = make(threads, replay(vectors)).decrypt(secret_key(vectors), rows(vectors, "ciphertext"))
    np.testing.assert_array_equal(words, rows(vectors, "decrypted"))
    np.testing.assert_array_equal(words, rows(vectors, "word"))


def test_additions_give_the_known_sum(vectors: dict[str, Any], make: Any) -> None:
    arithmetic, key = make(1, replay(vectors)), secret_key(vectors)
    first, *others = rows(vectors, "ciphertext")
    total = first[None]
    for ciphertext in others:
        total = arithmetic.add(key.public, total, ciphertext[None])
    assert total.tobytes().hex() == vectors["sum_of_all"]["ciphertext"]
    assert arithmetic.decrypt(key, total).tobytes().hex() == vectors["sum_of_all"]["decrypted"]


def test_addition_leaves_both_addends_as_they_were(vectors: dict[str, Any], make: Any) -> None:
    left, right = rows(vectors, "ciphertext"), rows(vectors, "ciphertext")[::-1].copy()
    before = left.copy(), right.copy()
    make(1, replay(vectors)).add(secret_key(vectors).public, left, right)
    np.testing.assert_array_equal(right, before[1])
    np.testing.assert_array_equal(left, before[0])


@pytest.mark.parametrize("window_bits", [4, 5, 7, 10])
def test_every_window_width_computes_the_same_power(vectors: dict[str, Any], window_bits: int) -> None:
    """All windows that `window_bits_for` may choose, on a small modulus so that the tables stay small."""
    base, modulus, bits = int(vectors["x"][:32], 16), int(vectors["n"][:32], 16), vectors["modulus_bits"] // 2
    table = FixedBaseTable(base, modulus, bits, window_bits)
    randomisers = rows(vectors, "randomiser")
    for digits, row in zip(table.digits(randomisers), randomisers, strict=True):
        assert table.power(digits.tolist()) == pow(base, int.from_bytes(row.tobytes(), "little"), modulus)


def test_larger_batches_choose_wider_windows() -> None:
    widths = [window_bits_for(count, 1536) for count in (1, 100, 10_000, 1_000_000)]
    assert widths == sorted(widths)
    assert widths[0] == 4
    assert widths[-1] == 10

"""The slow oracle of the `rlwe` scheme against published vectors, other definitions and hand-made cases."""

from __future__ import annotations

import ast
import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

import rlwe_oracle as oracle

HERE = Path(__file__).parent
RFC_8439 = json.loads((HERE / "chacha20.json").read_text(encoding="ascii"))


def random_poly(degree: int, label: str) -> list[int]:
    return [random.Random(f"{label} {i}").randrange(oracle.Q) for i in range(degree)]


def test_the_oracle_imports_nothing_but_the_standard_library() -> None:
    source = (HERE / "rlwe_oracle.py").read_text(encoding="utf-8")
    tree = ast.parse(source)
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert {module.partition(".")[0] for module in modules} <= sys.stdlib_module_names
    assert "he_core" not in source


@pytest.mark.parametrize("vector", RFC_8439["blocks"], ids=lambda vector: vector["section"])
def test_chacha20_gives_the_published_blocks(vector: dict[str, Any]) -> None:
    key, nonce = bytes.fromhex(vector["key"]), bytes.fromhex(vector["nonce"])
    assert oracle.chacha20_block(key, vector["counter"], nonce).hex() == vector["block"]


def test_chacha20_encrypts_the_published_text() -> None:
    vector = RFC_8439["encryption"]
    key, nonce, text = (bytes.fromhex(vector[name]) for name in ("key", "nonce", "plaintext"))
    assert oracle.chacha20_encrypt(key, vector["counter"], nonce, text).hex() == vector["ciphertext"]


def test_a_stream_is_the_one_that_another_library_makes() -> None:
    seed = random.Random(1).randbytes(32)
    nonce = bytes([4, 3, 2, 1, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11])
    cipher = Cipher(algorithms.ChaCha20(seed, (5).to_bytes(4, "little") + nonce), None)
    expected = cipher.encryptor().update(bytes(200))
    assert oracle.stream(seed, 0x01020304, 0x1112131415161718, 200, 5) == expected


@pytest.mark.parametrize(("shared", "at_equal"), [(0x060707, 3), (0x060708, 17), (0x060709, 17)])
def test_a_gaussian_sample_reads_its_column_its_sign_and_a_comparand_of_own_and_shared_bits(
    shared: int, at_equal: int
) -> None:
    alias, threshold = list(range(64)), [0] * 64
    alias[3], threshold[3] = 17, 0x0102030405060708
    below, equal, above = bytes([1, 2, 3, 4, 4]), bytes([1, 2, 3, 4, 5]), bytes([1, 2, 3, 4, 6])
    drawn = [(3, below), (3, equal), (3, above), (3 | 128, below), (3 | 128, equal)] + [(63, bytes(5))] * 59
    group = bytes(column | 64 * (i >= 24 or shared >> i & 1) for i, (column, _) in enumerate(drawn))
    group += b"".join(bytes(own[s] for _, own in drawn) for s in range(5))
    expected = [3, at_equal, 17, -3, -at_equal] + [63] * 59
    assert oracle.gaussian_samples(group, oracle.AliasTable(alias, threshold)) == expected


def test_uniform_residues_are_the_streams_words_without_those_of_q_or_more() -> None:
    seed = bytes(range(32))
    words = oracle.stream(seed, 1, 2, 8 * 2000)
    cut = [int.from_bytes(words[i : i + 8], "little") & (2**50 - 1) for i in range(0, len(words), 8)]
    kept = [word for word in cut if word < oracle.Q]
    assert oracle.expand_uniform(seed, 1, 2, len(kept)) == kept
    assert 0 < len(cut) - len(kept) < 100  # one in 64


def test_eleven_is_the_smallest_generator() -> None:
    assert oracle.prime_factors(oracle.Q - 1) == [2, 3, 7]
    assert oracle.smallest_generator() == 11


@pytest.mark.parametrize("degree", [32, 64, 2048, 4096])
def test_psi_is_a_primitive_root_of_minus_one(degree: int) -> None:
    assert pow(oracle.root(degree), degree, oracle.Q) == oracle.Q - 1


def test_the_transform_of_x_lists_the_odd_powers_of_psi_in_bit_reversed_order() -> None:
    psi = oracle.root(32)
    order = [0, 16, 8, 24, 4, 20, 12, 28, 2, 18, 10, 26, 6, 22, 14, 30]
    order += [i + 1 for i in order]
    assert oracle.transform([0, 1] + [0] * 30) == [pow(psi, 2 * r + 1, oracle.Q) for r in order]


@pytest.mark.parametrize("degree", [32, 128])
def test_the_inverse_transform_undoes_the_transform(degree: int) -> None:
    poly = random_poly(degree, "inverse")
    assert oracle.inverse_transform(oracle.transform(poly)) == poly


@pytest.mark.parametrize("degree", [32, 128])
def test_products_of_transforms_are_transforms_of_products(degree: int) -> None:
    a, b = random_poly(degree, "a"), random_poly(degree, "b")
    product = [x * y % oracle.Q for x, y in zip(oracle.transform(a), oracle.transform(b), strict=True)]
    assert oracle.inverse_transform(product) == oracle.negacyclic_product(a, b)


def test_a_product_wraps_round_with_a_minus_sign() -> None:
    top, x = [0] * 31 + [1], [0, 1] + [0] * 30
    assert oracle.negacyclic_product(top, x) == [oracle.Q - 1] + [0] * 31


@pytest.mark.parametrize(("plaintext_bits", "dropped_bits"), [(20, 18), (38, 0), (38, 2), (1, 40), (0, 0)])
def test_sums_of_covered_words_uncover_to_sums_of_words(plaintext_bits: int, dropped_bits: int) -> None:
    """The noise of 8 addends, at most 8 * (63 + 2^(dropped_bits - 1)), is below half of a unit in each case."""
    chance = random.Random(f"{plaintext_bits} {dropped_bits}")
    count, addends = 50, 8
    masks, words, totals = [0] * count, [0] * count, [0] * count
    for _ in range(addends):
        mask = [chance.randrange(oracle.Q) for _ in range(count)]
        message = [chance.randrange(2**plaintext_bits) for _ in range(count)]
        errors = [chance.choice((-63, 63)) for _ in range(count)]
        covered = oracle.cover(mask, errors, message, plaintext_bits, dropped_bits)
        assert max(covered) < oracle.kept_modulus(dropped_bits)
        masks = [(a + b) % oracle.Q for a, b in zip(masks, mask, strict=True)]
        words = [(a + b) % 2**plaintext_bits for a, b in zip(words, message, strict=True)]
        totals = [a + b for a, b in zip(totals, covered, strict=True)]
    assert oracle.uncover(masks, totals, plaintext_bits, dropped_bits) == words
    reduced = oracle.reduce(totals, dropped_bits)
    assert oracle.uncover(masks, reduced, plaintext_bits, dropped_bits) == words


def test_bits_are_packed_from_the_lowest_on() -> None:
    assert oracle.pack_bits([0b101, 0b011, 0b110], 3) == bytes([0b10011101, 0b1])
    assert oracle.unpack_bits(bytes([0b10011101, 0b1]), 3, 3) == [0b101, 0b011, 0b110]
    assert oracle.pack_bits([], 44) == b""


@pytest.mark.parametrize("bits", [1, 8, 13, 44, 50])
def test_packed_values_come_back(bits: int) -> None:
    values = [0, 2**bits - 1, *(random.Random(bits).randrange(2**bits) for _ in range(99))]
    data = oracle.pack_bits(values, bits)
    assert len(data) == (101 * bits + 7) // 8
    assert oracle.unpack_bits(data, 101, bits) == values

"""The numba samplers and ring against the slow oracle, published vectors and the Gaussians they stand for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rlwe_oracle as oracle
from he_core.arith import ring_numba, sample_numba
from he_core.arith.gaussian_tables import gaussian_table

RFC_8439 = json.loads((Path(__file__).parents[1] / "vectors" / "chacha20.json").read_text(encoding="ascii"))

SEED = bytes(range(100, 132))
DEGREES = (32, 64, 128, 256)
SCALES = [(bits, dropped) for bits in range(45) for dropped in range(45 - bits)]
"""Every (plaintext_bits, dropped_bits) that the contract allows."""


def residues(*shape: int) -> np.ndarray:
    """uint64[shape] mod q: 0, 1 and q - 1 among random ones."""
    rng = np.random.default_rng(shape)
    values = rng.integers(0, oracle.Q, shape, dtype=np.uint64)
    edges = rng.choice(np.array([0, 1, oracle.Q - 1], np.uint64), shape)
    return np.where(rng.random(shape) < 0.3, edges, values)


def polys(degree: int) -> np.ndarray:
    """uint64[4, degree]: all 0, all 1, all q - 1, and a mixture."""
    return np.stack([np.full(degree, value, np.uint64) for value in (0, 1, oracle.Q - 1)] + [residues(degree)])


def filled(*shape: int) -> np.ndarray:
    return np.full(shape, 0xA5A5A5A5A5A5A5A5, np.uint64)


# Streams


def chacha20(seed: bytes, domain: int, index: int, first_block: int, blocks: int) -> bytes:
    out = np.full(64 * blocks, 0xA5, np.uint8)
    sample_numba.chacha20(out, seed, domain, index, first_block)
    return out.tobytes()


def stream_of(nonce: str) -> tuple[int, int]:
    """The (domain, index) of a nonce in hexadecimal."""
    data = bytes.fromhex(nonce)
    return int.from_bytes(data[:4], "little"), int.from_bytes(data[4:], "little")


@pytest.mark.parametrize("vector", RFC_8439["blocks"], ids=lambda vector: vector["section"])
def test_chacha20_gives_the_published_blocks(vector: dict[str, Any]) -> None:
    key, (domain, index) = bytes.fromhex(vector["key"]), stream_of(vector["nonce"])
    assert chacha20(key, domain, index, vector["counter"], 1).hex() == vector["block"]


def test_chacha20_encrypts_the_published_text() -> None:
    vector = RFC_8439["encryption"]
    (domain, index), text = stream_of(vector["nonce"]), bytes.fromhex(vector["plaintext"])
    key_stream = chacha20(bytes.fromhex(vector["key"]), domain, index, vector["counter"], 2)
    assert bytes(a ^ b for a, b in zip(text, key_stream, strict=False)).hex() == vector["ciphertext"]


@pytest.mark.parametrize("blocks", [0, 1, 2, 31, 32, 33, 65])
@pytest.mark.parametrize(
    ("domain", "index", "first_block"),
    [(0, 0, 0), (1, 2**32, 7), (2**32 - 1, 2**64 - 1, 2**31 - 5), (3, 2**63 + 1, 2**32 - 65)],
)
def test_any_block_of_any_stream_agrees_with_the_oracle(
    blocks: int, domain: int, index: int, first_block: int
) -> None:
    expected = oracle.stream(SEED, domain, index, 64 * blocks, first_block)
    assert chacha20(SEED, domain, index, first_block, blocks) == expected


def test_a_seed_may_be_bytes_or_a_read_only_array() -> None:
    seed = np.frombuffer(SEED, np.uint8)
    out = np.empty(64, np.uint8)
    sample_numba.chacha20(out, seed, 1, 2, 3)
    assert out.tobytes() == chacha20(SEED, 1, 2, 3, 1)


# Gaussians


@pytest.mark.parametrize("width", ["narrow", "wide"])
@pytest.mark.parametrize("groups", [0, 1, 2, 31, 32, 33, 70])
def test_gaussians_agree_with_the_oracle(width: str, groups: int) -> None:
    out = np.full(64 * groups, 99, np.int8)
    sample_numba.sample_gaussian(out, SEED, groups, 2**40 + 1, width)
    table = oracle.gaussian_table(width)
    assert out.tolist() == oracle.sample_gaussian(SEED, groups, 2**40 + 1, 64 * groups, table)


@pytest.mark.parametrize("excess", [0, 1, -1])
def test_a_comparand_next_to_its_threshold_falls_on_the_right_side(
    monkeypatch: pytest.MonkeyPatch, excess: int
) -> None:
    """Thresholds at the very comparands of this stream, one above and one below."""
    stream = np.frombuffer(oracle.stream(SEED, 5, 6, 384), np.uint8).reshape(6, 64)
    columns, shared = stream[0] & 63, np.packbits(stream[0, :24] >> 6 & 1, bitorder="little")[::-1]
    comparands = np.hstack([stream[1:].T, np.tile(shared, (64, 1))]).copy().view(">u8").ravel()
    threshold = np.full(64, 2**64 - 1, np.uint64)
    threshold[columns] = comparands + np.uint64(excess % 2**64)
    alias = np.roll(np.arange(64, dtype=np.uint8), 7)
    monkeypatch.setattr(sample_numba, "gaussian_table", lambda width: (alias, threshold))
    out = np.empty(64, np.int8)
    sample_numba.sample_gaussian(out, SEED, 5, 6, f"at the comparands {excess}")
    table = oracle.AliasTable(alias.tolist(), threshold.tolist())
    assert out.tolist() == oracle.sample_gaussian(SEED, 5, 6, 64, table)


every_width = pytest.mark.parametrize("width", list(oracle.VARIANCES))


def table_of(width: str) -> oracle.AliasTable:
    return oracle.AliasTable(*(tuple(column.tolist()) for column in gaussian_table(width)))


@every_width
def test_the_tables_are_the_gaussians_to_the_last_unit(width: str) -> None:
    """No magnitude is more than a unit of 2^-70 from P(0) = rho(0) / S, P(m) = 2 rho(m) / S."""
    drawn, ideal = table_of(width).probabilities(), oracle.ideal_magnitudes(oracle.VARIANCES[width])
    assert all(abs(mine - exact) * 2**70 < 1 for mine, exact in zip(drawn, ideal, strict=False))
    assert sum(drawn) == 1


@every_width
def test_the_tables_are_those_of_the_c_source(width: str) -> None:
    assert table_of(width) == oracle.gaussian_table(width)


def test_a_table_cannot_be_written_to() -> None:
    for column in gaussian_table("wide"):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 1


# Uniform residues


@pytest.mark.parametrize(
    ("count", "degree", "first_index"),
    [(0, 32, 0), (1, 1, 0), (3, 33, 2**32 - 2), (5, 64, 2**64 - 5), (2, 255, 1), (2, 257, 1), (2, 2048, 9)],
)
def test_uniform_rows_agree_with_the_oracle(count: int, degree: int, first_index: int) -> None:
    out = filled(count, degree)
    sample_numba.expand_uniform(out, SEED, 7, first_index)
    assert out.tolist() == [oracle.expand_uniform(SEED, 7, first_index + j, degree) for j in range(count)]


# The ring


@pytest.mark.parametrize("degree", DEGREES)
def test_transforms_agree_with_the_definition(degree: int) -> None:
    given = polys(degree)
    transformed = given.copy()
    ring_numba.forward(transformed)
    assert transformed.tolist() == [oracle.transform(poly) for poly in given.tolist()]
    restored = given.copy()
    ring_numba.inverse(restored)
    assert restored.tolist() == [oracle.inverse_transform(poly) for poly in given.tolist()]


def test_a_transform_of_degree_2048_agrees_with_the_definition() -> None:
    poly = residues(2048)
    transformed = poly.copy()
    ring_numba.forward(transformed)
    assert transformed.tolist() == oracle.transform(poly.tolist())


@pytest.mark.parametrize("degree", [32, 512, 1024, 2048, 4096])
def test_inverse_undoes_forward_and_forward_undoes_inverse(degree: int) -> None:
    for first, second in ((ring_numba.forward, ring_numba.inverse), (ring_numba.inverse, ring_numba.forward)):
        rows = polys(degree)
        first(rows)
        assert rows.max() < oracle.Q
        second(rows)
        assert rows.tolist() == polys(degree).tolist()


@pytest.mark.parametrize("degree", [32, 4096])
def test_a_constant_transforms_to_itself_everywhere(degree: int) -> None:
    """All q - 1 makes the largest sums inside an inverse transform."""
    for constant in (0, 1, oracle.Q - 1):
        poly = np.full(degree, constant, np.uint64)
        ring_numba.inverse(poly)
        assert poly.tolist() == [constant] + [0] * (degree - 1)
        ring_numba.forward(poly)
        assert poly.tolist() == [constant] * degree


def test_no_row_is_no_work() -> None:
    none = filled(0, 64)
    ring_numba.forward(none)
    ring_numba.inverse(none)
    ring_numba.multiply(none, none, residues(64))
    assert none.shape == (0, 64)


def multiply(transformed: np.ndarray, factor: np.ndarray) -> list[list[int]]:
    out = filled(*transformed.shape)
    ring_numba.multiply(out, transformed, factor)
    return out.tolist()


@pytest.mark.parametrize(("count", "degree"), [(1, 32), (4, 64), (3, 128), (2, 256), (1, 2048)])
def test_products_agree_with_the_schoolbook(count: int, degree: int) -> None:
    a, b = polys(degree)[-count:], residues(3, degree)[0]
    transformed, factor = a.copy(), b.copy()
    ring_numba.forward(transformed)
    ring_numba.forward(factor)
    expected = [oracle.negacyclic_product(poly, b.tolist()) for poly in a.tolist()]
    assert multiply(transformed, factor) == expected


@pytest.mark.parametrize("degree", [32, 4096])
def test_products_of_edge_values_are_exact(degree: int) -> None:
    """A transform of equal values is that of a constant. 2^40 * 2^30 is 0 mod 2^64, the reduction's special case."""
    edges = [0, 1, oracle.Q - 1, 2**40, 2**34]
    for factor in (0, 1, oracle.Q - 1, 2**30):
        transformed = np.repeat(np.array(edges, np.uint64)[:, np.newaxis], degree, axis=1)
        expected = [[edge * factor % oracle.Q] + [0] * (degree - 1) for edge in edges]
        assert multiply(transformed, np.full(degree, factor, np.uint64)) == expected


# Plaintexts in coefficients


def cover(mask: np.ndarray, errors: np.ndarray, words: np.ndarray, scale: tuple[int, int]) -> list[int]:
    out = filled(mask.size)
    ring_numba.cover(out, mask, errors, words, *scale)
    return out.tolist()


def uncover(mask: np.ndarray, sums: np.ndarray, scale: tuple[int, int]) -> list[int]:
    out = filled(mask.size)
    ring_numba.uncover(out, mask, sums, *scale)
    return out.tolist()


def coefficients(scale: tuple[int, int], count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks, errors and words: extremes in all combinations first, then random ones."""
    rng = np.random.default_rng((*scale, count))
    largest = 2 ** scale[0] - 1
    masks = np.array([0, 1, oracle.Q - 1, oracle.Q - 2], np.uint64)
    errors = np.array([0, 1, -1, 63, -63, 127, -128], np.int8)
    words = np.array([0, min(1, largest), largest], np.uint64)
    edges = [axis.ravel()[:count] for axis in np.meshgrid(masks, errors, words, indexing="ij")]
    more = max(0, count - edges[0].size)
    chances = [
        rng.integers(0, oracle.Q, more, dtype=np.uint64),
        rng.integers(-63, 64, more, dtype=np.int8),
        rng.integers(0, largest, more, dtype=np.uint64, endpoint=True),
    ]
    mask, error, word = (np.concatenate(pair) for pair in zip(edges, chances, strict=True))
    return mask, error, word


def any_words(count: int) -> np.ndarray:
    """uint64[count] of the full range, with multiples of q and their neighbours."""
    rng = np.random.default_rng(count)
    values = rng.integers(0, 2**64, count, dtype=np.uint64)
    edges = [0, 1, 2**64 - 1, 2**63] + [k * oracle.Q + d for k in (1, 2, 16385) for d in (-1, 0, 1)]
    edges += [k * 63 * 2**s + d for k in (1, 2, 3) for s in (0, 1, 26, 43) for d in (-1, 0, 1)]
    edges = edges[:count]
    values[: len(edges)] = np.array(edges, np.uint64)
    return values


def test_cover_agrees_with_the_oracle_at_every_scale() -> None:
    for scale in SCALES:
        mask, errors, words = coefficients(scale, 101)
        expected = oracle.cover(mask.tolist(), errors.tolist(), words.tolist(), *scale)
        assert cover(mask, errors, words, scale) == expected, scale


def test_uncover_agrees_with_the_oracle_at_every_scale() -> None:
    for scale in SCALES:
        mask, _, _ = coefficients(scale, 101)
        sums = np.random.default_rng(scale).permutation(any_words(101))
        assert uncover(mask, sums, scale) == oracle.uncover(mask.tolist(), sums.tolist(), *scale), scale


def test_uncover_rounds_to_the_nearest_word_and_halves_up() -> None:
    for bits, dropped in [(38, 0), (38, 6), (20, 18), (44, 0), (0, 44), (1, 43)]:
        unit, modulus = 63 << (44 - dropped - bits), oracle.kept_modulus(dropped)
        halves = [word * unit + unit // 2 + d for word in (0, 1, 2**bits - 1) for d in (-1, 0, 1, 2)]
        sums = np.array([half % modulus for half in halves], np.uint64)
        mask = np.zeros(sums.size, np.uint64)
        assert uncover(mask, sums, (bits, dropped)) == oracle.uncover(mask.tolist(), sums.tolist(), bits, dropped)


@pytest.mark.parametrize("dropped_bits", range(45))
def test_reduce_agrees_with_the_oracle_on_any_words(dropped_bits: int) -> None:
    words = any_words(301)
    expected = oracle.reduce(words.tolist(), dropped_bits)
    ring_numba.reduce(words, dropped_bits)
    assert words.tolist() == expected


@pytest.mark.parametrize("count", [0, 1, 2, 3, 31, 33, 1001])
@pytest.mark.parametrize("scale", [(38, 0), (38, 6), (19, 20)])
def test_any_count_of_coefficients_will_do(count: int, scale: tuple[int, int]) -> None:
    mask, errors, words = coefficients(scale, count)
    covered = cover(mask, errors, words, scale)
    assert covered == oracle.cover(mask.tolist(), errors.tolist(), words.tolist(), *scale)
    sums = np.array(covered, np.uint64)
    assert uncover(mask, sums, scale) == oracle.uncover(mask.tolist(), covered, *scale)
    assert uncover(mask, any_words(count), scale) == oracle.uncover(mask.tolist(), any_words(count).tolist(), *scale)


@pytest.mark.parametrize("scale", [(38, 0), (38, 6)])
def test_out_may_be_an_input(scale: tuple[int, int]) -> None:
    mask, errors, words = coefficients(scale, 333)
    covered = cover(mask, errors, words, scale)
    for position in (0, 2):
        arrays = [mask.copy(), errors, words.copy()]
        ring_numba.cover(arrays[position], *arrays, *scale)
        assert arrays[position].tolist() == covered
    sums = np.array(covered, np.uint64)
    uncovered = uncover(mask, sums, scale)
    for position in (0, 1):
        arrays = [mask.copy(), sums.copy()]
        ring_numba.uncover(arrays[position], *arrays, *scale)
        assert arrays[position].tolist() == uncovered


def test_inputs_may_be_read_only() -> None:
    scale = (38, 6)
    mask, errors, words = coefficients(scale, 64)
    covered = cover(mask, errors, words, scale)
    sums, transformed, factor = np.array(covered, np.uint64), residues(2, 64), residues(64)
    expected = uncover(mask, sums, scale), multiply(transformed, factor)
    for array in (sums, transformed, factor):
        array.flags.writeable = False
    assert (uncover(mask, sums, scale), multiply(transformed, factor)) == expected


def test_eight_clients_words_add_up_under_their_masks() -> None:
    """The scheme's arithmetic from end to end: b_j = a_j k + e_j + D m_j, summed, uncovered by a_j sum(k)."""
    count, degree, scale = 3, 256, (30, 7)
    shared = filled(count, degree)
    sample_numba.expand_uniform(shared, SEED, 0, 0)
    keys, totals, sums = np.zeros(degree, np.uint64), np.zeros(count * degree, np.uint64), 0
    for client in range(8):
        drawn, errors = np.empty(degree, np.int8), np.empty(count * degree, np.int8)
        sample_numba.sample_gaussian(drawn, SEED, 1, client, "narrow")
        sample_numba.sample_gaussian(errors, SEED, 2, client, "wide")
        key = (drawn.astype(np.int64) % oracle.Q).astype(np.uint64)
        ring_numba.forward(key)
        words = np.random.default_rng(client).integers(0, 2 ** scale[0], totals.size, dtype=np.uint64)
        mask = np.array(multiply(shared, key), np.uint64).ravel()
        totals += np.array(cover(mask, errors, words, scale), np.uint64)
        keys += key
        sums = sums + words
    ring_numba.reduce(keys, 0)
    mask = np.array(multiply(shared, keys), np.uint64).ravel()
    assert uncover(mask, totals, scale) == (sums % 2 ** scale[0]).tolist()

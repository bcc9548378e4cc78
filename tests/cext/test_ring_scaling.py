"""cover, uncover and reduce of every C target against plain Python integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rlwe_oracle as oracle

native = pytest.importorskip("he_core._native", reason="installed without a C compiler", exc_type=ImportError)

every_target = pytest.mark.parametrize("target", native.targets())
WIDTHS = [(p, d) for p in (0, 1, 2, 16, 20, 38, 40, 42, 43, 44) for d in (0, 1, 2, 4, 6, 24, 43, 44) if p + d <= 44]
widths = pytest.mark.parametrize(("plaintext_bits", "dropped_bits"), WIDTHS)
COUNTS = [0, 1, 3, 4, 5, 7, 8, 9, 100]


def edges_of(top: int, seed: int, count: int) -> np.ndarray:
    """uint64[count] in [0, top): the first and last values among random ones."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, top, count, dtype=np.uint64)
    is_edge = rng.random(count) < 0.4
    edges = [min(1, top - 1), 0, top - 1, max(0, top - 2), top // 2]
    values[is_edge] = rng.choice(np.array(edges, np.uint64), int(is_edge.sum()))
    return values


def errors_of(seed: int, count: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.choice(np.array([-128, -1, 0, 1, 63, 127], np.int8), count)


def sums_of(seed: int, count: int, modulus: int) -> np.ndarray:
    """uint64[count], any: multiples of the modulus, their neighbours and the largest words among random ones."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 2**64, count, dtype=np.uint64)
    multiples = values - values % np.uint64(modulus)
    kind = rng.integers(0, 5, count)
    values = np.where(kind == 1, multiples, values)
    values = np.where(kind == 2, multiples - np.uint64(1), values)
    return np.where(kind == 3, np.uint64(2**64 - 1), values)


def cover(
    mask: np.ndarray, errors: np.ndarray, words: np.ndarray, plaintext_bits: int, dropped_bits: int, target: str
) -> np.ndarray:
    out = np.full(mask.size, 2**64 - 1, np.uint64)
    native.cover(out, mask, errors, words, plaintext_bits, dropped_bits, target=target)
    return out


def uncover(mask: np.ndarray, sums: np.ndarray, plaintext_bits: int, dropped_bits: int, target: str) -> np.ndarray:
    out = np.full(mask.size, 2**64 - 1, np.uint64)
    native.uncover(out, mask, sums, plaintext_bits, dropped_bits, target=target)
    return out


@every_target
@widths
def test_cover_agrees_with_the_oracle(target: str, plaintext_bits: int, dropped_bits: int) -> None:
    for count in COUNTS:
        mask, words = edges_of(oracle.Q, 1, count), edges_of(2**plaintext_bits, 2, count)
        errors = errors_of(3, count)
        expected = oracle.cover(mask.tolist(), errors.tolist(), words.tolist(), plaintext_bits, dropped_bits)
        assert cover(mask, errors, words, plaintext_bits, dropped_bits, target).tolist() == expected, count


@every_target
@widths
def test_uncover_agrees_with_the_oracle_on_any_sums(target: str, plaintext_bits: int, dropped_bits: int) -> None:
    for count in COUNTS:
        mask = edges_of(oracle.Q, 4, count)
        sums = sums_of(5, count, oracle.kept_modulus(dropped_bits))
        expected = oracle.uncover(mask.tolist(), sums.tolist(), plaintext_bits, dropped_bits)
        assert uncover(mask, sums, plaintext_bits, dropped_bits, target).tolist() == expected, count


@every_target
@pytest.mark.parametrize("dropped_bits", range(45))
def test_reduce_is_the_remainder_of_any_word(target: str, dropped_bits: int) -> None:
    modulus = oracle.kept_modulus(dropped_bits)
    for count in COUNTS:
        words = sums_of(6, count, modulus)
        out = words.copy()
        native.reduce(out, dropped_bits, target=target)
        assert out.tolist() == [word % modulus for word in words.tolist()], count


@every_target
def test_the_result_may_replace_an_argument(target: str) -> None:
    mask, words, errors = edges_of(oracle.Q, 7, 77), edges_of(2**40, 8, 77), errors_of(9, 77)
    expected = cover(mask, errors, words, 40, 2, target)
    onto_mask, onto_words = mask.copy(), words.copy()
    native.cover(onto_mask, onto_mask, errors, words, 40, 2, target=target)
    native.cover(onto_words, mask, errors, onto_words, 40, 2, target=target)
    assert (onto_mask == expected).all()
    assert (onto_words == expected).all()
    onto_mask, onto_sums = mask.copy(), expected.copy()
    native.uncover(onto_mask, onto_mask, expected, 40, 2, target=target)
    native.uncover(onto_sums, mask, onto_sums, 40, 2, target=target)
    assert (onto_mask == uncover(mask, expected, 40, 2, target)).all()
    assert (onto_sums == onto_mask).all()


def largest_noise(plaintext_bits: int, dropped_bits: int, clients: int) -> int:
    """The largest |sum of errors| that still decrypts: half a step, less what dropping bits may round away."""
    step = 63 * 2 ** (44 - plaintext_bits)
    lost = (clients + 1) * 2**dropped_bits // 2 if dropped_bits else 0
    return max(0, step // 2 - lost - 1)


@every_target
@settings(max_examples=100, deadline=None)
@given(data=st.data(), clients=st.integers(1, 8), width=st.sampled_from([(38, 2), (40, 0), (33, 6), (20, 20)]))
def test_uncover_of_a_sum_recovers_the_sum_of_words_while_the_noise_is_small(
    target: str, data: st.DataObject, clients: int, width: tuple[int, int]
) -> None:
    plaintext_bits, dropped_bits = width
    count = 9
    most = min(127, largest_noise(plaintext_bits, dropped_bits, clients) // clients)
    seed = data.draw(st.integers(0, 2**32))
    rng = np.random.default_rng(seed)
    masks = rng.integers(0, oracle.Q, (clients, count), dtype=np.uint64)
    words = rng.integers(0, 2**plaintext_bits, (clients, count), dtype=np.uint64)
    errors = rng.integers(-most, most + 1, (clients, count)).astype(np.int8)
    errors[:, 0], errors[:, 1] = most, -most
    covered = [cover(masks[i], errors[i], words[i], plaintext_bits, dropped_bits, target) for i in range(clients)]
    sums = np.sum(covered, axis=0, dtype=np.uint64)  # not reduced: at most 8 values below 2**50
    mask = np.array([sum(column) % oracle.Q for column in masks.T.tolist()], np.uint64)
    expected = [sum(column) % 2**plaintext_bits for column in words.T.tolist()]
    assert uncover(mask, sums, plaintext_bits, dropped_bits, target).tolist() == expected
    native.reduce(sums, dropped_bits, target=target)
    assert uncover(mask, sums, plaintext_bits, dropped_bits, target).tolist() == expected

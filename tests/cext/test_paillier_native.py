"""The native Paillier arithmetic, every target that runs here, against the definitions, computed with gmpy2."""

from __future__ import annotations

import math
import random
import secrets
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from gmpy2 import next_prime, powmod

from he_core.arith import paillier_native
from he_core.arith.paillier_gmpy2 import Gmpy2PaillierArithmetic
from he_core.arith.paillier_native import NativePaillierArithmetic, window_bits_for
from he_core.errors import CiphertextRangeError, ValueCountError
from he_core.params import PaillierParameters
from he_core.schemes.paillier import Paillier, PaillierArithmetic, PaillierPublicKey, PaillierSecretKey

native = pytest.importorskip("he_core._native", reason="installed without a C compiler", exc_type=ImportError)

TARGETS = native.targets()
every_target = pytest.mark.parametrize("target", TARGETS)
# The least and the largest key, one whose limbs no target's block divides, and the default.
KEY_SIZES = (2048, 2304, 3072, 8192)
LANE_COUNTS = (0, 1, 3, 7, 8, 9, 31, 33)


@cache
def key_of(modulus_bits: int) -> PaillierSecretKey:
    if modulus_bits > 2048:
        return _quick_key(modulus_bits)
    scheme = Paillier(PaillierParameters(modulus_bits), Gmpy2PaillierArithmetic())
    return scheme.secret_key(scheme.generate_keys())


def _quick_key(modulus_bits: int) -> PaillierSecretKey:
    """A key in a fraction of the time that key generation takes: all that its arithmetic needs, not its security.

    Mersenne-like search from a fixed start: primes 3 mod 4 of exactly half the bits.
    """
    half = modulus_bits // 2

    def prime(start: int) -> int:
        found = int(next_prime(start))
        while found % 4 != 3:
            found = int(next_prime(found))
        return found

    p, q = prime(3 << (half - 2)), prime((1 << half) - (1 << (half - 3)))
    n = p * q
    assert n.bit_length() == modulus_bits
    return PaillierSecretKey(PaillierPublicKey(b"quick %d" % modulus_bits, n, int(powmod(-4, n, n * n))), p, q)


def rows_of(numbers: list[int], row_bytes: int) -> np.ndarray:
    data = b"".join(number.to_bytes(row_bytes, "little") for number in numbers)
    return np.frombuffer(data, np.uint8).reshape(len(numbers), row_bytes)


def numbers_of(rows: np.ndarray) -> list[int]:
    return [int.from_bytes(row.tobytes(), "little") for row in rows]


def replay(randomisers: list[int], size: int) -> Callable[[int], bytes]:
    stream = b"".join(randomiser.to_bytes(size, "little") for randomiser in randomisers)

    def entropy(count: int) -> bytes:
        assert count == len(stream)
        return stream

    return entropy


def edges(bound: int, count: int, seed: int) -> list[int]:
    """0, 1 and the largest first, then at random."""
    rng = random.Random(seed)
    return [*(0, 1, bound - 1), *(rng.randrange(bound) for _ in range(count))][:count]


def twin_encrypt(key: PaillierPublicKey, words: list[int], randomisers: list[int]) -> list[int]:
    square = key.n * key.n
    return [(1 + m * key.n) * int(powmod(key.h, r, square)) % square for m, r in zip(words, randomisers, strict=True)]


def make(target: str, randomisers: list[int], key: PaillierPublicKey, threads: int = 1) -> NativePaillierArithmetic:
    return NativePaillierArithmetic(threads, entropy=replay(randomisers, key.randomiser_bits // 8), target=target)


@every_target
@pytest.mark.parametrize("bits", [*KEY_SIZES[:-1], pytest.param(8192, marks=pytest.mark.slow)])
def test_encryption_both_ways_is_the_twins(target: str, bits: int) -> None:
    key = key_of(bits)
    count = 11 if bits <= 3072 else 4
    words = edges(1 << bits, count, 1)  # any word of that size, also n and above
    randomisers = edges(1 << bits // 2, count, 2)[::-1]
    expected = twin_encrypt(key.public, words, randomisers)
    arithmetic = make(target, randomisers, key.public)
    rows = rows_of(words, bits // 8)
    assert numbers_of(arithmetic.encrypt(key.public, rows)) == expected
    assert numbers_of(arithmetic.encrypt_with_factors(key, rows)) == expected


@every_target
@pytest.mark.parametrize("bits", KEY_SIZES)
def test_addition_is_the_product_mod_n_squared_of_any_two_rows(target: str, bits: int) -> None:
    key = key_of(bits).public
    square = key.n * key.n
    left = [square - 1, 0, 1, square, (1 << 2 * bits) - 1, *edges(square, 8, 3)]
    right = [square - 1, 5, 1, square + 1, (1 << 2 * bits) - 1, *edges(square, 8, 4)]
    sums = make(target, [], key).add(key, rows_of(left, bits // 4), rows_of(right, bits // 4))
    assert numbers_of(sums) == [a * b % square for a, b in zip(left, right, strict=True)]


@every_target
@pytest.mark.parametrize("bits", KEY_SIZES)
def test_decryption_inverts_the_twins_encryption(target: str, bits: int) -> None:
    key = key_of(bits)
    count = 9 if bits <= 3072 else 2
    words = [key.public.n - 1, *edges(key.public.n, count, 5)]
    ciphertexts = twin_encrypt(key.public, words, edges(1 << bits // 2, len(words), 6))
    # A representative above n^2 decrypts as well, as with gmpy2.
    again = ciphertexts[-1] + key.public.n**2
    if again < 1 << 2 * bits:
        words, ciphertexts = [*words, words[-1]], [*ciphertexts, again]
    decrypted = make(target, [], key.public).decrypt(key, rows_of(ciphertexts, bits // 4))
    assert numbers_of(decrypted) == words


@every_target
def test_the_least_and_the_largest_number_decrypt_as_with_gmpy2(target: str) -> None:
    key = key_of(2048)
    square = key.public.n**2
    rows = rows_of([1, square - 1, square + 1, key.public.n + 1], 512)
    expected = Gmpy2PaillierArithmetic().decrypt(key, rows)
    np.testing.assert_array_equal(make(target, [], key.public).decrypt(key, rows), expected)


@every_target
@pytest.mark.parametrize("count", LANE_COUNTS)
@pytest.mark.parametrize("threads", [1, 3])
def test_every_row_is_computed_whatever_their_number_and_the_threads(target: str, count: int, threads: int) -> None:
    key = key_of(2048)
    words, randomisers = edges(key.public.n, count, 7), edges(1 << 1024, count, 8)
    rows = rows_of(words, 256)
    expected = twin_encrypt(key.public, words, randomisers)
    arithmetic = make(target, randomisers, key.public, threads)
    ciphertexts = arithmetic.encrypt(key.public, rows)
    assert numbers_of(ciphertexts) == expected
    np.testing.assert_array_equal(arithmetic.encrypt_with_factors(key, rows), ciphertexts)
    np.testing.assert_array_equal(arithmetic.decrypt(key, ciphertexts), rows)
    doubled = arithmetic.add(key.public, ciphertexts, ciphertexts)
    assert numbers_of(doubled) == [c * c % key.public.n**2 for c in expected]


@every_target
@pytest.mark.parametrize("window_bits", range(4, 9))
def test_every_window_gives_the_same_bytes(target: str, window_bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paillier_native, "window_bits_for", lambda *_: window_bits)
    key = key_of(2048)
    words, randomisers = edges(key.public.n, 5, 9), edges(1 << 1024, 5, 10)
    arithmetic = make(target, randomisers, key.public)
    expected = twin_encrypt(key.public, words, randomisers)
    assert numbers_of(arithmetic.encrypt(key.public, rows_of(words, 256))) == expected
    assert numbers_of(arithmetic.encrypt_with_factors(key, rows_of(words, 256))) == expected


@every_target
def test_more_rows_than_a_block_come_out_the_same_as_with_gmpy2(target: str) -> None:
    key, count = key_of(2048), 261
    stream = secrets.token_bytes(count * 128)
    rows = rows_of([secrets.randbelow(key.public.n) for _ in range(count)], 256)
    own: PaillierArithmetic = NativePaillierArithmetic(2, entropy=lambda size: stream[:size], target=target)
    other: PaillierArithmetic = Gmpy2PaillierArithmetic(2, entropy=lambda size: stream[:size])
    ciphertexts = other.encrypt(key.public, rows)
    np.testing.assert_array_equal(own.encrypt(key.public, rows), ciphertexts)
    np.testing.assert_array_equal(own.encrypt_with_factors(key, rows), ciphertexts)
    np.testing.assert_array_equal(own.decrypt(key, ciphertexts), rows)
    np.testing.assert_array_equal(other.decrypt(key, own.encrypt(key.public, rows)), rows)


def test_fresh_randomisers_come_from_the_operating_system() -> None:
    key = key_of(2048)
    rows = rows_of([5, 5], 256)
    arithmetic = NativePaillierArithmetic()
    first, second = arithmetic.encrypt(key.public, rows), arithmetic.encrypt(key.public, rows)
    assert len({row.tobytes() for row in (*first, *second)}) == 4
    np.testing.assert_array_equal(arithmetic.decrypt(key, first), rows)


@pytest.mark.parametrize("place", [0, 1, 8, 12])
@pytest.mark.parametrize("bad", ["zero", "n-squared", "all-ones"])
def test_the_first_row_out_of_range_is_named(place: int, bad: str) -> None:
    key = key_of(2048).public
    square = key.n**2
    value = {"zero": 0, "n-squared": square, "all-ones": (1 << 4096) - 1}[bad]
    numbers = [1, square - 1, *edges(square, 11, 11)[1:]]
    arithmetic = NativePaillierArithmetic()
    arithmetic.check(key, rows_of(numbers, 512))
    with pytest.raises(CiphertextRangeError) as refusal:
        arithmetic.check(key, rows_of([*numbers[:place], value, *numbers[place:], 0], 512))
    assert refusal.value.index == place


def test_no_rows_are_in_range() -> None:
    NativePaillierArithmetic().check(key_of(2048).public, np.empty((0, 512), np.uint8))


def test_batches_of_different_size_do_not_add() -> None:
    key = key_of(2048).public
    with pytest.raises(ValueCountError):
        NativePaillierArithmetic().add(key, rows_of([1, 2], 512), rows_of([1], 512))


def test_a_larger_batch_makes_a_wider_table_and_a_smaller_one_keeps_it() -> None:
    key = key_of(2048)
    arithmetic = NativePaillierArithmetic()
    rows = rows_of([1], 256)
    for count, width in ((1, 4), (40, 6), (1, 6)):
        arithmetic.encrypt(key.public, np.repeat(rows, count, axis=0))
        assert arithmetic._tables[key.public.key_id, "n"][0] == width
    windows = [window_bits_for(count, 1536) for count in (1, 100, 10_000, 1_000_000)]
    assert windows == sorted(windows)


def test_the_bound_on_the_sum_of_shares_holds_for_the_longest_exponent() -> None:
    """cext/bigint/bigint.h allows 1,024 factors: 4,096 bits by the narrowest window."""
    assert math.ceil(8192 / 2 / paillier_native.MIN_WINDOW_BITS) <= 1024

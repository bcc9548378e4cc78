"""Paillier arithmetic on GMP, batches split over threads.

gmpy2 releases the GIL during each large operation, so threads share the work. Decryption raises to secret exponents
with GMP's side-channel-resistant powm (`powmod_sec`); table look-ups by randomiser digits and the remaining modular
reductions are *not* constant-time: do not share the machine with an attacker (docs/security.md, Timing).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import gmpy2
import numpy as np
from gmpy2 import mpz
from numpy.typing import NDArray

from he_core.arith.fixed_base import FixedBaseTable, window_bits_for
from he_core.arith.threads import Threads
from he_core.errors import CiphertextRangeError, ValueCountError
from he_core.packing import Words
from he_core.schemes.paillier import PaillierPublicKey, PaillierSecretKey

EXPECTED_BATCHES = 8  # a key encrypts at least this many batches of one size: rounds in a run
Rows = NDArray[np.uint8]


class Gmpy2PaillierArithmetic:
    """Batch Paillier over `threads` threads; keeps the fixed-base tables of the keys it has met.

    entropy: bytes source of randomisers. Tests pass a seeded one; nothing in the package does.
    """

    name = "gmpy2"

    def __init__(self, threads: int = 1, *, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._entropy = entropy
        self._threads = Threads(threads, "paillier", initialiser=_release_gil)
        self._tables: dict[tuple[bytes, str], FixedBaseTable] = {}
        self._tables_lock = threading.Lock()

    # --- encrypt

    def encrypt(self, key: PaillierPublicKey, words: Words) -> Rows:
        n, modulus = mpz(key.n), mpz(key.n) ** 2
        table = self._table(key, "n^2", modulus, len(words))
        digits = table.digits(self._randomisers(key, len(words)))

        def encrypt_row(index: int) -> mpz:
            message = _read(words[index])
            return (1 + message * n) * table.power(digits[index].tolist()) % modulus

        return self._rows(encrypt_row, len(words), key.ciphertext_bytes)

    def encrypt_with_factors(self, key: PaillierSecretKey, words: Words) -> Rows:
        public = key.public
        n, p_squared, q_squared = mpz(public.n), mpz(key.p) ** 2, mpz(key.q) ** 2
        p_table = self._table(public, "p^2", p_squared, len(words))
        q_table = self._table(public, "q^2", q_squared, len(words))
        inverse = gmpy2.invert(p_squared, q_squared)
        randomisers = self._randomisers(public, len(words))
        p_digits, q_digits = p_table.digits(randomisers), q_table.digits(randomisers)

        def encrypt_row(index: int) -> mpz:
            plain = 1 + _read(words[index]) * n
            mod_p = plain * p_table.power(p_digits[index].tolist()) % p_squared
            mod_q = plain * q_table.power(q_digits[index].tolist()) % q_squared
            return mod_p + p_squared * ((mod_q - mod_p) * inverse % q_squared)

        return self._rows(encrypt_row, len(words), public.ciphertext_bytes)

    # --- add

    def add(self, key: PaillierPublicKey, left: Rows, right: Rows) -> Rows:
        if left.shape != right.shape:
            raise ValueCountError(len(left), len(right), "ciphertexts")
        modulus = mpz(key.n) ** 2
        return self._rows(
            lambda index: _read(left[index]) * _read(right[index]) % modulus, len(left), key.ciphertext_bytes
        )

    # --- decrypt

    def decrypt(self, key: PaillierSecretKey, ciphertexts: Rows) -> Words:
        """By the Chinese remainder theorem (Paillier 1999, section 7): half-size exponents mod p^2 and q^2."""
        n, p, q = mpz(key.public.n), mpz(key.p), mpz(key.q)
        decrypt_mod_p, decrypt_mod_q = _residue_decryption(p, n), _residue_decryption(q, n)
        inverse = gmpy2.invert(p, q)

        def decrypt_row(index: int) -> mpz:
            ciphertext = _read(ciphertexts[index])
            mod_p, mod_q = decrypt_mod_p(ciphertext), decrypt_mod_q(ciphertext)
            return mod_p + p * ((mod_q - mod_p) * inverse % q)

        return self._rows(decrypt_row, len(ciphertexts), key.public.modulus_bits // 8)

    # --- check

    def check(self, key: PaillierPublicKey, ciphertexts: Rows) -> None:
        modulus = mpz(key.n) ** 2
        for index, row in enumerate(ciphertexts):
            if not 0 < _read(row) < modulus:
                raise CiphertextRangeError(index, "must be in [1, n^2)")

    # --- batches

    def _table(self, key: PaillierPublicKey, name: str, modulus: mpz, batch: int) -> FixedBaseTable:
        window_bits = window_bits_for(batch * EXPECTED_BATCHES, key.randomiser_bits)
        with self._tables_lock:
            table = self._tables.get((key.key_id, name))
            if table is None or table.window_bits < window_bits:
                table = FixedBaseTable(key.h, modulus, key.randomiser_bits, window_bits)
                self._tables[key.key_id, name] = table
            return table

    def _randomisers(self, key: PaillierPublicKey, count: int) -> Rows:
        size = key.randomiser_bits // 8
        return np.frombuffer(self._entropy(count * size), np.uint8).reshape(count, size)

    def _rows(self, compute: Callable[[int], mpz], count: int, row_bytes: int) -> Rows:
        """compute(0..count-1) as rows of little-endian bytes, over the threads in contiguous shares."""
        rows = np.empty((count, row_bytes), np.uint8)

        def fill(share: slice) -> None:
            for index in range(share.start, share.stop):
                rows[index] = np.frombuffer(compute(index).to_bytes(row_bytes, "little"), np.uint8)

        self._threads.split(count, fill)
        return rows


def _residue_decryption(prime: mpz, n: mpz) -> Callable[[mpz], mpz]:
    """c -> m mod prime, with L(x) = (x - 1) / prime as in Paillier 1999."""
    squared, exponent = prime**2, prime - 1
    # g = n + 1, so g^(prime-1) = 1 + (prime-1) n mod prime^2.
    scale = gmpy2.invert(((1 + exponent * n) % squared - 1) // prime, prime)

    def residue(ciphertext: mpz) -> mpz:
        power = gmpy2.powmod_sec(ciphertext % squared, exponent, squared)
        return (power - 1) // prime * scale % prime

    return residue


def _read(row: Rows) -> mpz:
    return mpz.from_bytes(row.tobytes(), "little")


def _release_gil() -> None:
    gmpy2.get_context().allow_release_gil = True

"""Paillier arithmetic in C, batches split over threads: `cext/bigint/` behind the protocol.

Constant time in keys, words and randomisers (cext/bigint/bigint.h), but for the Python integers that keys are: their
constants are computed here, once per key, with Python's ordinary arithmetic (docs/security.md, Timing).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from he_core.arith.kernels import native_module
from he_core.arith.threads import Threads
from he_core.errors import CiphertextRangeError, ValueCountError
from he_core.packing import Words
from he_core.schemes.paillier import PaillierPublicKey, PaillierSecretKey

EXPECTED_BATCHES = 8  # a key encrypts at least this many batches of one size: rounds in a run
MIN_WINDOW_BITS, MAX_WINDOW_BITS = 4, 8  # 8 bits at 3,072: a table of 63 MB mod n^2, 2 x 32 MB mod p^2 and q^2
ENTRY_PRODUCTS = 3  # making a table entry takes as long as so many products by one
TABLE_ALIGNMENT = 64
LANES = 32  # rows that kernels take at once, at most
Rows = NDArray[np.uint8]
Constants = NDArray[np.uint64]
Table = NDArray[np.uint8]


def window_bits_for(exponentiations: int, exponent_bits: int, entries_a_product: int) -> int:
    """The window that costs least in all: building the table, look-ups that read every entry, products."""

    def products(window_bits: int) -> float:
        entries = 1 << window_bits
        return -(-exponent_bits // window_bits) * (
            ENTRY_PRODUCTS * entries + exponentiations * (1 + entries / entries_a_product)
        )

    return min(range(MIN_WINDOW_BITS, MAX_WINDOW_BITS + 1), key=products)


@dataclass(frozen=True)
class _Shape:
    """Numbers as the kernels of one target take them: limbs of limb_bits bits."""

    limb_bits: int
    limbs: int
    prime_limbs: int
    entry_bytes: int
    entries_a_product: int

    def limbs_of(self, number: int, count: int) -> list[int]:
        mask = (1 << self.limb_bits) - 1
        return [number >> (self.limb_bits * index) & mask for index in range(count)]


@dataclass(frozen=True)
class _Modulus:
    """Z_{n^2} in the n-adic Montgomery form of cext/bigint/bigint.h, R = 2^(limb_bits * limbs)."""

    shape: _Shape
    n: int = field(repr=False)
    limbs: int

    @cached_property
    def square(self) -> int:
        return self.n * self.n

    @cached_property
    def r(self) -> int:
        return 1 << (self.shape.limb_bits * self.limbs)

    def element(self, number: int) -> list[int]:
        """number mod n^2 as the pair (x0, x1), limb by limb."""
        high, low = divmod(number % self.square, self.n)
        return self.shape.limbs_of(low, self.limbs) + self.shape.limbs_of(high, self.limbs)

    def residue(self, number: int) -> list[int]:
        return self.element(number % self.n)

    def constants(self) -> list[int]:
        """n; n + 1 - (R mod n); R - n; -1/n mod R."""
        numbers = (self.n, self.n + 1 - self.r % self.n, self.r - self.n, pow(-self.n, -1, self.r))
        return [limb for number in numbers for limb in self.shape.limbs_of(number, self.limbs)]

    def table_constants(self) -> list[int]:
        """R mod n; floor(R^2 / n)."""
        return self.shape.limbs_of(self.r % self.n, self.limbs) + self.shape.limbs_of(
            self.r**2 // self.n, self.limbs + 2
        )

    def table_base(self, base: int) -> list[int]:
        """base R mod n^2; R / base mod n."""
        inverse = pow(base, -1, self.n) * self.r % self.n
        return self.element(base * self.r) + self.shape.limbs_of(inverse, self.limbs)

    def powers(self, count: int) -> list[int]:
        return [limb for exponent in range(1, count + 1) for limb in self.element(pow(self.r, exponent, self.square))]


@dataclass(frozen=True)
class _Public:
    modulus: _Modulus
    constants: Constants
    bound: Rows = field(repr=False)  # n^2


@dataclass(frozen=True, repr=False)
class _Secret:
    p_modulus: _Modulus
    q_modulus: _Modulus
    p: Constants
    q: Constants
    joint: Constants


class NativePaillierArithmetic:
    """Batch Paillier over `threads` threads; keeps the constants and fixed-base tables of the keys it has met.

    entropy: bytes source of randomisers, and target: name of the kernels to use. Tests pass them; nothing in the
    package does.
    """

    name = "native"

    def __init__(
        self, threads: int = 1, *, entropy: Callable[[int], bytes] = os.urandom, target: str | None = None
    ) -> None:
        self._native: Any = native_module()
        self._target = target
        self._entropy = entropy
        self._threads = Threads(threads, "paillier")
        self._public_keys: dict[bytes, _Public] = {}
        self._secret_keys: dict[bytes, _Secret] = {}
        self._tables: dict[tuple[bytes, str], tuple[int, Table]] = {}
        self._lock = threading.Lock()

    # --- encrypt

    def encrypt(self, key: PaillierPublicKey, words: Words) -> Rows:
        public = self._public(key)
        window_bits, table = self._table(key, "n", public.modulus, len(words))
        randomisers = self._randomisers(key, len(words))

        def encrypt(out: Rows, words: Words, randomisers: Rows) -> None:
            self._native.paillier_encrypt(
                out, words, randomisers, public.constants, table, window_bits, target=self._target
            )

        return self._rows(encrypt, key.ciphertext_bytes, words, randomisers)

    def encrypt_with_factors(self, key: PaillierSecretKey, words: Words) -> Rows:
        secret = self._secret(key)
        window_bits, p_table = self._table(key.public, "p", secret.p_modulus, len(words))
        _, q_table = self._table(key.public, "q", secret.q_modulus, len(words), window_bits)
        randomisers = self._randomisers(key.public, len(words))

        def encrypt(out: Rows, words: Words, randomisers: Rows) -> None:
            self._native.paillier_encrypt_with_factors(
                *(out, words, randomisers, secret.p, secret.q, secret.joint, p_table, q_table, window_bits),
                target=self._target,
            )

        return self._rows(encrypt, key.public.ciphertext_bytes, words, randomisers)

    # --- add

    def add(self, key: PaillierPublicKey, left: Rows, right: Rows) -> Rows:
        if left.shape != right.shape:
            raise ValueCountError(len(left), len(right), "ciphertexts")
        public = self._public(key)

        def add(out: Rows, left: Rows, right: Rows) -> None:
            self._native.paillier_add(out, left, right, public.constants, target=self._target)

        return self._rows(add, key.ciphertext_bytes, left, right)

    # --- decrypt

    def decrypt(self, key: PaillierSecretKey, ciphertexts: Rows) -> Words:
        """By the Chinese remainder theorem (Paillier 1999, section 7): half-size exponents mod p^2 and q^2."""
        secret = self._secret(key)

        def decrypt(out: Words, ciphertexts: Rows) -> None:
            self._native.paillier_decrypt(out, ciphertexts, secret.p, secret.q, secret.joint, target=self._target)

        return self._rows(decrypt, key.public.modulus_bits // 8, ciphertexts)

    # --- check

    def check(self, key: PaillierPublicKey, ciphertexts: Rows) -> None:
        bound = self._public(key).bound
        index = self._native.paillier_first_outside(np.ascontiguousarray(ciphertexts), bound)
        if index is not None:
            raise CiphertextRangeError(index, "must be in [1, n^2)")

    # --- keys

    def _shape(self, key: PaillierPublicKey) -> _Shape:
        return _Shape(*self._native.paillier_shape(key.modulus_bits, target=self._target))

    def _public(self, key: PaillierPublicKey) -> _Public:
        with self._lock:
            if key.key_id not in self._public_keys:
                shape = self._shape(key)
                modulus = _Modulus(shape, key.n, shape.limbs)
                bound = np.frombuffer((key.n**2).to_bytes(key.ciphertext_bytes, "little"), np.uint8)
                self._public_keys[key.key_id] = _Public(
                    modulus, _array(modulus.constants() + modulus.powers(3)), bound
                )
            return self._public_keys[key.key_id]

    def _secret(self, key: PaillierSecretKey) -> _Secret:
        with self._lock:
            if key.public.key_id not in self._secret_keys:
                self._secret_keys[key.public.key_id] = _secret_constants(key, self._shape(key.public))
            return self._secret_keys[key.public.key_id]

    def _table(
        self, key: PaillierPublicKey, name: str, modulus: _Modulus, batch: int, window_bits: int | None = None
    ) -> tuple[int, Table]:
        """The table of h mod n^2, p^2 or q^2, and its window: the one there is, or a wider one for a larger batch."""
        wanted = window_bits or window_bits_for(
            batch * EXPECTED_BATCHES, key.randomiser_bits, modulus.shape.entries_a_product
        )
        with self._lock:
            held = self._tables.get((key.key_id, name))
            if held is None or held[0] < wanted:
                digits = -(-key.randomiser_bits // wanted)
                table = _aligned(digits, (3 * modulus.limbs * modulus.shape.entry_bytes) << wanted)
                constants = _array(modulus.constants() + modulus.table_constants())
                base = _array(modulus.table_base(key.h))
                self._native.paillier_table(table, constants, base, key.modulus_bits, wanted, target=self._target)
                held = self._tables[key.key_id, name] = (wanted, table)
            return held

    # --- batches

    def _randomisers(self, key: PaillierPublicKey, count: int) -> Rows:
        size = key.randomiser_bits // 8
        return np.frombuffer(self._entropy(count * size), np.uint8).reshape(count, size)

    def _rows(self, compute: Callable[..., None], row_bytes: int, *inputs: Rows) -> Rows:
        """compute(out, *inputs) over shares of the rows."""
        contiguous = [np.ascontiguousarray(rows) for rows in inputs]
        out = np.empty((len(inputs[0]), row_bytes), np.uint8)
        self._threads.split(
            len(out), lambda share: compute(out[share], *(rows[share] for rows in contiguous)), multiple=LANES
        )
        return out


def _secret_constants(key: PaillierSecretKey, shape: _Shape) -> _Secret:
    """What cext/bigint/paillier.h names in its structs, in their order."""
    p, q, n = key.p, key.q, key.public.n
    of_p, of_q = (_Modulus(shape, prime, shape.prime_limbs) for prime in (p, q))
    r = of_p.r  # as of_q.r

    def prime(own: _Modulus, other: int, scale: int) -> Constants:
        message = own.residue(other * r) + own.residue(other * r * r)
        return _array(own.constants() + own.powers(5) + message + own.residue(scale * r))

    p_in_q, p_squared_in_q = pow(p, -1, q), pow(p * p, -1, q * q)
    joint = (
        of_q.residue(-r * p_in_q)
        + of_q.element(r**2 * p_squared_in_q)
        + of_q.element(-(r**2) * p_squared_in_q)
        + of_q.element(-(r**3) * p_squared_in_q)
        + shape.limbs_of(p * p, 2 * shape.prime_limbs)
    )
    return _Secret(of_p, of_q, prime(of_p, q, _scale(p, n)), prime(of_q, p, _scale(q, n) * p_in_q), _array(joint))


def _scale(prime: int, n: int) -> int:
    """1 / L(g^(prime-1) mod prime^2) mod prime; g = n + 1, so the power is 1 + (prime-1) n mod prime^2."""
    return pow((1 + (prime - 1) * n) % prime**2 // prime, -1, prime)


def _array(limbs: list[int]) -> Constants:
    return np.array(limbs, np.uint64)


def _aligned(rows: int, row_bytes: int) -> Table:
    """uint8[rows, row_bytes], not initialised, at an address as the kernels want it."""
    block = np.empty(rows * row_bytes + TABLE_ALIGNMENT, np.uint8)
    start = -block.ctypes.data % TABLE_ALIGNMENT
    return block[start : start + rows * row_bytes].reshape(rows, row_bytes)

"""Arithmetic of `rlwe` on whole vectors: keys, encryption, sums, decryption and the wire form, over a set of kernels.

Work is split over threads by polynomials.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from he_core.arith.coefficients import unpack_below
from he_core.arith.fields import first_out_of_range
from he_core.arith.kernels import RlweKernels
from he_core.arith.threads import Threads
from he_core.errors import FieldRangeError
from he_core.params import RlweParameters
from he_core.planner import LARGEST_SAMPLE, RlwePlan, coefficient_width, part_bytes

SEED_BYTES = 32
Q = RlweParameters.MODULUS

# Domains keep the streams of one seed apart; the index counts polynomials.
KEY_SECRET, KEY_ERRORS = 1, 2  # of a key pair's seed, or of a threshold client's part of it
ONE_TIME_KEY, RANDOMISER, KEY_U_ERRORS, KEY_V_ERRORS, VALUE_ERRORS = 3, 4, 5, 6, 7  # of a message's seed
ROUND_POLYNOMIALS, KEY_POLYNOMIAL = 8, 9  # of public seeds
SHARING, FLOODING = 10, 11  # of a threshold client's seeds

Polynomial = NDArray[np.uint64]
"""uint64[N], each in [0, q)."""
PublicPolynomials = NDArray[np.uint64]
"""uint64[L, N], each in [0, q), transformed."""


@dataclass(frozen=True, eq=False)
class PackedVector:
    """A ciphertext as it crosses the wire. packed: uint8[plan.payload_bytes]."""

    plan: RlwePlan
    packed: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class DecodedVector:
    """A ciphertext as it is summed.

    coefficients: uint64[2 N + plan.coefficient_count], the parts of `plan.parts` one after the other; those of a sum
    are not reduced.
    """

    plan: RlwePlan
    coefficients: NDArray[np.uint64]


RlweCiphertext = PackedVector | DecodedVector


class RingArithmetic:
    """`kernels` over `threads` threads; `name` is the backend's."""

    def __init__(self, name: str, kernels: RlweKernels, threads: int = 1) -> None:
        self.name = name
        self._kernels = kernels
        self._threads = Threads(threads, "rlwe")

    # --- keys

    def public_key_polynomial(self, seed: bytes, degree: int) -> Polynomial:
        """The a of a public key, transformed."""
        out = np.empty((1, degree), np.uint64)
        self._kernels.expand_uniform(out, seed, KEY_POLYNOMIAL, 0)
        return out[0]

    def key_samples(self, seed: bytes, degree: int) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
        """s and e of a key pair: int8[N] each."""
        return self.gaussian(seed, KEY_SECRET, degree), self.gaussian(seed, KEY_ERRORS, degree)

    def key_product(self, a: Polynomial, secret: NDArray[np.int8], errors: NDArray[np.int8]) -> Polynomial:
        """a s + e from the transformed a; coefficients, not transformed."""
        product = self._multiply(a[None], self.transform_small(secret))[0]
        self._kernels.cover(product, product.copy(), errors, np.zeros_like(product), 0, 0)
        return product

    def is_key_pair(self, a: Polynomial, b: Polynomial, secret: NDArray[np.int8]) -> bool:
        """Whether b - a s is as small as a key's errors are."""
        product = self._multiply(a[None], self.transform_small(secret))[0]
        difference = (b.astype(np.int64) - product.astype(np.int64) + LARGEST_SAMPLE) % Q
        return bool(
            (difference <= 2 * LARGEST_SAMPLE).all() and (np.abs(secret.astype(np.int16)) <= LARGEST_SAMPLE).all()
        )

    def transform(self, polynomial: Polynomial) -> Polynomial:
        transformed = polynomial.copy()
        self._kernels.forward(transformed)
        return transformed

    def transform_small(self, samples: NDArray[np.signedinteger]) -> Polynomial:
        """The transform of signed coefficients, each below q in magnitude."""
        signed = samples.astype(np.int64)
        signed += (signed >> 63) & Q  # without a branch on the sign
        return self.transform(signed.view(np.uint64))

    # --- public polynomials of a round

    def expand(self, seed: bytes, first: int, count: int, degree: int) -> PublicPolynomials:
        """Polynomials first .. first + count - 1 of a round's seed."""
        out = np.empty((count, degree), np.uint64)

        def expand_slice(part: slice) -> None:
            self._kernels.expand_uniform(out[part], seed, ROUND_POLYNOMIALS, first + part.start)

        self._threads.split(count, expand_slice)
        return out

    # --- vectors

    def encrypt(
        self,
        plan: RlwePlan,
        public: PublicPolynomials,
        polynomials: PublicPolynomials,
        fields: NDArray[np.uint32],
        seed: bytes,
    ) -> RlweCiphertext:
        """fields: uint32[plan.value_count]. seed: this message's alone. Raises FieldRangeError."""
        kernels, degree = self._kernels, plan.degree
        packed = np.empty(plan.payload_bytes, np.uint8)
        u, v, values = _packed_parts(packed, plan)
        key = self.gaussian(seed, ONE_TIME_KEY, degree)
        masks = self._multiply(public, self.transform_small(self.gaussian(seed, RANDOMISER, degree)))
        key_words = key.astype(np.int64).view(np.uint64) & np.uint64((1 << plan.key_plaintext_bits) - 1)
        for out, mask, domain, message, plaintext_bits, dropped_bits in (
            (u, masks[0], KEY_U_ERRORS, np.zeros_like(key_words), 0, plan.key_u_dropped_bits),
            (v, masks[1], KEY_V_ERRORS, key_words, plan.key_plaintext_bits, plan.key_v_dropped_bits),
        ):
            covered = np.empty_like(message)
            errors = self.gaussian(seed, domain, degree)
            kernels.cover(covered, mask, errors, message, plaintext_bits, dropped_bits)
            kernels.pack_coefficients(out, covered, coefficient_width(dropped_bits))
        self.encrypt_values(values, plan, key, polynomials, fields, seed)
        return PackedVector(plan, packed)

    def encrypt_values(
        self,
        out: NDArray[np.uint8],
        plan: RlwePlan,
        key: NDArray[np.int8],
        polynomials: PublicPolynomials,
        fields: NDArray[np.uint32],
        seed: bytes,
    ) -> None:
        """Fill `out` with the values' part of a message under its one-time key. seed: this message's alone.

        Raises FieldRangeError.
        """
        kernels, degree = self._kernels, plan.degree
        factor = self.transform_small(key)
        polynomial_bytes = part_bytes(degree, plan.dropped_bits)
        polynomial_fields = degree * plan.fields_per_coefficient

        def encrypt_slice(part: slice) -> None:
            kernels.encrypt_polynomials(
                out[part.start * polynomial_bytes : part.stop * polynomial_bytes],
                fields[part.start * polynomial_fields : part.stop * polynomial_fields],
                polynomials[part],
                factor,
                seed,
                VALUE_ERRORS,
                part.start,
                plan.field_bits,
                plan.fields_per_coefficient,
                plan.dropped_bits,
            )

        try:
            self._threads.split(plan.polynomial_count, encrypt_slice)
        except OverflowError:
            raise FieldRangeError(first_out_of_range(fields, plan.field_bits), plan.field_bits) from None

    def add(self, accumulator: RlweCiphertext, addend: RlweCiphertext) -> RlweCiphertext:
        """Coefficients are added as 64-bit words; the planner keeps K_max of them below 2^64."""
        total = self._decoded(accumulator).coefficients
        np.add(total, self._decoded(addend).coefficients, out=total)
        return DecodedVector(accumulator.plan, total)

    def open_key(self, secret: Polynomial, ciphertext: DecodedVector) -> Polynomial:
        """The one-time key of a message, or the sum of keys of a sum, transformed."""
        kernels, plan = self._kernels, ciphertext.plan
        u, v, _ = _decoded_parts(ciphertext.coefficients, plan)
        key_u = u.copy()
        kernels.reduce(key_u, plan.key_u_dropped_bits)
        key_u <<= np.uint64(plan.key_u_dropped_bits)
        kernels.forward(key_u)
        mask = self._multiply(key_u[None], secret)[0]
        key_words = np.empty(plan.degree, np.uint64)
        kernels.uncover(key_words, mask, v, plan.key_plaintext_bits, plan.key_v_dropped_bits)
        sign = 1 << (plan.key_plaintext_bits - 1)
        return self.transform_small((key_words.view(np.int64) ^ sign) - sign)

    def decrypt(
        self, secret: Polynomial, polynomials: PublicPolynomials, ciphertext: RlweCiphertext
    ) -> NDArray[np.uint32]:
        """uint32[plan.value_count]: the fields of a sum."""
        decoded = self._decoded(ciphertext)
        _, _, values = _decoded_parts(decoded.coefficients, decoded.plan)
        return self.decrypt_values(decoded.plan, self.open_key(secret, decoded), polynomials, values)

    def decrypt_values(
        self, plan: RlwePlan, factor: Polynomial, polynomials: PublicPolynomials, values: NDArray[np.uint64]
    ) -> NDArray[np.uint32]:
        """uint32[plan.value_count]: the fields of a sum's values' part. factor: the sum of keys, transformed."""
        kernels, degree = self._kernels, plan.degree
        fields = np.empty(plan.value_count, np.uint32)
        polynomial_fields = degree * plan.fields_per_coefficient

        def decrypt_slice(part: slice) -> None:
            kernels.decrypt_polynomials(
                fields[part.start * polynomial_fields : part.stop * polynomial_fields],
                values[part.start * degree : part.stop * degree],
                polynomials[part],
                factor,
                plan.field_bits,
                plan.fields_per_coefficient,
                plan.dropped_bits,
            )

        self._threads.split(plan.polynomial_count, decrypt_slice)
        return fields

    # --- wire

    def serialise(self, ciphertext: RlweCiphertext) -> NDArray[np.uint8]:
        """uint8[plan.payload_bytes], every coefficient reduced: in place, as a sum means the same either way."""
        if isinstance(ciphertext, PackedVector):
            return ciphertext.packed
        plan = ciphertext.plan
        packed = np.empty(plan.payload_bytes, np.uint8)
        sums_of_parts = _decoded_parts(ciphertext.coefficients, plan)
        for out, sums, (_, dropped_bits) in zip(_packed_parts(packed, plan), sums_of_parts, plan.parts, strict=True):
            self._kernels.reduce(sums, dropped_bits)
            self._kernels.pack_coefficients(out, sums, coefficient_width(dropped_bits))
        return packed

    def parse(self, plan: RlwePlan, packed: NDArray[np.uint8]) -> DecodedVector:
        """Raises CiphertextRangeError for a coefficient out of range or bits set after the last one."""
        coefficients = np.empty(sum(count for count, _ in plan.parts), np.uint64)
        outs = _decoded_parts(coefficients, plan)
        start = 0
        for out, part, (count, dropped_bits) in zip(outs, _packed_parts(packed, plan), plan.parts, strict=True):
            self._unpack(out, part, dropped_bits, start)
            start += count
        return DecodedVector(plan, coefficients)

    def pack(self, polynomial: Polynomial, dropped_bits: int) -> NDArray[np.uint8]:
        packed = np.empty(part_bytes(polynomial.size, dropped_bits), np.uint8)
        self._kernels.pack_coefficients(packed, polynomial, coefficient_width(dropped_bits))
        return packed

    def unpack(self, packed: NDArray[np.uint8], count: int, dropped_bits: int) -> NDArray[np.uint64]:
        """Raises CiphertextRangeError."""
        out = np.empty(count, np.uint64)
        self._unpack(out, packed, dropped_bits, 0)
        return out

    def reduce(self, sums: NDArray[np.uint64], dropped_bits: int) -> None:
        """Bring unreduced sums of coefficients to their modulus, in place."""
        self._kernels.reduce(sums, dropped_bits)

    def _unpack(self, out: NDArray[np.uint64], packed: NDArray[np.uint8], dropped_bits: int, first: int) -> None:
        limit = Q >> dropped_bits if dropped_bits else Q
        unpack_below(self._kernels, out, packed, coefficient_width(dropped_bits), limit, first)

    def _decoded(self, ciphertext: RlweCiphertext) -> DecodedVector:
        if isinstance(ciphertext, PackedVector):
            return self.parse(ciphertext.plan, ciphertext.packed)
        return ciphertext

    def gaussian(self, seed: bytes, domain: int, degree: int) -> NDArray[np.int8]:
        """Narrow samples of the first stream of a domain: int8[degree]."""
        out = np.empty(degree, np.int8)
        self._kernels.sample_gaussian(out, seed, domain, 0, "narrow")
        return out

    def _multiply(self, transformed: PublicPolynomials, factor: Polynomial) -> PublicPolynomials:
        out = np.empty(transformed.shape, np.uint64)
        self._kernels.multiply(out, transformed, factor)
        return out


def _packed_parts(packed: NDArray[np.uint8], plan: RlwePlan) -> list[NDArray[np.uint8]]:
    """The bytes of key u, key v and values."""
    return _cut(packed, [part_bytes(count, dropped_bits) for count, dropped_bits in plan.parts])


def _decoded_parts(coefficients: NDArray[np.uint64], plan: RlwePlan) -> list[NDArray[np.uint64]]:
    """The coefficients of key u, key v and values."""
    return _cut(coefficients, [count for count, _ in plan.parts])


def _cut(whole: NDArray[Any], lengths: Iterable[int]) -> list[NDArray[Any]]:
    return [whole[start:end] for start, end in pairwise(accumulate(lengths, initial=0))]

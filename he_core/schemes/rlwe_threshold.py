"""rlwe for a threshold group: the key is made by all clients, and any t of n decrypt a sum together.

The values' part of a message is that of `rlwe`, byte for byte. The one-time key is encrypted in a larger ring, R_Q,
under the sum of all clients' public parts, b = sum b_i = a sum(s_i) + sum(e_i). Each client shares its own s_i over
R_q1 x R_q2 (`he_core.schemes.sharing`); a holder keeps the sum of what it got. A set T of t holders decrypts by parts
lambda_j s_j u + noise, lambda_j the Lagrange coefficient of j in T at 0 (Mouchet, Bertrand, Hubaux, "An Efficient
Threshold Access-Structure for RLWE-Based Multiparty Homomorphic Encryption", J. Cryptology 36(2), 2023). How wide the
noise is and why: `he_core.flooding`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from he_core.arith.residue_ring import Residues
from he_core.arith.ring import (
    FLOODING,
    KEY_ERRORS,
    KEY_POLYNOMIAL,
    KEY_SECRET,
    KEY_U_ERRORS,
    KEY_V_ERRORS,
    ONE_TIME_KEY,
    RANDOMISER,
    SEED_BYTES,
    RingArithmetic,
)
from he_core.arith.wide_ring import MODULUS, WideRing, restored, scaled
from he_core.codec import CodecShape
from he_core.errors import ParameterError
from he_core.flooding import U_BITS, V_BITS, FloodingPlan, plan_flooding
from he_core.keys import PublicBundle, PublicKey, SecretBundle, SecretKey
from he_core.packing import Payload, Words
from he_core.params import RlweParameters
from he_core.planner import RlwePlan, part_bytes
from he_core.scheme import Capabilities, Deal, Trust
from he_core.schemes.rlwe import Rlwe, material_of
from he_core.schemes.sharing import stored
from he_core.schemes.threshold_group import ThresholdGroup
from he_core.threshold_errors import PartialsDoNotFitError


@dataclass(frozen=True, eq=False)
class ThresholdPublicKey(PublicKey):
    """a and b = a s + e, transformed, mod Q."""

    a: Residues = field(repr=False)
    b: Residues = field(repr=False)


@dataclass(frozen=True, repr=False, eq=False)
class ThresholdShare(SecretKey):
    """One holder's share of s, transformed."""

    public: ThresholdPublicKey
    holder: int
    transformed: Residues


@dataclass(frozen=True, eq=False)
class ThresholdCiphertext:
    """u as 96-bit numbers, low 64 bits and high 32 bits apart; v; values as `rlwe` sums them, unreduced.

    u_low, u_high: uint64[N'], the latter mod 2^32. v: uint32[N]. values: uint64[plan.coefficient_count].
    """

    plan: RlwePlan
    flooding: FloodingPlan
    u_low: NDArray[np.uint64]
    u_high: NDArray[np.uint64]
    v: NDArray[np.uint32]
    values: NDArray[np.uint64]


class ThresholdRlwe(ThresholdGroup, Rlwe):
    """The scheme over any ring arithmetic; what is particular to a threshold runs on numba."""

    def __init__(
        self, parameters: RlweParameters, arithmetic: RingArithmetic, *, entropy: Callable[[int], bytes] = os.urandom
    ) -> None:
        if not parameters.threshold:
            raise ParameterError("threshold", parameters.threshold, "must be 2 or more here")
        super().__init__(parameters, arithmetic, entropy=entropy)

    @cached_property
    def _ring(self) -> WideRing:
        return WideRing(self.parameters.wide_degree)

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, trust=Trust.THRESHOLD)

    # --- keys

    def deal(self, public_seed: bytes) -> Deal:
        ring, degree = self._ring, self._ring.degree
        a = ring.uniform(public_seed, KEY_POLYNOMIAL, 0)
        seed, sharing = self._entropy(SEED_BYTES), self._entropy(SEED_BYTES)
        secret = ring.lift(self._arithmetic.gaussian(seed, KEY_SECRET, degree))
        errors = ring.lift(self._arithmetic.gaussian(seed, KEY_ERRORS, degree))
        b = ring.add(ring.product(a, ring.transform(secret)), errors)
        return Deal(stored(b), self._sharing.deal(secret, sharing))

    def public_key(self, bundle: PublicBundle) -> ThresholdPublicKey:  # type: ignore[override]
        self.check_bundle(bundle)
        seed = material_of(bundle.material, "a_seed", SEED_BYTES)
        b = self._sharing.residues(bundle.material.get("b", b""), "key b")
        a = self._ring.uniform(seed, KEY_POLYNOMIAL, 0)
        return ThresholdPublicKey(bundle.key_id, a, self._ring.transform(b))

    def secret_key(self, bundle: SecretBundle) -> ThresholdShare:  # type: ignore[override]
        """That a share belongs to the public key shows in decrypting alone."""
        public = self.public_key(bundle.public)
        holder, share = self._sharing.opened(bundle.material)
        return ThresholdShare(public, holder, self._ring.transform(share))

    def holder_of(self, key: SecretKey) -> int:
        return _share(key).holder

    # --- vectors

    def flooding(self, shape: CodecShape) -> FloodingPlan:
        """Bounds and widths of partial decryptions of sums of `shape`. Raises ParameterError."""
        return plan_flooding(self.parameters, shape)

    def encrypt(self, key: PublicKey | SecretKey, words: Words, shape: CodecShape, round: int) -> ThresholdCiphertext:  # type: ignore[override]
        public = key.public if isinstance(key, ThresholdShare) else key
        if not isinstance(public, ThresholdPublicKey):
            raise ParameterError("key", type(key).__name__, "is not a public key of a threshold group")
        arithmetic, ring, layout, flooding = self._arithmetic, self._ring, self.plan(shape), self.flooding(shape)
        seed, degree = self._entropy(SEED_BYTES), layout.degree
        one_time = arithmetic.gaussian(seed, ONE_TIME_KEY, degree)
        randomiser = ring.transform(ring.lift(arithmetic.gaussian(seed, RANDOMISER, ring.degree)))
        u_errors = ring.lift(arithmetic.gaussian(seed, KEY_U_ERRORS, ring.degree))
        v_errors = ring.lift(arithmetic.gaussian(seed, KEY_V_ERRORS, degree))
        u = scaled(ring.add(ring.product(public.a, randomiser), u_errors), U_BITS)
        message = ring.times(ring.lift(one_time), MODULUS >> flooding.plaintext_bits)
        mask = ring.product(public.b, randomiser)[:, :degree]
        v = scaled(ring.add(ring.add(mask, v_errors), message), V_BITS)
        count, dropped_bits = layout.parts[2]
        packed = np.empty(part_bytes(count, dropped_bits), np.uint8)
        polynomials = self.round_polynomials(key, layout, round)
        fields = self.plaintext(shape).unpack(words, shape.value_count)
        arithmetic.encrypt_values(packed, layout, one_time, polynomials, fields, seed)
        return ThresholdCiphertext(
            layout,
            flooding,
            np.array([x & (1 << 64) - 1 for x in u], np.uint64),
            np.array([x >> 64 for x in u], np.uint64),
            np.array(v, np.uint32),
            arithmetic.unpack(packed, count, dropped_bits),
        )

    def add(  # type: ignore[override]
        self, key: PublicKey, accumulator: ThresholdCiphertext, addend: ThresholdCiphertext
    ) -> ThresholdCiphertext:
        low = accumulator.u_low + addend.u_low
        carry = (low < addend.u_low).astype(np.uint64)
        high = (accumulator.u_high + addend.u_high + carry) & np.uint64(0xFFFFFFFF)
        np.add(accumulator.values, addend.values, out=accumulator.values)
        return replace(accumulator, u_low=low, u_high=high, v=accumulator.v + addend.v)

    # --- partial decryptions

    def partial_bytes(self, shape: CodecShape) -> int:
        return self.flooding(shape).partial_bytes

    def partial_decrypt(self, key: SecretKey, ciphertext: ThresholdCiphertext, holders: Sequence[int]) -> bytes:
        share, ring, flooding = _share(key), self._ring, ciphertext.flooding
        self._sharing.check_among(share.holder, holders)
        wide = [
            low | high << 64 for low, high in zip(ciphertext.u_low.tolist(), ciphertext.u_high.tolist(), strict=True)
        ]
        opened = ring.product(ring.transform(restored(wide, U_BITS)), share.transformed)[:, : flooding.key_degree]
        noise = ring.noise(self._entropy(SEED_BYTES), FLOODING, flooding.key_degree, flooding.flooding_bits)
        part = ring.add(ring.times(opened, self._sharing.lagrange(share.holder, holders)), noise)
        return np.array(scaled(part, V_BITS), "<u4").tobytes()

    def combine(
        self,
        key: PublicKey,
        ciphertext: ThresholdCiphertext,
        round: int,
        partials: Mapping[int, bytes],
        shape: CodecShape,
    ) -> Words:
        holders = tuple(sorted(partials))
        self._sharing.check(holders)
        flooding = ciphertext.flooding
        opened = ciphertext.v.copy()
        for data in partials.values():
            if len(data) != flooding.partial_bytes:
                raise ParameterError("partial decryption", f"{len(data)} bytes", f"must be {flooding.partial_bytes}")
            opened -= np.frombuffer(data, "<u4")
        spacing_bits = V_BITS - flooding.plaintext_bits
        rounded = opened + np.uint32(1 << (spacing_bits - 1))
        keys = rounded.view(np.int32) >> spacing_bits
        if bool((np.abs(keys) > flooding.largest_key).any()):
            raise PartialsDoNotFitError(holders)
        polynomials = self.round_polynomials(key, ciphertext.plan, round)
        factor = self._arithmetic.transform_small(keys)
        fields = self._arithmetic.decrypt_values(ciphertext.plan, factor, polynomials, ciphertext.values)
        return self.plaintext(shape).pack(fields)

    # --- wire: u, 12 bytes a coefficient; v, 4; values

    def payload_bytes(self, shape: CodecShape) -> int:
        return self.flooding(shape).payload_bytes + part_bytes(*self.plan(shape).parts[2])

    def serialise(self, key: PublicKey, ciphertext: ThresholdCiphertext) -> Payload:  # type: ignore[override]
        dropped_bits = ciphertext.plan.dropped_bits
        u = np.empty((len(ciphertext.u_low), U_BITS // 32), "<u4")
        u[:, :2] = ciphertext.u_low.astype("<u8").view("<u4").reshape(-1, 2)
        u[:, 2] = ciphertext.u_high
        self._arithmetic.reduce(ciphertext.values, dropped_bits)  # a sum means the same either way
        parts = (u.view(np.uint8), ciphertext.v.astype("<u4").view(np.uint8))
        values = self._arithmetic.pack(ciphertext.values, dropped_bits)
        return np.concatenate([*(part.reshape(-1) for part in parts), values])

    def parse(self, key: PublicKey, payload: memoryview, shape: CodecShape) -> ThresholdCiphertext:  # type: ignore[override]
        """Every u and v is in range; the values are checked as in `rlwe`. Raises CiphertextRangeError."""
        layout, flooding = self.plan(shape), self.flooding(shape)
        data = np.frombuffer(payload, np.uint8)
        u_bytes = flooding.degree * U_BITS // 8
        u = data[:u_bytes].view("<u4").reshape(-1, U_BITS // 32).astype(np.uint64)
        return ThresholdCiphertext(
            layout,
            flooding,
            u[:, 0] | u[:, 1] << np.uint64(32),
            u[:, 2].copy(),
            data[u_bytes : flooding.payload_bytes].view("<u4").astype(np.uint32),
            self._arithmetic.unpack(data[flooding.payload_bytes :], *layout.parts[2]),
        )


def _share(key: SecretKey) -> ThresholdShare:
    if not isinstance(key, ThresholdShare):
        raise ParameterError("key", type(key).__name__, "is not a share of a threshold group's key")
    return key

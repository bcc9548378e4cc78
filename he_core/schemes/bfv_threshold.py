"""bfv for a threshold group: the key is made by all clients, and any t of n decrypt a sum together.

OpenFHE's multiparty calls under Shamir's sharing. Each client makes its part of the key, b_i = e_i - a s_i under the
group's common a (MultipartyKeyGen); the public key is their sum. It shares its own s_i (`he_core.schemes.sharing`); a
holder keeps the sum of what it got. A set T of t holders decrypts by parts lambda_j s_j c1 + noise, lambda_j the
Lagrange coefficient of j in T at 0: MultipartyDecryptMain under lambda_j s_j in the place of a secret key, with
OpenFHE's noise flooding, and MultipartyDecryptFusion of c0 and the parts (Mouchet, Bertrand, Hubaux, "An Efficient
Threshold Access-Structure for RLWE-Based Multiparty Homomorphic Encryption", J. Cryptology 36(2), 2023). So nobody's
secret is ever put together, as OpenFHE's own way out for absent clients would (RecoverSharedKey). How wide the noise
is and why that is enough: `he_core.flooding_bfv`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from he_core.arith.openfhe_backend.lattice import LatticeContext
from he_core.arith.residue_ring import Residues
from he_core.arith.ring import KEY_POLYNOMIAL, SEED_BYTES
from he_core.arith.tower_ring import TowerRing
from he_core.codec import CodecShape
from he_core.errors import CiphertextRangeError, ParameterError
from he_core.flooding_bfv import FloodedSum, flooded_sum
from he_core.keys import PublicBundle, PublicKey, SecretBundle, SecretKey
from he_core.packing import Payload, Words
from he_core.params import BfvParameters
from he_core.scheme import Capabilities, Deal, Trust
from he_core.schemes.bfv import Bfv
from he_core.schemes.residues import Lattice
from he_core.schemes.rlwe import material_of
from he_core.schemes.sharing import RESIDUE_BYTES, stored
from he_core.schemes.threshold_group import ThresholdGroup
from he_core.threshold_errors import PartialsDoNotFitError

TOWERS = 3
PRIME_BITS = 60


class MultipartyLattice(Lattice, Protocol):
    """A lattice with the calls of a threshold group; residues uint64[chunks, 3, N]."""

    def join(self, context: LatticeContext, a: Residues) -> tuple[Residues, Residues]: ...
    def partial(self, context: LatticeContext, secret: Residues, factors: Residues) -> Residues: ...
    def fuse(self, context: LatticeContext, sums: Residues, out: NDArray[np.uint32]) -> None: ...


@dataclass(frozen=True, eq=False)
class GroupPublicKey(PublicKey):
    """b, then a: uint64[6, N], as the library orders them."""

    residues: Residues = field(repr=False)


@dataclass(frozen=True, repr=False, eq=False)
class GroupShare(SecretKey):
    """One holder's share of s, uint64[3, N]."""

    public: GroupPublicKey
    holder: int
    residues: Residues


@dataclass(frozen=True, eq=False)
class DividedVector:
    """A ciphertext of a whole vector. c0: over W, uint64[chunks, N] below q_3. c1: uint64[chunks, 3, N]."""

    shape: CodecShape
    c0: NDArray[np.uint64]
    c1: Residues


class ThresholdBfv(ThresholdGroup, Bfv):
    """The scheme over OpenFHE; what it does beside the library runs on numba.

    entropy: bytes source of the seeds of shares. Tests pass a fixed one; nothing in the package does.
    """

    summary = "BFV of OpenFHE for a threshold group: exact, 256 bits a value at 16 bits and 8 clients, 64 in a part"
    parameters: BfvParameters

    def __init__(
        self, parameters: BfvParameters, lattice: MultipartyLattice, *, entropy: Callable[[int], bytes] = os.urandom
    ) -> None:
        if not parameters.threshold:
            raise ParameterError("threshold", parameters.threshold, "must be 2 or more here")
        super().__init__(parameters, lattice)
        self._multiparty = lattice
        self._entropy = entropy

    @cached_property
    def _ring(self) -> TowerRing:
        return TowerRing(self.parameters.degree)

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, trust=Trust.THRESHOLD)

    def context(self, shape: CodecShape) -> LatticeContext:
        return replace(super().context(shape), encoding="coefficients-together", modulus_bits=PRIME_BITS)

    # --- keys

    def deal(self, public_seed: bytes) -> Deal:
        a = self._ring.uniform(public_seed, KEY_POLYNOMIAL, 0)
        b, secret = self._multiparty.join(self.context(self._KEY_SHAPE), a)
        return Deal(stored(b), self._sharing.deal(secret, self._entropy(SEED_BYTES)))

    def public_key(self, bundle: PublicBundle) -> GroupPublicKey:  # type: ignore[override]
        self.check_bundle(bundle)
        seed = material_of(bundle.material, "a_seed", SEED_BYTES)
        b = self._sharing.residues(bundle.material.get("b", b""), "key b")
        a = self._ring.uniform(seed, KEY_POLYNOMIAL, 0)
        return GroupPublicKey(bundle.key_id, np.concatenate([b, a]))

    def secret_key(self, bundle: SecretBundle) -> GroupShare:  # type: ignore[override]
        """That a share belongs to the public key shows in decrypting alone."""
        public = self.public_key(bundle.public)
        holder, share = self._sharing.opened(bundle.material)
        return GroupShare(public, holder, share)

    def holder_of(self, key: SecretKey) -> int:
        return _share(key).holder

    # --- vectors

    def flooding(self, shape: CodecShape) -> FloodedSum:
        """What partial decryptions of sums of `shape` hide, and how often."""
        return flooded_sum(self.parameters, shape, self._chunks(shape) * self.parameters.degree)

    def encrypt(self, key: PublicKey | SecretKey, words: Words, shape: CodecShape, round: int) -> DividedVector:  # type: ignore[override]
        public = key.public if isinstance(key, GroupShare) else key
        if not isinstance(public, GroupPublicKey):
            raise ParameterError("key", type(key).__name__, "is not a public key of a threshold group")
        residues = self._lattice.encrypt(self.context(shape), public.residues, self.numbers(words, shape))
        return DividedVector(shape, self._ring.divided(residues[:, :TOWERS]), residues[:, TOWERS:])

    def add(self, key: PublicKey, accumulator: DividedVector, addend: DividedVector) -> DividedVector:  # type: ignore[override]
        c0 = self._ring.add_quotients(accumulator.c0, addend.c0)
        return replace(accumulator, c0=c0, c1=self._ring.add(accumulator.c1, addend.c1))

    # --- partial decryptions

    def partial_bytes(self, shape: CodecShape) -> int:
        return self._chunks(shape) * self.parameters.degree * RESIDUE_BYTES

    def partial_decrypt(self, key: SecretKey, ciphertext: DividedVector, holders: Sequence[int]) -> bytes:
        share = _share(key)
        self._sharing.check_among(share.holder, holders)
        secret = self._ring.times(share.residues, self._sharing.lagrange(share.holder, holders))
        parts = self._multiparty.partial(self.context(ciphertext.shape), secret, ciphertext.c1)
        return stored(self._ring.divided(parts))

    def combine(
        self,
        key: PublicKey,
        ciphertext: DividedVector,
        round: int,
        partials: Mapping[int, bytes],
        shape: CodecShape,
    ) -> Words:
        holders, ring = tuple(sorted(partials)), self._ring
        self._sharing.check(holders)
        opened = ciphertext.c0
        for data in partials.values():
            if len(data) != self.partial_bytes(shape):
                raise ParameterError(
                    "partial decryption", f"{len(data)} bytes", f"must be {self.partial_bytes(shape)}"
                )
            part = np.frombuffer(data, "<u8").astype(np.uint64).reshape(opened.shape)
            _check_below(part, ring.primes[2:], 0)
            opened = ring.add_quotients(opened, part)
        numbers = np.empty(opened.shape, self.number)
        self._multiparty.fuse(self.context(shape), ring.multiplied(opened), numbers)
        most = self.flooding(shape).largest_residue
        for row, sums in zip(opened, numbers, strict=True):
            if bool((np.abs(self._residue(row, sums, shape)) > most).any()):
                raise PartialsDoNotFitError(holders)
        return self.words(numbers, shape)

    def _residue(
        self, opened: NDArray[np.uint64], numbers: NDArray[np.uint32], shape: CodecShape
    ) -> NDArray[np.int64]:
        """How far each coefficient is off q_3 m / t_plain: noise over W, or anything where parts do not fit."""
        last, precision_bits = self._ring.last, self.context(shape).precision_bits
        signed = numbers.astype(np.int64)
        # q_3 = 2^60 - c, so that q_3 m / 2^p is 2^(60 - p) m - c m / 2^p: no product is over 2^60.
        below = ((1 << PRIME_BITS) - last) * signed >> precision_bits
        exact = (signed << (PRIME_BITS - precision_bits)) - below
        off = (self._ring.centred(opened) - exact) % last
        return np.where(off > last // 2, off - last, off)

    # --- wire: c0, then c1, 8 bytes a residue

    def payload_bytes(self, shape: CodecShape) -> int:
        return (1 + TOWERS) * self.partial_bytes(shape)

    def serialise(self, key: PublicKey, ciphertext: DividedVector) -> Payload:  # type: ignore[override]
        parts = (ciphertext.c0, ciphertext.c1)
        return np.concatenate([part.astype("<u8").reshape(-1).view(np.uint8) for part in parts])

    def parse(self, key: PublicKey, payload: memoryview, shape: CodecShape) -> DividedVector:  # type: ignore[override]
        """Raises CiphertextRangeError."""
        chunks, degree = self._chunks(shape), self.parameters.degree
        residues = np.frombuffer(payload, "<u8").astype(np.uint64)
        c0, c1 = residues[: chunks * degree], residues[chunks * degree :].reshape(chunks, TOWERS, degree)
        _check_below(c0, self._ring.primes[2:], 0)
        _check_below(c1, self._ring.primes, c0.size)
        return DividedVector(shape, c0.reshape(chunks, degree), c1)


def _check_below(residues: NDArray[np.uint64], primes: tuple[int, ...], first: int) -> None:
    """Raise CiphertextRangeError where one of [..., L, N] is not below its prime; indices count from `first`."""
    rows = residues.reshape(-1, len(primes), residues.shape[-1])
    over = np.flatnonzero(rows >= np.array(primes, np.uint64)[:, None])
    if over.size:
        at = int(over[0])
        prime = primes[at // rows.shape[-1] % len(primes)]
        raise CiphertextRangeError(first + at, f"is not below its modulus, {prime}")


def _share(key: SecretKey) -> GroupShare:
    if not isinstance(key, GroupShare):
        raise ParameterError("key", type(key).__name__, "is not a share of a threshold group's key")
    return key

"""rlwe: additively homomorphic encryption from ring learning with errors, for sums alone. The fast default.

A message costs one polynomial product per 2,048 coefficients: every coefficient of plaintext, one or more values, is
covered by `a_j * k + e_j` with a one-time key k for this one message and public polynomials a_j of the round, the
same for every client; k itself is encrypted under the group's public key by the plain RLWE public-key scheme
(Lyubashevsky, Peikert, Regev, EUROCRYPT 2010). Sums of messages decrypt under sums of keys. Keys and errors are
wider than usual because decryptors learn their sums: hint-RLWE, as in key-additive encryption for secure aggregation
(Willow, eprint 2024/936). Low bits that carry only noise are not sent (`he_core.planner`).

Secure against chosen-plaintext attacks under decisional RLWE at the parameters of `RlweParameters`. Malleable by
design: it does not protect against a server that alters a ciphertext, nor against any holder of the shared secret
key.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from he_core.arith.ring import SEED_BYTES, PublicPolynomials, RingArithmetic, RlweCiphertext
from he_core.codec import CodecShape
from he_core.errors import CiphertextRangeError, ParameterError
from he_core.keys import PublicBundle, PublicKey, SecretBundle, SecretKey
from he_core.packing import Fields, Payload, Words
from he_core.params import RlweParameters
from he_core.planner import RlwePlan, plan
from he_core.scheme import Capabilities, Scheme, Trust


@dataclass(frozen=True, eq=False)
class RlwePublicKey(PublicKey):
    """a and b = a s + e, both transformed: uint64[2, N]."""

    polynomials: NDArray[np.uint64] = field(repr=False)


@dataclass(frozen=True, repr=False, eq=False)
class RlweSecretKey(SecretKey):
    """s, transformed: uint64[N]."""

    public: RlwePublicKey
    transformed: NDArray[np.uint64]


class Rlwe(Scheme):
    """The scheme over any ring arithmetic.

    entropy: bytes source of seeds. Tests pass a fixed one; nothing in the package does.
    """

    summary = "ring-LWE, additions only: fastest, about 22 bits a value at 16 bits and 8 clients"

    def __init__(
        self, parameters: RlweParameters, arithmetic: RingArithmetic, *, entropy: Callable[[int], bytes] = os.urandom
    ) -> None:
        self.parameters: RlweParameters = parameters
        self._arithmetic = arithmetic
        self._entropy = entropy
        self._rounds = _RoundPolynomials(self._expand)

    @property
    def backend(self) -> str:
        return self._arithmetic.name

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            encrypts=True,
            security_bits=self.parameters.security_bits,
            trust=Trust.SHARED_KEY,
            exact=True,
            summary=self.summary,
        )

    # --- keys

    def generate_keys(self) -> SecretBundle:
        arithmetic, degree = self._arithmetic, self.parameters.degree
        seed = secrets.token_bytes(SEED_BYTES)
        a = arithmetic.public_key_polynomial(seed, degree)
        secret, errors = arithmetic.key_samples(self._entropy(SEED_BYTES), degree)
        b = arithmetic.key_product(a, secret, errors)
        public = PublicBundle(
            self.name, self.parameters.as_dict(), {"a_seed": seed, "b": arithmetic.pack(b, 0).tobytes()}
        )
        return SecretBundle(public, {"s": secret.tobytes()})

    def public_key(self, bundle: PublicBundle) -> RlwePublicKey:
        self.check_bundle(bundle)
        seed, b = self._public_material(bundle)
        a = self._arithmetic.public_key_polynomial(seed, self.parameters.degree)
        return RlwePublicKey(bundle.key_id, np.stack([a, self._arithmetic.transform(b)]))

    def secret_key(self, bundle: SecretBundle) -> RlweSecretKey:
        public = self.public_key(bundle.public)
        _, b = self._public_material(bundle.public)
        packed = material_of(bundle.material, "s", self.parameters.degree)
        secret = np.frombuffer(packed, np.int8)
        a = public.polynomials[0]
        # The values are secret: the message shows none of them.
        if not self._arithmetic.is_key_pair(a, b, secret):
            raise ParameterError("secret key", "…", "s is not the secret of this public key")
        return RlweSecretKey(public, self._arithmetic.transform_small(secret))

    def _public_material(self, bundle: PublicBundle) -> tuple[bytes, NDArray[np.uint64]]:
        degree = self.parameters.degree
        seed = material_of(bundle.material, "a_seed", SEED_BYTES)
        packed = material_of(bundle.material, "b", degree * RlweParameters.MODULUS_BITS // 8)
        try:
            return seed, self._arithmetic.unpack(np.frombuffer(packed, np.uint8), degree, 0)
        except CiphertextRangeError as error:
            raise ParameterError("key b", f"coefficient {error.index}", "must be below q") from None

    # --- vectors

    def plan(self, shape: CodecShape) -> RlwePlan:
        """How vectors of `shape` are laid out. Raises ParameterError where no layout serves them."""
        return plan(self.parameters, shape)

    def plaintext(self, shape: CodecShape) -> Fields:
        """Encryption packs them, a polynomial at a time, where words would go to memory and back."""
        self.plan(shape)  # or it raises
        return Fields()

    def prepare(self, key: PublicKey | SecretKey, shape: CodecShape, round: int) -> None:
        self.round_polynomials(key, self.plan(shape), round)

    def round_polynomials(self, key: PublicKey | SecretKey, plan: RlwePlan, round: int) -> PublicPolynomials:
        """The round's public polynomials, expanded where they are not yet: uint64[plan.polynomial_count, N]."""
        return self._rounds.of(key.key_id, round, plan.polynomial_count)

    def encrypt(self, key: PublicKey | SecretKey, words: Words, shape: CodecShape, round: int) -> RlweCiphertext:
        public = key.public if isinstance(key, RlweSecretKey) else key
        if not isinstance(public, RlwePublicKey):
            raise ParameterError("key", type(key).__name__, "is not an rlwe public key")
        layout = self.plan(shape)
        polynomials = self.round_polynomials(key, layout, round)
        fields = self.plaintext(shape).unpack(words, shape.value_count)
        return self._arithmetic.encrypt(layout, public.polynomials, polynomials, fields, self._entropy(SEED_BYTES))

    def add(self, key: PublicKey, accumulator: RlweCiphertext, addend: RlweCiphertext) -> RlweCiphertext:
        return self._arithmetic.add(accumulator, addend)

    def decrypt(self, key: SecretKey, ciphertext: RlweCiphertext, round: int) -> Words:
        if not isinstance(key, RlweSecretKey):
            raise ParameterError("key", type(key).__name__, "is not an rlwe secret key")
        polynomials = self.round_polynomials(key, ciphertext.plan, round)
        fields = self._arithmetic.decrypt(key.transformed, polynomials, ciphertext)
        return Fields().pack(fields)

    # --- wire

    def payload_bytes(self, shape: CodecShape) -> int:
        return self.plan(shape).payload_bytes

    def serialise(self, key: PublicKey, ciphertext: RlweCiphertext) -> Payload:
        return self._arithmetic.serialise(ciphertext)

    def parse(self, key: PublicKey, payload: memoryview, shape: CodecShape) -> RlweCiphertext:
        return self._arithmetic.parse(self.plan(shape), np.frombuffer(payload, np.uint8))

    def _expand(self, key_id: bytes, round: int, first: int, count: int) -> PublicPolynomials:
        body = self.parameters.digest + key_id + round.to_bytes(8, "little")
        seed = hashlib.sha256(b"dcsfl rlwe polynomials 1\0" + body).digest()
        return self._arithmetic.expand(seed, first, count, self.parameters.degree)


class _RoundPolynomials:
    """The public polynomials of the round last asked for, expanded once and lengthened when more are needed."""

    def __init__(self, expand: Callable[[bytes, int, int, int], PublicPolynomials]) -> None:
        self._expand = expand
        self._lock = threading.Lock()
        self._of: tuple[bytes, int] | None = None
        self._polynomials: PublicPolynomials | None = None

    def of(self, key_id: bytes, round: int, count: int) -> PublicPolynomials:
        """uint64[count, N]; read-only."""
        with self._lock:
            known = self._polynomials if self._of == (key_id, round) else None
            have = 0 if known is None else len(known)
            if known is None or have < count:
                added = self._expand(key_id, round, have, count - have)
                known = added if known is None else np.concatenate([known, added])
                known.flags.writeable = False
                self._of, self._polynomials = (key_id, round), known
            return known[:count]


def material_of(material: Mapping[str, bytes], name: str, length: int) -> bytes:
    """Key material of exactly `length` bytes. Raises ParameterError."""
    value = material.get(name, b"")
    if len(value) != length:
        raise ParameterError(f"key {name}", f"{len(value)} bytes", f"must be {length} bytes")
    return value

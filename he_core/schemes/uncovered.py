"""Schemes that encrypt nothing: `plain`, the cost baseline, and `none`, without even quantisation.

They run the whole pipeline, frames and checks included, so that everything but the cryptography is the same.
Whoever sees a frame reads the values: they protect nothing and are for comparison only.
"""

from __future__ import annotations

import secrets
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from he_core.arith.fields import FieldLayout
from he_core.codec import FLOAT32_ROUNDOFF, Codec, CodecShape
from he_core.errors import CiphertextRangeError, ParameterError
from he_core.keys import PublicBundle, PublicKey, SecretBundle, SecretKey
from he_core.packing import PackedFields, Payload, Plaintext, Reals, Words
from he_core.params import SchemeParameters
from he_core.scheme import Capabilities, Scheme, Trust

NONCE_BYTES = 16


class _Uncovered(Scheme):
    """What the two share: keys are nonces (so that wrong-key checks work) and ciphertexts are word arrays."""

    word: ClassVar[np.dtype]

    def __init__(self, parameters: SchemeParameters) -> None:
        self.parameters = parameters

    @property
    def backend(self) -> str:
        return "numpy"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            encrypts=False,
            security_bits=0,
            trust=Trust.NONE,
            exact=np.issubdtype(self.word, np.integer),
            summary=self.summary,
        )

    def generate_keys(self) -> SecretBundle:
        public = PublicBundle(self.name, self.parameters.as_dict(), {"nonce": secrets.token_bytes(NONCE_BYTES)})
        return SecretBundle(public, {})

    def public_key(self, bundle: PublicBundle) -> PublicKey:
        self.check_bundle(bundle)
        nonce = bundle.material.get("nonce", b"")
        if set(bundle.material) != {"nonce"} or len(nonce) != NONCE_BYTES:
            raise ParameterError("public material", sorted(bundle.material), f"must be a {NONCE_BYTES}-byte nonce")
        return PublicKey(bundle.key_id)

    def secret_key(self, bundle: SecretBundle) -> SecretKey:
        return SecretKey(self.public_key(bundle.public))

    def encrypt(self, key: PublicKey | SecretKey, words: Words, shape: CodecShape, round: int) -> NDArray:
        return np.ascontiguousarray(words).view(self.word).reshape(-1)

    def add(self, key: PublicKey, accumulator: NDArray, addend: NDArray) -> NDArray:
        # Not in place: the first accumulator may be a view into a received frame.
        return accumulator + addend

    def decrypt(self, key: SecretKey, ciphertext: NDArray, round: int) -> Words:
        return np.ascontiguousarray(ciphertext).view(np.uint8).reshape(-1, self.word.itemsize)

    def payload_bytes(self, shape: CodecShape) -> int:
        return self.plaintext(shape).word_count(shape.value_count) * self.word.itemsize

    def serialise(self, key: PublicKey, ciphertext: NDArray) -> Payload:
        return ciphertext.view(np.uint8)

    def parse(self, key: PublicKey, payload: memoryview, shape: CodecShape) -> NDArray:
        return np.frombuffer(payload, self.word)


class Plain(_Uncovered):
    """Quantised fields, several to a 64-bit word, added as they are."""

    summary = "no encryption, same pipeline: the cost baseline"
    word = np.dtype("<u8")

    def plaintext(self, shape: CodecShape) -> Plaintext:
        return PackedFields(FieldLayout(shape.field_bits, 64 // shape.field_bits, self.word.itemsize))


class Unquantised(_Uncovered):
    """float32 values added as they are: what a run without encryption would do."""

    summary = "float32 in the clear: no encryption, no quantisation"
    word = np.dtype("<f4")

    def mean_error(self, codec: Codec) -> float:
        # Of K float32 numbers up to the limit, the i-th addition rounds a sum of i limits at most; over K, that is
        # (K + 1) / 2 roundings. Scaling and the mean's own are one each.
        return (codec.k_max / 2 + 3) * FLOAT32_ROUNDOFF

    def plaintext(self, shape: CodecShape) -> Plaintext:
        return Reals()

    def parse(self, key: PublicKey, payload: memoryview, shape: CodecShape) -> NDArray:
        values = super().parse(key, payload, shape)
        finite = np.isfinite(values)
        if not finite.all():
            raise CiphertextRangeError(int(np.argmin(finite)), "is NaN or infinite")
        return values

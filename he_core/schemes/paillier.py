"""Paillier with packed fields: additively homomorphic, shared-key trust.

Paillier, EUROCRYPT 1999, with g = n + 1; randomised as in Damgard, Jurik, Nielsen, "A generalization of Paillier's
public-key system with applications to electronic voting", IJIS 9 (2010), section 4.2: c = (1 + m n) h^r mod n^2 with
h = (-x^2)^n mod n^2 and r of |n|/2 bits. Semantically secure under the decisional composite residuosity assumption
together with the small-exponent assumption there. Malleable by design: it does not protect against a server that
alters a ciphertext, nor against any holder of the shared secret key.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from cryptography.hazmat.primitives.asymmetric import rsa
from numpy.typing import NDArray

from he_core.arith.fields import FieldLayout
from he_core.codec import CodecShape
from he_core.errors import ParameterError
from he_core.keys import PublicBundle, PublicKey, SecretBundle, SecretKey
from he_core.packing import PackedFields, Payload, Words
from he_core.params import PaillierParameters
from he_core.scheme import Capabilities, Scheme, Trust


@dataclass(frozen=True)
class PaillierPublicKey(PublicKey):
    """n and the generator h of randomisers; both checked to be of the right size."""

    n: int = field(repr=False)
    h: int = field(repr=False)

    @property
    def modulus_bits(self) -> int:
        return self.n.bit_length()

    @property
    def ciphertext_bytes(self) -> int:
        """Bytes of an element of Z_{n^2}, little-endian on the wire."""
        return self.modulus_bits // 4

    @property
    def randomiser_bits(self) -> int:
        """Bits of the exponent r: half the modulus."""
        return self.modulus_bits // 2


@dataclass(frozen=True, repr=False)
class PaillierSecretKey(SecretKey):
    """The prime factors of n."""

    public: PaillierPublicKey
    p: int
    q: int


class PaillierArithmetic(Protocol):
    """Batch operations on rows: words uint8[C, word_bytes], ciphertexts uint8[C, ciphertext_bytes]."""

    name: str

    def encrypt(self, key: PaillierPublicKey, words: Words) -> NDArray[np.uint8]: ...

    def encrypt_with_factors(self, key: PaillierSecretKey, words: Words) -> NDArray[np.uint8]:
        """The same distribution as `encrypt`, faster for who knows p and q."""
        ...

    def add(self, key: PaillierPublicKey, left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.uint8]: ...

    def decrypt(self, key: PaillierSecretKey, ciphertexts: NDArray[np.uint8]) -> Words:
        """Words of modulus_bits / 8 bytes."""
        ...

    def check(self, key: PaillierPublicKey, ciphertexts: NDArray[np.uint8]) -> None:
        """Raise CiphertextRangeError at the first row outside [1, n^2)."""
        ...


class Paillier(Scheme):
    """The scheme over any arithmetic."""

    summary = "Paillier, packed: well-understood, 38 bits a value at 3,072 bits, slow to decrypt"

    def __init__(self, parameters: PaillierParameters, arithmetic: PaillierArithmetic) -> None:
        self.parameters: PaillierParameters = parameters
        self._arithmetic = arithmetic

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
        bits = self.parameters.modulus_bits
        p, q = _primes(bits)
        n = p * q
        x = _unit(n)
        h = pow(-x * x, n, n * n)
        public = PublicBundle(
            self.name,
            self.parameters.as_dict(),
            {"n": n.to_bytes(bits // 8, "little"), "h": h.to_bytes(bits // 4, "little")},
        )
        return SecretBundle(public, {"p": p.to_bytes(bits // 16, "little"), "q": q.to_bytes(bits // 16, "little")})

    def public_key(self, bundle: PublicBundle) -> PaillierPublicKey:
        self.check_bundle(bundle)
        bits = self.parameters.modulus_bits
        n = _integer(bundle.material, "n", bits // 8)
        h = _integer(bundle.material, "h", bits // 4)
        if n.bit_length() != bits or n % 2 == 0:
            raise ParameterError("key n", f"{n.bit_length()} bits", f"must be odd, of exactly {bits} bits")
        if not (1 < h < n * n and math.gcd(h, n) == 1):
            raise ParameterError("key h", f"{h.bit_length()} bits", "must be a unit in (1, n^2)")
        return PaillierPublicKey(bundle.key_id, n, h)

    def secret_key(self, bundle: SecretBundle) -> PaillierSecretKey:
        public = self.public_key(bundle.public)
        half = self.parameters.modulus_bits // 16
        p, q = _integer(bundle.material, "p", half), _integer(bundle.material, "q", half)
        # The values are secret: the message shows none of them.
        if p * q != public.n or not _good_primes(p, q):
            raise ParameterError("secret key", "…", "p and q are not the factors of this public key's n")
        return PaillierSecretKey(public, p, q)

    # --- vectors

    def plaintext(self, shape: CodecShape) -> PackedFields:
        bits = self.parameters.modulus_bits
        # One bit less than n: every word is below n whatever n's leading bits are.
        return PackedFields(FieldLayout(shape.field_bits, (bits - 1) // shape.field_bits, bits // 8))

    def encrypt(self, key: PublicKey | SecretKey, words: Words, shape: CodecShape, round: int) -> NDArray[np.uint8]:
        if isinstance(key, PaillierSecretKey):
            return self._arithmetic.encrypt_with_factors(key, words)
        return self._arithmetic.encrypt(_paillier(key), words)

    def add(self, key: PublicKey, accumulator: NDArray[np.uint8], addend: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self._arithmetic.add(_paillier(key), accumulator, addend)

    def decrypt(self, key: SecretKey, ciphertext: NDArray[np.uint8], round: int) -> Words:
        if not isinstance(key, PaillierSecretKey):
            raise ParameterError("key", type(key).__name__, "is not a Paillier secret key")
        return self._arithmetic.decrypt(key, ciphertext)

    # --- wire

    def payload_bytes(self, shape: CodecShape) -> int:
        return self._word_count(shape) * self.parameters.modulus_bits // 4

    def serialise(self, key: PublicKey, ciphertext: NDArray[np.uint8]) -> Payload:
        return np.ascontiguousarray(ciphertext).reshape(-1)

    def parse(self, key: PublicKey, payload: memoryview, shape: CodecShape) -> NDArray[np.uint8]:
        paillier = _paillier(key)
        ciphertext = np.frombuffer(payload, np.uint8).reshape(self._word_count(shape), paillier.ciphertext_bytes)
        self._arithmetic.check(paillier, ciphertext)
        return ciphertext

    def _word_count(self, shape: CodecShape) -> int:
        return self.plaintext(shape).word_count(shape.value_count)


def _paillier(key: PublicKey | SecretKey) -> PaillierPublicKey:
    if not isinstance(key, PaillierPublicKey):
        raise ParameterError("key", type(key).__name__, "is not a Paillier public key")
    return key


def _integer(material: Mapping[str, bytes], name: str, length: int) -> int:
    value = material.get(name, b"")
    if len(value) != length:
        raise ParameterError(f"key {name}", f"{len(value)} bytes", f"must be {length} bytes")
    return int.from_bytes(value, "little")


def _primes(modulus_bits: int) -> tuple[int, int]:
    """p, q = 3 mod 4 with gcd(p-1, q-1) = 2, from OpenSSL's RSA key generation (FIPS 186-5 sizes and distance)."""
    while True:
        numbers = rsa.generate_private_key(public_exponent=65537, key_size=modulus_bits).private_numbers()
        if _good_primes(numbers.p, numbers.q):
            return numbers.p, numbers.q


def _good_primes(p: int, q: int) -> bool:
    return p % 4 == 3 and q % 4 == 3 and math.gcd(p - 1, q - 1) == 2


def _unit(n: int) -> int:
    """A uniform element of Z_n^*, from OS entropy."""
    while True:
        x = secrets.randbelow(n)
        if math.gcd(x, n) == 1:
            return x

"""What `bfv` and `ckks` share: ciphertexts as residues mod one prime, a public key, sums, and the wire form.

Ring-LWE public-key encryption without any multiplication (Lyubashevsky, Peikert, Regev, EUROCRYPT 2010): a ciphertext
is two polynomials, a sum of ciphertexts the sums of theirs. Keys, encryption and decryption are a library's; sums,
checks and bytes are done here, on plain arrays, so that the aggregation server needs no library and no bytes from
outside reach one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from he_core.arith.coefficients import unpack_below
from he_core.arith.kernels import KERNELS
from he_core.codec import CodecShape
from he_core.errors import CiphertextRangeError, ParameterError, RingTooSmallError
from he_core.keys import PublicBundle, PublicKey, SecretBundle, SecretKey
from he_core.packing import Payload, Words
from he_core.params import LatticeParameters
from he_core.scheme import Capabilities, Scheme, Trust

Residues = NDArray[np.uint64]
MAX_ADDENDS = 1024  # as far as OpenFHE's own noise estimate admits the plaintexts of `bfv`


class Lattice(Protocol):
    """Who computes: numbers are [chunks, degree], residues uint64[chunks, 2, degree]."""

    name: str
    conversion_ns: int

    def start(self, context: Any) -> None: ...
    def generate_keys(self, context: Any) -> tuple[Residues, Residues]: ...
    def encrypt(self, context: Any, public: Residues, numbers: NDArray[Any]) -> Residues: ...
    def decrypt(self, context: Any, secret: Residues, residues: Residues, out: NDArray[Any]) -> None: ...


@dataclass(frozen=True, eq=False)
class ResiduePublicKey(PublicKey):
    """uint64[2, N], each below q, as the library orders them."""

    residues: Residues = field(repr=False)


@dataclass(frozen=True, repr=False, eq=False)
class ResidueSecretKey(SecretKey):
    """uint64[1, N]."""

    public: ResiduePublicKey
    residues: Residues


@dataclass(frozen=True, eq=False)
class ResidueVector:
    """A ciphertext of a whole vector. residues: uint64[chunks, 2, N], each below addends * q."""

    shape: CodecShape
    residues: Residues
    addends: int = 1


class ResidueScheme(Scheme):
    """The scheme over a lattice library."""

    parameters: LatticeParameters
    number: ClassVar[np.dtype]
    """Type of a plaintext word."""
    exact: ClassVar[bool]

    def __init__(self, parameters: LatticeParameters, lattice: Lattice) -> None:
        self.parameters = parameters
        self._lattice = lattice

    @abstractmethod
    def context(self, shape: CodecShape) -> Any:
        """The library's parameters for sums of `shape`. Raises RingTooSmallError."""

    @property
    def backend(self) -> str:
        return self._lattice.name

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            encrypts=True,
            security_bits=self.parameters.security_bits,
            trust=Trust.SHARED_KEY,
            exact=self.exact,
            summary=self.summary,
        )

    @property
    def conversion_ns(self) -> int:
        return self._lattice.conversion_ns

    # --- keys

    _KEY_SHAPE: ClassVar[CodecShape] = CodecShape(bits=8, k_max=1, value_count=1)
    """Keys depend on the ring alone: any context of it makes and tries them."""

    def generate_keys(self) -> SecretBundle:
        public, secret = self._lattice.generate_keys(self.context(self._KEY_SHAPE))
        b, a = (_packed(row) for row in public)
        bundle = PublicBundle(self.name, self.parameters.as_dict(), {"b": b, "a": a})
        return SecretBundle(bundle, {"s": _packed(secret)})

    def public_key(self, bundle: PublicBundle) -> ResiduePublicKey:
        self.check_bundle(bundle)
        return ResiduePublicKey(
            bundle.key_id, np.stack([self._material(bundle.material, name) for name in ("b", "a")])
        )

    def secret_key(self, bundle: SecretBundle) -> ResidueSecretKey:
        public = self.public_key(bundle.public)
        secret = self._material(bundle.material, "s")[None]
        context, numbers = self.context(self._KEY_SHAPE), np.ones((1, self.parameters.degree), self.number)
        out = np.empty_like(numbers)
        self._lattice.decrypt(context, secret, self._lattice.encrypt(context, public.residues, numbers), out)
        # The values are secret: the message shows none of them.
        if not np.allclose(out, numbers, rtol=0, atol=1e-3):
            raise ParameterError("secret key", "…", "s is not the secret of this public key")
        return ResidueSecretKey(public, secret)

    def _material(self, material: Mapping[str, bytes], name: str) -> Residues:
        value, degree = material.get(name, b""), self.parameters.degree
        expected = _packed_bytes(degree)
        if len(value) != expected:
            raise ParameterError(f"key {name}", f"{len(value)} bytes", f"must be {expected} bytes")
        try:
            return _unpacked(np.frombuffer(value, np.uint8), degree)
        except CiphertextRangeError as error:
            raise ParameterError(f"key {name}", f"residue {error.index}", "must be below q") from None

    # --- vectors

    def prepare(self, key: PublicKey | SecretKey, shape: CodecShape, round: int) -> None:
        self._lattice.start(self.context(shape))

    def encrypt(self, key: PublicKey | SecretKey, words: Words, shape: CodecShape, round: int) -> ResidueVector:
        public = key.public if isinstance(key, SecretKey) else key
        if not isinstance(public, ResiduePublicKey):
            raise ParameterError("key", type(key).__name__, f"is not a public key of {self.name}")
        residues = self._lattice.encrypt(self.context(shape), public.residues, self.numbers(words, shape))
        return ResidueVector(shape, residues)

    def add(self, key: PublicKey, accumulator: ResidueVector, addend: ResidueVector) -> ResidueVector:
        """Residues are added as 64-bit words: a full sum of MAX_ADDENDS is below 2^60."""
        np.add(accumulator.residues, addend.residues, out=accumulator.residues)
        return ResidueVector(accumulator.shape, accumulator.residues, accumulator.addends + addend.addends)

    def decrypt(self, key: SecretKey, ciphertext: ResidueVector, round: int) -> Words:
        if not isinstance(key, ResidueSecretKey):
            raise ParameterError("key", type(key).__name__, f"is not a secret key of {self.name}")
        shape, residues = ciphertext.shape, _reduced(ciphertext)
        numbers = np.empty((len(residues), self.parameters.degree), self.number)
        self._lattice.decrypt(self.context(shape), key.residues, residues, numbers)
        return self.words(numbers, shape)

    def numbers(self, words: Words, shape: CodecShape) -> NDArray[Any]:
        """Words as the library takes them, [chunks, degree]; the last ones zero."""
        numbers = np.zeros((self._chunks(shape), self.parameters.degree), self.number)
        numbers.reshape(-1)[: len(words)] = words.view(self.number).reshape(-1)
        return numbers

    def words(self, numbers: NDArray[Any], shape: CodecShape) -> Words:
        """What `numbers` made this of."""
        word_count = self.plaintext(shape).word_count(shape.value_count)
        return numbers.reshape(-1)[:word_count].view(np.uint8).reshape(word_count, self.number.itemsize)

    # --- wire

    def payload_bytes(self, shape: CodecShape) -> int:
        return _packed_bytes(self._chunks(shape) * 2 * self.parameters.degree)

    def serialise(self, key: PublicKey, ciphertext: ResidueVector) -> Payload:
        return _packed_array(_reduced(ciphertext))

    def parse(self, key: PublicKey, payload: memoryview, shape: CodecShape) -> ResidueVector:
        chunks, degree = self._chunks(shape), self.parameters.degree
        residues = _unpacked(np.frombuffer(payload, np.uint8), chunks * 2 * degree)
        return ResidueVector(shape, residues.reshape(chunks, 2, degree))

    def _chunks(self, shape: CodecShape) -> int:
        return -(-self.plaintext(shape).word_count(shape.value_count) // self.parameters.degree)


def check_addends(shape: CodecShape) -> None:
    """Raises RingTooSmallError where more may be added than the ring has room for."""
    if shape.k_max > MAX_ADDENDS:
        raise RingTooSmallError("k_max", shape.k_max, f"the ring has room for sums of {MAX_ADDENDS}; rlwe takes more")


def _reduced(ciphertext: ResidueVector) -> Residues:
    if ciphertext.addends > 1:
        return np.remainder(ciphertext.residues, np.uint64(LatticeParameters.MODULUS))
    return ciphertext.residues


def _packed_bytes(count: int) -> int:
    return count * LatticeParameters.MODULUS_BITS // 8  # whole: a degree is a multiple of 8


def _packed_array(residues: Residues) -> NDArray[np.uint8]:
    out = np.empty(_packed_bytes(residues.size), np.uint8)
    KERNELS.coefficients.pack_coefficients(out, residues.reshape(-1), LatticeParameters.MODULUS_BITS)
    return out


def _packed(residues: Residues) -> bytes:
    return _packed_array(np.ascontiguousarray(residues)).tobytes()


def _unpacked(packed: NDArray[np.uint8], count: int) -> Residues:
    """uint64[count]. Raises CiphertextRangeError."""
    out = np.empty(count, np.uint64)
    unpack_below(KERNELS.coefficients, out, packed, LatticeParameters.MODULUS_BITS, LatticeParameters.MODULUS)
    return out

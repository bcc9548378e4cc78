"""Calls into OpenFHE on arrays of residues, and nothing of its objects outside.

A ciphertext, a public key and a secret key are arrays of residues mod one prime q, or mod several, as OpenFHE holds
them: in its evaluation order, a polynomial's residues mod its first prime, then mod the next. They get in and out
through its serialised form: an object of the same kind is serialised once, and the places where its residues lie are
overwritten or read. So no length, tag or version that came from outside ever reaches OpenFHE's deserialiser, whose
input is trusted code's.
"""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Residues = NDArray[np.uint64]
Numbers = NDArray[Any]
Call = tuple[list[NDArray[Any]], int]
"""Arrays of the answer, and the nanoseconds of the call that went into conversions."""


class LayoutError(Exception):
    """This OpenFHE writes its objects in another way than the one known here."""


MOST_PARTIES = 64
"""Of a threshold group, for OpenFHE's noise estimate; `BfvParameters.MOST_CLIENTS` is the same number."""

FAILURES = (LayoutError, RuntimeError, ValueError, TypeError)
"""What calls raise: pybind11 gives C++ exceptions these types."""


class Template:
    """A serialised object with places for `count` rows of `degree` residues below `limit`.

    moduli: of every row; OpenFHE writes it after the residues.
    """

    def __init__(self, serialised: bytes, count: int, degree: int, limit: int) -> None:
        length = re.escape(degree.to_bytes(8, "little"))  # residues follow their number
        ends = [match.end() for match in re.finditer(length, serialised)]
        self._bytes, self._degree = serialised, degree
        self._places = [
            end
            for end in ends
            if len(serialised) - end >= 8 * degree and bool((self._at(serialised, end) < limit).all())
        ]
        if len(self._places) != count:
            raise LayoutError(f"{len(self._places)} rows of residues in a serialised object that should have {count}")
        after = [serialised[place + 8 * degree : place + 8 * degree + 8] for place in self._places]
        self.moduli = [int.from_bytes(word, "little") for word in after]

    def _at(self, serialised: bytes, place: int) -> Residues:
        return np.frombuffer(serialised, "<u8", self._degree, place)

    def read(self, out: Residues, serialised: bytes) -> None:
        """out: uint64[count, degree]."""
        if len(serialised) != len(self._bytes):
            raise LayoutError(f"{len(serialised)} bytes serialised, {len(self._bytes)} the first time")
        for row, place in zip(out, self._places, strict=True):
            row[:] = self._at(serialised, place)

    def filled(self, residues: Residues) -> bytes:
        """The object with these residues: uint64[count, degree]."""
        parts, done = [], 0
        for row, place in zip(residues, self._places, strict=True):
            parts += [self._bytes[done:place], row.tobytes()]
            done = place + 8 * self._degree
        return b"".join([*parts, self._bytes[done:]])


class Context(ABC):
    """One set of parameters: no multiplication. Numbers are [chunks, degree], a ciphertext to a row.

    towers: primes of its modulus, so that a polynomial is uint64[towers, degree].
    """

    dtype: ClassVar[str]
    towers: ClassVar[int] = 1

    def __init__(self, degree: int, security_bits: int, modulus_bits: int, precision_bits: int, addends: int) -> None:
        import openfhe

        # Tables for multiplication, computed again with every object: half the time of reading a ciphertext.
        openfhe.DisablePrecomputeCRTTablesAfterDeserializaton()
        self._openfhe = openfhe
        parameters = self._parameters(modulus_bits, precision_bits, addends)
        parameters.SetMultiplicativeDepth(0)
        parameters.SetRingDim(degree)
        parameters.SetSecurityLevel(getattr(openfhe, f"HEStd_{security_bits}_classic"))
        parameters.SetKeySwitchTechnique(openfhe.BV)  # HYBRID counts a prime that additions never use
        self._context = openfhe.GenCryptoContext(parameters)
        for feature in (openfhe.PKE, openfhe.LEVELEDSHE, openfhe.MULTIPARTY):
            self._context.Enable(feature)
        self.degree = degree
        self._limit = 1 << modulus_bits
        keys = self._context.KeyGen()
        self._public = self._template(keys.publicKey, 2)
        self._secret = self._template(keys.secretKey, 1)
        self.moduli = self._secret.moduli
        self.public_key = lru_cache(4)(self._public_key)
        self.secret_key = lru_cache(4)(self._secret_key)
        numbers = self._sample(np.random.default_rng(0))
        [public, secret], _ = self.generate_keys()
        # Under a key that was read, as all will be: OpenFHE writes a few bytes more than under one just made.
        ciphertext = self._context.Encrypt(self.public_key(public.tobytes()), self._encode(numbers))
        self._ciphertext = self._template(ciphertext, 2)
        self._try_out(public, secret, numbers)

    # --- what a scheme says

    @abstractmethod
    def _parameters(self, modulus_bits: int, precision_bits: int, addends: int) -> Any: ...

    @abstractmethod
    def _sample(self, generator: np.random.Generator) -> Numbers:
        """Some numbers, [degree]."""

    @abstractmethod
    def _encode(self, numbers: Numbers) -> Any:
        """A plaintext from numbers, [degree]."""

    @abstractmethod
    def _decode(self, plaintext: Any) -> Numbers: ...

    # --- calls

    def generate_keys(self) -> Call:
        """A fresh pair: public uint64[2 towers, degree] and secret uint64[towers, degree]."""
        return self._pair(self._context.KeyGen()), 0

    def encrypt(self, public: Residues, numbers: Numbers) -> Call:
        """uint64[chunks, 2 towers, degree] under the public key."""
        key, clock = self.public_key(public.tobytes()), time.perf_counter_ns
        out = np.empty((len(numbers), 2 * self.towers, self.degree), "<u8")
        conversion_ns = 0
        for residues, row in zip(out, numbers, strict=True):
            start = clock()
            plaintext = self._encode(row)
            encoded = clock()
            ciphertext = self._context.Encrypt(key, plaintext)
            encrypted = clock()
            self._ciphertext.read(residues, self._serialise(ciphertext))
            conversion_ns += clock() - encrypted + encoded - start
        return [out], conversion_ns

    def decrypt(self, secret: Residues, residues: Residues) -> Call:
        """Numbers [chunks, degree] from uint64[chunks, 2 towers, degree]."""
        key, clock = self.secret_key(secret.tobytes()), time.perf_counter_ns
        out = np.empty((len(residues), self.degree), self.dtype)
        conversion_ns = 0
        for numbers, row in zip(out, residues, strict=True):
            start = clock()
            ciphertext = self._deserialise("Ciphertext", self._ciphertext.filled(row))
            opened = clock()
            plaintext = self._context.Decrypt(key, ciphertext)
            decrypted = clock()
            numbers[:] = self._decode(plaintext)
            conversion_ns += clock() - decrypted + opened - start
        return [out], conversion_ns

    # --- objects

    def _serialise(self, thing: Any) -> bytes:
        return self._openfhe.Serialize(thing, self._openfhe.BINARY)

    def _deserialise(self, kind: str, serialised: bytes) -> Any:
        return getattr(self._openfhe, f"Deserialize{kind}String")(serialised, self._openfhe.BINARY)

    def _template(self, thing: Any, count: int) -> Template:
        return Template(self._serialise(thing), count * self.towers, self.degree, self._limit)

    def _pair(self, keys: Any) -> list[Residues]:
        """Through templates of their own: OpenFHE writes a joint key longer than another."""
        read = []
        for thing, count in ((keys.publicKey, 2), (keys.secretKey, 1)):
            rows = np.empty((count * self.towers, self.degree), "<u8")
            self._template(thing, count).read(rows, self._serialise(thing))
            read.append(rows)
        return read

    def _public_key(self, residues: bytes) -> Any:
        return self._deserialise("PublicKey", self._public.filled(_rows(residues, self.degree)))

    def _secret_key(self, residues: bytes) -> Any:
        return self._deserialise("PrivateKey", self._secret.filled(_rows(residues, self.degree)))

    def _try_out(self, public: Residues, secret: Residues, numbers: Numbers) -> None:
        """Numbers in, the same out, through every template: whatever else this OpenFHE does differently."""
        [residues], _ = self.encrypt(public, numbers[None])
        [decrypted], _ = self.decrypt(secret, residues)
        if not np.allclose(decrypted[0], numbers, rtol=0, atol=1e-3):
            raise LayoutError("numbers do not come back from residues")


class CoefficientContext(Context):
    """BFV, t = 2^precision_bits, a number per coefficient: uint32 in [0, t)."""

    dtype = "<u4"

    def _parameters(self, modulus_bits: int, precision_bits: int, addends: int) -> Any:
        parameters = self._openfhe.CCParamsBFVRNS()
        self._half = 1 << (precision_bits - 1)
        parameters.SetPlaintextModulus(2 * self._half)
        parameters.SetEvalAddCount(addends)
        parameters.SetScalingModSize(modulus_bits)
        return parameters

    def _sample(self, generator: np.random.Generator) -> Numbers:
        return generator.integers(0, 2 * self._half, self.degree, np.uint32)

    def _encode(self, numbers: Numbers) -> Any:
        signed = numbers.astype(np.int64)  # OpenFHE's representatives are in (-t/2, t/2]
        signed += self._half - 1
        signed &= 2 * self._half - 1
        signed -= self._half - 1
        return self._context.MakeCoefPackedPlaintext(signed)

    def _decode(self, plaintext: Any) -> Numbers:
        return (plaintext.GetCoefPackedValueArray() & (2 * self._half - 1)).astype(np.uint32)


class TogetherContext(CoefficientContext):
    """BFV for a threshold group: as above, with room for the noise that OpenFHE floods partial decryptions with.

    NOISE_FLOODING_MULTIPARTY: that noise is uniform on as many points as the product of the first two primes has.
    """

    towers = 3

    def _parameters(self, modulus_bits: int, precision_bits: int, addends: int) -> Any:
        parameters = super()._parameters(modulus_bits, precision_bits, addends)
        parameters.SetThresholdNumOfParties(MOST_PARTIES)
        parameters.SetMultipartyMode(self._openfhe.NOISE_FLOODING_MULTIPARTY)
        return parameters

    def join(self, a: Residues) -> Call:
        """A client's own pair under the group's a, uint64[towers, degree]: its b and its secret, shaped likewise."""
        group = self.public_key(np.concatenate([np.zeros_like(a), a]).tobytes())
        public, secret = self._pair(self._context.MultipartyKeyGen(group, False, True))
        if not np.array_equal(public[self.towers :], a):
            raise LayoutError("a pair of keys is under another a than the one given")
        return [public[: self.towers], secret], 0

    def partial(self, secret: Residues, factors: Residues) -> Call:
        """secret * factor + noise of each c1 of uint64[chunks, towers, degree]; the same shape."""
        key, clock = self.secret_key(secret.tobytes()), time.perf_counter_ns
        out, whole = np.empty_like(factors), np.zeros((2 * self.towers, self.degree), "<u8")
        conversion_ns = 0
        for residues, row in zip(out, factors, strict=True):
            start = clock()
            whole[self.towers :] = row
            ciphertext = self._deserialise("Ciphertext", self._ciphertext.filled(whole))
            opened = clock()
            [part] = self._context.MultipartyDecryptMain([ciphertext], key)
            done = clock()
            self._part.read(residues, self._serialise(part))
            conversion_ns += clock() - done + opened - start
        return [out], conversion_ns

    def fuse(self, sums: Residues) -> Call:
        """Numbers [chunks, degree] from c0 plus all parts, uint64[chunks, towers, degree]."""
        clock = time.perf_counter_ns
        out = np.empty((len(sums), self.degree), self.dtype)
        conversion_ns = 0
        for numbers, row in zip(out, sums, strict=True):
            start = clock()
            part = self._deserialise("Ciphertext", self._part.filled(row))
            opened = clock()
            plaintext = self._context.MultipartyDecryptFusion([part])
            fused = clock()
            numbers[:] = self._decode(plaintext)
            conversion_ns += clock() - fused + opened - start
        return [out], conversion_ns

    def _try_out(self, public: Residues, secret: Residues, numbers: Numbers) -> None:
        """As one who holds everything: with noise that fills two primes, a sum of two parts comes from numbers."""
        [residues], _ = self.encrypt(public, numbers[None])
        ciphertext = self._deserialise("Ciphertext", self._ciphertext.filled(residues[0]))
        [lead] = self._context.MultipartyDecryptLead([ciphertext], self.secret_key(secret.tobytes()))
        self._part = self._template(lead, 1)
        whole = np.empty((1, self.towers, self.degree), "<u8")
        self._part.read(whole[0], self._serialise(lead))
        [decrypted], _ = self.fuse(whole)
        if not np.array_equal(decrypted[0], numbers):
            raise LayoutError("numbers do not come back from residues")


class SlotContext(Context):
    """CKKS, scale 2^precision_bits, two numbers per complex slot: float64 in [-1, 1]."""

    dtype = "<f8"

    def _parameters(self, modulus_bits: int, precision_bits: int, addends: int) -> Any:
        parameters = self._openfhe.CCParamsCKKSRNS()
        parameters.SetFirstModSize(modulus_bits)
        parameters.SetScalingModSize(precision_bits)
        parameters.SetScalingTechnique(self._openfhe.FIXEDMANUAL)
        parameters.SetCKKSDataType(self._openfhe.COMPLEX)
        return parameters

    def _sample(self, generator: np.random.Generator) -> Numbers:
        return generator.uniform(-1, 1, self.degree)

    def _encode(self, numbers: Numbers) -> Any:
        return self._context.MakeCKKSPackedPlaintext(numbers.view(np.complex128))

    def _decode(self, plaintext: Any) -> Numbers:
        return plaintext.GetCKKSPackedValueArray().view(np.float64)


CONTEXTS: dict[str, type[Context]] = {
    "coefficients": CoefficientContext,
    "coefficients-together": TogetherContext,
    "slots": SlotContext,
}


@lru_cache(16)
def _opened(encoding: str, *sizes: int) -> Context:
    return CONTEXTS[encoding](*sizes)


def _open(context: Context) -> Call:
    return [np.array(context.moduli, "<u8")], 0


CALLS: dict[str, Callable[..., Call]] = {
    "open": _open,
    "generate_keys": Context.generate_keys,
    "encrypt": Context.encrypt,
    "decrypt": Context.decrypt,
    "join": TogetherContext.join,
    "partial": TogetherContext.partial,
    "fuse": TogetherContext.fuse,
}


def call(name: str, context: Mapping[str, Any], arrays: list[NDArray[Any]]) -> Call:
    """One call, by name, on plain data: what crosses to a worker and what runs in this process alike.

    context: encoding, degree, security_bits, modulus_bits, precision_bits, addends. Raises what OpenFHE raises, and
    LayoutError.
    """
    sizes = ("degree", "security_bits", "modulus_bits", "precision_bits", "addends")
    opened = _opened(context["encoding"], *(context[size] for size in sizes))
    return CALLS[name](opened, *arrays)


def _rows(residues: bytes, degree: int) -> Residues:
    return np.frombuffer(residues, "<u8").reshape(-1, degree)

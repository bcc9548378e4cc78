"""The one interface every encryption scheme implements. Additions only: nothing here multiplies ciphertexts.

A scheme object holds parameters and its arithmetic (who computes), never a key. Ciphertexts are scheme-defined
objects that callers treat as opaque; `add` may reuse the accumulator it is given and nothing else.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from he_core.codec import Codec, CodecShape
from he_core.errors import FrameFieldError, ParameterError, UnverifiableSchemeError
from he_core.keys import PublicBundle, PublicKey, SecretBundle, SecretKey
from he_core.packing import Payload, Plaintext, Words
from he_core.params import SchemeParameters
from he_core.threshold_errors import NoThresholdError

Ciphertext = Any
"""A scheme's ciphertext of a whole vector, in memory."""


class Trust(enum.IntEnum):
    """Who must be trusted not to read a client's update: a larger one protects against more parties."""

    NONE = 0
    SHARED_KEY = 1
    THRESHOLD = 2

    @property
    def label(self) -> str:
        """Its name in options and records."""
        return self.name.lower().replace("_", "-")

    @property
    def sentence(self) -> str:
        """What it means, for people."""
        return _TRUST_SENTENCES[self]


_TRUST_SENTENCES = {
    Trust.NONE: "none: every value is in the clear",
    Trust.SHARED_KEY: "shared key: every client can decrypt any frame it gets hold of",
    Trust.THRESHOLD: "threshold: no client can decrypt a frame without the help of others",
}


@dataclass(frozen=True)
class Capabilities:
    """What a user chooses a scheme by."""

    encrypts: bool
    security_bits: int
    trust: Trust
    exact: bool  # sums of quantised values come back exactly
    summary: str


class Scheme(ABC):
    """Key generation, encryption, addition, decryption and the wire form of one scheme."""

    parameters: SchemeParameters
    summary: ClassVar[str]

    @property
    def name(self) -> str:
        return self.parameters.scheme

    @property
    @abstractmethod
    def backend(self) -> str:
        """Name of the arithmetic in use, for records and tables."""

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities: ...

    def mean_error(self, codec: Codec) -> float | None:
        """Bound on the error of a value of the mean, relative to its clip limit; None where none is stated.

        For values within their limits and weights that equal the codec's reference. A scheme whose sums are exact
        adds nothing to what quantising takes away; any other has a bound of its own to state here.
        """
        return codec.relative_error if self.capabilities.exact else None

    def check_exact(self) -> None:
        """Raise UnverifiableSchemeError where sums do not come back exactly, as their verification needs."""
        if not self.capabilities.exact:
            raise UnverifiableSchemeError(self.name)

    # --- keys

    @abstractmethod
    def generate_keys(self) -> SecretBundle:
        """A fresh key pair from OS entropy."""

    @abstractmethod
    def public_key(self, bundle: PublicBundle) -> PublicKey:
        """Validate a bundle from outside. Raises ParameterError where it is not a key of this scheme."""

    @abstractmethod
    def secret_key(self, bundle: SecretBundle) -> SecretKey:
        """Validate a bundle from outside. Raises ParameterError where it is not a key of this scheme."""

    # --- vectors

    @abstractmethod
    def plaintext(self, shape: CodecShape) -> Plaintext:
        """How this scheme lays out values of `shape`."""

    @property
    def conversion_ns(self) -> int:
        """Nanoseconds that encryptions and decryptions have spent so far on a foreign library's own objects."""
        return 0

    def prepare(self, key: PublicKey | SecretKey, shape: CodecShape, round: int) -> None:
        """Make what encryptions and decryptions of `round` share, where it is not there yet: tables, public values.

        Both make it themselves where nobody did before; called ahead, its cost is seen apart from theirs. Most
        schemes share nothing.
        """
        return

    @abstractmethod
    def encrypt(self, key: PublicKey | SecretKey, words: Words, shape: CodecShape, round: int) -> Ciphertext:
        """Encrypt the plaintext words of an update of `shape` for `round`.

        A secret key may take a faster way to the same distribution.
        """

    @abstractmethod
    def add(self, key: PublicKey, accumulator: Ciphertext, addend: Ciphertext) -> Ciphertext:
        """The ciphertext of the sum; `accumulator` may be overwritten, `addend` is not."""

    @abstractmethod
    def decrypt(self, key: SecretKey, ciphertext: Ciphertext, round: int) -> Words:
        """The plaintext words of `ciphertext`."""

    # --- wire

    @abstractmethod
    def payload_bytes(self, shape: CodecShape) -> int:
        """Exact length of the wire form of an update of `shape`."""

    @abstractmethod
    def serialise(self, key: PublicKey, ciphertext: Ciphertext) -> Payload:
        """The wire form, `payload_bytes` long."""

    @abstractmethod
    def parse(self, key: PublicKey, payload: memoryview, shape: CodecShape) -> Ciphertext:
        """Validate a hostile payload of the right length. Raises CiphertextRangeError."""

    def check_payload_bytes(self, payload: memoryview, shape: CodecShape) -> None:
        """Raise FrameFieldError where a payload is not `payload_bytes` long."""
        expected = self.payload_bytes(shape)
        if len(payload) != expected:
            raise FrameFieldError("payload_bytes", len(payload), f"must be {expected}")

    def check_bundle(self, bundle: PublicBundle) -> None:
        """Raise ParameterError where `bundle` belongs to another scheme or other parameters."""
        if bundle.scheme != self.name:
            raise ParameterError("key scheme", bundle.scheme, f"this key cannot serve scheme {self.name!r}")
        if dict(bundle.parameters) != self.parameters.as_dict():
            raise ParameterError(
                "key parameters", dict(bundle.parameters), f"the scheme is set to {self.parameters.as_dict()}"
            )


@dataclass(frozen=True)
class Deal:
    """One client's part in making a threshold group's key. `repr` shows nothing of the shares.

    public: its part of the public key. shares: what each holder is to get, its own among them, by holder.
    """

    public: bytes
    shares: tuple[bytes, ...] = field(repr=False)


class ThresholdScheme(Scheme):
    """A scheme set to a threshold: its keys are made by all clients together, and any t of n decrypt together.

    Holders are numbered from 0. No party ever has the secret key; a `SecretKey` here is one holder's share.
    """

    @property
    @abstractmethod
    def threshold(self) -> int:
        """t: holders that it takes."""

    @property
    @abstractmethod
    def holders(self) -> int:
        """n: holders there are."""

    @abstractmethod
    def deal(self, public_seed: bytes) -> Deal:
        """A fresh part of a key under `public_seed`, 32 bytes that no client chose alone, from OS entropy."""

    @abstractmethod
    def joint_key(self, public_seed: bytes, parts: Sequence[bytes]) -> PublicBundle:
        """The group's public key from every client's `Deal.public`. Raises ParameterError."""

    @abstractmethod
    def joint_share(self, holder: int, shares: Sequence[bytes]) -> Mapping[str, bytes]:
        """A holder's secret material, from what every client dealt to it. Raises ParameterError."""

    @abstractmethod
    def holder_of(self, key: SecretKey) -> int:
        """Whose share `key` is."""

    @abstractmethod
    def check_serves(self, shape: CodecShape, round: int) -> None:
        """Raise KeyUsedUpError where the flooding does not cover a partial decryption of `round`."""

    @abstractmethod
    def partial_decrypt(self, key: SecretKey, ciphertext: Ciphertext, holders: Sequence[int]) -> bytes:
        """This holder's part in decrypting, together with the others of `holders`, noise included.

        Safe to show to other clients, not to a server: t of them open the ciphertext.
        """

    @abstractmethod
    def partial_bytes(self, shape: CodecShape) -> int:
        """Exact length of a partial decryption."""

    @abstractmethod
    def combine(
        self, key: PublicKey, ciphertext: Ciphertext, round: int, partials: Mapping[int, bytes], shape: CodecShape
    ) -> Words:
        """The plaintext words, from the parts of t holders by holder. Raises PartialsDoNotFitError."""


def threshold_scheme(scheme: Scheme) -> ThresholdScheme:
    """`scheme`, where it is set to a threshold. Raises NoThresholdError."""
    if not isinstance(scheme, ThresholdScheme):
        raise NoThresholdError(scheme.name)
    return scheme

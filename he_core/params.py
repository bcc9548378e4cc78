"""Parameter literals -> validated, immutable parameters, with the tables they are judged by."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from math import prod
from typing import Any, ClassVar, TypeVar

from he_core.errors import ParameterError, UnknownNameError
from he_core.threshold_errors import NoFloodingError

# NIST SP 800-57 Part 1 Rev. 5, Table 2 (factoring-based cryptography): modulus bits -> security strength.
FACTORING_STRENGTH = {2048: 112, 3072: 128, 7680: 192}

# Homomorphic Encryption Security Standard (HomomorphicEncryption.org, 2018), Table 1, classical attacks, ternary
# secret (the strictest of its three secret distributions): (degree, security bits) -> largest log2 of the modulus.
LATTICE_MODULUS_BITS = {
    (2048, 128): 54, (2048, 192): 37, (2048, 256): 29,
    (4096, 128): 109, (4096, 192): 75, (4096, 256): 58,
    (8192, 128): 218, (8192, 192): 152, (8192, 256): 118,
    (16384, 128): 438, (16384, 192): 305, (16384, 256): 237,
}  # fmt: skip

P = TypeVar("P", bound="SchemeParameters")
L = TypeVar("L", bound="LatticeParameters")


@dataclass(frozen=True)
class SchemeParameters(ABC):
    """Base of every scheme's parameters: if one exists, it is valid."""

    scheme: ClassVar[str]

    @classmethod
    def from_literal(cls: type[P], literal: Mapping[str, Any]) -> P:
        """Build from a config mapping. Raises UnknownNameError, ParameterError."""
        known = [field.name for field in fields(cls)]
        for name in literal:
            if name not in known:
                raise UnknownNameError(f"parameter of scheme {cls.scheme!r}:", name, known)
        return cls(**literal)

    @classmethod
    def at_strength(cls: type[P], security_bits: int) -> P:
        """The defaults, strengthened to `security_bits` where they are weaker and the scheme can be.

        What cannot be that strong comes back as strong as its defaults: the caller compares.
        """
        return cls()

    def as_dict(self) -> dict[str, Any]:
        """The literal these parameters came from, every value given."""
        return asdict(self)

    @property
    @abstractmethod
    def security_bits(self) -> int:
        """Classical security strength in bits; 0 where nothing is encrypted."""

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the scheme's name and canonical parameters; part of every frame."""
        canonical = json.dumps([self.scheme, self.as_dict()], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(b"dcsfl parameters 1\0" + canonical.encode()).digest()


@dataclass(frozen=True)
class PlainParameters(SchemeParameters):
    """`plain` has nothing to choose."""

    scheme: ClassVar[str] = "plain"

    @property
    def security_bits(self) -> int:
        return 0


@dataclass(frozen=True)
class UnquantisedParameters(SchemeParameters):
    """`none` has nothing to choose."""

    scheme: ClassVar[str] = "none"

    @property
    def security_bits(self) -> int:
        return 0


@dataclass(frozen=True)
class PaillierParameters(SchemeParameters):
    """Size of the Paillier modulus n.

    modulus_bits: a multiple of 256 in [2048, 8192]; 3,072 gives 128-bit strength (NIST SP 800-57, Table 2).
    """

    modulus_bits: int = 3072

    scheme: ClassVar[str] = "paillier"

    def __post_init__(self) -> None:
        if isinstance(self.modulus_bits, bool) or not isinstance(self.modulus_bits, int):
            raise ParameterError("modulus_bits", self.modulus_bits, "must be a whole number")
        if self.modulus_bits < min(FACTORING_STRENGTH):
            raise ParameterError(
                "modulus_bits",
                self.modulus_bits,
                "below 2048, the least allowed (112-bit strength, NIST SP 800-57 Part 1 Rev. 5, Table 2)",
            )
        if self.modulus_bits > 8192 or self.modulus_bits % 256:
            raise ParameterError("modulus_bits", self.modulus_bits, "must be a multiple of 256, at most 8192")

    @classmethod
    def at_strength(cls, security_bits: int) -> PaillierParameters:
        default = cls()
        strong = [size for size, bits in FACTORING_STRENGTH.items() if bits >= security_bits]
        return cls(max(default.modulus_bits, min(strong))) if strong else default

    @property
    def security_bits(self) -> int:
        return max(bits for size, bits in FACTORING_STRENGTH.items() if size <= self.modulus_bits)


@dataclass(frozen=True)
class RlweParameters(SchemeParameters):
    """Strength and reliability of `rlwe`; what else it needs follows from the codec (`he_core.planner`).

    security_bits: 128, 192 or 256; decides the ring's degree (`LATTICE_MODULUS_BITS`).
    failure_bits: an aggregated vector decrypts wrongly with probability at most 2^-failure_bits, 64..128.
    threshold, clients: any `threshold` of the group's `clients` decrypt together, 2 <= threshold <= clients <= 256;
        both 0 where one key is shared by all.
    """

    security_bits: int = 128
    failure_bits: int = 64
    threshold: int = 0
    clients: int = 0

    scheme: ClassVar[str] = "rlwe"
    MOST_CLIENTS: ClassVar[int] = 256
    WIDE_PRIMES: ClassVar[tuple[int, int]] = (2**52 + 1 - 15 * 2**14, 2**52 + 1 - 42 * 2**14)
    """Of a threshold group's key encapsulation: the two largest primes below 2^52 that are 1 mod 2^14, so that
    their product, below 2^104, is within the table at degree 4,096 (128 bits) and 8,192 (192 and 256)."""
    MODULUS: ClassVar[int] = (
        63 * 2**44 + 1
    )  # prime; 1 mod 2N for both degrees, and q - 1 has every small power of two
    MODULUS_BITS: ClassVar[int] = MODULUS.bit_length()

    def __post_init__(self) -> None:
        _check_lattice_strength(self.security_bits)
        if isinstance(self.failure_bits, bool) or not isinstance(self.failure_bits, int):
            raise ParameterError("failure_bits", self.failure_bits, "must be a whole number")
        if not 64 <= self.failure_bits <= 128:
            raise ParameterError("failure_bits", self.failure_bits, "must be in [64, 128]")
        _check_threshold(self.threshold, self.clients, self.MOST_CLIENTS)

    def as_dict(self) -> dict[str, Any]:
        return _named(self)

    @classmethod
    def at_strength(cls, security_bits: int) -> RlweParameters:
        return cls(_lattice_strength(security_bits, cls().security_bits))

    @property
    def degree(self) -> int:
        """N: the smallest degree whose row allows a modulus of this size at the strength asked for."""
        return _degree(self.security_bits, self.MODULUS_BITS)

    @property
    def wide_degree(self) -> int:
        """The degree of a threshold group's key encapsulation, likewise."""
        return _degree(self.security_bits, prod(self.WIDE_PRIMES).bit_length())


@dataclass(frozen=True)
class LatticeParameters(SchemeParameters):
    """Strength of a scheme over OpenFHE; what else it needs follows from the codec.

    security_bits: 128, 192 or 256; decides the ring's degree (`LATTICE_MODULUS_BITS`).
    """

    security_bits: int = 128

    # The prime that OpenFHE 1.6 takes for 50 bits at either degree: the largest below 2^50 that is 1 mod 2^13. 50 are
    # within the table at degree 2,048 and within what OpenFHE admits there for both schemes (54 and 53), and
    # 2^14 unreduced residues fit a 64-bit word.
    MODULUS: ClassVar[int] = 2**50 - 2**14 + 1
    MODULUS_BITS: ClassVar[int] = MODULUS.bit_length()

    def __post_init__(self) -> None:
        _check_lattice_strength(self.security_bits)

    @classmethod
    def at_strength(cls: type[L], security_bits: int) -> L:
        return cls(_lattice_strength(security_bits, cls().security_bits))

    @property
    def degree(self) -> int:
        """N: the smallest degree whose row allows a modulus of this size at the strength asked for."""
        return _degree(self.security_bits, self.MODULUS_BITS)

    @property
    def moduli(self) -> tuple[int, ...]:
        """The primes of a ciphertext's modulus."""
        return (self.MODULUS,)


@dataclass(frozen=True)
class BfvParameters(LatticeParameters):
    """`bfv`: as `LatticeParameters`, and who decrypts.

    threshold, clients: any `threshold` of the group's `clients` decrypt together, 2 <= threshold <= clients <= 64;
        both 0 where one key is shared by all.
    """

    threshold: int = 0
    clients: int = 0

    scheme: ClassVar[str] = "bfv"
    MOST_CLIENTS: ClassVar[int] = 64
    FLOODED_BITS: ClassVar[int] = 180
    FLOODED_PRIMES: ClassVar[dict[int, tuple[int, int, int]]] = {
        8192: (2**60 - 2**14 + 1, 2**60 - 6 * 2**14 + 1, 2**60 - 10 * 2**14 + 1),
        16384: (2**60 - 6 * 2**14 + 1, 2**60 - 10 * 2**14 + 1, 2**60 - 16 * 2**14 + 1),
    }
    """By degree, those OpenFHE 1.6 takes for a threshold group: the three largest below 2^60 that are 1 mod 2N. Its
    noise flooding fills the first two."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_threshold(self.threshold, self.clients, self.MOST_CLIENTS)

    def as_dict(self) -> dict[str, Any]:
        return _named(self)

    @property
    def degree(self) -> int:
        return _degree(self.security_bits, self.FLOODED_BITS) if self.threshold else super().degree

    @property
    def moduli(self) -> tuple[int, ...]:
        return self.FLOODED_PRIMES[self.degree] if self.threshold else super().moduli


@dataclass(frozen=True)
class CkksParameters(LatticeParameters):
    """`ckks`: as `LatticeParameters`."""

    scheme: ClassVar[str] = "ckks"

    @classmethod
    def from_literal(cls, literal: Mapping[str, Any]) -> CkksParameters:
        """As for any scheme. Raises NoFloodingError where a threshold is asked for."""
        if literal.get("threshold"):
            raise NoFloodingError(cls.scheme, literal["threshold"])
        return super().from_literal(literal)


def _named(parameters: SchemeParameters) -> dict[str, Any]:
    """What a shared key does not have is not named: its digests are those of before there were thresholds."""
    given = asdict(parameters).items()
    return {name: value for name, value in given if value or name not in ("threshold", "clients")}


def _check_threshold(threshold: int, clients: int, most: int) -> None:
    for name, value in (("threshold", threshold), ("clients", clients)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise ParameterError(name, value, "must be a whole number")
    if (threshold, clients) != (0, 0):
        if not 2 <= clients <= most:
            raise ParameterError("clients", clients, f"a threshold group has 2 to {most}")
        if not 2 <= threshold <= clients:
            raise ParameterError("threshold", threshold, f"must be in [2, clients={clients}], or 0 for a shared key")


def _check_lattice_strength(security_bits: object) -> None:
    if isinstance(security_bits, bool) or not isinstance(security_bits, int):
        raise ParameterError("security_bits", security_bits, "must be a whole number")
    strengths = sorted({strength for _, strength in LATTICE_MODULUS_BITS})
    if security_bits not in strengths:
        raise ParameterError(
            "security_bits",
            security_bits,
            f"must be one of {strengths}, the rows of the Homomorphic Encryption Security Standard 2018, Table 1",
        )


def _lattice_strength(wanted: int, least: int) -> int:
    """The least strength of the table that is no less than either; `least` where the table ends before `wanted`."""
    return min((row for _, row in LATTICE_MODULUS_BITS if row >= max(wanted, least)), default=least)


def _degree(security_bits: int, modulus_bits: int) -> int:
    """The smallest degree whose row allows a modulus of `modulus_bits`."""
    return min(
        degree
        for (degree, strength), most_bits in LATTICE_MODULUS_BITS.items()
        if strength == security_bits and most_bits >= modulus_bits
    )

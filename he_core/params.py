"""Parameter literals -> validated, immutable parameters, with the tables they are judged by."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, TypeVar

from he_core.errors import ParameterError, UnknownNameError

# NIST SP 800-57 Part 1 Rev. 5, Table 2 (factoring-based cryptography): modulus bits -> security strength.
FACTORING_STRENGTH = {2048: 112, 3072: 128, 7680: 192}

P = TypeVar("P", bound="SchemeParameters")


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

    def as_dict(self) -> dict[str, Any]:
        """The literal these parameters came from, every value given."""
        return asdict(self)

    @property
    @abstractmethod
    def security_bits(self) -> int:
        """Classical security strength in bits; 0 where nothing is encrypted."""

    @property
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

    @property
    def security_bits(self) -> int:
        return max(bits for size, bits in FACTORING_STRENGTH.items() if size <= self.modulus_bits)

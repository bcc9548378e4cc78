"""Key bundles: public and secret material as bytes, apart from each other, named by a key id.

A bundle is what is stored and handed over; a scheme turns it into a validated key object (`Scheme.public_key`,
`Scheme.secret_key`). The aggregation server is only ever given a `PublicBundle`.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from he_core.errors import SecretKeyRefusedError

VERIFICATION_KEY_BYTES = 32


def _fresh_verification_key() -> bytes:
    return secrets.token_bytes(VERIFICATION_KEY_BYTES)


@dataclass(frozen=True)
class PublicBundle:
    """Everything a party needs to encrypt and to add, and nothing that decrypts."""

    scheme: str
    parameters: Mapping[str, Any]
    material: Mapping[str, bytes]

    @cached_property
    def key_id(self) -> bytes:
        """SHA-256 (32 bytes) of the canonical bundle: the key's fingerprint."""
        canonical = json.dumps(
            [
                self.scheme,
                dict(self.parameters),
                {name: value.hex() for name, value in self.material.items()},
            ],
            sort_keys=True,
            separators=(",", ":"),
        )
        return hashlib.sha256(b"dcsfl public key 1\0" + canonical.encode()).digest()


@dataclass(frozen=True)
class SecretBundle:
    """A key pair, and what the group's clients verify sums by. `repr` shows the key id alone.

    verification_key: 32 bytes from OS entropy that every client of the group holds and no server; None for a pair
    that was made before there were any.
    """

    public: PublicBundle
    material: Mapping[str, bytes] = field(repr=False)
    verification_key: bytes | None = field(default_factory=_fresh_verification_key, repr=False)

    def __repr__(self) -> str:
        return f"SecretBundle(scheme={self.public.scheme!r}, key_id={self.public.key_id.hex()[:16]}…)"


@dataclass(frozen=True)
class PublicKey:
    """A validated public key; schemes extend it."""

    key_id: bytes


@dataclass(frozen=True)
class SecretKey:
    """A validated secret key with its public half; schemes extend it. `repr` shows the key id alone."""

    public: PublicKey

    @property
    def key_id(self) -> bytes:
        return self.public.key_id

    def __repr__(self) -> str:
        return f"{type(self).__name__}(key_id={self.key_id.hex()[:16]}…)"


def refuse_secret(key: object, party: str) -> None:
    """Raise SecretKeyRefusedError where `key` holds secret material: `party` must not have it."""
    if isinstance(key, SecretKey | SecretBundle):
        raise SecretKeyRefusedError(party)

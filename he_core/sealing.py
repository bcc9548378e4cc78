"""Bytes that servers relay between the group's clients and cannot read: ChaCha20-Poly1305 (RFC 8439) under a secret
that all clients hold, HKDF (RFC 5869) with a purpose of its own for each kind of content."""

from __future__ import annotations

import os
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from he_core.threshold_errors import SealError

NONCE_BYTES = 12
PARTIALS = b"dcsfl partial decryptions 1"
"""The purpose of partial decryptions on their way."""


def seal(content: bytes, group_secret: bytes, *, purpose: bytes, key_id: bytes, round: int, sender: int) -> bytes:
    """`content` as only the group's clients can read it, bound to all that is named: a fresh nonce, ciphertext, tag.

    group_secret: 32 bytes that all clients hold and no server, such as the group's verification key.
    """
    nonce = os.urandom(NONCE_BYTES)
    return nonce + _cipher(group_secret, key_id, purpose).encrypt(nonce, content, _bound_to(round, sender))


def unseal(sealed: bytes, group_secret: bytes, *, purpose: bytes, key_id: bytes, round: int, sender: int) -> bytes:
    """What `seal` sealed. Raises SealError where it is not of this purpose, sender, round and group."""
    try:
        return _cipher(group_secret, key_id, purpose).decrypt(
            sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound_to(round, sender)
        )
    except (InvalidTag, ValueError):
        raise SealError(f"bytes of client {sender} in round {round}") from None


def _cipher(group_secret: bytes, key_id: bytes, purpose: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(HKDF(SHA256(), 32, salt=key_id, info=purpose).derive(group_secret))


def _bound_to(round: int, sender: int) -> bytes:
    return struct.pack("<QI", round, sender)

"""Which key file a site reads: a hospital the group's secret, a server its public half, and never the other."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from he_core import PublicBundle, SecretBundle
from he_core.verification import SESSION_BYTES
from trainer.config import EncryptionConfig
from trainer.errors import ConfigError
from trainer.parties.key_folder import public_in, secret_in


def hospital_key(config: EncryptionConfig) -> SecretBundle:
    """The secret bundle in `encryption.key_folder`. Raises ConfigError, and the engine's key file errors."""
    return secret_in(_folder(config))


def server_key(config: EncryptionConfig) -> PublicBundle:
    """The public bundle there. Raises as `hospital_key`, and SecretKeyRefusedError where a secret one lies beside."""
    return public_in(_folder(config))


def session_of(nonces: Sequence[bytes]) -> bytes:
    """The session that sums are verified in, of all hospitals' nonces: fresh if that of one is."""
    return hashlib.sha256(b"dcsfl session 1\0" + b"".join(nonces)).digest()[:SESSION_BYTES]


def _folder(config: EncryptionConfig) -> Path:
    if config.key_folder is None:
        raise ConfigError(
            "a site of a federation needs encryption.key_folder: a folder with the group's secret.key at a hospital, "
            "with public.key alone at the aggregation server. `dcsfl-train keys create FOLDER` makes both files"
        )
    return config.key_folder

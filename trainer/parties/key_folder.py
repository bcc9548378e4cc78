"""A party's key folder: secret.key at whoever holds the group's key, public.key alone at an aggregation server."""

from __future__ import annotations

import os
from pathlib import Path

from he_core import PublicBundle, SecretBundle, keystore
from he_core.errors import SecretKeyRefusedError

PASSPHRASE_VARIABLE = "DCSFL_KEY_PASSPHRASE"
PUBLIC, SECRET = "public.key", "secret.key"


def secret_in(folder: Path) -> SecretBundle:
    """The secret bundle in `folder`. Raises the engine's KeyFileError, PassphraseError."""
    return keystore.load_secret(folder / SECRET, os.environ.get(PASSPHRASE_VARIABLE))


def public_in(folder: Path) -> PublicBundle:
    """The public bundle in `folder`. Raises KeyFileError, SecretKeyRefusedError where a secret one lies beside."""
    if (folder / SECRET).exists():
        raise SecretKeyRefusedError("the aggregation server")
    return keystore.load_public(folder / PUBLIC)

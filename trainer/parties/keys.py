"""The group's key pair: made at the hospitals, or loaded from a folder of theirs. Servers get the public half."""

from __future__ import annotations

import os
from pathlib import Path

from he_core import CostLedger, Scheme, SecretBundle, keystore
from he_core.errors import KeyFileError
from trainer.config import EncryptionConfig
from trainer.errors import ConfigError

PASSPHRASE_VARIABLE = "DCSFL_KEY_PASSPHRASE"
SET_UP_ROUND = -1  # the ledger's row for what happens before round 0


def group_keys(scheme: Scheme, config: EncryptionConfig, ledger: CostLedger, *, party: str) -> SecretBundle:
    """Load `encryption.key_folder`'s keys, or make a pair (and keep it there, if a folder is named) at `party`.

    Without a folder the pair lives in memory for this run alone; a resumed run makes a new one. Raises the engine's
    KeyFileError, PassphraseError, and ConfigError for a folder that holds only half a pair.
    """
    with ledger.stage("keys", round=SET_UP_ROUND, party=party):
        if config.key_folder is None:
            return scheme.generate_keys()
        passphrase = os.environ.get(PASSPHRASE_VARIABLE)
        public, secret = config.key_folder / "public.key", config.key_folder / "secret.key"
        if public.exists() != secret.exists():
            there, missing = (public, secret) if public.exists() else (secret, public)
            raise ConfigError(
                f"encryption.key_folder={config.key_folder} holds {there.name} but no {missing.name}: "
                "put the other half there, or name another folder"
            )
        if secret.exists():
            bundle = keystore.load_secret(secret, passphrase)
            if keystore.load_public(public).key_id != bundle.public.key_id:
                raise ConfigError(f"{public} and {secret} are not a pair: their key ids differ")
            return bundle
        bundle = scheme.generate_keys()
        _keep(bundle, public, secret, passphrase)
        return bundle


def _keep(bundle: SecretBundle, public: Path, secret: Path, passphrase: str | None) -> None:
    """Write both files or neither."""
    try:
        secret.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"encryption.key_folder={secret.parent} cannot be made: {error.strerror}") from None
    keystore.save_public(public, bundle.public)
    try:
        keystore.save_secret(secret, bundle, passphrase)
    except KeyFileError:
        public.unlink(missing_ok=True)
        raise

"""The group's keys: made at the hospitals, or loaded from a folder of theirs. Servers get the public half alone."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from he_core import CostLedger, Scheme, SecretBundle, Trust, Verifier, keystore
from he_core.ceremony import Proposal, Seat
from he_core.errors import KeyFileError
from he_core.scheme import threshold_scheme
from he_core.verification import SESSION_BYTES
from trainer.config import EncryptionConfig
from trainer.errors import ConfigError

PASSPHRASE_VARIABLE = "DCSFL_KEY_PASSPHRASE"
PUBLIC, SECRET = "public.key", "secret.key"
SET_UP_ROUND = -1  # the ledger's row for what happens before round 0


def keys_of_clients(
    scheme: Scheme, config: EncryptionConfig, ledger: CostLedger, site_names: Sequence[str]
) -> tuple[SecretBundle, ...]:
    """Every client's keys in a run of one process: the same pair, or the shares of a ceremony that is held here.

    Raises as `group_keys`, and ConfigError for a folder of shares: each belongs to one client alone.
    """
    if scheme.capabilities.trust is not Trust.THRESHOLD:
        return (group_keys(scheme, config, ledger, party=site_names[0]),) * len(site_names)
    if config.key_folder is not None:
        raise ConfigError(
            f"encryption.key_folder={config.key_folder}: a run in one process holds its threshold ceremony itself; "
            "leave the folder out"
        )
    with ledger.stage("keys", round=SET_UP_ROUND, party=site_names[0]):
        threshold = threshold_scheme(scheme)
        proposal = Proposal.fresh("run", site_names, threshold)
        seats = [Seat.take(proposal, name, threshold) for name in site_names]
        joinings = [seat.joining() for seat in seats]
        dealings = [seat.dealing(joinings) for seat in seats]
        return tuple(seat.finish(threshold, joinings, dealings) for seat in seats)


def group_keys(scheme: Scheme, config: EncryptionConfig, ledger: CostLedger, *, party: str) -> SecretBundle:
    """Load `encryption.key_folder`'s keys, or make a pair (and keep it there, if a folder is named) at `party`.

    Without a folder the pair lives in memory for this run alone; a resumed run makes a new one. Raises the engine's
    KeyFileError, PassphraseError, and ConfigError for a folder that holds only half a pair.
    """
    with ledger.stage("keys", round=SET_UP_ROUND, party=party):
        if config.key_folder is None:
            return scheme.generate_keys()
        passphrase = os.environ.get(PASSPHRASE_VARIABLE)
        public, secret = config.key_folder / PUBLIC, config.key_folder / SECRET
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
        keep(bundle, config.key_folder, passphrase)
        return bundle


def verifies(scheme: Scheme, config: EncryptionConfig) -> bool:
    """Whether clients verify the sums: as asked for, or, if nothing was, where they are exact.

    Raises UnverifiableSchemeError where it is asked for and they are not.
    """
    if config.verified is None:
        return scheme.capabilities.exact
    if config.verified:
        scheme.check_exact()
    return config.verified


def group_verifier(
    keys: SecretBundle, scheme: Scheme, config: EncryptionConfig, session: bytes | None = None
) -> Verifier | None:
    """What the clients of this run verify sums by, None where they do not.

    session: that all clients agreed on; a new one, for clients in one process, if None.

    Raises UnverifiableSchemeError, and ConfigError for keys that were made without a verification key.
    """
    if not verifies(scheme, config):
        return None
    if keys.verification_key is None:
        raise ConfigError(
            f"the secret key in encryption.key_folder={config.key_folder} has no verification key: it is of before "
            "sums were verified. Name another folder, to make new keys in, or set encryption.verified=false"
        )
    return Verifier(keys.verification_key, secrets.token_bytes(SESSION_BYTES) if session is None else session)


def keep(bundle: SecretBundle, folder: Path, passphrase: str | None) -> None:
    """Write both files into `folder`, or neither. Raises ConfigError, KeyFileError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"key folder {folder} cannot be made: {error.strerror}") from None
    keystore.save_public(folder / PUBLIC, bundle.public)
    try:
        keystore.save_secret(folder / SECRET, bundle, passphrase)
    except KeyFileError:
        (folder / PUBLIC).unlink(missing_ok=True)
        raise

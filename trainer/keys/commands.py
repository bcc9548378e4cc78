"""create, show, public, rotate: one key pair for all clients, in a folder as `encryption.key_folder` takes it."""

from __future__ import annotations

from pathlib import Path

import click

import he_core
from he_core import PublicBundle, SecretBundle, keystore
from he_core.errors import KeyFileError
from trainer.config import load
from trainer.errors import ConfigError
from trainer.keys.ceremony import ceremony
from trainer.keys.fingerprint import spoken
from trainer.keys.passphrase import passphrase, passphrase_options
from trainer.parties.keys import PUBLIC, SECRET, keep
from trainer.terminal import errors_in_a_line

RETIRED = "retired"


@click.group()
def keys() -> None:
    """Make, show and change the group's keys.

    \b
    One key for all clients:
      dcsfl-train keys create KEYS             public.key and secret.key in folder KEYS
      dcsfl-train keys show KEYS               its fingerprint, to compare by voice
      dcsfl-train keys public KEYS/secret.key SERVER/public.key    what a server gets
      dcsfl-train keys rotate KEYS             a new key; the old one goes to KEYS/retired
      dcsfl-train run encryption.key_folder=KEYS
    Any t of n clients decrypt together, and nobody has the key:
      dcsfl-train keys ceremony --help
    """


keys.add_command(ceremony)


@keys.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.argument("overrides", nargs=-1, metavar="[ENCRYPTION.KEY=VALUE]...")
@click.option("--config", "configs", multiple=True, type=click.Path(path_type=Path), help="YAML file; repeatable.")
@passphrase_options
def create(
    folder: Path,
    overrides: tuple[str, ...],
    configs: tuple[Path, ...],
    ask_passphrase: bool,
    passphrase_file: Path | None,
) -> None:
    """Make a key pair in FOLDER: secret.key (mode 0600) for every client, public.key for the servers.

    \b
    Examples:
      dcsfl-train keys create KEYS --ask-passphrase
      dcsfl-train keys create KEYS encryption.scheme=paillier encryption.parameters.modulus_bits=3072
    """
    with errors_in_a_line():
        encryption = load(configs, overrides).encryption
        scheme = he_core.create(encryption.scheme, encryption.backend, encryption.parameters)
        bundle = scheme.generate_keys()
        keep(bundle, folder, passphrase(ask_passphrase, passphrase_file, new=True))
        _print(bundle.public, "made")
        click.echo(
            f"give {folder / SECRET} to every client over a way no server sees, {folder / PUBLIC} to the servers, "
            "and compare the fingerprint by voice"
        )


@keys.command()
@click.argument("path", type=click.Path(path_type=Path))
def show(path: Path) -> None:
    """Show whose key PATH is, a file or a folder: fingerprint, scheme, parameters, secret or public.

    No passphrase is needed: what is shown is public.
    """
    with errors_in_a_line():
        file = path
        if path.is_dir():
            file = path / SECRET if (path / SECRET).exists() else path / PUBLIC
        bundle, is_secret = keystore.load_either(file)
        _print(bundle, "secret key file: for clients, never a server" if is_secret else "public key file")


@keys.command()
@click.argument("secret", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
def public(secret: Path, out: Path) -> None:
    """Write the public half of the key file SECRET to OUT: what a server gets."""
    with errors_in_a_line():
        bundle, _ = keystore.load_either(secret)
        keystore.save_public(out, bundle)
        _print(bundle, f"public key written to {out}")


@keys.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@passphrase_options
def rotate(folder: Path, ask_passphrase: bool, passphrase_file: Path | None) -> None:
    """Make a new key of the same scheme and parameters in FOLDER; the old one is kept under FOLDER/retired.

    The new secret.key has the passphrase that opens the old one. Frames name the key they are under, so what was sent
    under the old key can be told, and needs it to be read.
    """
    with errors_in_a_line():
        phrase = passphrase(ask_passphrase, passphrase_file, new=False)
        old = keystore.load_secret(folder / SECRET, phrase)
        if old.public.parameters.get("threshold"):
            raise ConfigError(
                "a threshold group's key is changed by a new ceremony: dcsfl-train keys ceremony --help"
            )
        scheme = he_core.create(old.public.scheme, parameters=old.public.parameters)
        fresh = scheme.generate_keys()
        aside = folder / RETIRED / old.public.key_id.hex()[:16]
        _replace(folder, aside, fresh, phrase)
        _print(old.public, f"retired to {aside}")
        _print(fresh.public, "made")


def _replace(folder: Path, aside: Path, fresh: SecretBundle, phrase: str | None) -> None:
    names = [name for name in (PUBLIC, SECRET) if (folder / name).exists()]
    keystore.retire(folder, {name: aside / name for name in names})
    try:
        keep(fresh, folder, phrase)
    except (KeyFileError, ConfigError):
        keystore.retire(aside, {name: folder / name for name in names})
        raise


def _print(bundle: PublicBundle, what: str) -> None:
    parameters = dict(bundle.parameters)
    threshold, clients = parameters.get("threshold"), parameters.get("clients")
    trust = f"threshold: any {threshold} of {clients} clients decrypt together" if threshold else "shared key"
    given = ", ".join(f"{name}={value}" for name, value in parameters.items()) or "none"
    click.echo(f"{what}\n  fingerprint  {spoken(bundle.key_id)}\n  key id       {bundle.key_id.hex()[:16]}")
    click.echo(f"  scheme       {bundle.scheme}; {given}\n  trust        {trust}")

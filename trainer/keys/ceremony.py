"""The threshold ceremony over files: propose, join, deal, finish (`he_core.ceremony` has the protocol)."""

from __future__ import annotations

from pathlib import Path

import click

import he_core
from he_core import ceremony_files as files
from he_core.ceremony import Joining, Proposal, Seat, fingerprint
from he_core.scheme import ThresholdScheme, threshold_scheme
from he_core.threshold_errors import CeremonyError
from trainer.config import load
from trainer.errors import ConfigError
from trainer.keys.fingerprint import heard, spoken
from trainer.keys.passphrase import passphrase, passphrase_options
from trainer.parties.keys import keep
from trainer.terminal import errors_in_a_line

PROPOSAL, SEAT = "group.proposal", "seat.secret"


@click.group()
def ceremony() -> None:
    """Make a key that nobody has: any t of n clients decrypt together.

    \b
    Each step writes a file to send to the others, by any channel; compare one fingerprint by voice.
      one:   dcsfl-train keys ceremony propose group.proposal --group lung --threshold 2 -m north -m south -m west
      each:  dcsfl-train keys ceremony join group.proposal KEYS --member north      send KEYS/north.joining
      each:  put all joinings into KEYS;  dcsfl-train keys ceremony deal KEYS       compare the fingerprint by voice
             dcsfl-train keys ceremony deal KEYS --fingerprint "12345 ..."          send KEYS/north.dealing
      each:  put all dealings into KEYS;  dcsfl-train keys ceremony finish KEYS     secret.key (a share), public.key
    """


@ceremony.command()
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("overrides", nargs=-1, metavar="[ENCRYPTION.KEY=VALUE]...")
@click.option("--group", required=True, help="The group's name.")
@click.option("--threshold", required=True, type=int, help="How many members it takes to decrypt.")
@click.option("-m", "--member", "members", multiple=True, required=True, help="A member's name; repeat for each.")
@click.option("--config", "configs", multiple=True, type=click.Path(path_type=Path), help="YAML file; repeatable.")
def propose(
    out: Path,
    overrides: tuple[str, ...],
    group: str,
    threshold: int,
    members: tuple[str, ...],
    configs: tuple[Path, ...],
) -> None:
    """Write a proposal: who is in the group, in which order, and how many decrypt. It is not secret."""
    with errors_in_a_line():
        encryption = load(configs, overrides).encryption
        parameters = {**encryption.parameters, "threshold": threshold, "clients": len(members)}
        scheme = threshold_scheme(he_core.create(encryption.scheme, encryption.backend, parameters))
        for member in members:
            _check_name(member)
        files.save_proposal(out, Proposal.fresh(group, members, scheme))
        click.echo(f"{out}: any {threshold} of {len(members)} members; send it to each of them")


@ceremony.command()
@click.argument("proposal", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--member", required=True, help="Your name in the proposal.")
@passphrase_options
def join(proposal: Path, folder: Path, member: str, ask_passphrase: bool, passphrase_file: Path | None) -> None:
    """Take your seat: FOLDER/NAME.joining is to be sent to every member, FOLDER/seat.secret never leaves you."""
    with errors_in_a_line():
        proposed = files.load_proposal(proposal)
        for name in proposed.members:
            _check_name(name)
        seat = Seat.take(proposed, member, _scheme(proposed))
        phrase = passphrase(ask_passphrase, passphrase_file, new=True)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"folder {folder} cannot be made: {error.strerror}") from None
        files.save_seat(folder / SEAT, seat, phrase)
        files.save_joining(folder / f"{member}.joining", seat.joining())
        click.echo(f"send {folder / member}.joining to every member, and put theirs into {folder}")


@ceremony.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--fingerprint", "confirmed", help="The fingerprint, once all members have read the same to each other."
)
@passphrase_options
def deal(folder: Path, confirmed: str | None, ask_passphrase: bool, passphrase_file: Path | None) -> None:
    """Show the fingerprint to compare by voice; given it back, write FOLDER/NAME.dealing, to send to every member."""
    with errors_in_a_line():
        seat = files.load_seat(folder / SEAT, passphrase(ask_passphrase, passphrase_file, new=False))
        joinings = _joinings(folder, seat)
        words = spoken(fingerprint(seat.proposal, joinings))
        if confirmed is None:
            click.echo(f"fingerprint of the ceremony: {words}")
            click.echo(
                "read it to the others by voice. If all have the same, go on: "
                f'dcsfl-train keys ceremony deal {folder} --fingerprint "{words}"; if not, somebody altered a joining'
            )
            return
        if heard(confirmed) != words:
            raise CeremonyError(f"the fingerprint here is {words}, not {confirmed!r}: a joining was altered; stop")
        files.save_dealing(folder / f"{seat.member}.dealing", seat.dealing(joinings))
        click.echo(f"send {folder / seat.member}.dealing to every member, and put theirs into {folder}")


@ceremony.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@passphrase_options
def finish(folder: Path, ask_passphrase: bool, passphrase_file: Path | None) -> None:
    """Check all dealings and write secret.key, your share, and public.key; the seat is removed."""
    with errors_in_a_line():
        phrase = passphrase(ask_passphrase, passphrase_file, new=False)
        seat = files.load_seat(folder / SEAT, phrase)
        dealings = [files.load_dealing(folder / f"{member}.dealing") for member in seat.proposal.members]
        bundle = seat.finish(_scheme(seat.proposal), _joinings(folder, seat), dealings)
        keep(bundle, folder, phrase)
        (folder / SEAT).unlink()
        click.echo(f"the group's key: {spoken(bundle.public.key_id)}\ncompare it by voice, as every member has it")
        click.echo(f"{folder / 'secret.key'} is your share; {folder / 'public.key'} is for the servers")


def _scheme(proposal: Proposal) -> ThresholdScheme:
    return threshold_scheme(he_core.create(proposal.scheme, parameters=proposal.parameters))


def _joinings(folder: Path, seat: Seat) -> list[Joining]:
    return [files.load_joining(folder / f"{member}.joining") for member in seat.proposal.members]


def _check_name(member: str) -> None:
    """Names become file names."""
    if not member.isidentifier() and not all(letter.isalnum() or letter in "-_" for letter in member):
        raise ConfigError(f"--member={member!r}: letters, digits, - and _ only")
    if not member:
        raise ConfigError("--member is empty")

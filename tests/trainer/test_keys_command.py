"""`dcsfl-train keys`: files that are right at once, and mistakes that end in a line."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any

import pytest

from he_core import keystore, registry
from trainer.keys.fingerprint import heard, spoken
from trainer.parties.key_folder import PASSPHRASE_VARIABLE

PLAIN = "encryption.scheme=plain"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def fingerprint_in(text: str) -> str:
    found = re.search(r"(?:\d{5} ){7}\d{5}", text)
    assert found is not None, text
    return found[0]


def test_create_writes_both_halves_and_show_gives_one_fingerprint(cli: Any, tmp_path: Path) -> None:
    made = cli("keys", "create", tmp_path / "keys")
    assert made.exit_code == 0, made.stderr
    assert mode(tmp_path / "keys" / "secret.key") == 0o600
    bundle = keystore.load_secret(tmp_path / "keys" / "secret.key")
    assert bundle.public.scheme == "rlwe"
    shown = [cli("keys", "show", tmp_path / "keys" / name).stdout for name in ("", "secret.key", "public.key")]
    assert {fingerprint_in(text) for text in (made.stdout, *shown)} == {spoken(bundle.public.key_id)}
    assert "secret key file" in shown[0]
    assert "secret key file" in shown[1]
    assert "public key file" in shown[2]
    for value in bundle.material.values():
        assert value.hex()[:16] not in made.stdout + "".join(shown)


def test_a_run_takes_created_keys(cli: Any, quick: tuple[str, ...], tmp_path: Path) -> None:
    assert cli("keys", "create", tmp_path / "keys", PLAIN).exit_code == 0
    before = (tmp_path / "keys" / "secret.key").read_bytes()
    result = cli("run", "--into", tmp_path / "run", *quick, f"encryption.key_folder={tmp_path / 'keys'}")
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "keys" / "secret.key").read_bytes() == before


def test_keys_are_never_overwritten(cli: Any, tmp_path: Path) -> None:
    cli("keys", "create", tmp_path, PLAIN)
    before = (tmp_path / "secret.key").read_bytes()
    again = cli("keys", "create", tmp_path, PLAIN)
    assert again.exit_code == 1
    assert "never overwritten" in again.stderr
    assert (tmp_path / "secret.key").read_bytes() == before


def test_a_passphrase_comes_from_a_file_or_the_environment(
    cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "phrase").write_text("correct horse\n")
    cli("keys", "create", tmp_path / "a", PLAIN, "--passphrase-file", tmp_path / "phrase")
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "correct horse")
    cli("keys", "create", tmp_path / "b", PLAIN)
    for folder in ("a", "b"):
        assert "sealed" in (tmp_path / folder / "secret.key").read_text()
        keystore.load_secret(tmp_path / folder / "secret.key", "correct horse")
    assert "is empty" in _refused(cli("keys", "create", tmp_path / "c", "--passphrase-file", _empty(tmp_path)))


def _empty(folder: Path) -> Path:
    (folder / "empty").write_text("")
    return folder / "empty"


def _refused(result: Any) -> str:
    assert result.exit_code == 1, result.output
    (line,) = result.stderr.splitlines()
    return str(line)


def test_public_extracts_what_a_server_gets(cli: Any, tmp_path: Path) -> None:
    cli("keys", "create", tmp_path / "keys", PLAIN)
    cli("keys", "public", tmp_path / "keys" / "secret.key", tmp_path / "server.key")
    assert keystore.load_public(tmp_path / "server.key") == keystore.load_public(tmp_path / "keys" / "public.key")


def test_rotate_makes_a_new_key_of_the_same_kind_and_keeps_the_old_one(cli: Any, tmp_path: Path) -> None:
    cli("keys", "create", tmp_path, "encryption.parameters.failure_bits=80")
    old = keystore.load_secret(tmp_path / "secret.key")
    rotated = cli("keys", "rotate", tmp_path)
    assert rotated.exit_code == 0, rotated.stderr
    new = keystore.load_secret(tmp_path / "secret.key")
    assert new.public.key_id != old.public.key_id
    assert new.public.parameters == old.public.parameters
    aside = tmp_path / "retired" / old.public.key_id.hex()[:16]
    assert keystore.load_secret(aside / "secret.key") == old
    assert keystore.load_public(tmp_path / "public.key") == new.public


@pytest.mark.parametrize("arguments", [("show",), ("rotate",)])
def test_a_folder_without_keys_is_refused_in_a_line(cli: Any, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert "cannot be read" in _refused(cli("keys", *arguments, tmp_path))


def test_a_fingerprint_is_heard_however_it_was_typed() -> None:
    words = spoken(bytes(range(32)))
    assert heard(words.replace(" ", "-")) == heard(words.replace(" ", "")) == words


# --- the ceremony

MEMBERS = ("north", "south", "west")


SPLIT = {status.scheme: status.obstacle for status in registry.default().statuses() if status.can_be_split}
NO_BFV = pytest.mark.skipif(SPLIT["bfv"] is not None, reason=f"no bfv: {SPLIT['bfv']}")


@pytest.fixture(params=["rlwe", pytest.param("bfv", marks=NO_BFV)])
def joined(cli: Any, tmp_path: Path, request: pytest.FixtureRequest) -> list[Path]:
    """Folders of three members with all joinings in them."""
    chosen = f"encryption.scheme={request.param}"
    named = [word for member in MEMBERS for word in ("-m", member)]
    proposal = tmp_path / "group.proposal"
    done = cli("keys", "ceremony", "propose", proposal, "--group", "lung", "--threshold", "2", *named, chosen)
    assert done.exit_code == 0, done.stderr
    folders = [tmp_path / member for member in MEMBERS]
    for member, folder in zip(MEMBERS, folders, strict=True):
        assert cli("keys", "ceremony", "join", proposal, folder, "--member", member).exit_code == 0
        assert mode(folder / "seat.secret") == 0o600
    _hand_round(folders, "joining")
    return folders


def _hand_round(folders: list[Path], kind: str) -> None:
    for member, folder in zip(MEMBERS, folders, strict=True):
        for other in folders:
            if other != folder:
                (other / f"{member}.{kind}").write_bytes((folder / f"{member}.{kind}").read_bytes())


def test_a_ceremony_gives_every_member_its_share_of_one_key(cli: Any, joined: list[Path]) -> None:
    heard_by_all = {fingerprint_in(cli("keys", "ceremony", "deal", folder).stdout) for folder in joined}
    (words,) = heard_by_all
    for folder in joined:
        assert not list(folder.glob("*.dealing")), "nothing is dealt before the fingerprint was compared"
    for folder in joined:
        assert cli("keys", "ceremony", "deal", folder, "--fingerprint", words).exit_code == 0
    _hand_round(joined, "dealing")
    for folder in joined:
        done = cli("keys", "ceremony", "finish", folder)
        assert done.exit_code == 0, done.stderr
        assert mode(folder / "secret.key") == 0o600
        assert not (folder / "seat.secret").exists()
    bundles = [keystore.load_secret(folder / "secret.key") for folder in joined]
    assert len({bundle.public.key_id for bundle in bundles}) == 1
    assert len({bundle.verification_key for bundle in bundles}) == 1
    shown = cli("keys", "show", joined[0]).stdout
    assert "any 2 of 3 clients decrypt together" in shown
    assert "new ceremony" in _refused(cli("keys", "rotate", joined[0]))


def test_an_altered_joining_is_seen_by_the_fingerprint(cli: Any, joined: list[Path], tmp_path: Path) -> None:
    """Somebody on the way puts in a joining of its own for west, at north alone."""
    words = fingerprint_in(cli("keys", "ceremony", "deal", joined[1]).stdout)
    proposal = tmp_path / "group.proposal"
    cli("keys", "ceremony", "join", proposal, tmp_path / "attacker", "--member", "west")
    (joined[0] / "west.joining").write_bytes((tmp_path / "attacker" / "west.joining").read_bytes())
    assert "a joining was altered" in _refused(cli("keys", "ceremony", "deal", joined[0], "--fingerprint", words))
    assert not list(joined[0].glob("*.dealing"))


def test_steps_out_of_turn_name_the_file_that_is_missing(cli: Any, joined: list[Path], tmp_path: Path) -> None:
    assert "north.dealing" in _refused(cli("keys", "ceremony", "finish", joined[0]))
    assert "seat.secret" in _refused(cli("keys", "ceremony", "deal", tmp_path))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--threshold", "4", "-m", "a", "-m", "b"], "threshold"),
        (["--threshold", "2", "-m", "a", "-m", "../b"], "letters, digits"),
        (["--threshold", "2", "-m", "a", "-m", "a"], "different names"),
        (["--threshold", "2", "-m", "a", "-m", "b", "encryption.scheme=paillier"], "threshold"),
        pytest.param(
            ["--threshold", "2", "-m", "a", "-m", "b", "encryption.scheme=ckks"], "use bfv or rlwe", marks=NO_BFV
        ),
    ],
)
def test_proposals_that_cannot_be_are_refused(cli: Any, arguments: list[str], words: str, tmp_path: Path) -> None:
    assert words in _refused(cli("keys", "ceremony", "propose", tmp_path / "p", "--group", "g", *arguments))
    assert not (tmp_path / "p").exists()

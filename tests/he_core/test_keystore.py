"""Key files: who may read them, what is refused, and that a failed write leaves nothing behind."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from he_core import SecretBundle, create, keystore
from he_core.errors import KeyFileError, ParameterError, PassphraseError
from he_core.keys import VERIFICATION_KEY_BYTES

ROOT = Path(__file__).parents[2]
SCHEME = create("paillier", parameters={"modulus_bits": 2048}, threads=1)


@pytest.fixture(scope="module")
def keys() -> SecretBundle:
    return SCHEME.generate_keys()


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> object:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def secrets_of(keys: SecretBundle) -> list[bytes]:
    assert keys.verification_key is not None
    return [*keys.material.values(), keys.verification_key]


@pytest.mark.parametrize("passphrase", [None, "correct horse", "pässwörd \udcff", ""])
def test_a_secret_bundle_comes_back_from_its_file(keys: SecretBundle, tmp_path: Path, passphrase: str | None) -> None:
    keystore.save_secret(tmp_path / "key", keys, passphrase)
    assert keystore.load_secret(tmp_path / "key", passphrase) == keys


def test_a_public_bundle_comes_back_from_its_file(keys: SecretBundle, tmp_path: Path) -> None:
    keystore.save_public(tmp_path / "key", keys.public)
    assert keystore.load_public(tmp_path / "key") == keys.public


def test_a_secret_file_is_its_owners_alone_whatever_the_umask(keys: SecretBundle, tmp_path: Path, umask: int) -> None:
    keystore.save_secret(tmp_path / "secret", keys)
    keystore.save_public(tmp_path / "public", keys.public)
    assert mode(tmp_path / "secret") == 0o600
    assert mode(tmp_path / "public") == 0o644 & ~umask


def test_a_secret_file_is_its_owners_alone_from_its_creation_on(keys: SecretBundle, tmp_path: Path) -> None:
    """Seen by the interpreter's audit events: the file is opened once, exclusively, with mode 0600 at creation."""
    script = """
import os, stat, sys
from pathlib import Path
from he_core import SecretBundle, create, keystore
path = Path(sys.argv[1])
seen = []
def audit(event, arguments):
    if path.exists():
        seen.append(stat.S_IMODE(path.stat().st_mode))
keys = create("plain").generate_keys()
os.umask(0)
sys.addaudithook(audit)
keystore.save_secret(path, keys)
os.listdir(path.parent)
print(sorted(set(seen)))
"""
    run = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "secret"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout == f"[{0o600}]\n"


@pytest.mark.parametrize("wide", [0o640, 0o604, 0o660, 0o610, 0o644, 0o666])
def test_a_secret_file_that_others_may_touch_is_refused_with_the_fix(
    keys: SecretBundle, tmp_path: Path, wide: int
) -> None:
    path = tmp_path / "secret"
    keystore.save_secret(path, keys)
    path.chmod(wide)
    with pytest.raises(KeyFileError, match=f"{wide:04o}.*chmod 600"):
        keystore.load_secret(path)
    path.chmod(0o600)
    assert keystore.load_secret(path) == keys


def test_every_pair_has_a_verification_key_of_its_own_that_no_text_about_it_shows(keys: SecretBundle) -> None:
    other = SCHEME.generate_keys()
    assert keys.verification_key is not None
    assert len(keys.verification_key) == VERIFICATION_KEY_BYTES
    assert keys.verification_key != other.verification_key
    assert keys.verification_key.hex()[:16] not in f"{keys} {keys!r}"
    assert repr(keys.verification_key)[2:20] not in f"{keys} {keys!r}"


@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_a_file_of_before_there_were_verification_keys_is_read_without(
    keys: SecretBundle, tmp_path: Path, passphrase: str | None
) -> None:
    old = replace(keys, verification_key=None)
    keystore.save_secret(tmp_path / "old", old, passphrase)
    assert "verification" not in (tmp_path / "old").read_text()
    assert keystore.load_secret(tmp_path / "old", passphrase) == old


def test_a_verification_key_of_another_size_is_refused(keys: SecretBundle, tmp_path: Path) -> None:
    keystore.save_secret(tmp_path / "short", replace(keys, verification_key=bytes(31)))
    with pytest.raises(KeyFileError, match="verification key has 31 bytes, not 32"):
        keystore.load_secret(tmp_path / "short")


def test_an_existing_file_is_never_overwritten(keys: SecretBundle, tmp_path: Path) -> None:
    path = tmp_path / "taken"
    path.write_text("precious")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for target in (path, tmp_path / "link"):
        with pytest.raises(KeyFileError, match="never overwritten"):
            keystore.save_secret(target, keys)
        with pytest.raises(KeyFileError, match="never overwritten"):
            keystore.save_public(target, keys.public)
    assert path.read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()


def test_a_place_that_cannot_be_written_or_read_is_named(keys: SecretBundle, tmp_path: Path) -> None:
    path = tmp_path / "no-such-folder" / "key"
    with pytest.raises(KeyFileError, match=r"no-such-folder.*cannot be created"):
        keystore.save_secret(path, keys)
    with pytest.raises(KeyFileError, match=r"no-such-folder.*cannot be read"):
        keystore.load_secret(path)
    with pytest.raises(KeyFileError, match="cannot be read"):
        keystore.load_public(tmp_path)


def test_a_wrong_or_missing_passphrase_opens_nothing(keys: SecretBundle, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    keystore.save_secret(path, keys, "correct horse")
    with pytest.raises(PassphraseError, match="give its passphrase"):
        keystore.load_secret(path)
    with pytest.raises(PassphraseError, match="wrong passphrase") as refusal:
        keystore.load_secret(path, "battery staple")
    assert "battery staple" not in str(refusal.value)


def test_a_sealed_file_holds_no_secret_in_the_clear_and_no_two_are_alike(keys: SecretBundle, tmp_path: Path) -> None:
    texts = []
    for name in ("one", "two"):
        keystore.save_secret(tmp_path / name, keys, "correct horse")
        texts.append((tmp_path / name).read_text())
    for value in secrets_of(keys):
        assert base64.b64encode(value).decode()[:20] not in texts[0] + texts[1]
    sealed = [json.loads(text)["sealed"] for text in texts]
    assert all(sealed[0][part] != sealed[1][part] for part in ("salt", "nonce", "ciphertext"))


def test_a_public_file_holds_no_secret(keys: SecretBundle, tmp_path: Path) -> None:
    keystore.save_public(tmp_path / "public", keys.public)
    text = (tmp_path / "public").read_text()
    for value in secrets_of(keys):
        assert base64.b64encode(value).decode()[:20] not in text


def test_public_and_secret_files_are_not_taken_for_each_other(keys: SecretBundle, tmp_path: Path) -> None:
    keystore.save_public(tmp_path / "public", keys.public)
    keystore.save_secret(tmp_path / "secret", keys)
    with pytest.raises(KeyFileError, match=r"not a 'dcsfl secret key 1' file but 'dcsfl public key 1'"):
        keystore.load_secret(tmp_path / "public")
    with pytest.raises(KeyFileError, match=r"not a 'dcsfl public key 1' file but 'dcsfl secret key 1'"):
        keystore.load_public(tmp_path / "secret")


def _altered(path: Path, *where: str) -> None:
    """Change the first character of the string at `where` in a JSON file."""
    document = json.loads(path.read_text())
    node = document
    for name in where[:-1]:
        node = node[name]
    node[where[-1]] = ("B" if node[where[-1]][0] == "A" else "A") + node[where[-1]][1:]
    path.write_text(json.dumps(document))


def test_an_altered_public_part_does_not_match_its_fingerprint(keys: SecretBundle, tmp_path: Path) -> None:
    keystore.save_public(tmp_path / "public", keys.public)
    _altered(tmp_path / "public", "material", "n")
    with pytest.raises(KeyFileError, match="fingerprint"):
        keystore.load_public(tmp_path / "public")
    keystore.save_secret(tmp_path / "secret", keys)
    _altered(tmp_path / "secret", "public", "material", "h")
    with pytest.raises(KeyFileError, match="fingerprint"):
        keystore.load_secret(tmp_path / "secret")


def test_an_altered_secret_part_is_no_key(keys: SecretBundle, tmp_path: Path) -> None:
    """Sealed, the seal tells; in the clear, the scheme does: the factors no longer give the modulus."""
    keystore.save_secret(tmp_path / "clear", keys)
    _altered(tmp_path / "clear", "material", "p")
    with pytest.raises(ParameterError, match="not the factors"):
        SCHEME.secret_key(keystore.load_secret(tmp_path / "clear"))
    keystore.save_secret(tmp_path / "sealed", keys, "correct horse")
    _altered(tmp_path / "sealed", "sealed", "ciphertext")
    with pytest.raises(PassphraseError, match="altered"):
        keystore.load_secret(tmp_path / "sealed", "correct horse")


def test_a_sealed_part_moved_to_another_public_key_does_not_open(keys: SecretBundle, tmp_path: Path) -> None:
    plain = create("plain").generate_keys()
    for name, bundle in (("paillier", keys), ("plain", plain)):
        keystore.save_secret(tmp_path / name, bundle, "correct horse")
    document = json.loads((tmp_path / "paillier").read_text())
    document["public"] = json.loads((tmp_path / "plain").read_text())["public"]
    (tmp_path / "plain").write_text(json.dumps(document))
    with pytest.raises(PassphraseError):
        keystore.load_secret(tmp_path / "plain", "correct horse")


def test_a_file_too_large_for_a_key_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(keystore.MAX_KEY_FILE_BYTES + 1)
    with pytest.raises(KeyFileError, match="too large"):
        keystore.load_public(path)


@pytest.mark.parametrize("limit_bytes", [0, 1, 100, 1000])
def test_a_write_that_fails_half_way_leaves_no_file(limit_bytes: int, tmp_path: Path) -> None:
    """A real failure: the kernel refuses to let the file grow, as on a full disk."""
    script = """
import resource, sys
from pathlib import Path
from he_core import create, keystore
from he_core.errors import KeyFileError
keys = create("paillier", parameters={"modulus_bits": 2048}, threads=1).generate_keys()
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
for save, bundle in ((keystore.save_secret, keys), (keystore.save_public, keys.public)):
    try:
        save(Path(sys.argv[1]), bundle)
    except KeyFileError as error:
        print(error)
"""
    path = tmp_path / "key"
    run = subprocess.run(
        [sys.executable, "-c", script, path, str(limit_bytes)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.count("cannot be written: File too large") == 2
    assert list(tmp_path.iterdir()) == []

"""Key files: the public and the secret bundle as separate JSON files, the secret one encrypted if asked.

Secret files are created with mode 0600 and refused with any wider one. Under a passphrase the material is sealed by
AES-256-GCM with a key from scrypt (RFC 7914; N = 2^17, r = 8, p = 1: the OWASP Password Storage Cheat Sheet's row),
bound to the public bundle. Without one it lies in the clear, guarded by the file mode alone. The group's verification
key is one more piece of the material; a file of before there were any is read without.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from he_core.errors import KeyFileError, PassphraseError, WrongKeyFormatError
from he_core.keys import VERIFICATION_KEY_BYTES, PublicBundle, SecretBundle

PUBLIC_FORMAT, SECRET_FORMAT = "dcsfl public key 1", "dcsfl secret key 1"
MAX_KEY_FILE_BYTES = 1 << 26  # a dealing to 64 members of bfv at 256 bits, in a ceremony, has 34 million
VERIFICATION = "verification_key"
SCRYPT_COST, SCRYPT_BLOCK, SCRYPT_LANES = 1 << 17, 8, 1


def save_public(path: Path, bundle: PublicBundle) -> None:
    """Write a public bundle. Raises KeyFileError where `path` exists or cannot be written."""
    create(path, {"format": PUBLIC_FORMAT, **_public_document(bundle)}, mode=0o644)


def load_public(path: Path) -> PublicBundle:
    """Read a public bundle. Raises KeyFileError."""
    document, _ = read(path, PUBLIC_FORMAT)
    return _public_bundle(path, document)


def load_either(path: Path) -> tuple[PublicBundle, bool]:
    """The public bundle in a public or a secret file, and whether it is a secret one. Raises KeyFileError."""
    try:
        return load_public(path), False
    except WrongKeyFormatError:
        return _public_bundle(path, read_secret(path, SECRET_FORMAT).get("public")), True


def save_secret(path: Path, bundle: SecretBundle, passphrase: str | None = None) -> None:
    """Write a secret bundle, mode 0600. Raises KeyFileError where `path` exists or cannot be written."""
    material = dict(bundle.material)
    if bundle.verification_key is not None:
        material[VERIFICATION] = bundle.verification_key
    document = {"format": SECRET_FORMAT, "public": _public_document(bundle.public)}
    save_sealed(path, document, material, passphrase, bound_to=bundle.public.key_id)


def save_sealed(
    path: Path, document: dict[str, Any], material: Mapping[str, bytes], passphrase: str | None, *, bound_to: bytes
) -> None:
    """Write `document` with secret `material`, sealed and bound to 32 public bytes if there is a passphrase; 0600."""
    if passphrase is None:
        document["material"] = encode(material)
    else:
        salt, nonce = os.urandom(16), os.urandom(12)
        text = json.dumps(encode(material)).encode()
        sealed = AESGCM(_derive(passphrase, salt)).encrypt(nonce, text, bound_to)
        document["sealed"] = encode({"salt": salt, "nonce": nonce, "ciphertext": sealed})
    create(path, document, mode=0o600)


def load_secret(path: Path, passphrase: str | None = None) -> SecretBundle:
    """Read a secret bundle. Raises KeyFileError, PassphraseError."""
    document = read_secret(path, SECRET_FORMAT)
    public = _public_bundle(path, document.get("public"))
    return _secret_bundle(path, public, open_material(path, document, passphrase, bound_to=public.key_id))


def read_secret(path: Path, expected_format: str) -> dict[str, Any]:
    """The document of a file with secrets. Raises KeyFileError, also where others may touch it."""
    document, mode = read(path, expected_format)
    if mode & 0o077:
        raise KeyFileError(path, f"mode {mode:04o} lets others read a secret key; run: chmod 600 {path}")
    return document


def open_material(
    path: Path, document: Mapping[str, Any], passphrase: str | None, *, bound_to: bytes
) -> dict[str, bytes]:
    """The secret material of such a document. Raises KeyFileError, PassphraseError."""
    if "material" in document:
        return decode(path, document["material"])
    if passphrase is None:
        raise PassphraseError(path, "is sealed; give its passphrase")
    sealed = decode(path, document.get("sealed"))
    if set(sealed) != {"salt", "nonce", "ciphertext"} or len(sealed["nonce"]) != 12:
        raise KeyFileError(path, "its sealed part is damaged")
    cipher = AESGCM(_derive(passphrase, sealed["salt"]))
    try:
        material = cipher.decrypt(sealed["nonce"], sealed["ciphertext"], bound_to)
    except InvalidTag:
        raise PassphraseError(path, "wrong passphrase, or the file was altered") from None
    return decode(path, json.loads(material))


def _secret_bundle(path: Path, public: PublicBundle, material: dict[str, bytes]) -> SecretBundle:
    verification_key = material.pop(VERIFICATION, None)
    if verification_key is not None and len(verification_key) != VERIFICATION_KEY_BYTES:
        raise KeyFileError(
            path, f"its verification key has {len(verification_key)} bytes, not {VERIFICATION_KEY_BYTES}"
        )
    return SecretBundle(public, material, verification_key)


def _derive(passphrase: str, salt: bytes) -> bytes:
    kdf = Scrypt(salt=salt, length=32, n=SCRYPT_COST, r=SCRYPT_BLOCK, p=SCRYPT_LANES)
    # Python turns undecodable bytes of an environment variable or a terminal into lone surrogates.
    return kdf.derive(passphrase.encode(errors="surrogatepass"))


def create(path: Path, document: Mapping[str, Any], mode: int) -> None:
    """Write a new file. Raises KeyFileError where `path` exists or cannot be written; nothing is left then."""
    text = json.dumps(document, indent=1) + "\n"  # before the file exists: nothing is left behind if it fails
    try:
        # O_EXCL: an existing key is never overwritten; the mode holds from the first byte on.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise KeyFileError(path, "exists; keys are never overwritten, choose another name") from None
    except OSError as error:
        raise KeyFileError(path, f"cannot be created: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise KeyFileError(path, f"cannot be written: {error.strerror}") from None


def read(path: Path, expected_format: str) -> tuple[dict[str, Any], int]:
    """The document of a key file, and the mode of the very file it was read from."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(MAX_KEY_FILE_BYTES + 1)
    except OSError as error:
        raise KeyFileError(path, f"cannot be read: {error.strerror}") from None
    if len(data) > MAX_KEY_FILE_BYTES:
        raise KeyFileError(path, f"is over {MAX_KEY_FILE_BYTES} bytes, too large for a key")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise KeyFileError(path, "is not JSON") from None
    found = document.get("format") if isinstance(document, dict) else None
    if found != expected_format:
        shown = repr(found) if isinstance(found, str) else "of no known format"
        raise WrongKeyFormatError(path, f"is not a {expected_format!r} file but {shown}")
    return document, mode


def _public_document(bundle: PublicBundle) -> dict[str, Any]:
    return {
        "scheme": bundle.scheme,
        "parameters": dict(bundle.parameters),
        "key_id": bundle.key_id.hex(),
        "material": encode(bundle.material),
    }


def _public_bundle(path: Path, document: Any) -> PublicBundle:
    if not isinstance(document, dict):
        raise KeyFileError(path, "holds no public key")
    scheme, parameters = document.get("scheme"), document.get("parameters")
    if not isinstance(scheme, str) or not isinstance(parameters, dict):
        raise KeyFileError(path, "names no scheme and parameters")
    bundle = PublicBundle(scheme, parameters, decode(path, document.get("material")))
    try:
        key_id = bundle.key_id.hex()
    except RecursionError:  # parameters nested just less deeply than the JSON parser allows
        raise KeyFileError(path, "its parameters are nested too deeply") from None
    if key_id != document.get("key_id"):
        raise KeyFileError(path, "its fingerprint does not match its content: altered or damaged")
    return bundle


def encode(material: Mapping[str, bytes]) -> dict[str, str]:
    """Bytes by name as base64."""
    return {name: base64.b64encode(value).decode("ascii") for name, value in material.items()}


def decode(path: Path, encoded: Any) -> dict[str, bytes]:
    """Undo `encode` on what a file held. Raises KeyFileError."""
    if not isinstance(encoded, dict) or not all(isinstance(value, str) for value in encoded.values()):
        raise KeyFileError(path, "its key material is damaged")
    try:
        return {name: base64.b64decode(value, validate=True) for name, value in encoded.items()}
    except (binascii.Error, ValueError):
        raise KeyFileError(path, "its key material is not base64") from None


def retire(folder: Path, names: Mapping[str, Path]) -> None:
    """Move files of `folder` aside: to the paths in `names`, which must not exist. Raises KeyFileError."""
    for name, target in names.items():
        if target.exists():
            raise KeyFileError(target, "exists; keys are never overwritten")
        try:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            (folder / name).rename(target)
        except OSError as error:
            raise KeyFileError(folder / name, f"cannot be moved aside: {error.strerror}") from None

"""The files of a ceremony (`he_core.ceremony`): proposal, joinings and dealings to hand round, and a seat to keep.

JSON with bytes in base64, as key files. A seat is secret: mode 0600, sealed under a passphrase if there is one, and
removed once the key is made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from he_core import keystore
from he_core.ceremony import Dealing, Joining, Proposal, Seat
from he_core.errors import KeyFileError
from he_core.scheme import Deal

PROPOSAL, JOINING, DEALING = "dcsfl ceremony proposal 1", "dcsfl ceremony joining 1", "dcsfl ceremony dealing 1"
SEAT = "dcsfl ceremony seat 1"


def save_proposal(path: Path, proposal: Proposal) -> None:
    """Write it. Raises KeyFileError."""
    keystore.create(path, {"format": PROPOSAL, **_proposal_document(proposal)}, 0o644)


def load_proposal(path: Path) -> Proposal:
    """Read it. Raises KeyFileError."""
    return _proposal(path, keystore.read(path, PROPOSAL)[0])


def save_joining(path: Path, joining: Joining) -> None:
    """Write it. Raises KeyFileError."""
    material = {"proposal": joining.proposal, "sealing_key": joining.sealing_key, "commitment": joining.commitment}
    keystore.create(path, {"format": JOINING, "member": joining.member, "material": keystore.encode(material)}, 0o644)


def load_joining(path: Path) -> Joining:
    """Read it. Raises KeyFileError."""
    document, material = _message(path, JOINING, {"proposal", "sealing_key", "commitment"})
    return Joining(member=document["member"], **material)


def save_dealing(path: Path, dealing: Dealing) -> None:
    """Write it. Raises KeyFileError."""
    material = {
        "fingerprint": dealing.fingerprint,
        "public": dealing.public,
        "secret_digest": dealing.secret_digest,
        **_numbered("sealed", dealing.sealed),
    }
    keystore.create(path, {"format": DEALING, "member": dealing.member, "material": keystore.encode(material)}, 0o644)


def load_dealing(path: Path) -> Dealing:
    """Read it. Raises KeyFileError."""
    document, material = _message(path, DEALING, {"fingerprint", "public", "secret_digest"})
    sealed = _collected(path, "sealed", material)
    return Dealing(member=document["member"], sealed=sealed, **material)


def save_seat(path: Path, seat: Seat, passphrase: str | None = None) -> None:
    """Write it, mode 0600. Raises KeyFileError."""
    material = {
        "sealing_key": seat.sealing_key,
        "secret": seat.secret,
        "public": seat.deal.public,
        **_numbered("share", seat.deal.shares),
    }
    document = {"format": SEAT, "member": seat.member, "proposal": _proposal_document(seat.proposal)}
    keystore.save_sealed(path, document, material, passphrase, bound_to=seat.proposal.digest)


def load_seat(path: Path, passphrase: str | None = None) -> Seat:
    """Read it. Raises KeyFileError, PassphraseError."""
    document = keystore.read_secret(path, SEAT)
    proposal = _proposal(path, document.get("proposal"))
    if document.get("member") not in proposal.members:
        raise KeyFileError(path, "names no member of its proposal")
    material = keystore.open_material(path, document, passphrase, bound_to=proposal.digest)
    if not {"sealing_key", "secret", "public"} <= set(material):
        raise KeyFileError(path, "is damaged")
    deal = Deal(material.pop("public"), _collected(path, "share", material))
    return Seat(proposal, document["member"], material["sealing_key"], deal, material["secret"])


def _proposal_document(proposal: Proposal) -> dict[str, Any]:
    return {
        "group": proposal.group,
        "members": list(proposal.members),
        "scheme": proposal.scheme,
        "parameters": dict(proposal.parameters),
        "nonce": proposal.nonce.hex(),
    }


def _proposal(path: Path, document: Any) -> Proposal:
    if not isinstance(document, dict):
        raise KeyFileError(path, "holds no proposal")
    group, scheme, members = document.get("group"), document.get("scheme"), document.get("members")
    parameters, nonce = document.get("parameters"), document.get("nonce")
    if not (isinstance(group, str) and isinstance(scheme, str) and isinstance(nonce, str)):
        raise KeyFileError(path, "is no whole proposal")
    if not (isinstance(members, list) and all(isinstance(name, str) for name in members)):
        raise KeyFileError(path, "names no members")
    if not isinstance(parameters, dict):
        raise KeyFileError(path, "names no parameters")
    try:
        return Proposal(group, tuple(members), scheme, parameters, bytes.fromhex(nonce))
    except ValueError:
        raise KeyFileError(path, "its nonce is not hexadecimal") from None


def _message(path: Path, form: str, names: set[str]) -> tuple[dict[str, Any], dict[str, bytes]]:
    document, _ = keystore.read(path, form)
    material = keystore.decode(path, document.get("material"))
    if not isinstance(document.get("member"), str) or not names <= set(material):
        raise KeyFileError(path, "is no whole message of a ceremony")
    return document, material


def _numbered(name: str, parts: tuple[bytes, ...]) -> dict[str, bytes]:
    return {f"{name}_{number}": part for number, part in enumerate(parts)}


def _collected(path: Path, name: str, material: dict[str, bytes]) -> tuple[bytes, ...]:
    """Take the parts that `_numbered` named out of `material`."""
    found = [key for key in material if key.startswith(f"{name}_")]
    if found != [f"{name}_{number}" for number in range(len(found))]:
        raise KeyFileError(path, f"its parts {name}_0, {name}_1, ... are not whole")
    return tuple(material.pop(key) for key in found)

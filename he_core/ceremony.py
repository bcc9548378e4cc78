"""How n clients make a threshold group's key with no dealer: what each sends, keeps and checks.

Two exchanges over any channel; nobody need be online together:

1. A *proposal* names the group, its members in order, scheme and parameters, and has 32 random bytes. The public seed
   of the polynomial a is a hash of it, so nobody chooses a (as a random oracle; who proposes can only draw again).
2. Each member sends a *joining*: an X25519 public key (RFC 7748) and commitments to its part of the public key and to
   its part of the group's secret. Nobody can make its part depend on others' (a rogue key: b minus all other parts).
3. With all joinings at hand, members compare one fingerprint of proposal and joinings by voice: it is what keeps a
   channel that alters messages out. Then each sends a *dealing*: its part of the public key, and for every member a
   share and its part of the group's secret, sealed (X25519, HKDF-SHA-256, ChaCha20-Poly1305) and bound to
   fingerprint, sender and receiver.
4. With all dealings at hand, each checks commitments and seals, adds up, and has the public key and its share.

Members are honest but curious: a share that is not of the polynomial it should be of is noticed only when decryptions
fail. Against any other lie named above there is a check and an error.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from he_core.keys import SecretBundle
from he_core.scheme import Deal, ThresholdScheme
from he_core.threshold_errors import CeremonyError

SECRET_BYTES = 32


@dataclass(frozen=True)
class Proposal:
    """What a group will be. members: names, in the order of holders."""

    group: str
    members: tuple[str, ...]
    scheme: str
    parameters: Mapping[str, Any]
    nonce: bytes

    @classmethod
    def fresh(cls, group: str, members: Sequence[str], scheme: ThresholdScheme) -> Proposal:
        """Raises CeremonyError where the members are not as many as the parameters say, or share a name."""
        if len(members) != scheme.holders or len(set(members)) != len(members):
            raise CeremonyError(f"{list(members)}: {scheme.holders} members with different names are needed")
        return cls(group, tuple(members), scheme.name, scheme.parameters.as_dict(), os.urandom(SECRET_BYTES))

    @property
    def digest(self) -> bytes:
        """SHA-256 of all of it."""
        content = [self.group, list(self.members), self.scheme, dict(self.parameters), self.nonce.hex()]
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(b"dcsfl ceremony proposal 1\0" + canonical.encode()).digest()

    @property
    def public_seed(self) -> bytes:
        """Of the polynomial a."""
        return hashlib.sha256(b"dcsfl ceremony seed 1\0" + self.digest).digest()


@dataclass(frozen=True)
class Joining:
    """A member's first message."""

    proposal: bytes  # its digest
    member: str
    sealing_key: bytes
    commitment: bytes


@dataclass(frozen=True)
class Dealing:
    """A member's second message. sealed: for every member, in their order; its own among them."""

    fingerprint: bytes
    member: str
    public: bytes
    secret_digest: bytes
    sealed: tuple[bytes, ...]


@dataclass(frozen=True)
class Seat:
    """What a member keeps between its two messages, and no one else sees. `repr` shows the name alone."""

    proposal: Proposal
    member: str
    sealing_key: bytes = field(repr=False)
    deal: Deal = field(repr=False)
    secret: bytes = field(repr=False)

    @classmethod
    def take(cls, proposal: Proposal, member: str, scheme: ThresholdScheme) -> Seat:
        """Raises CeremonyError for a member that was not proposed or a scheme set otherwise."""
        _check_scheme(proposal, scheme)
        if member not in proposal.members:
            raise CeremonyError(f"{member!r} is not among the proposed members {', '.join(proposal.members)}")
        private = X25519PrivateKey.generate().private_bytes_raw()
        return cls(proposal, member, private, scheme.deal(proposal.public_seed), os.urandom(SECRET_BYTES))

    @property
    def index(self) -> int:
        """The holder's number."""
        return self.proposal.members.index(self.member)

    def joining(self) -> Joining:
        """The first message."""
        public = X25519PrivateKey.from_private_bytes(self.sealing_key).public_key().public_bytes_raw()
        secret_digest = _secret_digest(self.secret)
        return Joining(
            self.proposal.digest, self.member, public, _commitment(self.member, self.deal.public, secret_digest)
        )

    def dealing(self, joinings: Sequence[Joining]) -> Dealing:
        """The second message, once `fingerprint(...)` of these joinings was compared. Raises CeremonyError."""
        ordered = in_order(self.proposal, joinings)
        if ordered[self.index] != self.joining():
            raise CeremonyError(f"the joining of {self.member!r} is not the one made here: start again")
        bound = fingerprint(self.proposal, ordered)
        sealed = tuple(
            _pair_cipher(self.sealing_key, other.sealing_key, bound, self.index, receiver).encrypt(
                bytes(12), self.secret + self.deal.shares[receiver], None
            )
            for receiver, other in enumerate(ordered)
        )
        return Dealing(bound, self.member, self.deal.public, _secret_digest(self.secret), sealed)

    def finish(
        self, scheme: ThresholdScheme, joinings: Sequence[Joining], dealings: Sequence[Dealing]
    ) -> SecretBundle:
        """This member's share with the group's public key. Raises CeremonyError, ParameterError."""
        _check_scheme(self.proposal, scheme)
        ordered = in_order(self.proposal, joinings)
        bound = fingerprint(self.proposal, ordered)
        dealt = in_order(self.proposal, dealings)
        shares, secrets = [], []
        for sender, (joined, dealing) in enumerate(zip(ordered, dealt, strict=True)):
            if dealing.fingerprint != bound:
                raise CeremonyError(f"the dealing of {dealing.member!r} is of another ceremony, or of other joinings")
            if _commitment(dealing.member, dealing.public, dealing.secret_digest) != joined.commitment:
                raise CeremonyError(f"{dealing.member!r} did not keep to its commitment: stop, and find out why")
            secret, share = self._open(dealing, sender, joined, bound)
            secrets.append(secret)
            shares.append(share)
        public = scheme.joint_key(self.proposal.public_seed, [dealing.public for dealing in dealt])
        group_secret = HKDF(SHA256(), SECRET_BYTES, salt=public.key_id, info=b"dcsfl group secret 1").derive(
            b"".join(secrets)
        )
        return SecretBundle(public, scheme.joint_share(self.index, shares), group_secret)

    def _open(self, dealing: Dealing, sender: int, joined: Joining, bound: bytes) -> tuple[bytes, bytes]:
        """The sender's part of the group's secret, and the share."""
        if len(dealing.sealed) != len(self.proposal.members):
            raise CeremonyError(f"the dealing of {dealing.member!r} has {len(dealing.sealed)} sealed parts")
        cipher = _pair_cipher(self.sealing_key, joined.sealing_key, bound, sender, self.index)
        try:
            opened = cipher.decrypt(bytes(12), dealing.sealed[self.index], None)
        except (InvalidTag, ValueError):
            raise CeremonyError(f"what {dealing.member!r} sealed for {self.member!r} does not open") from None
        secret, share = opened[:SECRET_BYTES], opened[SECRET_BYTES:]
        if _secret_digest(secret) != dealing.secret_digest:
            raise CeremonyError(f"{dealing.member!r} sealed another part of the group's secret than it committed to")
        return secret, share


def fingerprint(proposal: Proposal, joinings: Sequence[Joining]) -> bytes:
    """SHA-256 of the proposal and all joinings, in the order of members: what members compare by voice."""
    digest = hashlib.sha256(b"dcsfl ceremony joinings 1\0" + proposal.digest)
    for joining in in_order(proposal, joinings):
        digest.update(joining.sealing_key + joining.commitment)
    return digest.digest()


def in_order(proposal: Proposal, messages: Sequence[Any]) -> list[Any]:
    """Messages by their members' order, one of each. Raises CeremonyError."""
    by_member = {message.member: message for message in messages}
    missing = [member for member in proposal.members if member not in by_member]
    if missing or len(messages) != len(proposal.members):
        what = f"missing are {', '.join(missing)}" if missing else f"{len(messages)} came, one or more of them twice"
        raise CeremonyError(f"one message of each of {len(proposal.members)} members is needed: {what}")
    for message in messages:
        if isinstance(message, Joining) and message.proposal != proposal.digest:
            raise CeremonyError(f"the joining of {message.member!r} is to another proposal")
    return [by_member[member] for member in proposal.members]


def _check_scheme(proposal: Proposal, scheme: ThresholdScheme) -> None:
    if (proposal.scheme, dict(proposal.parameters)) != (scheme.name, scheme.parameters.as_dict()):
        raise CeremonyError(f"the proposal is for {proposal.scheme} with {dict(proposal.parameters)}")
    if len(proposal.members) != scheme.holders or len(set(proposal.members)) != scheme.holders:
        raise CeremonyError(f"the proposal names {len(proposal.members)} members for clients={scheme.holders}")


def _commitment(member: str, public: bytes, secret_digest: bytes) -> bytes:
    """Hides nothing that has to stay secret: both are shown later; b is pseudorandom until then."""
    body = hashlib.sha256(member.encode()).digest() + hashlib.sha256(public).digest() + secret_digest
    return hashlib.sha256(b"dcsfl ceremony commitment 1\0" + body).digest()


def _secret_digest(secret: bytes) -> bytes:
    return hashlib.sha256(b"dcsfl ceremony secret 1\0" + secret).digest()


def _pair_cipher(own: bytes, other: bytes, bound: bytes, sender: int, receiver: int) -> ChaCha20Poly1305:
    """A cipher for one message from sender to receiver, whose key serves no other: hence the nonce of zeros."""
    try:
        shared = X25519PrivateKey.from_private_bytes(own).exchange(X25519PublicKey.from_public_bytes(other))
    except ValueError:
        raise CeremonyError("a joining's X25519 key is none") from None
    info = b"dcsfl ceremony share 1\0" + sender.to_bytes(4, "little") + receiver.to_bytes(4, "little")
    return ChaCha20Poly1305(HKDF(SHA256(), 32, salt=bound, info=info).derive(shared))

"""Verified sums: a tag that adds up like the values, under a key that the aggregation server has not.

The tag of a contribution is its fields' polynomial at a secret point of the round (mod p = 2^61 - 1), plus a mask
that stands for one client and its weight in that round: a one-time message authentication code after Wegman and
Carter ("New hash functions and their use in authentication and set equality", JCSS 22, 1981), with the linearity that
makes it add up. Whoever knows point and masks checks a sum: its checksum must be the polynomial of the summed fields
plus the mask of every participant, once. A contribution left out, or in twice, is off by its mask, which is how a
refusal can say whose; all else is off by a number that says nothing. docs/wire-format.md has the bytes,
docs/security.md the bound on a forgery and what this does not hold against.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from he_core.arith.kernels import KERNELS
from he_core.codec import CHECKSUM_BITS, Codec
from he_core.errors import AlteredSumError, ParameterError, WrongContributionsError
from he_core.frame import Participant
from he_core.keys import VERIFICATION_KEY_BYTES

P = (1 << CHECKSUM_BITS) - 1
SESSION_BYTES = 16
PSEUDORANDOM_BYTES = 16  # of a PRF's output, taken mod p: within 2^-66 of uniform
MOST_SEARCHED = 20  # participants of which any may be missing or repeated for a refusal to name them


class Verifier:
    """Tags contributions and checks sums; the same at every client of a group.

    key: 32 bytes, `SecretBundle.verification_key`.
    session: 16 bytes that all clients agree on without the servers, another for every run under one key: a round of
    an earlier run cannot be replayed in this one then. Not secret.
    A client tags one message a round: two under one mask would tell the difference of their checksums.
    Raises ParameterError. `repr` shows nothing of the key.
    """

    def __init__(self, key: bytes, session: bytes) -> None:
        # The value is secret: the message shows none of it.
        if len(key) != VERIFICATION_KEY_BYTES:
            raise ParameterError("verification key", f"{len(key)} bytes", f"must be {VERIFICATION_KEY_BYTES} bytes")
        if len(session) != SESSION_BYTES:
            raise ParameterError("session", session.hex(), f"must be {SESSION_BYTES} bytes")
        self._key = key
        self.session = session

    def tag(
        self, fields: NDArray[np.uint32], codec: Codec, *, round: int, key_id: bytes, participant: Participant
    ) -> None:
        """Fill the last `codec.tag_count` of `fields`, uint32[codec.shape.value_count], from those before."""
        context = self._context(codec, round, key_id)
        checksum = (self._checksum(context, fields, codec) + self._mask(context, participant)) % P
        digits = [checksum >> codec.bits * place & (1 << codec.bits) - 1 for place in range(codec.tag_count)]
        fields[codec.value_count :] = digits

    def check(
        self,
        sums: NDArray[np.uint32],
        codec: Codec,
        *,
        round: int,
        key_id: bytes,
        participants: Collection[Participant],
    ) -> None:
        """Return if `sums`, uint32[codec.shape.value_count], are those of the participants' contributions, each once.

        Raises WrongContributionsError where contributions are missing or repeated, AlteredSumError for anything else.
        """
        context = self._context(codec, round, key_id)
        digits = sums[codec.value_count :].tolist()
        got = sum(digit << codec.bits * place for place, digit in enumerate(digits))
        masks = {entry.client: self._mask(context, entry) for entry in participants}
        difference = (got - self._checksum(context, sums, codec) - sum(masks.values())) % P
        if difference == 0:
            return
        extra = _explained(difference, masks, codec.k_max)
        if extra is None:
            raise AlteredSumError(round)
        raise WrongContributionsError(round, {client: 1 + times for client, times in extra.items()})

    def __repr__(self) -> str:
        return f"Verifier(session={self.session.hex()[:16]}…)"

    def _context(self, codec: Codec, round: int, key_id: bytes) -> bytes:
        return self.session + key_id + codec.digest + struct.pack("<Q", round)

    def _checksum(self, context: bytes, fields: NDArray[np.uint32], codec: Codec) -> int:
        point = np.frombuffer(self._pseudorandom(b"point", context), np.uint8)
        values = np.require(fields[: codec.value_count], requirements=["C", "A"])
        return KERNELS.checksum.checksum(point, values, codec.shape.field_bits)

    def _mask(self, context: bytes, participant: Participant) -> int:
        body = context + struct.pack("<IQ", participant.client, participant.weight)
        return int.from_bytes(self._pseudorandom(b"mask", body), "little") % P

    def _pseudorandom(self, purpose: bytes, body: bytes) -> bytes:
        message = b"dcsfl verification " + purpose + b" 1\0" + body
        return hmac.digest(self._key, message, "sha256")[:PSEUDORANDOM_BYTES]


def check_verifier(verifier: Verifier | None, codec: Codec) -> None:
    """Raise ParameterError where there is a verifier but no tag in the codec, or a tag and no verifier."""
    if codec.verified and verifier is None:
        raise ParameterError("codec.verified", True, "give a verifier, of the group's verification key")
    if verifier is not None and not codec.verified:
        raise ParameterError("codec.verified", False, "there is a verifier: set verified=True, or leave it out")


def _explained(difference: int, masks: Mapping[int, int], k_max: int) -> dict[int, int] | None:
    """Clients whose masks, so many times each, add up to `difference`; None where none are found.

    Looked for: one client any number of times; two, left out or twice; of few participants, any that are left out or
    twice. What is found by chance has a probability of 3^MOST_SEARCHED / p at most, below 2^-29.
    """
    for client, mask in masks.items():
        times = difference * pow(mask, -1, P) % P if mask else 0
        for signed in (times, times - P):
            if -1 <= signed < k_max and signed != 0:
                return {client: signed}
    clients = list(masks)
    if len(clients) <= MOST_SEARCHED:
        half = len(clients) // 2
        left, right = (_combinations(masks, part) for part in (clients[:half], clients[half:]))
    else:
        left = right = {sign * mask % P: {client: sign} for client, mask in masks.items() for sign in (-1, 1)}
    for total, extra in left.items():
        other = right.get((difference - total) % P)
        if other is not None and extra.keys().isdisjoint(other):
            return extra | other
    return None


def _combinations(masks: Mapping[int, int], clients: list[int]) -> dict[int, dict[int, int]]:
    """Every way in which `clients` may be left out (-1), there once (0) or twice (1), by what it adds mod p."""
    found: dict[int, dict[int, int]] = {0: {}}
    for client in clients:
        found |= {
            (total + sign * masks[client]) % P: extra | {client: sign}
            for total, extra in list(found.items())
            for sign in (-1, 1)
        }
    return found

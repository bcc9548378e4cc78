"""Decrypting together: a holder's part of a sum as a frame, and what those who combine the parts check.

The roles: each of t holders is a `ShareHolder` and makes one part a round; whoever has t parts decrypts with
`Decryptor.decrypt(..., partials=...)`. Parts go between clients, never to a server in the clear: t of them open the
sum. `he_core.sealing` is for parts that a server relays.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from he_core import frame
from he_core.codec import Codec
from he_core.cost import CostLedger
from he_core.errors import FrameFieldError, TruncatedFrameError, WrongParticipantsError
from he_core.frame import Expectation, FrameHeader, Kind, Participant
from he_core.keys import PublicKey, SecretKey
from he_core.scheme import Scheme, ThresholdScheme, threshold_scheme
from he_core.threshold_errors import SecondSumError, TooFewPartialsError, WrongHoldersError, WrongSumError

DIGEST_BYTES = 32
_HOLDER = struct.Struct("<I")


@dataclass(frozen=True)
class Partial:
    """The payload of a partial decryption's frame. digest: SHA-256 of the whole frame of the sum."""

    digest: bytes
    holder: int
    holders: tuple[int, ...]
    coefficients: bytes

    def encode(self) -> bytes:
        """The payload's bytes."""
        numbers = (self.holder, len(self.holders), *self.holders)
        return self.digest + b"".join(map(_HOLDER.pack, numbers)) + self.coefficients

    @classmethod
    def parse(cls, payload: memoryview, scheme: ThresholdScheme, header: FrameHeader) -> Partial:
        """From hostile bytes. Raises TruncatedFrameError, FrameFieldError."""
        start = DIGEST_BYTES + 2 * _HOLDER.size
        if len(payload) < start:
            raise TruncatedFrameError(start, len(payload))
        holder, count = struct.unpack_from("<II", payload, DIGEST_BYTES)
        if count != scheme.threshold:
            raise FrameFieldError("holders", count, f"must be the threshold, {scheme.threshold}")
        expected = start + count * _HOLDER.size + scheme.partial_bytes(header.shape)
        if len(payload) != expected:
            raise FrameFieldError("payload_bytes", len(payload), f"must be {expected}")
        holders = struct.unpack_from(f"<{count}I", payload, start)
        if any(left >= right for left, right in pairwise(holders)):
            raise FrameFieldError("holders", holders, "must be strictly ascending")
        if holder not in holders or holders[-1] >= scheme.holders:
            raise FrameFieldError("holder", holder, f"must be one of {holders}, each below {scheme.holders}")
        return cls(bytes(payload[:DIGEST_BYTES]), holder, holders, bytes(payload[start + count * _HOLDER.size :]))


class ShareHolder:
    """One client's share at work: one partial decryption a round, of one sum, for one set of holders.

    A second sum of a round is refused: a server that hands out several could have single contributions decrypted.
    What was served is remembered by this object alone. Raises NoThresholdError.
    """

    def __init__(
        self, scheme: Scheme, key: SecretKey, *, ledger: CostLedger | None = None, party: str = "client"
    ) -> None:
        self._scheme = threshold_scheme(scheme)
        self._key = key
        self._ledger = ledger or CostLedger()
        self._party = party
        self._served: dict[int, tuple[bytes, tuple[int, ...], bytes]] = {}

    @property
    def holder(self) -> int:
        """Whose share it is."""
        return self._scheme.holder_of(self._key)

    def partial(
        self,
        data: bytes,
        codec: Codec,
        *,
        round: int,
        holders: Collection[int],
        participants: Collection[Participant],
        least_participants: int = 2,
    ) -> bytes:
        """This holder's frame towards decrypting the sum frame `data`, with the others of `holders`.

        participants: who must be in the sum, with which weight: at least `least_participants`, as a sum of one is
        that client's update. Raises a FrameError subclass for anything but that sum, ThresholdError subclasses.
        """
        scheme, chosen = self._scheme, tuple(sorted(holders))
        with self._ledger.stage("partial", round=round, party=self._party) as meter:
            parsed = frame.parse(data)
            expected = expectation(scheme, self._key.public, Kind.SUM, codec, round)
            expected.check(parsed.header)
            if set(parsed.header.participants) != set(participants):
                wanted = sorted(participants, key=lambda entry: entry.client)
                raise WrongParticipantsError(wanted, list(parsed.header.participants))
            if len(participants) < least_participants:
                raise WrongParticipantsError(f"{least_participants} or more", len(participants))
            scheme.check_payload_bytes(parsed.payload, codec.shape)
            scheme.check_serves(codec.shape, round)
            digest = hashlib.sha256(data).digest()
            if round in self._served:
                if self._served[round][:2] != (digest, chosen):
                    raise SecondSumError(round)
                return self._served[round][2]  # the same bytes: fresh noise would tell more
            ciphertext = scheme.parse(self._key.public, parsed.payload, codec.shape)
            coefficients = scheme.partial_decrypt(self._key, ciphertext, chosen)
            payload = Partial(digest, self.holder, chosen, coefficients).encode()
            made = frame.encode(replace(parsed.header, kind=Kind.PARTIAL), payload)
            self._served = {round: (digest, chosen, made)}
            meter.count(bytes=len(made), values=codec.value_count)
        return made


def open_partials(
    scheme: ThresholdScheme, key: PublicKey, data: bytes, frames: Sequence[bytes], codec: Codec, round: int
) -> dict[int, bytes]:
    """The coefficients in t hostile frames by holder, all for the sum frame `data` and for one set of holders.

    Raises a FrameError subclass, TooFewPartialsError, WrongHoldersError, WrongSumError.
    """
    expected = expectation(scheme, key, Kind.PARTIAL, codec, round)
    digest = hashlib.sha256(data).digest()
    found: dict[int, Partial] = {}
    for each in frames:
        parsed = frame.parse(each)
        expected.check(parsed.header)
        partial = Partial.parse(parsed.payload, scheme, parsed.header)
        if partial.digest != digest:
            raise WrongSumError(partial.holder)
        if partial.holder in found:
            raise WrongHoldersError(partial.holders, f"holder {partial.holder} came twice")
        found[partial.holder] = partial
    if len(found) < scheme.threshold:
        raise TooFewPartialsError(scheme.threshold, len(found))
    for partial in found.values():
        if partial.holders != tuple(sorted(found)):
            raise WrongHoldersError(partial.holders, f"but the partial decryptions are of {sorted(found)}")
    return {holder: partial.coefficients for holder, partial in found.items()}


def expectation(scheme: Scheme, key: PublicKey, kind: Kind, codec: Codec, round: int) -> Expectation:
    """What a frame of `kind` must be at a client with this key and codec."""
    return Expectation(kind, scheme.name, scheme.parameters.digest, key.key_id, round, codec.shape, codec.digest)

"""The aggregation server's role: the running encrypted sum, with membership and rounds. Holds no secret key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from he_core import frame
from he_core.codec import CodecShape
from he_core.cost import CostLedger
from he_core.errors import (
    DuplicateClientError,
    EmptySumError,
    ReplayedRoundError,
    RoundStateError,
    TooManyClientsError,
    UnexpectedClientError,
)
from he_core.frame import Expectation, FrameHeader, Kind, Participant
from he_core.keys import PublicKey, refuse_secret
from he_core.scheme import Ciphertext, Scheme


@dataclass
class _OpenRound:
    round: int
    shape: CodecShape
    clients: tuple[int, ...] | None
    codec_digest: bytes | None = None  # pinned by the first contribution
    participants: dict[int, Participant] = field(default_factory=dict)
    total: Ciphertext = None


class Aggregator:
    """Adds contributions to one sum per round, in the order they arrive, keeping only the sum.

    Rounds only move forward: a round at or before the last one closed is a replay and is refused. The first
    contribution fixes the codec's digest; the clip limits behind it stay unknown here. Whatever is refused leaves
    the running sum as it was. A `SecretKey` is refused.
    """

    def __init__(
        self,
        scheme: Scheme,
        key: PublicKey,
        *,
        ledger: CostLedger | None = None,
        party: str = "aggregation",
        last_round: int = -1,
    ) -> None:
        refuse_secret(key, "the aggregation server")
        self._scheme = scheme
        self._key = key
        self._ledger = ledger or CostLedger()
        self._party = party
        self._open: _OpenRound | None = None
        self._last_round = last_round

    @property
    def last_round(self) -> int:
        """The latest round closed by `result`, or -1; give it back as `last_round` after a restart."""
        return self._last_round

    def open(self, round: int, shape: CodecShape, clients: Sequence[int] | None = None) -> None:
        """Start the sum of `round`.

        clients: who may contribute; anyone if None. An unfinished earlier round is dropped.
        Raises ReplayedRoundError, TooManyClientsError.
        """
        if round <= self._last_round:
            raise ReplayedRoundError(self._last_round + 1, round)
        if clients is not None and len(clients) > shape.k_max:
            raise TooManyClientsError(len(clients), shape.k_max)
        self._open = _OpenRound(round, shape, None if clients is None else tuple(clients))

    def add(self, data: bytes) -> FrameHeader:
        """Parse, check and add one contribution; returns its header.

        Raises a FrameError or AggregationError subclass, with the sum unchanged.
        """
        current = self._current()
        scheme, key = self._scheme, self._key
        with self._ledger.stage("parse", round=current.round, party=self._party) as meter:
            # A buffer that the caller reuses must not change the sum behind our back; no copy is made of `bytes`.
            parsed = frame.parse(bytes(data))
            expectation = Expectation(
                Kind.CONTRIBUTION,
                scheme.name,
                scheme.parameters.digest,
                key.key_id,
                current.round,
                current.shape,
                current.codec_digest,
            )
            expectation.check(parsed.header)
            (participant,) = parsed.header.participants
            self._admit(participant.client, current)
            scheme.check_payload_bytes(parsed.payload, current.shape)
            ciphertext = scheme.parse(key, parsed.payload, current.shape)
            meter.count(bytes=len(data), values=current.shape.value_count)
        with self._ledger.stage("add", round=current.round, party=self._party) as meter:
            first = current.total is None
            current.total = ciphertext if first else scheme.add(key, current.total, ciphertext)
            current.participants[participant.client] = participant
            current.codec_digest = parsed.header.codec_digest
            meter.count(bytes=len(parsed.payload), values=current.shape.value_count)
        return parsed.header

    def result(self) -> bytes:
        """Close the round: the sum's frame, to be handed to every client. Raises EmptySumError, RoundStateError."""
        current = self._current()
        if current.codec_digest is None:
            raise EmptySumError(current.round)
        with self._ledger.stage("frame", round=current.round, party=self._party) as meter:
            participants = tuple(current.participants[client] for client in sorted(current.participants))
            header = FrameHeader(
                Kind.SUM,
                self._scheme.name,
                self._scheme.parameters.digest,
                self._key.key_id,
                current.round,
                current.shape,
                current.codec_digest,
                participants,
            )
            data = frame.encode(header, self._scheme.serialise(self._key, current.total))
            meter.count(bytes=len(data), values=current.shape.value_count)
        self._last_round = current.round
        self._open = None
        return data

    def _current(self) -> _OpenRound:
        if self._open is None:
            raise RoundStateError("no round is open; call open(round, shape) first")
        return self._open

    def _admit(self, client: int, current: _OpenRound) -> None:
        if current.clients is not None and client not in current.clients:
            raise UnexpectedClientError(client, current.clients)
        if client in current.participants:
            raise DuplicateClientError(client, current.round)
        if len(current.participants) >= current.shape.k_max:
            raise TooManyClientsError(len(current.participants) + 1, current.shape.k_max)

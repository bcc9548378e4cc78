"""The aggregation server: adds ciphertexts it cannot read. Knows who took part and their sample counts, no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from he_core import Aggregator, CodecShape, CostLedger, PublicBundle, Scheme, frame
from he_core.keys import refuse_secret
from trainer.config import EncryptionConfig
from trainer.errors import ProtocolError
from trainer.parties.messages import (
    ContributionAccepted,
    EncryptedContribution,
    EncryptedSum,
    Message,
    PartialAccepted,
    PartialsRequest,
    RoundPlan,
    SealedPartial,
    SealedPartials,
    SumRequest,
)
from trainer.parties.state import PartyState
from trainer.transcript.chain import content_digest
from trainer.transcript.log import Transcript, identity, participants_fact


class AggregationServer:
    """Holds the public bundle alone; refuses a secret one.

    value_count: fields of a message, as frames have it.
    """

    name = "aggregation"

    def __init__(
        self,
        scheme: Scheme,
        public: PublicBundle,
        config: EncryptionConfig,
        value_count: int,
        ledger: CostLedger,
    ) -> None:
        refuse_secret(public, "the aggregation server")
        self._scheme = scheme
        self._key = scheme.public_key(public)
        self._config = config
        self._value_count = value_count
        self._ledger = ledger
        self.transcript = Transcript(self.name, **identity(scheme, public))
        self._aggregator = self._new_aggregator(last_round=-1)
        self._plan: RoundPlan | None = None
        self._sealed: dict[int, bytes] = {}  # partial decryptions of the planned round, by client
        self._sum_frame: bytes | None = None  # of the planned round, once closed
        self._handlers: dict[type, Callable[[Any], Message]] = {
            EncryptedContribution: self._add,
            SumRequest: self._sum,
            SealedPartial: self._keep_partial,
            PartialsRequest: self._partials,
        }

    def open(self, plan: RoundPlan) -> None:
        """Start the sum of a round. Raises ReplayedRoundError, TooManyClientsError."""
        shape = CodecShape(self._config.bits, self._config.k_max, self._value_count, plan.weight_reference)
        self._aggregator.open(plan.round, shape, plan.clients)
        self._plan = plan
        self._sum_frame = None
        self._sealed = {}
        self.transcript.record("opened", round=plan.round, participants=participants_fact(plan.participants))

    def handle(self, message: Message) -> Message:
        """Answer a client. Raises ProtocolError and the engine's FrameError and AggregationError."""
        handler = self._handlers.get(type(message))
        if handler is None:
            raise ProtocolError(f"the aggregation server takes no {type(message).__name__}")
        return handler(message)

    def state(self) -> PartyState:
        """The last closed round: what keeps replays out after a restart."""
        return PartyState(numbers={"last_round": self._aggregator.last_round})

    def load_state(self, state: PartyState) -> None:
        """Restore. Raises CheckpointError."""
        self._aggregator = self._new_aggregator(last_round=state.number("last_round"))
        self._plan, self._sum_frame = None, None

    def _add(self, message: EncryptedContribution) -> ContributionAccepted:
        header = self._aggregator.add(message.frame)
        (participant,) = header.participants
        self.transcript.record(
            "received",
            round=header.round,
            client=participant.client,
            weight=participant.weight,
            codec=header.codec_digest.hex(),
            frame=content_digest(message.frame),
        )
        return ContributionAccepted(participant.client, header.round)

    def _keep_partial(self, message: SealedPartial) -> PartialAccepted:
        self._check_receiver(message.client, message.round)
        if message.client in self._sealed:
            raise ProtocolError(f"client {message.client} has sent its part of round {message.round} already")
        most = 0 if self._sum_frame is None else len(self._sum_frame)  # a part has less than the sum it is of
        if len(message.sealed) > most:
            raise ProtocolError(f"a part of {len(message.sealed):,} bytes; the sum itself has {most:,}")
        self._sealed[message.client] = message.sealed
        return PartialAccepted(message.client, message.round)

    def _partials(self, message: PartialsRequest) -> SealedPartials:
        self._check_receiver(message.client, message.round)
        return SealedPartials(tuple(self._sealed[client] for client in sorted(self._sealed)))

    def _sum(self, message: SumRequest) -> EncryptedSum:
        self._check_receiver(message.client, message.round)
        if self._sum_frame is None:
            self._sum_frame = self._aggregator.result()
            header = frame.parse(self._sum_frame).header
            self.transcript.record(
                "summed",
                round=header.round,
                participants=participants_fact(header.participants),
                codec=header.codec_digest.hex(),
                sum=content_digest(self._sum_frame),
            )
        return EncryptedSum(self._sum_frame)

    def _check_receiver(self, client: int, round: int) -> None:
        if self._plan is None or round != self._plan.round:
            raise ProtocolError(f"there is no sum of round {round} here")
        if client not in self._plan.receivers:
            raise ProtocolError(f"client {client} takes no part in round {round}")

    def _new_aggregator(self, last_round: int) -> Aggregator:
        return Aggregator(self._scheme, self._key, ledger=self._ledger, party=self.name, last_round=last_round)

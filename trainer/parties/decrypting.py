"""A client's side of decrypting together: its part of a sum out, sealed from the servers, the others' parts in."""

from __future__ import annotations

from he_core import Codec, ShareHolder
from he_core.sealing import PARTIALS, seal, unseal
from trainer.errors import ProtocolError
from trainer.parties.messages import PartialAccepted, PartialsRequest, RoundPlan, SealedPartial, SealedPartials
from trainer.transport.in_process import AGGREGATION, Transport


class DecryptingTogether:
    """The first `threshold` of a round's participants each make a part, which the aggregation server passes on.

    group_secret: 32 bytes that all clients hold and no server; the parts are sealed under it, as any `threshold` of
    them open the sum. key_id: the group's key. Client number i holds share number i.
    """

    def __init__(
        self, holder: ShareHolder, threshold: int, group_secret: bytes, key_id: bytes, transport: Transport
    ) -> None:
        self._holder = holder
        self._threshold = threshold
        self._group_secret, self._key_id = group_secret, key_id
        self._transport = transport

    def holders(self, plan: RoundPlan) -> tuple[int, ...]:
        """Who makes a part in this round: as many as it takes, of those whose updates are in the sum."""
        return tuple(sorted(plan.clients)[: self._threshold])

    def share(self, frame: bytes, codec: Codec, plan: RoundPlan) -> None:
        """Make this client's part of the sum in `frame`, seal it and send it.

        Raises the engine's FrameError and ThresholdError subclasses, and ProtocolError.
        """
        client = self._holder.holder
        partial = self._holder.partial(
            frame,
            codec,
            round=plan.round,
            holders=self.holders(plan),
            participants=plan.participants,
            least_participants=1,  # how few may be averaged is `method.min_participants`' to say
        )
        sealed = seal(
            partial,
            self._group_secret,
            purpose=PARTIALS,
            key_id=self._key_id,
            round=plan.round,
            sender=client,
        )
        reply = self._transport.request(f"client-{client}", AGGREGATION, SealedPartial(client, plan.round, sealed))
        if reply != PartialAccepted(client, plan.round):
            raise ProtocolError(f"client {client} expected its partial decryption's receipt, got {type(reply)}")

    def collect(self, plan: RoundPlan) -> list[bytes]:
        """All parts of the round's sum. Raises SealError, ProtocolError."""
        client = self._holder.holder
        reply = self._transport.request(f"client-{client}", AGGREGATION, PartialsRequest(client, plan.round))
        holders = self.holders(plan)
        if not isinstance(reply, SealedPartials) or len(reply.sealed) != len(holders):
            raise ProtocolError(f"client {client} expected {len(holders)} partial decryptions of round {plan.round}")
        return [
            unseal(
                sealed,
                self._group_secret,
                purpose=PARTIALS,
                key_id=self._key_id,
                round=plan.round,
                sender=sender,
            )
            for sender, sealed in zip(holders, reply.sealed, strict=True)
        ]

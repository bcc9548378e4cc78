"""A client's side of a round's averaging: update out encrypted, mean in, correction applied."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from he_core import Codec, Decryptor, Encryptor
from he_core.codec import tag_count
from he_core.errors import FrameError, NonFiniteUpdateError, VerificationError
from he_core.threshold_errors import ThresholdError
from trainer.config import EncryptionConfig
from trainer.correction import Correction
from trainer.errors import ProtocolError, TrainerError
from trainer.networks.flatten import FlatLayout
from trainer.parties.clipping import ClipLimits
from trainer.parties.decrypting import DecryptingTogether
from trainer.parties.messages import (
    ContributionAccepted,
    EncryptedContribution,
    EncryptedSum,
    RoundPlan,
    SumRequest,
)
from trainer.parties.state import PartyState
from trainer.seeds import LAPLACE
from trainer.transcript.chain import MAX_TEXT, content_digest
from trainer.transcript.log import Transcript, participants_fact, weights_digest
from trainer.transport.in_process import AGGREGATION, Transport

REFUSALS = (FrameError, ThresholdError, VerificationError)
"""Why a client may refuse a round's sum."""


class UpdateRefusedError(TrainerError):
    """An update that must not be averaged; names the client and the tensor."""


class EncryptedAveraging:
    """Averages the parts that one client holds with the others', through the aggregation server.

    What is sent is the update (local minus global), clipped, quantised and encrypted; what comes back is the mean
    update, which every client adds to the same global weights and corrects in the same way.

    body: where the client holds it too; then it is averaged, under encryption, like head and tail.
    reach: how far a weight may move in round 0, see `ClipLimits`.
    together: where the key is a threshold group's: parts of the sum are exchanged before it is decrypted.
    verified: whether sums are; encryptor and decryptor have a verifier then.
    transcript: this client's.
    laplace_scale: of the noise added to every value of an update, 0 for none; drawn from `seed`, so that whoever
    knows the seed can take it away: it is here to be compared with, not to protect (docs/security.md).
    """

    def __init__(
        self,
        client: int,
        head: nn.Module,
        tail: nn.Module,
        config: EncryptionConfig,
        encryptor: Encryptor,
        decryptor: Decryptor,
        correction: Correction,
        transport: Transport,
        *,
        reach: float,
        seed: int,
        body: nn.Module | None = None,
        together: DecryptingTogether | None = None,
        transcript: Transcript,
        verified: bool = False,
        laplace_scale: float = 0.0,
    ) -> None:
        self._client = client
        self._head, self._tail, self._body = head, tail, body
        self._config = config
        self._encryptor, self._decryptor = encryptor, decryptor
        self._correction = correction
        self._transport = transport
        self._seed = seed
        self._together = together
        self._verified = verified
        self._laplace_scale = laplace_scale
        self._layout = FlatLayout.of(head, tail, body)
        # Of P values the largest is near scale * log(P); the limits' headroom doubles that, so hardly one saturates.
        self._limits = ClipLimits(self._layout.lengths, reach + laplace_scale * math.log(self._layout.size))
        self._global = self._layout.flatten(head, tail, body)
        self.transcript = transcript
        self._fetched: tuple[int, str] | None = None  # round and digest of the frame fetched last
        self._mean: tuple[int, NDArray[np.float32]] | None = None  # of a round that is received but not adopted

    @property
    def value_count(self) -> int:
        """Values in an update."""
        return self._layout.size

    @property
    def field_count(self) -> int:
        """Fields of a message: the values, and the tag where sums are verified."""
        return self.value_count + (tag_count(self._config.bits) if self._verified else 0)

    def contribute(self, plan: RoundPlan) -> int:
        """Encrypt this client's update and send it. Returns how many values saturated.

        Raises UpdateRefusedError for NaN or infinity; nothing is sent then.
        """
        codec = self._codec(plan)
        update = self._layout.flatten(self._head, self._tail, self._body) - self._global
        if self._laplace_scale:
            update += self._laplace(plan.round)
        try:
            frame = self._encryptor.encrypt(
                update,
                codec,
                round=plan.round,
                client=self._client,
                weight=plan.weight_of(self._client),
                noise=np.random.default_rng([self._seed, self._client, plan.round])
                if codec.rounding == "stochastic"
                else None,
            )
        except NonFiniteUpdateError as error:
            raise UpdateRefusedError(
                f"client {self._client}, round {plan.round} (counted from 0), "
                f"tensor {self._layout.names[error.segment]!r}: {error}"
            ) from None
        self.transcript.record(
            "contributed",
            round=plan.round,
            client=self._client,
            weight=plan.weight_of(self._client),
            codec=codec.digest.hex(),
            frame=content_digest(frame),
        )
        reply = self._transport.request(self._name, AGGREGATION, EncryptedContribution(frame))
        if reply != ContributionAccepted(self._client, plan.round):
            raise ProtocolError(f"client {self._client} expected its contribution's receipt, got {reply}")
        return self._encryptor.saturated_values

    def share(self, plan: RoundPlan) -> None:
        """Where it takes several clients to decrypt, and this is one of them: send its part of the sum.

        Raises the engine's FrameError and ThresholdError subclasses; nothing is sent then.
        """
        if self._together is not None and self._client in self._together.holders(plan):
            self._together.share(self._sum(plan), self._codec(plan), plan)

    def receive(self, plan: RoundPlan) -> float:
        """Fetch the sum, decrypt and verify it; `adopt` does the rest.

        Returns the quantisation step of the mean: the largest over the tensors, in weight units. Raises the engine's
        FrameError and VerificationError subclasses where it is not the sum of this plan's participants.
        """
        codec = self._codec(plan)
        partials = [] if self._together is None else self._together.collect(plan)
        mean = self._decryptor.decrypt(
            self._sum(plan), codec, round=plan.round, participants=plan.participants, partials=partials
        )
        self._mean = plan.round, mean
        return max(codec.steps)

    def adopt(self, plan: RoundPlan) -> None:
        """Average, correct, and set the client's parts to the result: once no client has refused the sum.

        Raises ProtocolError where it has not been received.
        """
        if self._mean is None or self._mean[0] != plan.round:
            raise ProtocolError(f"client {self._client} has received no sum of round {plan.round}")
        mean, self._mean = self._mean[1], None
        facts = self._facts(plan)
        fresh = self._layout.unflatten(self._global + mean)
        corrected = self._layout.flatten_state(self._correction.correct(fresh, plan.round))
        self._layout.assign_(self._head, self._tail, corrected, self._body)
        self._global = corrected
        self._limits.follow(mean)
        self.transcript.record("accepted", **facts, result=weights_digest(corrected))

    def give_up(self, plan: RoundPlan, reason: str) -> None:
        """Leave the round's sum: this client, or another one, has refused it. The parts are not changed here."""
        self._mean = None
        self.transcript.record("refused", **self._facts(plan), reason=reason[:MAX_TEXT])

    def note_caught_up(self, round: int, giver: int) -> None:
        """Write down that the model, as after `round`, was not averaged here but given by client number `giver`."""
        self.transcript.record("caught-up", round=round, client=giver, result=weights_digest(self._global))

    def put_state(self, state: PartyState) -> None:
        """Add what the next round depends on."""
        tensors, numbers = self._correction.state_dict()
        state.put("correction", tensors)
        state.numbers["correction"] = numbers
        state.numbers["clip_limits"] = list(self._limits.values)

    def load_state(self, state: PartyState) -> None:
        """Restore after the parts have been restored: a checkpoint lies between rounds, so they are global."""
        self._correction.load_state_dict(state.get("correction"), state.number("correction"))
        self._limits.values = tuple(state.number("clip_limits"))
        self._global = self._layout.flatten(self._head, self._tail, self._body)
        self._mean = None

    def _sum(self, plan: RoundPlan) -> bytes:
        """The frame of the round's sum, from the aggregation server."""
        reply = self._transport.request(self._name, AGGREGATION, SumRequest(self._client, plan.round))
        if not isinstance(reply, EncryptedSum):
            raise ProtocolError(f"client {self._client} expected the sum of round {plan.round}, got {type(reply)}")
        self._fetched = plan.round, content_digest(reply.frame)
        return reply.frame

    def _laplace(self, round: int) -> NDArray[np.float32]:
        """The round's noise, a function of seed, client and round: a resumed run adds the same."""
        random = np.random.default_rng([self._seed, LAPLACE, self._client, round])
        return random.laplace(0.0, self._laplace_scale, self._layout.size).astype(np.float32)

    def _facts(self, plan: RoundPlan) -> dict[str, Any]:
        """What the transcript says of a round's sum; before the next round's clip limits are set."""
        fetched = {} if self._fetched is None or self._fetched[0] != plan.round else {"sum": self._fetched[1]}
        return {
            "round": plan.round,
            "participants": participants_fact(plan.participants),
            "codec": self._codec(plan).digest.hex(),
            **fetched,
        }

    @property
    def _name(self) -> str:
        return f"client-{self._client}"

    def _codec(self, plan: RoundPlan) -> Codec:
        return Codec(
            bits=self._config.bits,
            k_max=self._config.k_max,
            lengths=self._layout.lengths,
            limits=self._limits.values,
            weight_reference=plan.weight_reference,
            rounding=self._config.rounding,
            verified=self._verified,
        )

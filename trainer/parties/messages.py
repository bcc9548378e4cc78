"""Everything that may cross between parties. What a party can see is what its message types contain.

Tensors are detached; in one process they are passed as they are. No message holds an image, a label or an output.
None to a server holds a plaintext weight of a client's part, and none to the aggregation server holds anything but
ciphertext, identity, round and sample count (method.md, "Parties and what each may see"). The one message with
weights is `PartsHandover`, from client to client, in split learning in turn.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from torch import Tensor

from he_core.frame import Participant
from trainer.errors import TooFewClientsError


@dataclass(frozen=True)
class QuantisedTensor:
    """int8 codes [n, c, ...] and float32 scales [c]: a value is its code times its channel's scale."""

    codes: Tensor
    scales: Tensor

    @property
    def nbytes(self) -> int:
        return self.codes.nbytes + self.scales.nbytes


Carried = Tensor | QuantisedTensor
"""A tensor on its way over a cut, as the two ends' exchange packs it (`trainer.parties.exchange`)."""

# --- client <-> compute server, at the cuts -------------------------------------------------------------


@dataclass(frozen=True)
class BatchPart:
    """Which part, of how many, of which of a client's batches in a round; all counted from 0.

    Raises ValueError where there is no such part.
    """

    round: int
    batch: int
    part: int
    parts: int

    def __post_init__(self) -> None:
        if min(self.round, self.batch) < 0 or not 0 <= self.part < self.parts:
            raise ValueError(f"no part {self.part} of {self.parts} of batch {self.batch} in round {self.round}")

    @property
    def number(self) -> tuple[int, int]:
        """The batch's; of a client's two batches the later has the larger."""
        return self.round, self.batch


@dataclass(frozen=True)
class HeadActivations:
    """Client -> compute server: h = head(x), [n, c, ...], of a part of a training batch."""

    client: int
    place: BatchPart
    activations: Carried


@dataclass(frozen=True)
class BodyActivations:
    """Compute server -> client: b = body_k(h), or the body's output of an `InferenceActivations`."""

    activations: Carried


@dataclass(frozen=True)
class BodyOutputGradient:
    """Client -> compute server: dL/db of the part, where L is the whole batch's loss."""

    client: int
    place: BatchPart
    gradient: Carried


@dataclass(frozen=True)
class BodyInputGradient:
    """Compute server -> client: dL/dh of the same part."""

    gradient: Carried


@dataclass(frozen=True)
class InferenceActivations:
    """Client -> compute server: h of images to evaluate; nothing is learnt from it."""

    client: int
    activations: Carried


# --- client <-> aggregation server, once a round --------------------------------------------------------


@dataclass(frozen=True)
class EncryptedContribution:
    """Client -> aggregation server: one frame; identity, round and sample count are in its header."""

    frame: bytes


@dataclass(frozen=True)
class ContributionAccepted:
    """Aggregation server -> client."""

    client: int
    round: int


@dataclass(frozen=True)
class SumRequest:
    """Client -> aggregation server: the sum of a round this client took part in."""

    client: int
    round: int


@dataclass(frozen=True)
class EncryptedSum:
    """Aggregation server -> client: one frame."""

    frame: bytes


@dataclass(frozen=True)
class SealedPartial:
    """Client -> aggregation server: its part in decrypting the round's sum, sealed for the group's clients."""

    client: int
    round: int
    sealed: bytes


@dataclass(frozen=True)
class PartialAccepted:
    """Aggregation server -> client."""

    client: int
    round: int


@dataclass(frozen=True)
class PartialsRequest:
    """Client -> aggregation server: all parts in decrypting the sum of a round."""

    client: int
    round: int


@dataclass(frozen=True)
class SealedPartials:
    """Aggregation server -> client: those it was sent, in the order of their clients."""

    sealed: tuple[bytes, ...]


# --- client <-> client, in turn -----------------------------------------------------------------------------


@dataclass(frozen=True)
class PartsHandover:
    """Client -> client: the sender's head and tail, float32 [P] in the order of `FlatLayout`."""

    client: int
    round: int
    weights: Tensor


@dataclass(frozen=True)
class HandoverAccepted:
    """Client -> client."""

    client: int
    round: int


# --- coordination: public to everybody --------------------------------------------------------------------


@dataclass(frozen=True)
class RoundPlan:
    """Who takes part in a round, with which public weight (1, or the sample count); known to every party.

    absent: clients that take no part but are given the round's result, without which they would fall behind.
    needed: with fewer participants the round is given up.
    """

    round: int
    participants: tuple[Participant, ...]
    absent: tuple[int, ...] = ()
    needed: int = 1

    def only(self, clients: Collection[int]) -> RoundPlan:
        """The plan without the participants that are not among `clients`. Raises TooFewClientsError."""
        left = tuple(participant for participant in self.participants if participant.client in clients)
        if len(left) < self.needed:
            raise TooFewClientsError(self.round, len(left), self.needed)
        gone = (client for client in self.clients if client not in clients)
        return replace(self, participants=left, absent=tuple(sorted((*self.absent, *gone))))

    @property
    def clients(self) -> tuple[int, ...]:
        """Client ids in the plan's order."""
        return tuple(participant.client for participant in self.participants)

    @property
    def receivers(self) -> tuple[int, ...]:
        """Clients that are given the round's result."""
        return (*self.clients, *self.absent)

    @property
    def weight_reference(self) -> int:
        """The largest weight: the one that is sent at full scale."""
        return max(participant.weight for participant in self.participants)

    def weight_of(self, client: int) -> int:
        """The weight of `client`. Raises KeyError."""
        return {participant.client: participant.weight for participant in self.participants}[client]


Message = (
    HeadActivations
    | BodyActivations
    | BodyOutputGradient
    | BodyInputGradient
    | InferenceActivations
    | EncryptedContribution
    | ContributionAccepted
    | SumRequest
    | EncryptedSum
    | SealedPartial
    | PartialAccepted
    | PartialsRequest
    | SealedPartials
    | PartsHandover
    | HandoverAccepted
)
"""What a transport carries."""

"""What the coordinator asks of a site, and what the site says: the only things that cross beside `parties.messages`.

The coordinator sits with the compute server and decides who does what next. It learns losses, metrics, costs and
sample counts, never an image, a label, an output or a weight. Round plans are public.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trainer.parties.messages import RoundPlan

# --- to a hospital ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Join:
    """Coordinator -> site: say who you are. agreement: digest of what all parties must be configured alike in."""

    agreement: str


@dataclass(frozen=True)
class HospitalJoined:
    """Hospital -> coordinator.

    image_size: pixels per dimension. key_id: hexadecimal, empty without encryption. nonce: 16 bytes never used
    before, of which the session that sums are verified in is made.
    """

    name: str
    description: str
    notes: tuple[str, ...]
    training_images: int
    test_images: int
    channels: int
    image_size: tuple[int, ...]
    class_names: tuple[str, ...]
    key_id: str
    nonce: bytes


@dataclass(frozen=True)
class Start:
    """Coordinator -> site, once all have joined.

    training_images, nonces: of every hospital, in client order. message_fields: of an encrypted update. cuts_port:
    where the compute server takes the cuts' own stream; 0 where they go the way of everything else.
    """

    training_images: tuple[int, ...]
    nonces: tuple[bytes, ...]
    message_fields: int
    cuts_port: int


@dataclass(frozen=True)
class Train:
    """Coordinator -> hospital: the round's local epochs."""

    round: int


@dataclass(frozen=True)
class Trained:
    """Hospital -> coordinator: the mean loss."""

    loss: float


@dataclass(frozen=True)
class Contribute:
    """Coordinator -> hospital: encrypt your update for the aggregation server."""

    plan: RoundPlan


@dataclass(frozen=True)
class Contributed:
    """Hospital -> coordinator."""

    saturated_values: int


@dataclass(frozen=True)
class Share:
    """Coordinator -> hospital: send your part of the sum, if you are one of those who decrypt it together."""

    plan: RoundPlan


@dataclass(frozen=True)
class Shared:
    """Hospital -> coordinator: why the sum was refused, else empty."""

    refusal: str


@dataclass(frozen=True)
class Receive:
    """Coordinator -> hospital: fetch the sum, and take up the mean."""

    plan: RoundPlan


@dataclass(frozen=True)
class Received:
    """Hospital -> coordinator: the quantisation step of the mean; or why the sum was refused, else empty."""

    step: float
    refusal: str


@dataclass(frozen=True)
class Adopt:
    """Coordinator -> hospital: no hospital has refused the sum, so take up its mean."""

    plan: RoundPlan


@dataclass(frozen=True)
class GiveUp:
    """Coordinator -> hospital: the sum was refused, by you or by another hospital; leave it."""

    plan: RoundPlan
    reason: str


@dataclass(frozen=True)
class HandOver:
    """Coordinator -> hospital: pass head and tail on to `clients`."""

    round: int
    clients: tuple[int, ...]


@dataclass(frozen=True)
class SealModel:
    """Coordinator -> hospital: the group's model as after `round`, for a hospital that has missed it."""

    round: int


@dataclass(frozen=True)
class SealedModel:
    """Hospital -> coordinator, who cannot open it."""

    sealed: bytes


@dataclass(frozen=True)
class TakeModel:
    """Coordinator -> hospital: the model that you have missed, from client number `giver`."""

    round: int
    giver: int
    sealed: bytes


@dataclass(frozen=True)
class Evaluate:
    """Coordinator -> hospital: your metrics on your own test images."""


@dataclass(frozen=True)
class Evaluated:
    """Hospital -> coordinator: metric -> value."""

    scores: dict[str, float]


# --- to the aggregation server ----------------------------------------------------------------------------


@dataclass(frozen=True)
class AggregationJoined:
    """Aggregation server -> coordinator: the public key's id, hexadecimal."""

    key_id: str


@dataclass(frozen=True)
class OpenSum:
    """Coordinator -> aggregation server."""

    plan: RoundPlan


# --- to any site ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReportCosts:
    """Coordinator -> site: what round `round` cost you."""

    round: int


@dataclass(frozen=True)
class Costs:
    """Site -> coordinator: rows of its cost ledger, and bytes exchanged so far by the pair 'sender recipient'."""

    rows: tuple[dict[str, Any], ...]
    traffic: dict[str, int]


@dataclass(frozen=True)
class Keep:
    """Coordinator -> site: remember your state as that after `round`.

    With links: write it to your own disk, too, and point them to it.
    """

    round: int
    links: tuple[str, ...]


@dataclass(frozen=True)
class Ping:
    """Coordinator -> site: are you there? Answered at once, whatever else the site is doing."""


@dataclass(frozen=True)
class GoBack:
    """Coordinator -> site: the round is given up; return to the state that was remembered last."""


@dataclass(frozen=True)
class OpenTranscript:
    """Coordinator -> site: write your transcript on your own disk from now on; the run goes on at `next_round`."""

    next_round: int


@dataclass(frozen=True)
class Restore:
    """Coordinator -> site: go back to your checkpoint of `round`."""

    round: int


@dataclass(frozen=True)
class Done:
    """Site -> coordinator."""


Command = (
    Join
    | Start
    | Train
    | Contribute
    | Share
    | Receive
    | Adopt
    | GiveUp
    | HandOver
    | SealModel
    | TakeModel
    | Evaluate
    | OpenSum
    | ReportCosts
    | Keep
    | Ping
    | GoBack
    | OpenTranscript
    | Restore
)
Report = (
    HospitalJoined
    | AggregationJoined
    | Trained
    | Contributed
    | Shared
    | Received
    | SealedModel
    | Evaluated
    | Costs
    | Done
)

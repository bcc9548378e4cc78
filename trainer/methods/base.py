"""What a method decides: who trains on what, what happens in a round, and which model answers for which images."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from trainer.config import CorrectionConfig, MethodConfig
from trainer.data.federated import FederatedData, SampleSet
from trainer.data.remote_sites import RemoteSites
from trainer.errors import RoundRefusedError, SumRefusedError
from trainer.parties.arrangement import COPIES, Arrangement
from trainer.parties.federation import Parties
from trainer.parties.messages import RoundPlan

OnBatch = Callable[[str, float], None]
Scores = dict[str, float]


@dataclass(frozen=True)
class RoundOutcome:
    """What a round reports.

    train_loss: mean per client. step: quantisation step of the mean, in weight units. refusal: why the round's sum
    was refused, if it was; then every party must go back to what it kept.
    """

    train_loss: dict[str, float]
    train_seconds: float
    saturated_values: int = 0
    step: float = 0.0
    refusal: RoundRefusedError | None = None

    @classmethod
    def of(cls, parties: Parties, trained: Trained) -> RoundOutcome:
        """What came of training, where nothing is averaged."""
        return cls({parties.site_names[client]: loss for client, loss in trained.losses.items()}, trained.seconds)


PARTIAL = frozenset({"participation", "clients_per_round", "drop_out", "min_participants"})
"""Options of methods that go on without some of the clients."""

AVERAGED = frozenset({"weighting", "laplace_scale"})
"""Options of methods whose clients send updates to be averaged."""


class Method(ABC):
    """A distributed-learning method over clients, compute server and aggregation server.

    averages: whether clients send encrypted updates to an aggregation server.
    options: the keys of the `method` section that it admits.
    federates: whether it can run where every hospital's images stay at the hospital.
    """

    name: ClassVar[str]
    averages: ClassVar[bool]
    options: ClassVar[frozenset[str]] = frozenset()
    federates: ClassVar[bool] = True

    def training_sets(self, data: FederatedData) -> tuple[SampleSet, ...]:
        """One training set per training client: each site's own."""
        return tuple(client.train for client in data.clients)

    def correction(self, config: MethodConfig) -> CorrectionConfig:
        """The correction this method admits: none, unless it says otherwise."""
        return CorrectionConfig(mode="off")

    def arrangement(self, config: MethodConfig) -> Arrangement:
        """What it asks of the parties: a body copy per client, unless it says otherwise."""
        return COPIES

    @abstractmethod
    def run_round(self, parties: Parties, plan: RoundPlan, on_batch: OnBatch) -> RoundOutcome:
        """Train one round with the plan's participants, of which there is one at least."""

    def judges(self, parties: Parties, site: int) -> tuple[int, ...]:
        """Indices of the clients whose models answer for the test images of `site`: its own."""
        return (site,)

    def evaluate(self, parties: Parties, data: FederatedData | RemoteSites) -> dict[str, dict]:
        """Metrics per site (mean over its judges) and their mean over the sites."""
        sites = tuple(client.name for client in data.clients)

        def judged(site: int) -> Scores:
            return _mean([parties.evaluate(judge, site) for judge in self.judges(parties, site)])

        scores = parties.at_once(range(len(sites)), judged)
        return {"mean": _mean(list(scores.values())), "clients": {sites[site]: scores[site] for site in scores}}


@dataclass(frozen=True)
class Trained:
    """losses: mean per client that trained, by index, in the plan's order. seconds: it took."""

    losses: dict[int, float]
    seconds: float


def train_clients(parties: Parties, plan: RoundPlan, on_batch: OnBatch) -> Trained:
    """The local epochs of every participant, independently of each other."""
    start = time.perf_counter()
    losses = parties.at_once(plan.clients, lambda client: _train(parties, client, plan.round, on_batch))
    return Trained(losses, time.perf_counter() - start)


def train_in_turn(
    parties: Parties,
    plan: RoundPlan,
    on_batch: OnBatch,
    order: Sequence[int],
    after: Callable[[int], None] = lambda client: None,
) -> Trained:
    """The local epochs of every participant, one after the other as in `order`; then `after`, called with each."""
    start = time.perf_counter()
    losses: dict[int, float] = {}
    for client in order:
        losses |= parties.each((client,), lambda client: _train(parties, client, plan.round, on_batch))
        after(client)
    in_order = {client: losses[client] for client in plan.clients if client in losses}
    return Trained(in_order, time.perf_counter() - start)


def _train(parties: Parties, client: int, round: int, on_batch: OnBatch) -> float:
    return parties.train(client, round, partial(on_batch, parties.site_names[client]))


@dataclass(frozen=True)
class Averaged:
    """plan: with those alone whose updates are in the sum."""

    plan: RoundPlan
    outcome: RoundOutcome


def average_updates(parties: Parties, plan: RoundPlan, trained: Trained) -> Averaged:
    """Encrypt, sum and decrypt the updates of those that trained; absent clients follow, so that all stay in step.

    Clients take up the mean only if none of them refuses the sum. Where a client is lost before the sum is closed,
    the others send theirs anew for one without it. Raises TooFewClientsError.
    """
    plan, saturated = _close_sum(parties, plan.only(trained.losses))
    losses = {parties.site_names[client]: trained.losses[client] for client in plan.clients}
    shared = parties.each(plan.clients, partial(_shared, parties, plan))
    replies: dict[int, float | SumRefusedError] = {
        client: refusal for client, refusal in shared.items() if refusal is not None
    }
    if not replies:
        replies = parties.each(plan.receivers, partial(_received, parties, plan))
    steps = {client: reply for client, reply in replies.items() if isinstance(reply, float)}
    reasons = {parties.site_names[client]: str(replies[client]) for client in replies if client not in steps}
    if reasons:
        refusal = RoundRefusedError(plan.round, reasons, len(plan.receivers))
        by_others = f"refused by {', '.join(reasons)}"

        def give_up(client: int) -> None:
            parties.give_up(client, plan, reasons.get(parties.site_names[client], by_others))

        parties.each(plan.receivers, give_up)
        parties.undo(plan, by_others)
        return Averaged(plan, RoundOutcome(losses, trained.seconds, saturated, refusal=refusal))
    parties.each(tuple(steps), lambda client: parties.adopt(client, plan))
    return Averaged(plan, RoundOutcome(losses, trained.seconds, saturated, max(steps.values())))


def _close_sum(parties: Parties, plan: RoundPlan) -> tuple[RoundPlan, int]:
    """The plan of those whose contributions are all in one sum, and how many of their values saturated."""
    while True:
        parties.open_sum(plan)
        saturated = parties.each(plan.clients, partial(_contribute, parties, plan))
        if len(saturated) == len(plan.clients):
            return plan, sum(saturated.values())
        plan = plan.only(saturated)


def _contribute(parties: Parties, plan: RoundPlan, client: int) -> int:
    return parties.contribute(client, plan)


def _shared(parties: Parties, plan: RoundPlan, client: int) -> SumRefusedError | None:
    try:
        parties.share(client, plan)
    except SumRefusedError as refusal:
        return refusal
    return None


def _received(parties: Parties, plan: RoundPlan, client: int) -> float | SumRefusedError:
    try:
        return parties.receive(client, plan)
    except SumRefusedError as refusal:
        return refusal


def _mean(scores: list[Scores]) -> Scores:
    """Mean per metric over those that have it (a class may be absent from a site)."""
    names = dict.fromkeys(name for score in scores for name in score)
    return {
        name: sum(score[name] for score in scores if name in score) / sum(name in score for score in scores)
        for name in names
    }

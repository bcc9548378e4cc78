"""What a method decides: who trains on what, what happens in a round, and which model answers for which images."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from he_core.errors import FrameError, VerificationError
from trainer.config import CorrectionConfig, MethodConfig
from trainer.data.federated import FederatedData, SampleSet
from trainer.errors import RoundRefusedError
from trainer.parties.arrangement import COPIES, Arrangement
from trainer.parties.hospital import Hospital
from trainer.parties.messages import RoundPlan
from trainer.parties.parties import Parties

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


PARTIAL = frozenset({"participation", "clients_per_round", "drop_out", "min_participants"})
"""Options of methods that go on without some of the clients."""

AVERAGED = frozenset({"weighting", "laplace_scale"})
"""Options of methods whose clients send updates to be averaged."""


class Method(ABC):
    """A distributed-learning method over clients, compute server and aggregation server.

    averages: whether clients send encrypted updates to an aggregation server.
    options: the keys of the `method` section that it admits.
    """

    name: ClassVar[str]
    averages: ClassVar[bool]
    options: ClassVar[frozenset[str]] = frozenset()

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

    def judges(self, parties: Parties, site: int) -> tuple[Hospital, ...]:
        """The clients whose models answer for the test images of `site`: its own."""
        return (parties.clients[site],)

    def evaluate(self, parties: Parties, data: FederatedData) -> dict[str, dict]:
        """Metrics per site (mean over its judges) and their mean over the sites."""
        sites: dict[str, Scores] = {}
        for index, site in enumerate(data.clients):
            scores = [judge.evaluate(site.test) for judge in self.judges(parties, index)]
            sites[site.name] = _mean(scores)
        return {"mean": _mean(list(sites.values())), "clients": sites}


def train_clients(
    parties: Parties,
    plan: RoundPlan,
    on_batch: OnBatch,
    *,
    order: Sequence[int] | None = None,
    after: Callable[[int], None] = lambda client: None,
) -> tuple[dict[str, float], float]:
    """The local epochs of every participant; mean loss per client, and the seconds it took.

    order: the participants in the order in which they train, where that matters.
    after: called with each as soon as it has trained.
    """
    start = time.perf_counter()
    losses = {}
    for index in plan.clients if order is None else order:
        name = parties.site_names[index]
        report = partial(on_batch, name)
        losses[index] = parties.clients[index].train(plan.round, parties.training_sets[index], report)
        after(index)
    by_name = {parties.site_names[index]: losses[index] for index in plan.clients}
    return by_name, time.perf_counter() - start


def average_updates(
    parties: Parties, plan: RoundPlan, train_loss: dict[str, float], train_seconds: float
) -> RoundOutcome:
    """Encrypt, sum and decrypt the participants' updates; absent clients follow, so that all stay in step.

    Clients take up the mean only if none of them refuses the sum. Returns the round's outcome, whose losses and
    seconds are those given.
    """
    parties.aggregation_server.open(plan)
    saturated = sum(parties.averaging(client).contribute(plan) for client in plan.clients)
    steps, reasons = [], {}
    for client in plan.receivers:
        try:
            steps.append(parties.averaging(client).receive(plan))
        except (FrameError, VerificationError) as error:
            reasons[parties.site_names[client]] = str(error)
    if reasons:
        refusal = RoundRefusedError(plan.round, reasons, len(plan.receivers))
        return RoundOutcome(train_loss, train_seconds, saturated, refusal=refusal)
    for client in plan.receivers:
        parties.averaging(client).adopt(plan)
    return RoundOutcome(train_loss, train_seconds, saturated, max(steps))


def _mean(scores: list[Scores]) -> Scores:
    """Mean per metric over those that have it (a class may be absent from a site)."""
    names = dict.fromkeys(name for score in scores for name in score)
    return {
        name: sum(score[name] for score in scores if name in score) / sum(name in score for score in scores)
        for name in names
    }

"""What a method decides: who trains on what, what happens in a round, and which model answers for which images."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from trainer.config import CorrectionConfig, MethodConfig
from trainer.data.federated import FederatedData, SampleSet
from trainer.parties.client import Client
from trainer.parties.messages import RoundPlan
from trainer.parties.parties import Parties

OnBatch = Callable[[str, float], None]
Scores = dict[str, float]


@dataclass(frozen=True)
class RoundOutcome:
    """What a round reports. train_loss: mean per client; step: quantisation step of the mean, in weight units."""

    train_loss: dict[str, float]
    train_seconds: float
    saturated_values: int = 0
    step: float = 0.0


class Method(ABC):
    """A distributed-learning method over clients, compute server and aggregation server."""

    name: ClassVar[str]
    averages: ClassVar[bool]

    def training_sets(self, data: FederatedData) -> tuple[SampleSet, ...]:
        """One training set per training client: each site's own."""
        return tuple(client.train for client in data.clients)

    def correction(self, config: MethodConfig) -> CorrectionConfig:
        """The correction this method admits: none, unless it says otherwise."""
        return CorrectionConfig(mode="off")

    @abstractmethod
    def run_round(self, parties: Parties, plan: RoundPlan, on_batch: OnBatch) -> RoundOutcome:
        """Train one round."""

    def judges(self, parties: Parties, site: int) -> tuple[Client, ...]:
        """The clients whose models answer for the test images of `site`: its own."""
        return (parties.clients[site],)

    def evaluate(self, parties: Parties, data: FederatedData) -> dict[str, dict]:
        """Metrics per site (mean over its judges) and their mean over the sites."""
        sites: dict[str, Scores] = {}
        for index, site in enumerate(data.clients):
            scores = [judge.evaluate(site.test) for judge in self.judges(parties, index)]
            sites[site.name] = _mean(scores)
        return {"mean": _mean(list(sites.values())), "clients": sites}


def train_clients(parties: Parties, plan: RoundPlan, on_batch: OnBatch) -> tuple[dict[str, float], float]:
    """The local epochs of every participant; mean loss per client, and the seconds it took."""
    start = time.perf_counter()
    losses = {}
    for index in plan.clients:
        name = parties.site_names[index]
        report = partial(on_batch, name)
        losses[name] = parties.clients[index].train(plan.round, parties.training_sets[index], report)
    return losses, time.perf_counter() - start


def _mean(scores: list[Scores]) -> Scores:
    """Mean per metric over those that have it (a class may be absent from a site)."""
    names = dict.fromkeys(name for score in scores for name in score)
    return {
        name: sum(score[name] for score in scores if name in score) / sum(name in score for score in scores)
        for name in names
    }

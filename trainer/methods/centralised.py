"""Centralised: one party holds all images. What federated methods are measured against."""

from __future__ import annotations

from trainer.data.federated import FederatedData, SampleSet
from trainer.methods.base import Method, OnBatch, RoundOutcome, train_clients
from trainer.parties.federation import Parties
from trainer.parties.messages import RoundPlan


class Centralised(Method):
    """A round passes over all clients' images once per local epoch: as many image passes as the others'."""

    name = "centralised"
    averages = False
    federates = False

    def training_sets(self, data: FederatedData) -> tuple[SampleSet, ...]:
        return (SampleSet.pooled(client.train for client in data.clients),)

    def run_round(self, parties: Parties, plan: RoundPlan, on_batch: OnBatch) -> RoundOutcome:
        return RoundOutcome.of(parties, train_clients(parties, plan, on_batch))

    def judges(self, parties: Parties, site: int) -> tuple[int, ...]:
        return tuple(range(len(parties.training_images)))

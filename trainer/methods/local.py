"""Local only: every client trains alone, on its own body copy; nothing is averaged."""

from __future__ import annotations

from trainer.methods.base import Method, OnBatch, RoundOutcome, train_clients
from trainer.parties.federation import Parties
from trainer.parties.messages import RoundPlan


class Local(Method):
    """What a hospital reaches without the others; judged, like every method, on all sites' images."""

    name = "local"
    averages = False
    federates = False

    def run_round(self, parties: Parties, plan: RoundPlan, on_batch: OnBatch) -> RoundOutcome:
        return RoundOutcome.of(parties, train_clients(parties, plan, on_batch))

    def judges(self, parties: Parties, site: int) -> tuple[int, ...]:
        return tuple(range(len(parties.training_images)))

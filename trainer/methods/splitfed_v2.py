"""SplitFed V2: one body for all clients, who use it one after the other; heads and tails averaged under encryption.

Thapa et al., "SplitFed: When federated learning meets split learning", AAAI 2022.
"""

from __future__ import annotations

import numpy as np

from trainer.config import MethodConfig
from trainer.methods.base import AVERAGED, PARTIAL, Method, OnBatch, RoundOutcome, average_updates, train_in_turn
from trainer.parties.arrangement import Arrangement
from trainer.parties.federation import Parties
from trainer.parties.messages import RoundPlan
from trainer.seeds import ORDER


class SplitFedV2(Method):
    """Every client starts the round from the same head and tail, but meets the body as the one before left it.

    The order is drawn anew every round, so that no client's images always come last. Each client trains its local
    epochs through before the next begins; the body's optimiser is one, too.
    """

    name = "splitfed-v2"
    averages = True
    options = PARTIAL | AVERAGED

    def arrangement(self, config: MethodConfig) -> Arrangement:
        return Arrangement(body="shared")

    def order(self, plan: RoundPlan, seed: int) -> tuple[int, ...]:
        """The participants in the order in which they train: a function of seed, round and participants."""
        random = np.random.default_rng([seed, ORDER, plan.round])
        return tuple(int(client) for client in random.permutation(plan.clients))

    def run_round(self, parties: Parties, plan: RoundPlan, on_batch: OnBatch) -> RoundOutcome:
        trained = train_in_turn(parties, plan, on_batch, self.order(plan, parties.seed))
        return average_updates(parties, plan, trained).outcome

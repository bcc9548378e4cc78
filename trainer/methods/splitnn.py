"""SplitNN: one head, one body and one tail for all; clients train them in turn, and hand head and tail on.

Gupta, Raskar, "Distributed learning of deep neural network over multiple agents", JNCA 2018 (the peer-to-peer mode);
with labels kept at the clients: Vepakomma et al., "Split learning for health", 2018.
"""

from __future__ import annotations

from itertools import pairwise

from trainer.config import MethodConfig
from trainer.methods.base import PARTIAL, Method, OnBatch, RoundOutcome, train_in_turn
from trainer.parties.arrangement import Arrangement
from trainer.parties.federation import Parties
from trainer.parties.messages import RoundPlan


class SplitNN(Method):
    """Nothing is averaged, so nothing is encrypted: each client sees the weights of the one before it.

    After the last client's turn all others get head and tail from it: to evaluate with, and to begin the next round
    with. Optimisers of head and tail stay with each client; the body's is one.
    """

    name = "splitnn"
    averages = False
    options = PARTIAL

    def arrangement(self, config: MethodConfig) -> Arrangement:
        return Arrangement(body="shared", hands_over=True)

    def run_round(self, parties: Parties, plan: RoundPlan, on_batch: OnBatch) -> RoundOutcome:
        following = dict(pairwise(plan.clients))

        def hand_on(client: int) -> None:
            others = [following[client]] if client in following else [c for c in plan.receivers if c != client]
            parties.hand_over(client, plan.round, others)

        return RoundOutcome.of(parties, train_in_turn(parties, plan, on_batch, plan.clients, hand_on))

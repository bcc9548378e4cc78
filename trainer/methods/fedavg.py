"""FedAvg: every client trains the whole network, and the whole of it is averaged under encryption.

McMahan et al., "Communication-efficient learning of deep networks from decentralized data", AISTATS 2017.
"""

from __future__ import annotations

from trainer.config import MethodConfig
from trainer.methods.base import AVERAGED, PARTIAL, Method, OnBatch, RoundOutcome, average_updates, train_clients
from trainer.parties.arrangement import Arrangement
from trainer.parties.federation import Parties
from trainer.parties.messages import RoundPlan


class FedAvg(Method):
    """There is no compute server: what is encrypted is what a hospital holds, and here it holds everything.

    Head, body and tail have an optimiser each that stays with the client, as in the split methods.
    """

    name = "fedavg"
    averages = True
    options = PARTIAL | AVERAGED

    def arrangement(self, config: MethodConfig) -> Arrangement:
        return Arrangement(body="clients")

    def run_round(self, parties: Parties, plan: RoundPlan, on_batch: OnBatch) -> RoundOutcome:
        trained = train_clients(parties, plan, on_batch)
        return average_updates(parties, plan, trained).outcome

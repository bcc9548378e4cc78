"""DC-SFL and SplitFed V1: a body copy per client; heads and tails averaged under encryption, bodies in plaintext.

SplitFed: Thapa et al., "SplitFed: When federated learning meets split learning", AAAI 2022. DC-SFL adds the dynamic
weight correction (method.md).
"""

from __future__ import annotations

from trainer.config import CorrectionConfig, MethodConfig
from trainer.methods.base import AVERAGED, PARTIAL, Method, OnBatch, RoundOutcome, average_updates, train_clients
from trainer.parties.federation import Parties
from trainer.parties.messages import RoundPlan


class SplitFedV1(Method):
    """Split-federated averaging without correction."""

    name = "splitfed-v1"
    averages = True
    options = PARTIAL | AVERAGED

    def run_round(self, parties: Parties, plan: RoundPlan, on_batch: OnBatch) -> RoundOutcome:
        trained = train_clients(parties, plan, on_batch)
        averaged = average_updates(parties, plan, trained)
        if averaged.outcome.refusal is None:
            parties.average_bodies(averaged.plan)
        return averaged.outcome


class DcSfl(SplitFedV1):
    """The same, with the configured correction applied to head, body and tail after averaging."""

    name = "dcsfl"
    options = SplitFedV1.options | {"correction"}

    def correction(self, config: MethodConfig) -> CorrectionConfig:
        return config.correction

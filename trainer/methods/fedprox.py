"""FedProx: FedAvg whose clients are pulled towards the model that the round began with.

Li et al., "Federated optimization in heterogeneous networks", MLSys 2020.
"""

from __future__ import annotations

from trainer.config import MethodConfig
from trainer.methods.fedavg import FedAvg
from trainer.parties.arrangement import Arrangement


class FedProx(FedAvg):
    """The pull is a term in every client's loss; with proximal_mu = 0 this is FedAvg."""

    name = "fedprox"
    options = FedAvg.options | {"proximal_mu"}

    def arrangement(self, config: MethodConfig) -> Arrangement:
        return Arrangement(body="clients", proximal_mu=config.proximal_mu)

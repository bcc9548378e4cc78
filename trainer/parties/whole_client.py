"""The client of an unsplit network: head, body and tail are all its own, and no activation leaves it.

Each part has its own optimiser all the same, as in a split network, so that methods differ in what they exchange
and in nothing else.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.config import TrainingConfig
from trainer.networks.split import SplitNetwork, Unsplit
from trainer.parties.hospital import Hospital
from trainer.tasks import Task


class WholeClient(Hospital):
    """A hospital that holds `network` whole.

    proximal_mu: FedProx's weight of `(mu/2) * ||w - w_global||^2`, where w_global is the model the round began with
    (Li et al., "Federated Optimization in Heterogeneous Networks", MLSys 2020); None for no such term. The losses
    that are reported are the task's, without it.
    """

    def __init__(
        self,
        index: int,
        network: SplitNetwork,
        task: Task,
        training: TrainingConfig,
        *,
        seed: int,
        device: torch.device,
        proximal_mu: float | None = None,
    ) -> None:
        super().__init__(index, network.head, network.tail, network.body, task, training, seed=seed, device=device)
        self._network = Unsplit(network)
        self._proximal_mu = proximal_mu
        self._global: list[Tensor] = []

    def _begin_round(self) -> None:
        if self._proximal_mu is not None:
            self._global = [parameter.detach().clone() for parameter in self._network.parameters()]

    def _step(self, round: int, batch: int, images: Tensor, targets: Tensor) -> float:
        with self._autocast():
            output = self._network(images)
        loss = self._task.loss(output.float(), targets)
        for optimiser in self._optimisers.values():
            optimiser.zero_grad()
        loss.backward()
        if self._proximal_mu is not None:
            self._pull(self._proximal_mu)
        for optimiser in self._optimisers.values():
            optimiser.step()
        return loss.item()

    @torch.no_grad()
    def _pull(self, mu: float) -> None:
        """Add the proximal term's gradient, mu * (w - w_global)."""
        for parameter, start in zip(self._network.parameters(), self._global, strict=True):
            if parameter.grad is not None:
                parameter.grad.add_(parameter - start, alpha=mu)

    def _output(self, images: Tensor) -> Tensor:
        with self._autocast():
            return self._network(images).float()

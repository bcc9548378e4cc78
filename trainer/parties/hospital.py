"""What every client is: images and labels that stay, the parts it holds, an optimiser for each, and the local epochs.

How a batch is trained and an image predicted depends on where the body is: `Client` and `WholeClient` say so.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import count

import torch
from torch import Tensor, nn

from trainer.batches import epoch_batches
from trainer.config import TrainingConfig
from trainer.data.federated import SampleSet
from trainer.parties.averaging import EncryptedAveraging
from trainer.parties.handover import Handover
from trainer.parties.optimiser import adam, start_round
from trainer.parties.precision import autocast
from trainer.parties.state import PartyState, load_part, put_part
from trainer.tasks import Task

OnBatch = Callable[[float], None]
EVALUATION_BATCH = 16


class Hospital(ABC):
    """Client number `index`; `body` is None where another party holds it.

    `averaging` and `handover` are set for methods that have them.
    """

    def __init__(
        self,
        index: int,
        head: nn.Module,
        tail: nn.Module,
        body: nn.Module | None,
        task: Task,
        training: TrainingConfig,
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        self.index = index
        self.name = f"client-{index}"
        self.averaging: EncryptedAveraging | None = None
        self.handover: Handover | None = None
        self.head, self.tail, self.body = head, tail, body
        self._parts = {"head": head, "tail": tail} | ({} if body is None else {"body": body})
        self._task = task
        self._training = training
        self._seed = seed
        self._device = device
        self._optimisers = {name: adam(part, training) for name, part in self._parts.items()}

    def train(self, round: int, samples: SampleSet, on_batch: OnBatch = lambda loss: None) -> float:
        """The round's local epochs over `samples`; returns the mean loss. `on_batch` gets each batch's loss."""
        torch.set_num_threads(self._training.threads)  # of this thread: torch gives a new one all cores
        for part in self._parts.values():
            part.train()
        for optimiser in self._optimisers.values():
            start_round(optimiser, self._training, round)
        self._begin_round()
        total, number = 0.0, count()
        for epoch in range(self._training.local_epochs):
            for batch in epoch_batches(
                len(samples),
                self._training.batch_size,
                seed=self._seed,
                client=self.index,
                round=round,
                epoch=epoch,
            ):
                images = samples.images[batch].to(self._device)
                targets = samples.targets[batch].to(self._device)
                loss = self._step(round, next(number), images, targets)
                total += loss * len(batch)
                on_batch(loss)
        return total / (len(samples) * self._training.local_epochs)

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """The task's prediction for float32 [n, 1, H, W], by this client's model."""
        torch.set_num_threads(self._training.threads)
        for part in self._parts.values():
            part.eval()
        batches = images.split(EVALUATION_BATCH)
        return torch.cat([self._task.predict(self._output(batch.to(self._device))).cpu() for batch in batches])

    def evaluate(self, samples: SampleSet) -> dict[str, float]:
        """The task's metrics over `samples`."""
        metrics = self._task.metrics()
        metrics.update(self.predict(samples.images), samples.targets)
        return metrics.compute()

    def state(self) -> PartyState:
        """What this client must keep to go on exactly."""
        state = PartyState()
        for name, part in self._parts.items():
            put_part(state, name, part, self._optimisers[name])
        if self.averaging is not None:
            self.averaging.put_state(state)
        return state

    def load_state(self, state: PartyState) -> None:
        """Restore. Raises CheckpointError."""
        for name, part in self._parts.items():
            load_part(state, name, part, self._optimisers[name])
        if self.averaging is not None:
            self.averaging.load_state(state)

    def _autocast(self) -> torch.autocast:
        """The context of a forward pass."""
        return autocast(self._training, self._device)

    def _begin_round(self) -> None:  # noqa: B027 - most clients have nothing to do
        """Called before the first batch of a round."""

    @abstractmethod
    def _step(self, round: int, batch: int, images: Tensor, targets: Tensor) -> float:
        """Train on one batch, the round's number `batch`; its loss."""

    @abstractmethod
    def _output(self, images: Tensor) -> Tensor:
        """The network's output, without gradients."""

"""The client (hospital): its images and labels, head, tail and their optimisers. Only messages leave it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from trainer.batches import epoch_batches
from trainer.config import TrainingConfig
from trainer.data.federated import SampleSet
from trainer.errors import ProtocolError
from trainer.networks.split import Head, Tail
from trainer.parties.averaging import EncryptedAveraging
from trainer.parties.messages import (
    BodyActivations,
    BodyInputGradient,
    BodyOutputGradient,
    HeadActivations,
    InferenceActivations,
)
from trainer.parties.optimiser import adam, start_round
from trainer.parties.state import PartyState, load_part, put_part
from trainer.tasks import Task
from trainer.transport.in_process import COMPUTE, Transport

M = TypeVar("M")
OnBatch = Callable[[float], None]
EVALUATION_BATCH = 16


class Client:
    """Client number `index`. `averaging` is set by methods that average."""

    def __init__(
        self,
        index: int,
        head: Head,
        tail: Tail,
        task: Task,
        training: TrainingConfig,
        transport: Transport,
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        self.index = index
        self.name = f"client-{index}"
        self.head, self.tail = head, tail
        self.averaging: EncryptedAveraging | None = None
        self._task = task
        self._training = training
        self._transport = transport
        self._seed = seed
        self._device = device
        self._head_optimiser = adam(head, training)
        self._tail_optimiser = adam(tail, training)

    def train(self, round: int, samples: SampleSet, on_batch: OnBatch = lambda loss: None) -> float:
        """The round's local epochs over `samples`; returns the mean loss. `on_batch` gets each batch's loss."""
        self.head.train()
        self.tail.train()
        for optimiser in (self._head_optimiser, self._tail_optimiser):
            start_round(optimiser, self._training, round)
        total = 0.0
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
                loss = self._step(round, images, targets)
                total += loss * len(batch)
                on_batch(loss)
        return total / (len(samples) * self._training.local_epochs)

    def _step(self, round: int, images: Tensor, targets: Tensor) -> float:
        """One batch, as method.md numbers it."""
        # 1-2: activations to the compute server and back; images, labels and kept tensors stay here
        h, kept = self.head(images)
        reply = self._transport.request(self.name, COMPUTE, HeadActivations(self.index, round, h.detach()))
        b = _expect(reply, BodyActivations).activations.requires_grad_()  # [n, c, ...]

        # 3: the tail, the private labels, the tail's step
        kept_here = tuple(tensor.detach().requires_grad_(tensor.requires_grad) for tensor in kept)
        loss = self._task.loss(self.tail(b, kept_here), targets)
        self._tail_optimiser.zero_grad()
        loss.backward()
        self._tail_optimiser.step()

        # 4: the gradient through the body
        reply = self._transport.request(self.name, COMPUTE, BodyOutputGradient(self.index, round, _gradient(b)))
        dh = _expect(reply, BodyInputGradient).gradient  # as h

        # 5: the head learns from both ways its outputs took: through the body, and kept for the tail
        outputs, gradients = [h], [dh]
        for tensor, here in zip(kept, kept_here, strict=True):
            if tensor.requires_grad:
                outputs.append(tensor)
                gradients.append(_gradient(here))
        self._head_optimiser.zero_grad()
        torch.autograd.backward(outputs, gradients)
        self._head_optimiser.step()
        return loss.item()

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """The task's prediction for float32 [n, 1, *size], through this client's body at the compute server."""
        self.head.eval()
        self.tail.eval()
        predictions = []
        for batch in images.split(EVALUATION_BATCH):
            h, kept = self.head(batch.to(self._device))
            reply = self._transport.request(self.name, COMPUTE, InferenceActivations(self.index, h))
            b = _expect(reply, BodyActivations).activations
            predictions.append(self._task.predict(self.tail(b, kept)).cpu())
        return torch.cat(predictions)

    def evaluate(self, samples: SampleSet) -> dict[str, float]:
        """The task's metrics over `samples`."""
        metrics = self._task.metrics()
        metrics.update(self.predict(samples.images), samples.targets)
        return metrics.compute()

    def state(self) -> PartyState:
        """What this client must keep to go on exactly."""
        state = PartyState()
        put_part(state, "head", self.head, self._head_optimiser)
        put_part(state, "tail", self.tail, self._tail_optimiser)
        if self.averaging is not None:
            self.averaging.put_state(state)
        return state

    def load_state(self, state: PartyState) -> None:
        """Restore. Raises CheckpointError."""
        load_part(state, "head", self.head, self._head_optimiser)
        load_part(state, "tail", self.tail, self._tail_optimiser)
        if self.averaging is not None:
            self.averaging.load_state(state)


def _expect(reply: object, kind: type[M]) -> M:
    if not isinstance(reply, kind):
        raise ProtocolError(f"the compute server answered {type(reply).__name__} where {kind.__name__} is due")
    return reply


def _gradient(tensor: Tensor) -> Tensor:
    return tensor.grad if tensor.grad is not None else torch.zeros_like(tensor)

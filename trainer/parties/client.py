"""The client of a split network: its images and labels, head, tail and their optimisers. Only messages leave it."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

from trainer.config import TrainingConfig
from trainer.errors import ProtocolError
from trainer.networks.split import Head, Tail
from trainer.parties.exchange import CutExchange
from trainer.parties.hospital import Hospital
from trainer.parties.messages import (
    BodyActivations,
    BodyInputGradient,
    BodyOutputGradient,
    HeadActivations,
    InferenceActivations,
)
from trainer.tasks import Task
from trainer.transport.in_process import COMPUTE, Transport

M = TypeVar("M")


class Client(Hospital):
    """A hospital whose body is at the compute server."""

    def __init__(
        self,
        index: int,
        head: Head,
        tail: Tail,
        task: Task,
        training: TrainingConfig,
        transport: Transport,
        exchange: CutExchange,
        *,
        seed: int,
        device: torch.device,
    ) -> None:
        super().__init__(index, head, tail, None, task, training, seed=seed, device=device)
        self._transport = transport
        self._exchange = exchange

    def _step(self, round: int, images: Tensor, targets: Tensor) -> float:
        """One batch, as method.md numbers it."""
        # 1-2: activations to the compute server and back; images, labels and kept tensors stay here
        self._exchange.start_round(round)
        with self._autocast():
            h, kept = self.head(images)
        sent = self._exchange.pack(h.detach().float())
        reply = self._transport.request(self.name, COMPUTE, HeadActivations(self.index, round, sent))
        b = self._exchange.unpack(_expect(reply, BodyActivations).activations).requires_grad_()  # [n, c, ...]

        # 3: the tail, the private labels, the tail's step
        kept_here = tuple(tensor.detach().requires_grad_(tensor.requires_grad) for tensor in kept)
        with self._autocast():
            output = self.tail(b, kept_here)
        loss = self._task.loss(output.float(), targets)
        self._optimisers["tail"].zero_grad()
        loss.backward()
        self._optimisers["tail"].step()

        # 4: the gradient through the body
        db = self._exchange.pack(_gradient(b))
        reply = self._transport.request(self.name, COMPUTE, BodyOutputGradient(self.index, round, db))
        dh = self._exchange.unpack(_expect(reply, BodyInputGradient).gradient)  # as h

        # 5: the head learns from both ways its outputs took: through the body, and kept for the tail
        outputs, gradients = [h], [dh.to(h.dtype)]
        for tensor, here in zip(kept, kept_here, strict=True):
            if tensor.requires_grad:
                outputs.append(tensor)
                gradients.append(_gradient(here))
        self._optimisers["head"].zero_grad()
        torch.autograd.backward(outputs, gradients)
        self._optimisers["head"].step()
        return loss.item()

    def _output(self, images: Tensor) -> Tensor:
        """Through this client's body at the compute server."""
        with self._autocast():
            h, kept = self.head(images)
        sent = self._exchange.pack(h.float(), unbiased=False)
        reply = self._transport.request(self.name, COMPUTE, InferenceActivations(self.index, sent))
        b = self._exchange.unpack(_expect(reply, BodyActivations).activations)
        with self._autocast():
            return self.tail(b, kept).float()


def _expect(reply: object, kind: type[M]) -> M:
    if not isinstance(reply, kind):
        raise ProtocolError(f"the compute server answered {type(reply).__name__} where {kind.__name__} is due")
    return reply


def _gradient(tensor: Tensor) -> Tensor:
    return tensor.grad if tensor.grad is not None else torch.zeros_like(tensor)

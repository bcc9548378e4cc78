"""The client of a split network: its images and labels, head, tail and their optimisers. Only messages leave it."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from trainer.batches import part_sizes
from trainer.config import TrainingConfig
from trainer.errors import ProtocolError
from trainer.networks.split import Head, Kept, Tail
from trainer.parties.exchange import CutExchange, activations_of, gradient_of
from trainer.parties.hospital import Hospital
from trainer.parties.messages import (
    BatchPart,
    BodyActivations,
    BodyInputGradient,
    BodyOutputGradient,
    HeadActivations,
    InferenceActivations,
    Message,
)
from trainer.tasks import Task
from trainer.transport.in_process import COMPUTE, Transport

M = TypeVar("M")


@dataclass
class _Part:
    """One part of a batch on its way through the client.

    kept_here: what the head kept, detached, for the tail. output: the tail's, with its graph.
    """

    h: Tensor
    kept: Kept
    kept_here: Kept
    reply: Future[Message]
    b: Tensor = field(init=False)
    output: Tensor = field(init=False)


class Client(Hospital):
    """A hospital whose body is at the compute server.

    A batch crosses the cuts in `training.micro_batches` parts, so that one travels, or is with the compute server,
    while another is worked on here: the schedule of GPipe (Huang et al., NeurIPS 2019) with a loss over the whole
    batch in its middle, and one step at its end. What is learnt from a batch is the same however many the parts, but
    for the order of sums: the network treats images each by itself, and the loss, which may not (Dice), is taken of
    the batch.
    """

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

    def _step(self, round: int, batch: int, images: Tensor, targets: Tensor) -> float:
        """One batch, as method.md numbers it."""
        pieces = images.split(part_sizes(len(images), self._training.micro_batches))
        places = [BatchPart(round, batch, part, len(pieces)) for part in range(len(pieces))]
        for optimiser in self._optimisers.values():
            optimiser.zero_grad()

        # 1-2: activations to the compute server and back; images, labels and kept tensors stay here
        parts = [self._sent_ahead(place, piece) for place, piece in zip(places, pieces, strict=True)]

        # 3: the tail, the private labels, the tail's step; 4: the gradient through the body
        for part in parts:
            self._through_tail(part)
        outputs = [part.output.detach().float().requires_grad_() for part in parts]
        loss = self._task.loss(torch.cat(outputs), targets)
        loss.backward()
        for place, part, output in zip(places, parts, outputs, strict=True):
            part.output.backward(_gradient(output).to(part.output.dtype))
            db = self._exchange.pack(_gradient(part.b), gradient_of(place))
            part.reply = self._transport.submit(self.name, COMPUTE, BodyOutputGradient(self.index, place, db))
        self._optimisers["tail"].step()

        # 5: the head learns from both ways its outputs took: through the body, and kept for the tail
        for part in parts:
            self._back_through_head(part)
        self._optimisers["head"].step()
        return loss.item()

    def _sent_ahead(self, place: BatchPart, images: Tensor) -> _Part:
        with self._autocast():
            h, kept = self.head(images)
        sent = self._exchange.pack(h.detach().float(), activations_of(place))
        reply = self._transport.submit(self.name, COMPUTE, HeadActivations(self.index, place, sent))
        return _Part(h, kept, tuple(t.detach().requires_grad_(t.requires_grad) for t in kept), reply)

    def _through_tail(self, part: _Part) -> None:
        activations = _expect(part.reply.result(), BodyActivations).activations
        part.b = self._exchange.unpack(activations).requires_grad_()  # [n, c, ...]
        with self._autocast():
            part.output = self.tail(part.b, part.kept_here)

    def _back_through_head(self, part: _Part) -> None:
        dh = self._exchange.unpack(_expect(part.reply.result(), BodyInputGradient).gradient)  # as h
        outputs, gradients = [part.h], [dh.to(part.h.dtype)]
        for tensor, here in zip(part.kept, part.kept_here, strict=True):
            if tensor.requires_grad:
                outputs.append(tensor)
                gradients.append(_gradient(here))
        torch.autograd.backward(outputs, gradients)

    def _output(self, images: Tensor) -> Tensor:
        """Through this client's body at the compute server."""
        with self._autocast():
            h, kept = self.head(images)
        sent = self._exchange.pack(h.float())
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

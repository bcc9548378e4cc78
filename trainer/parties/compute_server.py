"""The compute server: a body copy per client, or one body for all. Sees activations and gradients at the cuts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from trainer.config import TrainingConfig
from trainer.correction import Correction
from trainer.errors import ProtocolError
from trainer.networks.split import Body
from trainer.parties.exchange import CutExchange
from trainer.parties.messages import (
    BodyActivations,
    BodyInputGradient,
    BodyOutputGradient,
    HeadActivations,
    InferenceActivations,
    Message,
    RoundPlan,
)
from trainer.parties.optimiser import adam, start_round
from trainer.parties.precision import autocast
from trainer.parties.state import PartyState, load_part, put_part
from trainer.transcript.chain import MAX_TEXT, content_digest
from trainer.transcript.log import Transcript, participants_fact


class ComputeServer:
    """Trains a body per client, and `average` makes them one again; or, if `shared`, one body that serves all.

    exchanges: this end of each client's cuts.
    """

    name = "compute"

    def __init__(
        self,
        body: Body,
        exchanges: Sequence[CutExchange],
        training: TrainingConfig,
        correction: Correction,
        *,
        device: torch.device,
        shared: bool = False,
    ) -> None:
        self._clients = len(exchanges)
        self._exchanges = tuple(exchanges)
        self._shared = shared
        self._bodies = [copy.deepcopy(body).to(device) for _ in range(1 if shared else self._clients)]
        self._optimisers = [adam(own, training) for own in self._bodies]
        self._training = training
        self._correction = correction
        self._device = device
        self.transcript = Transcript(self.name)
        self._waiting: dict[int, tuple[Tensor, Tensor]] = {}  # client -> (h, b) until its gradient comes
        self._handlers: dict[type, Callable[[Any], Message]] = {
            HeadActivations: self._forward,
            BodyOutputGradient: self._backward,
            InferenceActivations: self._infer,
        }

    @property
    def averages(self) -> bool:
        """Whether there are copies to average."""
        return not self._shared

    def handle(self, message: Message) -> Message:
        """Answer a client. Raises ProtocolError."""
        handler = self._handlers.get(type(message))
        if handler is None:
            raise ProtocolError(f"the compute server takes no {type(message).__name__}")
        return handler(message)

    def average(self, plan: RoundPlan) -> None:
        """Average the participants' bodies in plaintext, correct the result, and set every copy to it."""
        weights = {participant.client: participant.weight for participant in plan.participants}
        total = sum(weights.values())
        states = {client: self._bodies[client].state_dict() for client in weights}
        fresh = {
            name: sum(states[client][name].double() * (weight / total) for client, weight in weights.items()).float()
            for name in self._bodies[0].state_dict()
        }
        corrected = self._correction.correct(fresh, plan.round)
        for body in self._bodies:
            body.load_state_dict(corrected)
        content = b"".join(tensor.cpu().numpy().astype("<f4").tobytes() for tensor in corrected.values())
        self.transcript.record(
            "averaged",
            round=plan.round,
            participants=participants_fact(plan.participants),
            result=content_digest(content),
        )

    def undo(self, plan: RoundPlan, reason: str) -> None:
        """Note that clients refused the round. The bodies are not changed here."""
        self.transcript.record(
            "undone", round=plan.round, participants=participants_fact(plan.participants), reason=reason[:MAX_TEXT]
        )

    def state(self) -> PartyState:
        """What this server must keep to go on exactly."""
        state = PartyState()
        for client, (body, optimiser) in enumerate(zip(self._bodies, self._optimisers, strict=True)):
            put_part(state, f"body-{client}", body, optimiser)
        tensors, numbers = self._correction.state_dict()
        state.put("correction", tensors)
        state.numbers["correction"] = numbers
        return state

    def load_state(self, state: PartyState) -> None:
        """Restore. Raises CheckpointError."""
        for client, (body, optimiser) in enumerate(zip(self._bodies, self._optimisers, strict=True)):
            load_part(state, f"body-{client}", body, optimiser)
        self._correction.load_state_dict(state.get("correction"), state.number("correction"))
        self._waiting.clear()

    def _forward(self, message: HeadActivations) -> BodyActivations:
        body = self._body(message.client).train()
        exchange = self._exchanges[message.client]
        exchange.start_round(message.round)
        h = exchange.unpack(message.activations).detach().to(self._device).requires_grad_()
        with autocast(self._training, self._device):
            b = body(h)
        self._waiting[message.client] = (h, b)
        return BodyActivations(exchange.pack(b.detach().float()))

    def _backward(self, message: BodyOutputGradient) -> BodyInputGradient:
        if message.client not in self._waiting:
            raise ProtocolError(f"client {message.client} sent a gradient with no batch waiting for it")
        h, b = self._waiting[message.client]
        exchange = self._exchanges[message.client]
        gradient = exchange.unpack(message.gradient)
        if gradient.shape != b.shape:
            raise ProtocolError(
                f"client {message.client} sent a gradient of shape {list(gradient.shape)}; "
                f"the body's output has {list(b.shape)}"
            )
        del self._waiting[message.client]
        optimiser = self._optimisers[self._body_of(message.client)]
        start_round(optimiser, self._training, message.round)
        optimiser.zero_grad()
        b.backward(gradient.to(self._device, b.dtype))
        optimiser.step()
        if h.grad is None:
            raise ProtocolError("the body does not depend on its input")
        return BodyInputGradient(exchange.pack(h.grad))

    @torch.no_grad()
    def _infer(self, message: InferenceActivations) -> BodyActivations:
        body, exchange = self._body(message.client).eval(), self._exchanges[message.client]
        h = exchange.unpack(message.activations).to(self._device)
        with autocast(self._training, self._device):
            b = body(h)
        return BodyActivations(exchange.pack(b.float(), unbiased=False))

    def _body(self, client: int) -> Body:
        return self._bodies[self._body_of(client)]

    def _body_of(self, client: int) -> int:
        if not 0 <= client < self._clients:
            raise ProtocolError(f"no client {client}; the compute server serves 0..{self._clients - 1}")
        return 0 if self._shared else client

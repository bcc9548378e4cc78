"""The compute server: a body copy per client, or one body for all. Sees activations and gradients at the cuts."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from trainer.config import TrainingConfig
from trainer.correction import Correction
from trainer.errors import ProtocolError
from trainer.networks.split import Body
from trainer.parties.exchange import CutExchange, activations_of, gradient_of
from trainer.parties.messages import (
    BatchPart,
    BodyActivations,
    BodyInputGradient,
    BodyOutputGradient,
    HeadActivations,
    InferenceActivations,
    Message,
    RoundPlan,
)
from trainer.parties.open_batch import Gradients, OpenBatch
from trainer.parties.optimiser import adam, start_round
from trainer.parties.precision import autocast
from trainer.parties.state import PartyState, load_part, put_part
from trainer.transcript.chain import MAX_TEXT, content_digest
from trainer.transcript.log import Transcript, participants_fact


class ComputeServer:
    """Trains a body per client, and `average` makes them one again; or, if `shared`, one body that serves all.

    exchanges: this end of each client's cuts.

    Requests may come from several threads, and those of one batch in any order: it ends with the same weights, bit
    for bit. A client that begins a batch gives up its earlier one, and a step of a shared body ends the others'.
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
        self._turns = [threading.Lock() for _ in self._bodies]
        self._batches: dict[int, OpenBatch] = {}  # each client's last
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
        with self._all_bodies():
            self._average(plan)

    def _average(self, plan: RoundPlan) -> None:
        for batch in self._batches.values():
            batch.close()  # its activations are of bodies that are no more
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
        with self._all_bodies():
            self._batches.clear()
            for client, (body, optimiser) in enumerate(zip(self._bodies, self._optimisers, strict=True)):
                load_part(state, f"body-{client}", body, optimiser)
            self._correction.load_state_dict(state.get("correction"), state.number("correction"))

    def _forward(self, message: HeadActivations) -> BodyActivations:
        client, place = message.client, message.place
        with self._turn_of(client) as index:
            exchange = self._exchanges[client]
            body = self._bodies[index].train()
            batch = self._batch_for(client, place)
            h = exchange.unpack(message.activations).detach().to(self._device).requires_grad_()
            with autocast(self._training, self._device):
                b = body(h)
            packed = exchange.pack(b.detach().float(), activations_of(place))
            batch.begin(place.part, h, b)
            self._batches[client] = batch
        return BodyActivations(packed)

    def _batch_for(self, client: int, place: BatchPart) -> OpenBatch:
        """The batch that a part belongs to. Raises ProtocolError."""
        most = self._training.micro_batches
        if place.parts > most:
            raise ProtocolError(f"client {client} sent a batch in {place.parts} parts; training.micro_batches={most}")
        last = self._batches.get(client)
        if last is None or place.number > last.number:
            return OpenBatch(place)
        if place.number < last.number:
            raise ProtocolError(
                f"client {client} sent a part of batch {place.batch} of round {place.round}; it has begun a later one"
            )
        last.check_new(client, place)
        return last

    def _backward(self, message: BodyOutputGradient) -> BodyInputGradient:
        client, place = message.client, message.place
        with self._turn_of(client) as index:
            exchange = self._exchanges[client]
            batch = self._batches.get(client) or OpenBatch(place)
            h, b = batch.waiting(client, place)
            gradient = exchange.unpack(message.gradient)
            if gradient.shape != b.shape:
                raise ProtocolError(
                    f"client {client} sent a gradient of shape {list(gradient.shape)}; "
                    f"the body's output has {list(b.shape)}"
                )
            batch.take(place.part)
            inputs = (h, *self._bodies[index].parameters())
            dh, *gradients = torch.autograd.grad(b, inputs, gradient.to(self._device, b.dtype), allow_unused=True)
            if dh is None:
                raise ProtocolError("the body does not depend on its input")
            packed = exchange.pack(dh, gradient_of(place))
            whole = batch.add(place.part, gradients)
            if whole is not None:
                self._step(index, client, place.round, whole)
        return BodyInputGradient(packed)

    def _step(self, index: int, client: int, round: int, gradients: Gradients) -> None:
        """One step of body number `index` by `client`."""
        optimiser = self._optimisers[index]
        start_round(optimiser, self._training, round)
        for weight, gradient in zip(self._bodies[index].parameters(), gradients, strict=True):
            weight.grad = gradient
        optimiser.step()
        optimiser.zero_grad()
        for other, batch in self._batches.items() if self._shared else ():
            if other != client:
                batch.close()  # its activations are of weights that are no more

    @torch.no_grad()
    def _infer(self, message: InferenceActivations) -> BodyActivations:
        with self._turn_of(message.client) as index:
            exchange = self._exchanges[message.client]
            h = exchange.unpack(message.activations).to(self._device)
            with autocast(self._training, self._device):
                b = self._bodies[index].eval()(h)
        return BodyActivations(exchange.pack(b.float()))

    @contextmanager
    def _turn_of(self, client: int) -> Iterator[int]:
        """The index of the client's body, which is nobody else's while the block runs. Raises ProtocolError."""
        if not 0 <= client < self._clients:
            raise ProtocolError(f"no client {client}; the compute server serves 0..{self._clients - 1}")
        index = 0 if self._shared else client
        torch.set_num_threads(self._training.threads)  # of this thread: torch gives a new one all cores
        with self._turns[index]:
            yield index

    @contextmanager
    def _all_bodies(self) -> Iterator[None]:
        with ExitStack() as turns:
            for turn in self._turns:
                turns.enter_context(turn)
            yield

"""The parties as their coordinator has them: the hospitals and the aggregation server at the end of a transport."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from he_core import CostLedger
from he_core.cost import StageCost
from trainer.errors import ProtocolError, SumRefusedError, TrainerError
from trainer.federation.commands import (
    Adopt,
    Contribute,
    Contributed,
    Costs,
    Done,
    Evaluate,
    Evaluated,
    GiveUp,
    GoBack,
    HandOver,
    Keep,
    OpenSum,
    OpenTranscript,
    Ping,
    Receive,
    Received,
    ReportCosts,
    Restore,
    SealedModel,
    SealModel,
    Share,
    Shared,
    TakeModel,
    Train,
    Trained,
)
from trainer.federation.senders import client_name
from trainer.parties.compute_server import ComputeServer
from trainer.parties.federation import OnBatch, Parties, Result
from trainer.parties.messages import RoundPlan
from trainer.parties.state import PartyState
from trainer.transport.in_process import AGGREGATION, COMPUTE
from trainer.transport.remote import PartyUnreachableError, RemoteRefusalError, RemoteTransport
from trainer.transport.traffic import Traffic

Reply = TypeVar("Reply")
PING_SECONDS = 15.0
LOOK_SECONDS = 2.0


class NonFiniteLossError(ProtocolError):
    """A hospital whose training has diverged: its update must not be averaged."""

    def __init__(self, loss: float) -> None:
        super().__init__(f"its loss is {loss}: its training has diverged, or its weights were never finite")


LOST = (PartyUnreachableError, RemoteRefusalError, NonFiniteLossError)
"""Why a hospital may not be able to do its part."""


class RemoteParties(Parties):
    """Hospitals that train at the same time, each in its own process.

    compute: this process's own, None where the method does not split the network.
    aggregates: whether there is an aggregation server. decrypts_together: whether it takes several to decrypt.
    deadline: seconds a hospital may take for its part of a round.
    say: told what happens, for people.

    A hospital that takes longer, refuses or diverges before the sum is closed is left out of the round: what it still
    sends over the cuts is refused, it is given the round's result, and asked again in the next. One that cannot be
    given the result is behind, and left out; between rounds it is looked for, and if it is there, another hospital's
    model is passed on to it, sealed. While hospitals train they are asked now and then whether they are there.
    """

    def __init__(
        self,
        transport: RemoteTransport,
        compute: ComputeServer | None,
        site_names: tuple[str, ...],
        training_images: tuple[int, ...],
        *,
        aggregates: bool,
        decrypts_together: bool,
        seed: int,
        deadline: float,
        say: Callable[[str], None],
    ) -> None:
        self.site_names, self.training_images, self.seed = site_names, training_images, seed
        self._transport = transport
        self._compute = compute
        self._aggregates = aggregates
        self._decrypts_together = decrypts_together
        self._deadline = deadline
        self._say = say
        self._kept: dict[str, PartyState] = {}
        self._left_out: set[int] = set()
        self._behind: set[int] = set()
        self._looking: dict[int, Future[Done]] = {}
        self._unopened: set[int] = set()  # their transcripts are not on their disks yet
        # A call that nobody answers keeps its thread until its deadline; the others must not wait for one.
        self._pool = ThreadPoolExecutor(8 * len(site_names) + 8, "hospital")

    @property
    def traffic(self) -> Traffic:
        return self._transport.traffic

    def admits(self, client: int) -> bool:
        """Whether the compute server may serve `client` now: not one that was left out, whose body has moved on."""
        return client not in self._left_out | self._behind

    # --- a round

    def each(self, clients: Sequence[int], work: Callable[[int], Result]) -> dict[int, Result]:
        waiting = {client: self._pool.submit(work, client) for client in clients if client not in self._behind}
        results = {}
        for client, future in waiting.items():
            try:
                results[client] = future.result()
            except LOST as error:
                self._say(f"{self.site_names[client]} {self._standing(client)}: {error}")
        return results

    def train(self, client: int, round: int, on_batch: OnBatch) -> float:
        self._left_out.discard(client)
        with _noting(client, self._left_out):
            loss = self._watched(client, Train(round), Trained).loss
            if not math.isfinite(loss):
                raise NonFiniteLossError(loss)
            return loss

    def open_sum(self, plan: RoundPlan) -> None:
        self._ask_server(OpenSum(plan), Done)

    def contribute(self, client: int, plan: RoundPlan) -> int:
        with _noting(client, self._left_out):
            return self._ask(client, Contribute(plan), Contributed).saturated_values

    def share(self, client: int, plan: RoundPlan) -> None:
        if not self._decrypts_together:
            return
        with _noting(client, self._left_out):
            reply = self._ask(client, Share(plan), Shared)
        if reply.refusal:
            raise SumRefusedError(reply.refusal)

    def receive(self, client: int, plan: RoundPlan) -> float:
        with _noting(client, self._behind):
            if client in self._left_out:
                self._ask(client, Ping(), Done, PING_SECONDS)  # it may be gone, which is not worth a deadline
            reply = self._ask(client, Receive(plan), Received)
        if reply.refusal:
            raise SumRefusedError(reply.refusal)
        return reply.step

    def adopt(self, client: int, plan: RoundPlan) -> None:
        with _noting(client, self._behind):
            self._ask(client, Adopt(plan), Done)
        self._left_out.discard(client)

    def give_up(self, client: int, plan: RoundPlan, reason: str) -> None:
        self._ask(client, GiveUp(plan, reason), Done)

    def undo(self, plan: RoundPlan, reason: str) -> None:
        if self._compute is not None and self._compute.averages:
            self._compute.undo(plan, reason)

    def average_bodies(self, plan: RoundPlan) -> None:
        if self._compute is None:
            raise ProtocolError("this method does not split the network, so there is no compute server")
        self._compute.average(plan)

    def hand_over(self, client: int, round: int, clients: Iterable[int]) -> None:
        self._ask(client, HandOver(round, tuple(clients)), Done)

    # --- judging

    def evaluate(self, client: int, site: int) -> dict[str, float]:
        if client != site:
            raise ProtocolError(
                f"the test images of {self.site_names[site]} stay there: no other hospital is judged by them"
            )
        return self._ask(client, Evaluate(), Evaluated).scores

    def predict(self, client: int, images: Tensor) -> Tensor:
        raise ProtocolError("images stay at the hospitals")

    # --- going on later

    def open_transcripts(self, folder: Path, next_round: int) -> None:
        if not self._aggregates:
            return
        self._command_all(OpenTranscript(next_round))
        self._unopened = set(self._behind)
        if self._compute is not None and self._compute.averages:
            self._compute.transcript.open(folder / f"{COMPUTE}.jsonl", next_round)

    def sync_transcripts(self) -> None:
        if self._compute is not None:
            self._compute.transcript.sync()

    def collect_costs(self, round: int, ledger: CostLedger) -> None:
        for name, costs in self._command_all(ReportCosts(round), Costs).items():
            for row in costs.rows:
                ledger.add(StageCost(**row))
            for pair, count in costs.traffic.items():
                source, _, target = pair.partition(" ")
                if COMPUTE not in (source, target) and name in (source, target):
                    self.traffic.put(source, target, count)

    def remember(self, round: int) -> dict[str, PartyState]:
        self._command_all(Keep(round, ()))
        self._kept = self.states()
        self._catch_up(round)
        return self._kept

    def go_back(self) -> None:
        self._command_all(GoBack())
        self.load_states(self._kept)

    def states(self) -> dict[str, PartyState]:
        return {} if self._compute is None else {COMPUTE: self._compute.state()}

    def load_states(self, states: dict[str, PartyState]) -> None:
        if self._compute is not None:
            self._compute.load_state(states[COMPUTE])

    def save(self, round: int, links: tuple[str, ...]) -> None:
        self._command_all(Keep(round, links))

    def restore(self, round: int) -> None:
        """A hospital that has no checkpoint of `round` has missed results: it must not go on from older weights."""

        def back(client: int) -> None:
            with _noting(client, self._behind):
                self._ask(client, Restore(round), Done)

        self.each(range(len(self.site_names)), back)
        if self._aggregates:
            self._ask_server(Restore(round), Done)

    def _catch_up(self, round: int) -> None:
        """Give those that are behind, and are there, the model as after `round`."""
        for client in sorted(self._behind):
            if self._is_there(client):
                try:
                    giver, sealed = self._sealed_model(round)
                    if client in self._unopened:
                        self._ask(client, OpenTranscript(round + 1), Done)
                        self._unopened.discard(client)
                    self._ask(client, TakeModel(round, giver, sealed), Done)
                except LOST as error:
                    self._say(f"{self.site_names[client]} cannot be given the model that it has missed: {error}")
                else:
                    self._behind.discard(client)
                    self._left_out.discard(client)
                    self._say(f"{self.site_names[client]} is back: {self.site_names[giver]} gave it the model")

    def _is_there(self, client: int) -> bool:
        """Whether a hospital that was lost answers again. One that is gone must not hold up every round."""
        looked = self._looking.pop(client, None)
        if looked is None or (looked.done() and looked.exception() is not None):
            looked = self._pool.submit(self._ask, client, Ping(), Done, PING_SECONDS)
            wait((looked,), LOOK_SECONDS)
        if not looked.done():
            self._looking[client] = looked
            return False
        return looked.exception() is None

    def _sealed_model(self, round: int) -> tuple[int, bytes]:
        """Who gave it, and the model. Raises the last hospital's refusal where none does."""
        refusal: TrainerError = PartyUnreachableError("any hospital", "all of them have missed results")
        for giver in range(len(self.site_names)):
            if giver in self._behind:
                continue
            try:
                return giver, self._ask(giver, SealModel(round), SealedModel).sealed
            except LOST as error:
                refusal = error
        raise refusal

    # --- asking

    def _command_all(self, command: Any, kind: type[Any] = Done) -> dict[str, Any]:
        """Ask every site at once; the replies of those that could be reached, by party name."""
        replies = self.each(range(len(self.site_names)), lambda client: self._ask(client, command, kind))
        by_name = {client_name(client): reply for client, reply in replies.items()}
        if self._aggregates:
            by_name[AGGREGATION] = self._ask_server(command, kind)
        return by_name

    def _watched(self, client: int, command: Any, kind: type[Reply]) -> Reply:
        """The reply to a command that may take long; that a site is gone is noticed meanwhile."""
        reply = self._pool.submit(self._ask, client, command, kind)
        while not wait((reply,), PING_SECONDS).done:
            self._ask(client, Ping(), Done, PING_SECONDS)
        return reply.result()

    def _standing(self, client: int) -> str:
        if client in self._behind:
            return "has missed the round's result, and is left out until it can be given another hospital's model"
        return "is left out of the round" if client in self._left_out else "did not answer"

    def _ask(self, client: int, command: Any, kind: type[Reply], deadline: float | None = None) -> Reply:
        return self._request(client_name(client), command, kind, deadline)

    def _ask_server(self, command: Any, kind: type[Reply]) -> Reply:
        return self._request(AGGREGATION, command, kind)

    def _request(self, party: str, command: Any, kind: type[Reply], deadline: float | None = None) -> Reply:
        reply = self._transport.request(COMPUTE, party, command, self._deadline if deadline is None else deadline)
        if not isinstance(reply, kind):
            raise ProtocolError(f"{party} answered {type(reply).__name__} where {kind.__name__} is due")
        return reply


@contextmanager
def _noting(client: int, lost: set[int]) -> Iterator[None]:
    """Add `client` to `lost` where it cannot do what it is asked."""
    try:
        yield
    except LOST:
        lost.add(client)
        raise

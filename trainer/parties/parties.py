"""The parties of one run, in one process: who they are and how a configuration becomes them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from he_core import CostLedger, Scheme
from he_core.verification import SESSION_BYTES
from trainer.config import Config, CorrectionConfig
from trainer.data.federated import SampleSet
from trainer.errors import CheckpointError, ProtocolError, SumRefusedError
from trainer.networks.split import SplitNetwork
from trainer.parties.aggregation_server import AggregationServer
from trainer.parties.arrangement import COPIES, Arrangement
from trainer.parties.at_once import Crew, workers
from trainer.parties.averaging import REFUSALS, EncryptedAveraging
from trainer.parties.building import averaging, compute_server, hospital, torch_device
from trainer.parties.compute_server import ComputeServer
from trainer.parties.federation import OnBatch, Parties, Result
from trainer.parties.handover import Handover
from trainer.parties.hospital import Hospital
from trainer.parties.keys import group_verifier, keys_of_clients
from trainer.parties.messages import RoundPlan
from trainer.parties.state import PartyState
from trainer.tasks import Task
from trainer.transcript.log import Transcript
from trainer.transport.in_process import AGGREGATION, COMPUTE, Handler, InProcessTransport
from trainer.transport.traffic import Traffic


@dataclass
class InProcessParties(Parties):
    """Clients, servers, and what connects them; clients are asked in turn, but train at the same time.

    The sets and site_names are by client index. kept: every party's state after the last good round.
    """

    clients: tuple[Hospital, ...]
    compute: ComputeServer | None
    aggregation: AggregationServer | None
    transport: InProcessTransport
    training_sets: tuple[SampleSet, ...]
    test_sets: tuple[SampleSet, ...]
    site_names: tuple[str, ...]
    seed: int
    kept: dict[str, PartyState] = field(default_factory=dict)
    crew: Crew = field(default_factory=Crew)

    @property
    def training_images(self) -> tuple[int, ...]:  # type: ignore[override]
        return tuple(len(samples) for samples in self.training_sets)

    @property
    def traffic(self) -> Traffic:
        return self.transport.traffic

    def each(self, clients: Sequence[int], work: Callable[[int], Result]) -> dict[int, Result]:
        return {client: work(client) for client in clients}

    def at_once(self, clients: Sequence[int], work: Callable[[int], Result]) -> dict[int, Result]:
        return self.crew.each(clients, work)

    def train(self, client: int, round: int, on_batch: OnBatch) -> float:
        def seen(loss: float) -> None:
            self.crew.check()
            on_batch(loss)

        return self.clients[client].train(round, self.training_sets[client], seen)

    def open_sum(self, plan: RoundPlan) -> None:
        self.aggregation_server.open(plan)

    def contribute(self, client: int, plan: RoundPlan) -> int:
        return self.averaging(client).contribute(plan)

    def share(self, client: int, plan: RoundPlan) -> None:
        try:
            self.averaging(client).share(plan)
        except REFUSALS as error:
            raise SumRefusedError(str(error)) from None

    def receive(self, client: int, plan: RoundPlan) -> float:
        try:
            return self.averaging(client).receive(plan)
        except REFUSALS as error:
            raise SumRefusedError(str(error)) from None

    def adopt(self, client: int, plan: RoundPlan) -> None:
        self.averaging(client).adopt(plan)

    def give_up(self, client: int, plan: RoundPlan, reason: str) -> None:
        self.averaging(client).give_up(plan, reason)

    def undo(self, plan: RoundPlan, reason: str) -> None:
        if self.compute is not None and self.compute.averages:
            self.compute.undo(plan, reason)

    def open_transcripts(self, folder: Path, next_round: int) -> None:
        for name, transcript in self._transcripts().items():
            transcript.open(folder / f"{name}.jsonl", next_round)

    def sync_transcripts(self) -> None:
        for transcript in self._transcripts().values():
            transcript.sync()

    def average_bodies(self, plan: RoundPlan) -> None:
        self.compute_server.average(plan)

    def hand_over(self, client: int, round: int, clients: Iterable[int]) -> None:
        self.handover(client).give(round, clients)

    def evaluate(self, client: int, site: int) -> dict[str, float]:
        return self.clients[client].evaluate(self.test_sets[site])

    def predict(self, client: int, images: Tensor) -> Tensor:
        return self.clients[client].predict(images)

    def collect_costs(self, round: int, ledger: CostLedger) -> None:
        return

    def save(self, round: int, links: tuple[str, ...]) -> None:
        return

    def restore(self, round: int) -> None:
        return

    @property
    def compute_server(self) -> ComputeServer:
        """The compute server of a method that splits the network."""
        if self.compute is None:
            raise ProtocolError("this method does not split the network, so there is no compute server")
        return self.compute

    @property
    def aggregation_server(self) -> AggregationServer:
        """The aggregation server of a method that averages."""
        if self.aggregation is None:
            raise ProtocolError("this method does not average, so there is no aggregation server")
        return self.aggregation

    def averaging(self, client: int) -> EncryptedAveraging:
        """Client's side of averaging, for a method that averages."""
        averaging = self.clients[client].averaging
        if averaging is None:
            raise ProtocolError("this method does not average, so its clients have no part in it")
        return averaging

    def handover(self, client: int) -> Handover:
        """Client's side of handing over, for a method whose clients do."""
        handover = self.clients[client].handover
        if handover is None:
            raise ProtocolError("this method's clients hand nothing over")
        return handover

    def states(self) -> dict[str, PartyState]:
        """Every party's state, by party name."""
        return {name: party.state() for name, party in self._stateful().items()}

    def remember(self, round: int) -> dict[str, PartyState]:
        self.kept = self.states()
        return self.kept

    def go_back(self) -> None:
        aggregation = {} if self.aggregation is None else {self.aggregation.name: self.aggregation.state()}
        self.load_states(self.kept | aggregation)

    def load_states(self, states: dict[str, PartyState]) -> None:
        """Restore every party. Raises CheckpointError."""
        parties = self._stateful()
        if set(states) != set(parties):
            raise CheckpointError(
                f"the checkpoint is of the parties {', '.join(sorted(states))}; "
                f"this run's are {', '.join(sorted(parties))}"
            )
        for name, party in parties.items():
            party.load_state(states[name])

    def _transcripts(self) -> dict[str, Transcript]:
        """Of those that see something of the averaging, by party name; none where nobody does."""
        if self.aggregation is None:
            return {}
        kept = {client.name: self.averaging(client.index).transcript for client in self.clients}
        kept[self.aggregation.name] = self.aggregation.transcript
        if self.compute is not None and self.compute.averages:
            kept[self.compute.name] = self.compute.transcript
        return kept

    def _stateful(self) -> dict[str, Hospital | ComputeServer | AggregationServer]:
        servers = [server for server in (self.compute, self.aggregation) if server is not None]
        return {party.name: party for party in (*self.clients, *servers)}


def assemble(
    config: Config,
    network: SplitNetwork,
    task: Task,
    training_sets: tuple[SampleSet, ...],
    test_sets: tuple[SampleSet, ...],
    site_names: tuple[str, ...],
    *,
    scheme: Scheme | None,
    correction: CorrectionConfig,
    ledger: CostLedger,
    arrangement: Arrangement = COPIES,
) -> InProcessParties:
    """Build the parties, all starting from `network`'s weights.

    scheme: None for methods that do not average; then there are no keys and no aggregation server.
    Raises ConfigError.
    """
    device = torch_device(config)
    handlers: dict[str, Handler] = {}
    transport = InProcessTransport(handlers)
    seats = range(len(training_sets))
    compute = None
    if arrangement.body != "clients":
        compute = compute_server(config, network.body, len(seats), correction, arrangement, device)
        handlers[COMPUTE] = compute.handle
    clients = tuple(hospital(index, arrangement, network, task, config, transport, device) for index in seats)
    for client in clients if arrangement.hands_over else ():
        client.handover = Handover(client.index, client.head, client.tail, transport)
        handlers[client.name] = client.handover.handle
    parties = InProcessParties(
        clients,
        compute,
        None,
        transport,
        training_sets,
        test_sets,
        site_names,
        config.run.seed,
        crew=Crew(workers(config)),
    )
    if scheme is not None:
        keys = keys_of_clients(scheme, config.encryption, ledger, site_names)
        session = secrets.token_bytes(SESSION_BYTES)
        for client, own in zip(clients, keys, strict=True):
            client.averaging = averaging(
                config,
                client,
                scheme,
                own,
                group_verifier(own, scheme, config.encryption, session),
                correction,
                transport,
                parties.training_images,
                ledger,
                site_names[client.index],
            )
        size = parties.averaging(0).field_count
        parties.aggregation = AggregationServer(scheme, keys[0].public, config.encryption, size, ledger)
        handlers[AGGREGATION] = parties.aggregation.handle
    return parties

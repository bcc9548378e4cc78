"""The parties of one run, in one process: who they are and how a configuration becomes them."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import torch

from he_core import CostLedger, Decryptor, Encryptor, Scheme
from he_core.codec import tag_count
from trainer.config import Config, CorrectionConfig
from trainer.correction import Correction
from trainer.data.federated import SampleSet
from trainer.errors import CheckpointError, ConfigError, ProtocolError
from trainer.networks.split import SplitNetwork
from trainer.parties.aggregation_server import AggregationServer
from trainer.parties.arrangement import COPIES, Arrangement
from trainer.parties.averaging import EncryptedAveraging
from trainer.parties.client import Client
from trainer.parties.compute_server import ComputeServer
from trainer.parties.exchange import CLIENT_END, EXCHANGES, SERVER_END, CutExchange
from trainer.parties.handover import Handover
from trainer.parties.hospital import Hospital
from trainer.parties.keys import group_keys, group_verifier
from trainer.parties.state import PartyState
from trainer.parties.whole_client import WholeClient
from trainer.tasks import Task
from trainer.transport.in_process import AGGREGATION, COMPUTE, Handler, InProcessTransport


@dataclass
class Parties:
    """Clients, servers, and what connects them.

    training_sets and site_names are by client index; seed: the run's. kept: every party's state after the last good
    round.
    """

    clients: tuple[Hospital, ...]
    compute: ComputeServer | None
    aggregation: AggregationServer | None
    transport: InProcessTransport
    training_sets: tuple[SampleSet, ...]
    site_names: tuple[str, ...]
    seed: int
    kept: dict[str, PartyState] = field(default_factory=dict)

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

    def keep(self) -> dict[str, PartyState]:
        """Every party remembers its state as good; returns them."""
        self.kept = self.states()
        return self.kept

    def go_back(self) -> None:
        """Every party returns to what it last kept: weights, optimisers, correction, clip limits.

        But for the aggregation server: a round that it closed stays closed.
        """
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

    def _stateful(self) -> dict[str, Hospital | ComputeServer | AggregationServer]:
        servers = [server for server in (self.compute, self.aggregation) if server is not None]
        return {party.name: party for party in (*self.clients, *servers)}


def assemble(
    config: Config,
    network: SplitNetwork,
    task: Task,
    training_sets: tuple[SampleSet, ...],
    site_names: tuple[str, ...],
    *,
    scheme: Scheme | None,
    correction: CorrectionConfig,
    ledger: CostLedger,
    arrangement: Arrangement = COPIES,
) -> Parties:
    """Build the parties, all starting from `network`'s weights.

    scheme: None for methods that do not average; then there are no keys and no aggregation server.
    Raises ConfigError.
    """
    device = _device(config.run.device)
    handlers: dict[str, Handler] = {}
    transport = InProcessTransport(handlers)
    compute = None
    if arrangement.body != "clients":
        compute = ComputeServer(
            network.body,
            [_exchange(config, client, SERVER_END) for client in range(len(training_sets))],
            config.training,
            Correction(correction, "body"),
            device=device,
            shared=arrangement.body == "shared",
        )
        handlers[COMPUTE] = compute.handle
    seats = range(len(training_sets))
    clients = tuple(_client(index, arrangement, network, task, config, transport, device) for index in seats)
    for client in clients if arrangement.hands_over else ():
        client.handover = Handover(client.index, client.head, client.tail, transport)
        handlers[client.name] = client.handover.handle
    parties = Parties(clients, compute, None, transport, training_sets, site_names, config.run.seed)
    if scheme is not None:
        parties.aggregation = _set_up_averaging(config, parties, scheme, correction, ledger)
        handlers[AGGREGATION] = parties.aggregation.handle
    return parties


def check_room(participants: int, config: Config) -> None:
    """Raise ConfigError where one sum cannot hold that many participants."""
    if participants > config.encryption.k_max:
        raise ConfigError(
            f"{participants} clients, but encryption.k_max={config.encryption.k_max}; "
            f"set encryption.k_max={participants} or more"
        )


def _set_up_averaging(
    config: Config, parties: Parties, scheme: Scheme, correction: CorrectionConfig, ledger: CostLedger
) -> AggregationServer:
    """Give every client its side of averaging; returns the server's."""
    keys = group_keys(scheme, config.encryption, ledger, party=parties.site_names[0])
    secret_key = scheme.secret_key(keys)
    verifier = group_verifier(keys, scheme, config.encryption)
    longest_round = max(_local_steps(config, samples) for samples in parties.training_sets)
    for client in parties.clients:
        client.averaging = EncryptedAveraging(
            client.index,
            client.head,
            client.tail,
            config.encryption,
            Encryptor(scheme, secret_key, verifier=verifier, ledger=ledger, party=parties.site_names[client.index]),
            Decryptor(scheme, secret_key, verifier=verifier, ledger=ledger, party=parties.site_names[client.index]),
            Correction(correction, "head"),  # every mode treats head and tail alike
            parties.transport,
            reach=config.training.learning_rate * longest_round,
            seed=config.run.seed,
            body=client.body,
            verified=verifier is not None,
            laplace_scale=config.method.laplace_scale,
        )
    tag = tag_count(config.encryption.bits) if verifier is not None else 0
    size = parties.averaging(0).value_count + tag
    return AggregationServer(scheme, keys.public, config.encryption, size, ledger)


def _client(
    index: int,
    arrangement: Arrangement,
    network: SplitNetwork,
    task: Task,
    config: Config,
    transport: InProcessTransport,
    device: torch.device,
) -> Hospital:
    head, tail = copy.deepcopy(network.head).to(device), copy.deepcopy(network.tail).to(device)
    if arrangement.body != "clients":
        exchange = _exchange(config, index, CLIENT_END)
        return Client(
            index, head, tail, task, config.training, transport, exchange, seed=config.run.seed, device=device
        )
    return WholeClient(
        index,
        SplitNetwork(head, copy.deepcopy(network.body).to(device), tail, network.name),
        task,
        config.training,
        seed=config.run.seed,
        device=device,
        proximal_mu=arrangement.proximal_mu,
    )


def _exchange(config: Config, client: int, end: int) -> CutExchange:
    return EXCHANGES[config.training.cut_exchange](config.run.seed, client, end)


def _local_steps(config: Config, samples: SampleSet) -> int:
    return -(-len(samples) // config.training.batch_size) * config.training.local_epochs


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"run.device={name!r} cannot be used here: {str(error).splitlines()[0]}") from None
    return device

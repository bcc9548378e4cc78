"""The parties of one run, in one process: who they are and how a configuration becomes them."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch

from he_core import CostLedger, Decryptor, Encryptor, Scheme
from trainer.config import Config, CorrectionConfig
from trainer.correction import Correction
from trainer.data.federated import SampleSet
from trainer.errors import CheckpointError, ConfigError, ProtocolError
from trainer.networks.flatten import FlatLayout
from trainer.networks.split import SplitNetwork
from trainer.parties.aggregation_server import AggregationServer
from trainer.parties.averaging import EncryptedAveraging
from trainer.parties.client import Client
from trainer.parties.compute_server import ComputeServer
from trainer.parties.exchange import CLIENT_END, EXCHANGES, SERVER_END, CutExchange
from trainer.parties.keys import group_keys
from trainer.parties.state import PartyState
from trainer.tasks import Task
from trainer.transport.in_process import AGGREGATION, COMPUTE, Handler, InProcessTransport


@dataclass
class Parties:
    """Clients, servers, and what connects them. training_sets and site_names are by client index."""

    clients: tuple[Client, ...]
    compute: ComputeServer
    aggregation: AggregationServer | None
    transport: InProcessTransport
    training_sets: tuple[SampleSet, ...]
    site_names: tuple[str, ...]

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

    def states(self) -> dict[str, PartyState]:
        """Every party's state, by party name."""
        return {name: party.state() for name, party in self._stateful().items()}

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

    def _stateful(self) -> dict[str, Client | ComputeServer | AggregationServer]:
        servers = [self.compute] if self.aggregation is None else [self.compute, self.aggregation]
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
) -> Parties:
    """Build the parties, all starting from `network`'s weights.

    scheme: None for methods that do not average; then there are no keys and no aggregation server.
    Raises ConfigError.
    """
    device = _device(config.run.device)
    exchanges = [_exchange(config, client, SERVER_END) for client in range(len(training_sets))]
    compute = ComputeServer(network.body, exchanges, config.training, Correction(correction, "body"), device=device)
    handlers: dict[str, Handler] = {COMPUTE: compute.handle}
    if scheme is None:
        transport = InProcessTransport(handlers)
        clients = [_client(index, network, task, config, transport, device) for index in range(len(training_sets))]
        return Parties(tuple(clients), compute, None, transport, training_sets, site_names)

    check_room(len(training_sets), config)
    keys = group_keys(scheme, config.encryption, ledger, party=site_names[0])
    size = FlatLayout.of(network.head, network.tail).size
    aggregation = AggregationServer(scheme, keys.public, config.encryption, size, ledger)
    transport = InProcessTransport(handlers | {AGGREGATION: aggregation.handle})
    secret_key = scheme.secret_key(keys)
    longest_round = max(_local_steps(config, samples) for samples in training_sets)
    clients = [_client(index, network, task, config, transport, device) for index in range(len(training_sets))]
    for client in clients:
        client.averaging = EncryptedAveraging(
            client.index,
            client.head,
            client.tail,
            config.encryption,
            Encryptor(scheme, secret_key, ledger=ledger, party=site_names[client.index]),
            Decryptor(scheme, secret_key, ledger=ledger, party=site_names[client.index]),
            Correction(correction, "head"),  # every mode treats head and tail alike
            transport,
            reach=config.training.learning_rate * longest_round,
            seed=config.run.seed,
        )
    return Parties(tuple(clients), compute, aggregation, transport, training_sets, site_names)


def check_room(clients: int, config: Config) -> None:
    """Raise ConfigError where one sum cannot hold that many clients."""
    if clients > config.encryption.k_max:
        raise ConfigError(
            f"{clients} clients, but encryption.k_max={config.encryption.k_max}; "
            f"set encryption.k_max={clients} or more"
        )


def _client(
    index: int, network: SplitNetwork, task: Task, config: Config, transport: InProcessTransport, device: torch.device
) -> Client:
    return Client(
        index,
        copy.deepcopy(network.head).to(device),
        copy.deepcopy(network.tail).to(device),
        task,
        config.training,
        transport,
        _exchange(config, index, CLIENT_END),
        seed=config.run.seed,
        device=device,
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

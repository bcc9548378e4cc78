"""How a configuration becomes one party: in a run of one process, and in each process of a federation."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch

from he_core import CostLedger, Decryptor, Encryptor, Scheme, SecretBundle, ShareHolder, Trust, Verifier
from he_core.keys import SecretKey
from he_core.scheme import threshold_scheme
from trainer.config import Config, CorrectionConfig
from trainer.correction import Correction
from trainer.errors import ConfigError
from trainer.networks.split import Body, SplitNetwork
from trainer.parties.arrangement import Arrangement
from trainer.parties.averaging import EncryptedAveraging
from trainer.parties.client import Client
from trainer.parties.compute_server import ComputeServer
from trainer.parties.decrypting import DecryptingTogether
from trainer.parties.exchange import CLIENT_END, EXCHANGES, SERVER_END, CutExchange
from trainer.parties.hospital import Hospital
from trainer.parties.whole_client import WholeClient
from trainer.tasks import Task
from trainer.transcript.log import Transcript, identity
from trainer.transport.in_process import Transport


def hospital(
    index: int,
    arrangement: Arrangement,
    network: SplitNetwork,
    task: Task,
    config: Config,
    transport: Transport,
    device: torch.device,
) -> Hospital:
    """Client number `index` with copies of its parts of `network`; its averaging is set apart."""
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


def compute_server(
    config: Config,
    body: Body,
    clients: int,
    correction: CorrectionConfig,
    arrangement: Arrangement,
    device: torch.device,
) -> ComputeServer:
    """The compute server of `clients` clients, with copies of `body`."""
    return ComputeServer(
        body,
        [_exchange(config, client, SERVER_END) for client in range(clients)],
        config.training,
        Correction(correction, "body"),
        device=device,
        shared=arrangement.body == "shared",
    )


def averaging(
    config: Config,
    client: Hospital,
    scheme: Scheme,
    keys: SecretBundle,
    verifier: Verifier | None,
    correction: CorrectionConfig,
    transport: Transport,
    training_images: Sequence[int],
    ledger: CostLedger,
    party: str,
) -> EncryptedAveraging:
    """The client's side of averaging. training_images: of every client; party: this one's name in the ledger."""
    secret_key = scheme.secret_key(keys)
    session = {} if verifier is None else {"session": verifier.session.hex()}
    longest_round = max(_local_steps(config, images) for images in training_images)
    return EncryptedAveraging(
        client.index,
        client.head,
        client.tail,
        config.encryption,
        Encryptor(scheme, secret_key, verifier=verifier, ledger=ledger, party=party),
        Decryptor(scheme, secret_key, verifier=verifier, ledger=ledger, party=party),
        Correction(correction, "head"),  # every mode treats head and tail alike
        transport,
        reach=config.training.learning_rate * longest_round,
        seed=config.run.seed,
        body=client.body,
        together=decrypting_together(scheme, keys, secret_key, transport, ledger, party),
        transcript=Transcript(client.name, **identity(scheme, keys.public), **session),
        verified=verifier is not None,
        laplace_scale=config.method.laplace_scale,
    )


def decrypting_together(
    scheme: Scheme, keys: SecretBundle, secret_key: SecretKey, transport: Transport, ledger: CostLedger, party: str
) -> DecryptingTogether | None:
    """The client's side of decrypting together; None where one key is shared by all."""
    if scheme.capabilities.trust is not Trust.THRESHOLD:
        return None
    if keys.verification_key is None:
        raise ConfigError("this share of a threshold group's key has no group secret: hold a new ceremony")
    holder = ShareHolder(scheme, secret_key, ledger=ledger, party=party)
    threshold = threshold_scheme(scheme).threshold
    return DecryptingTogether(holder, threshold, keys.verification_key, keys.public.key_id, transport)


def check_room(participants: int, config: Config) -> None:
    """Raise ConfigError where one sum cannot hold that many participants."""
    if participants > config.encryption.k_max:
        raise ConfigError(
            f"{participants} clients, but encryption.k_max={config.encryption.k_max}; "
            f"set encryption.k_max={participants} or more"
        )


def torch_device(config: Config) -> torch.device:
    """`run.device`. Raises ConfigError where torch cannot use it."""
    name = config.run.device
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"run.device={name!r} cannot be used here: {str(error).splitlines()[0]}") from None
    return device


def _exchange(config: Config, client: int, end: int) -> CutExchange:
    return EXCHANGES[config.training.cut_exchange](config.run.seed, client, end)


def _local_steps(config: Config, images: int) -> int:
    return -(-images // config.training.batch_size) * config.training.local_epochs

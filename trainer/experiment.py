"""A configuration made real: data, task, network, method and scheme, checked before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

import he_core
from he_core import CodecShape, CostLedger, Scheme, Trust, frame
from he_core.codec import tag_count
from he_core.scheme import threshold_scheme
from trainer import participation
from trainer.batches import part_sizes
from trainer.config import Config
from trainer.data import FederatedData, load
from trainer.data.remote_sites import RemoteSites
from trainer.errors import ConfigError
from trainer.methods import Method, method_for
from trainer.methods.options import check_options
from trainer.networks.flatten import FlatLayout
from trainer.networks.registry import build, check_serves
from trainer.networks.split import SplitNetwork
from trainer.networks.summary import compare_cuts, describe, held_whole
from trainer.parties.building import check_room
from trainer.parties.exchange import EXCHANGES
from trainer.parties.keys import verifies
from trainer.parties.parties import InProcessParties, assemble
from trainer.tasks import Task, task_for


@dataclass(frozen=True)
class Experiment:
    """Everything a run is made of, before it starts. `scheme` is None where the method does not average."""

    config: Config
    method: Method
    data: FederatedData | RemoteSites
    task: Task
    network: SplitNetwork
    scheme: Scheme | None

    @classmethod
    def prepare(cls, config: Config, data: FederatedData | None = None) -> Experiment:
        """Load the data and build the rest. Raises TrainerError or HeCoreError subclasses.

        data: what `load` gives for this configuration, where that is at hand.
        """
        torch.set_num_threads(config.training.threads)
        method = method_for(config.method.name)
        check_options(method, config)
        check_serves(config.network, config.training.task)
        scheme = None
        if method.averages:
            encryption = config.encryption
            scheme = he_core.create(
                encryption.scheme, encryption.backend, encryption.parameters, threads=config.run.threads
            )
            verifies(scheme, encryption)
        data = data or load(config.data, config.training.task, config.run.seed)
        sites = len(method.training_sets(data))
        config = with_room_to_decrypt(config, scheme, sites)
        participation.check(config.method, sites)
        if scheme is not None:
            check_room(participation.asked_per_round(config.method, sites), config)
        task = task_for(config.training.task, data.class_names, config.training, config.data.voxel_mm)
        task.check_targets(client.test.targets for client in data.clients)
        data = replace(data, notes=data.notes + task.notes({client.name: client.test for client in data.clients}))
        channels, *size = data.image_shape
        if len(size) != config.network.dimensions:
            raise ConfigError(
                f"network.dimensions={config.network.dimensions}, but data.source={config.data.source} gives images "
                f"of {len(size)} dimensions: set network.dimensions={len(size)}"
            )
        network = build(config.network, channels, task.out_channels, config.run.seed, task.adds_input)
        return cls(config, method, data, task, network, scheme)

    def assemble(self, ledger: CostLedger) -> InProcessParties:
        """The parties, all in this process, at the start of round 0. Raises ConfigError."""
        if isinstance(self.data, RemoteSites):
            raise ConfigError("the images are at sites of their own: so are the parties")
        training_sets = self.method.training_sets(self.data)
        names = tuple(client.name for client in self.data.clients)
        return assemble(
            self.config,
            self.network,
            self.task,
            training_sets,
            tuple(client.test for client in self.data.clients),
            names if len(training_sets) == len(names) else ("pooled",),
            scheme=self.scheme,
            correction=self.method.correction(self.config.method),
            ledger=ledger,
            arrangement=self.method.arrangement(self.config.method),
        )

    @property
    def encrypted_values(self) -> int:
        """Weights of the parts that a client holds: values in an encrypted update."""
        body = self.network.body if self._is_whole else None
        return FlatLayout.of(self.network.head, self.network.tail, body).size

    @property
    def decrypts_together(self) -> bool:
        """Whether it takes several clients to decrypt."""
        return self.scheme is not None and self.scheme.capabilities.trust is Trust.THRESHOLD

    @property
    def message_fields(self) -> int:
        """Fields of an encrypted update: its values, and the tag where sums are verified."""
        encryption = self.config.encryption
        verified = self.scheme is not None and verifies(self.scheme, encryption)
        return self.encrypted_values + (tag_count(encryption.bits) if verified else 0)

    def parts(self) -> dict[str, Any]:
        """What `parts.json` records: weights and FLOPs per part, bytes at the cuts as they cross them, what
        other cuts would cost, and the size of one encrypted contribution."""
        channels, *size = self.data.image_shape
        table = describe(self.network, (channels, *size))
        task, training = self.task, self.config.training
        bytes_of = EXCHANGES[training.cut_exchange].bytes_of
        for cut in table["cuts"]:
            cut["bytes_per_image"] = bytes_of((1, *cut["shape"]))
            # activations one way, their gradient the other
            parts = part_sizes(training.batch_size, training.micro_batches)
            cut["bytes_per_step"] = 2 * sum(bytes_of((images, *cut["shape"])) for images in parts)
        other_cuts = compare_cuts(self.config.network, channels, task.out_channels, size, task.adds_input)
        if self._is_whole:
            table, other_cuts = held_whole(table), []
        values, ciphertext_bytes = self.encrypted_values, 0
        if self.scheme is not None:
            encryption = self.config.encryption
            sums = CodecShape(encryption.bits, encryption.k_max, self.message_fields)
            ciphertext_bytes = frame.frame_bytes(self.scheme.payload_bytes(sums))
        return table | {"choices": other_cuts, "encrypted_values": values, "ciphertext_bytes": ciphertext_bytes}

    @property
    def _is_whole(self) -> bool:
        """Whether clients hold the network unsplit."""
        return self.method.arrangement(self.config.method).body == "clients"

    @property
    def data_sha256(self) -> str | None:
        """See `FederatedData.sha256`; None where the images are at sites of their own."""
        return None if isinstance(self.data, RemoteSites) else self.data.sha256()

    def describe_data(self) -> dict[str, Any]:
        """What data.json records."""
        return {
            "task": self.data.task,
            "class_names": list(self.data.class_names),
            "provenance": self.data.provenance,
            "notes": list(self.data.notes),
            "sha256": self.data_sha256,
            "clients": [
                {
                    "name": client.name,
                    "description": client.description,
                    "train": len(client.train),
                    "test": len(client.test),
                }
                for client in self.data.clients
            ],
        }


def with_room_to_decrypt(config: Config, scheme: Scheme | None, sites: int) -> Config:
    """The configuration with rounds skipped that too few clients are left to decrypt. Raises ConfigError."""
    if scheme is None or scheme.capabilities.trust is not Trust.THRESHOLD:
        return config
    threshold = threshold_scheme(scheme)
    if threshold.holders != sites:
        raise ConfigError(
            f"encryption.parameters.clients={threshold.holders}, but the data has {sites} sites: "
            f"set encryption.parameters.clients={sites}"
        )
    needed = max(config.method.min_participants, threshold.threshold)
    method = config.method.model_copy(update={"min_participants": needed})
    return config.model_copy(update={"method": method})

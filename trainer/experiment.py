"""A configuration made real: data, task, network, method and scheme, checked before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

import he_core
from he_core import CodecShape, CostLedger, Scheme, frame
from trainer.config import Config
from trainer.data import FederatedData, load
from trainer.errors import ConfigError
from trainer.methods import Method, method_for
from trainer.networks.flatten import FlatLayout
from trainer.networks.registry import build, check_serves
from trainer.networks.split import SplitNetwork
from trainer.networks.summary import compare_cuts, describe
from trainer.parties.parties import Parties, assemble, check_room
from trainer.tasks import Task, task_for


@dataclass(frozen=True)
class Experiment:
    """Everything a run is made of, before it starts. `scheme` is None where the method does not average."""

    config: Config
    method: Method
    data: FederatedData
    task: Task
    network: SplitNetwork
    scheme: Scheme | None

    @classmethod
    def prepare(cls, config: Config) -> Experiment:
        """Load the data and build the rest. Raises TrainerError or HeCoreError subclasses."""
        torch.set_num_threads(config.training.threads)
        method = method_for(config.method.name)
        check_serves(config.network, config.training.task)
        scheme = None
        if method.averages:
            encryption = config.encryption
            scheme = he_core.create(
                encryption.scheme, encryption.backend, encryption.parameters, threads=config.run.threads
            )
        data = load(config.data, config.training.task, config.run.seed)
        if scheme is not None:
            check_room(len(data.clients), config)
        task = task_for(config.training.task, data.class_names, config.training)
        task.check_targets(client.test.targets for client in data.clients)
        data = replace(data, notes=data.notes + task.notes({client.name: client.test for client in data.clients}))
        channels, *size = data.clients[0].train.images.shape[1:]
        if len(size) != config.network.dimensions:
            raise ConfigError(
                f"network.dimensions={config.network.dimensions}, but data.source={config.data.source} gives images "
                f"of {len(size)} dimensions: set network.dimensions={len(size)}"
            )
        network = build(config.network, channels, task.out_channels, config.run.seed, task.adds_input)
        return cls(config, method, data, task, network, scheme)

    def assemble(self, ledger: CostLedger) -> Parties:
        """The parties, at the start of round 0. Raises ConfigError."""
        training_sets = self.method.training_sets(self.data)
        names = tuple(client.name for client in self.data.clients)
        return assemble(
            self.config,
            self.network,
            self.task,
            training_sets,
            names if len(training_sets) == len(names) else ("pooled",),
            scheme=self.scheme,
            correction=self.method.correction(self.config.method),
            ledger=ledger,
        )

    def parts(self) -> dict[str, Any]:
        """Weights and FLOPs per part, bytes per image at the cuts, what other cuts would cost, and the size of one
        encrypted contribution."""
        channels, *size = self.data.clients[0].train.images.shape[1:]
        table = describe(self.network, (channels, *size))
        task = self.task
        other_cuts = compare_cuts(self.config.network, channels, task.out_channels, size, task.adds_input)
        values, ciphertext_bytes = FlatLayout.of(self.network.head, self.network.tail).size, 0
        if self.scheme is not None:
            sums = CodecShape(self.config.encryption.bits, self.config.encryption.k_max, values)
            ciphertext_bytes = frame.frame_bytes(self.scheme.payload_bytes(sums))
        return table | {"choices": other_cuts, "encrypted_values": values, "ciphertext_bytes": ciphertext_bytes}

    def describe_data(self) -> dict[str, Any]:
        """What data.json records."""
        return {
            "task": self.data.task,
            "class_names": list(self.data.class_names),
            "provenance": self.data.provenance,
            "notes": list(self.data.notes),
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

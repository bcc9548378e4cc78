"""The coordinator: at the compute server, it gathers the sites, runs the rounds, and keeps the run folder."""

from __future__ import annotations

from typing import Any

import torch

import he_core
from he_core import HeCoreError
from trainer import checkpoint, participation
from trainer.config import Config
from trainer.data.remote_sites import ImagesElsewhere, RemoteSite, RemoteSites
from trainer.display import Display
from trainer.errors import ConfigError, ProtocolError, TrainerError
from trainer.events import NoEvents
from trainer.experiment import Experiment, with_room_to_decrypt
from trainer.federation.agreement import agreement
from trainer.federation.commands import AggregationJoined, Done, HospitalJoined, Join, Start
from trainer.federation.remote_parties import RemoteParties
from trainer.federation.senders import check_sender, client_name
from trainer.federation.vocabulary import VOCABULARY
from trainer.methods import Method, method_for
from trainer.methods.options import check_federates, check_options
from trainer.networks.registry import build, check_serves
from trainer.parties.building import check_room, compute_server, torch_device
from trainer.parties.compute_server import ComputeServer
from trainer.parties.messages import BodyOutputGradient, HeadActivations, InferenceActivations
from trainer.rounds import Run
from trainer.run_folder import RunFolder, environment
from trainer.tasks import task_for
from trainer.transport.in_process import AGGREGATION, COMPUTE
from trainer.transport.remote import Answer, Link, RemoteTransport, Service
from trainer.transport.traffic import Traffic


class Coordinator:
    """One job: `hospitals` clients, the aggregation server if the method has one, and the compute server here.

    cuts_port: where this process takes the cuts' own streams, 0 if nowhere.
    """

    def __init__(self, config: Config, hospitals: int, link: Link, cuts_port: int = 0) -> None:
        self._config = config
        self._hospitals = hospitals
        self._cuts_port = cuts_port
        self._traffic = Traffic()
        self._transport = RemoteTransport(link, VOCABULARY, self._traffic)
        self._method = method_for(config.method.name)
        self._compute: ComputeServer | None = None
        self._nonces: tuple[bytes, ...] = ()
        self._parties: RemoteParties | None = None
        _check(self._method, config, hospitals)
        handlers: dict[type, Answer] = dict.fromkeys(
            (HeadActivations, BodyOutputGradient, InferenceActivations), self._serve
        )
        self.service = Service(VOCABULARY, handlers, check_sender, expected=(TrainerError, HeCoreError))

    def run(self, folder: RunFolder, display: Display) -> dict[str, Any]:
        """Gather the sites and train, from the start or from the folder's checkpoint; returns the summary.

        Raises what `Run.run` raises, and ConfigError, DataError, PartyUnreachableError, RemoteRefusalError where the
        sites are not there, or do not fit together.
        """
        sites = self._gather()
        experiment = self._experiment(sites)
        arrangement = self._method.arrangement(self._config.method)
        if arrangement.body != "clients":
            self._compute = compute_server(
                self._config,
                experiment.network.body,
                self._hospitals,
                self._method.correction(self._config.method),
                arrangement,
                torch_device(self._config),
            )
        images = tuple(len(site.train) for site in sites.clients)
        self._tell_all(Start(images, self._nonces, experiment.message_fields, self._cuts_port))
        self._parties = parties = RemoteParties(
            self._transport,
            self._compute,
            tuple(site.name for site in sites.clients),
            images,
            aggregates=self._method.averages,
            decrypts_together=experiment.decrypts_together,
            seed=self._config.run.seed,
            deadline=self._config.federation.deadline,
            say=display.say,
        )
        training = Run(experiment, folder, display, NoEvents(), parties)
        if (folder.checkpoints / "latest").exists():
            training.restore(checkpoint.read(folder.checkpoints / "latest"))
            display.say(f"{training.finished_rounds} of {self._config.training.rounds} rounds are done; going on")
        elif not (folder.path / "data.json").exists():
            _introduce(experiment, sites, folder, display)
        with display:
            return training.run()

    def _serve(self, sender: str, message: Any) -> Any:
        if self._compute is None:
            raise ConfigError(f"method.name={self._method.name} has no compute server, or it has not started yet")
        if self._parties is None or not self._parties.admits(message.client):
            raise ProtocolError(
                f"{sender} is left out of this round: it will be given the result, and asked in the next"
            )
        self._traffic.count(sender, COMPUTE, message)
        reply = self._compute.handle(message)
        self._traffic.count(COMPUTE, sender, reply)
        return reply

    def _gather(self) -> RemoteSites:
        """Have every site say who it is. Raises ConfigError where their keys differ."""
        join = Join(agreement(self._config))
        joined = [self._ask(client_name(client), join, HospitalJoined) for client in range(self._hospitals)]
        self._nonces = tuple(reply.nonce for reply in joined)
        keys = {reply.name: reply.key_id for reply in joined}
        if self._method.averages:
            keys["the aggregation server"] = self._ask(AGGREGATION, join, AggregationJoined).key_id
        if len(set(keys.values())) > 1:
            listed = ", ".join(f"{name} {key[:16]}…" for name, key in keys.items())
            raise ConfigError(f"the sites hold keys of different groups: {listed}. Give all the same public.key")
        sites = tuple(
            RemoteSite(
                reply.name,
                reply.description,
                ImagesElsewhere(reply.training_images),
                ImagesElsewhere(reply.test_images),
                (reply.channels, *reply.image_size),
                reply.class_names,
                reply.notes,
            )
            for reply in joined
        )
        return RemoteSites(self._config.training.task, sites)

    def _experiment(self, sites: RemoteSites) -> Experiment:
        config = self._config
        torch.set_num_threads(config.training.threads)
        task = task_for(config.training.task, sites.class_names, config.training, config.data.voxel_mm)
        network = build(config.network, sites.image_shape[0], task.out_channels, config.run.seed, task.adds_input)
        encryption = config.encryption
        scheme = None
        if self._method.averages:
            scheme = he_core.create(
                encryption.scheme, encryption.backend, encryption.parameters, threads=config.run.threads
            )
        config = with_room_to_decrypt(config, scheme, self._hospitals)
        return Experiment(config, self._method, sites, task, network, scheme)

    def _tell_all(self, command: Any) -> None:
        servers = (AGGREGATION,) if self._method.averages else ()
        for party in (*map(client_name, range(self._hospitals)), *servers):
            self._ask(party, command, Done)

    def _ask(self, party: str, command: Any, kind: type) -> Any:
        reply = self._transport.request(COMPUTE, party, command, self._config.federation.deadline)
        if not isinstance(reply, kind):
            raise ConfigError(f"{party} answered {type(reply).__name__} where {kind.__name__} is due")
        return reply


def _introduce(experiment: Experiment, sites: RemoteSites, folder: RunFolder, display: Display) -> None:
    """Write down who is there, and say it."""
    folder.write_json("environment.json", environment())
    folder.write_json("parts.json", experiment.parts())
    folder.write_json("data.json", experiment.describe_data())
    for site in sites.clients:
        display.say(f"{site.name}: {len(site.train)} training, {len(site.test)} test images; {site.description}")
    for note in sites.notes:
        display.say(f"note: {note}")


def _check(method: Method, config: Config, hospitals: int) -> None:
    """Raise ConfigError where the configuration cannot be run by sites apart."""
    check_options(method, config)
    check_serves(config.network, config.training.task)
    participation.check(config.method, hospitals)
    check_federates(method)
    if method.averages:
        check_room(participation.asked_per_round(config.method, hospitals), config)

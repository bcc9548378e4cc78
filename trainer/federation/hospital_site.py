"""A hospital's process: its images, its client, its keys. It answers the coordinator, and asks the servers."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

import he_core
from he_core import Scheme, SecretBundle
from he_core.keys import SecretKey
from he_core.verification import SESSION_BYTES
from trainer.checkpoint import Snapshot
from trainer.config import Config
from trainer.data import load
from trainer.data.federated import ClientData
from trainer.errors import DataError, ProtocolError
from trainer.federation.agreement import check_agreement
from trainer.federation.catching_up import ModelSeal
from trainer.federation.commands import (
    Adopt,
    Contribute,
    Contributed,
    Done,
    Evaluate,
    Evaluated,
    GiveUp,
    HandOver,
    HospitalJoined,
    Join,
    Receive,
    Received,
    SealedModel,
    SealModel,
    Share,
    Shared,
    Start,
    TakeModel,
    Train,
    Trained,
)
from trainer.federation.keys import hospital_key, session_of
from trainer.federation.senders import client_name
from trainer.federation.site import Site
from trainer.federation.vocabulary import VOCABULARY
from trainer.methods import method_for
from trainer.networks.registry import build
from trainer.parties.averaging import REFUSALS
from trainer.parties.building import averaging, hospital, torch_device
from trainer.parties.handover import Handover
from trainer.parties.keys import group_verifier
from trainer.parties.messages import HandoverAccepted, PartsHandover
from trainer.parties.state import PartyState
from trainer.tasks import task_for
from trainer.transcript.log import Transcript
from trainer.transport.remote import Answer, Link, RemoteTransport


class HospitalSite(Site):
    """Client number `index` of a federation.

    direct: makes the link whose cuts have a stream of their own, to the compute server's port.
    """

    def __init__(
        self, index: int, config: Config, folder: Path, link: Link, direct: Callable[[int], Link] | None = None
    ) -> None:
        super().__init__(client_name(index), config, folder)
        torch.set_num_threads(config.training.threads)
        self._index = index
        self._direct = direct
        self._method = method_for(config.method.name)
        self._data, self._class_names, self._notes = _own_images(config, index)
        task = task_for(config.training.task, self._class_names, config.training, config.data.voxel_mm)
        channels = self._data.train.images.shape[1]
        network = build(config.network, channels, task.out_channels, config.run.seed, task.adds_input)
        self._transport = RemoteTransport(link, VOCABULARY, self.traffic)
        arrangement = self._method.arrangement(config.method)
        self._client = hospital(index, arrangement, network, task, config, self._transport, torch_device(config))
        if arrangement.hands_over:
            self._client.handover = Handover(index, self._client.head, self._client.tail, self._transport)
        self._scheme: Scheme | None = None
        self._keys: SecretBundle | None = None
        self._secret_key: SecretKey | None = None
        self._model_seal: ModelSeal | None = None
        self._nonce = secrets.token_bytes(SESSION_BYTES)
        if self._method.averages:
            encryption = config.encryption
            self._scheme = he_core.create(
                encryption.scheme, encryption.backend, encryption.parameters, threads=config.run.threads
            )
            self._keys = hospital_key(encryption)
            self._secret_key = self._scheme.secret_key(self._keys)

    def _handlers(self) -> Mapping[type, Answer]:
        return {
            Join: self._join,
            Start: self._start,
            Train: self._train,
            Contribute: self._contribute,
            Share: self._share,
            Receive: self._receive,
            Adopt: self._adopt,
            GiveUp: self._give_up,
            SealModel: self._seal_model,
            TakeModel: self._take_model,
            HandOver: self._hand_over,
            PartsHandover: self._take_over,
            Evaluate: self._evaluate,
        }

    def _join(self, sender: str, message: Join) -> HospitalJoined:
        check_agreement(self.config, message.agreement)
        channels, *size = self._data.train.images.shape[1:]
        return HospitalJoined(
            self._data.name,
            self._data.description,
            self._notes,
            len(self._data.train),
            len(self._data.test),
            channels,
            tuple(size),
            self._class_names,
            "" if self._secret_key is None else self._secret_key.key_id.hex(),
            self._nonce,
        )

    def _start(self, sender: str, message: Start) -> Done:
        if self._index >= len(message.nonces) or message.nonces[self._index] != self._nonce:
            raise ProtocolError(f"{self.name}: the session is not made of this site's nonce: it may be an old one")
        if message.cuts_port and self._direct is not None:
            self._transport.link = self._direct(message.cuts_port)
        if self._scheme is not None and self._keys is not None:
            session = session_of(message.nonces)
            self._model_seal = ModelSeal(self._keys, session)
            self._client.averaging = averaging(
                self.config,
                self._client,
                self._scheme,
                self._keys,
                group_verifier(self._keys, self._scheme, self.config.encryption, session),
                self._method.correction(self.config.method),
                self._transport,
                message.training_images,
                self.ledger,
                self._data.name,
            )
        return Done()

    def _train(self, sender: str, message: Train) -> Trained:
        return Trained(self._client.train(message.round, self._data.train))

    def _contribute(self, sender: str, message: Contribute) -> Contributed:
        return Contributed(self._averaging.contribute(message.plan))

    def _share(self, sender: str, message: Share) -> Shared:
        try:
            self._averaging.share(message.plan)
        except REFUSALS as error:
            return Shared(str(error))
        return Shared("")

    def _receive(self, sender: str, message: Receive) -> Received:
        try:
            return Received(self._averaging.receive(message.plan), "")
        except REFUSALS as error:
            return Received(0.0, str(error))

    def _adopt(self, sender: str, message: Adopt) -> Done:
        self._averaging.adopt(message.plan)
        return Done()

    def _give_up(self, sender: str, message: GiveUp) -> Done:
        self._averaging.give_up(message.plan, message.reason)
        return Done()

    def _seal_model(self, sender: str, message: SealModel) -> SealedModel:
        if self._kept is None or self._kept.round != message.round:
            raise ProtocolError(f"{self.name} does not hold the model as after round {message.round}")
        return SealedModel(self._models.seal(self._kept.parties[self.name], message.round, self._index))

    def _take_model(self, sender: str, message: TakeModel) -> Done:
        if self._kept is not None and self._kept.round >= message.round:
            raise ProtocolError(f"{self.name} holds the model as after round {self._kept.round}: it lacks none")
        state = self._models.open(message.sealed, message.round, message.giver, self._state())
        self._load_state(state)
        self._averaging.note_caught_up(message.round, message.giver)
        self._kept = Snapshot(message.round, {self.name: state}, {})
        return Done()

    def _hand_over(self, sender: str, message: HandOver) -> Done:
        self._handover.give(message.round, message.clients)
        return Done()

    def _take_over(self, sender: str, message: PartsHandover) -> HandoverAccepted:
        return self._handover.handle(message)

    def _evaluate(self, sender: str, message: Evaluate) -> Evaluated:
        return Evaluated(self._client.evaluate(self._data.test))

    @property
    def _averaging(self) -> Any:
        if self._client.averaging is None:
            raise ProtocolError(f"{self.name} has not started, or method.name={self._method.name} averages nothing")
        return self._client.averaging

    @property
    def _models(self) -> ModelSeal:
        if self._model_seal is None:
            raise ProtocolError(f"{self.name} has not started, or method.name={self._method.name} averages nothing")
        return self._model_seal

    @property
    def _handover(self) -> Handover:
        if self._client.handover is None:
            raise ProtocolError(f"method.name={self._method.name}: clients hand nothing over")
        return self._client.handover

    def _transcript(self) -> Transcript | None:
        return None if self._client.averaging is None else self._client.averaging.transcript

    def _state(self) -> PartyState:
        return self._client.state()

    def _load_state(self, state: PartyState) -> None:
        self._client.load_state(state)


def _own_images(config: Config, index: int) -> tuple[ClientData, tuple[str, ...], tuple[str, ...]]:
    """This site's images, the class names, and notes. Where the source has several sites, site number `index`.

    Raises DataError.
    """
    data = load(config.data, config.training.task, config.run.seed)
    if len(data.clients) > 1 and index >= len(data.clients):
        raise DataError(
            f"client {index} finds {len(data.clients)} sites in its images: name one site's folder in data.path, or "
            f"set data.clients={index + 1} or more for simulated hospitals"
        )
    return data.clients[index if len(data.clients) > 1 else 0], data.class_names, data.notes

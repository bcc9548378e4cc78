"""The aggregation server's process: the public key, a running sum, and nothing that decrypts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import he_core
from trainer.config import Config
from trainer.errors import ProtocolError
from trainer.federation.agreement import check_agreement
from trainer.federation.commands import AggregationJoined, Done, GoBack, Join, OpenSum, Start
from trainer.federation.keys import server_key
from trainer.federation.site import Site
from trainer.parties.aggregation_server import AggregationServer
from trainer.parties.messages import EncryptedContribution, PartialsRequest, SealedPartial, SumRequest
from trainer.parties.state import PartyState
from trainer.transcript.log import Transcript
from trainer.transport.in_process import AGGREGATION
from trainer.transport.remote import Answer


class AggregationSite(Site):
    """Refuses to start where it finds a secret key."""

    def __init__(self, config: Config, folder: Path) -> None:
        super().__init__(AGGREGATION, config, folder)
        encryption = config.encryption
        self._scheme = he_core.create(
            encryption.scheme, encryption.backend, encryption.parameters, threads=config.run.threads
        )
        self._public = server_key(encryption)
        self._server: AggregationServer | None = None

    def _handlers(self) -> Mapping[type, Answer]:
        return {
            Join: self._join,
            Start: self._start,
            OpenSum: self._open,
            EncryptedContribution: self._serve,
            SumRequest: self._serve,
            SealedPartial: self._serve,
            PartialsRequest: self._serve,
        }

    def _join(self, sender: str, message: Join) -> AggregationJoined:
        check_agreement(self.config, message.agreement)
        return AggregationJoined(self._public.key_id.hex())

    def _start(self, sender: str, message: Start) -> Done:
        self._server = AggregationServer(
            self._scheme, self._public, self.config.encryption, message.message_fields, self.ledger
        )
        return Done()

    def _open(self, sender: str, message: OpenSum) -> Done:
        self._started.open(message.plan)
        return Done()

    def _serve(self, sender: str, message: Any) -> Any:
        return self._started.handle(message)

    @property
    def _started(self) -> AggregationServer:
        if self._server is None:
            raise ProtocolError(f"{self.name} has not started yet")
        return self._server

    def _go_back(self, sender: str, message: GoBack) -> Done:
        """A round that is closed stays closed."""
        return Done()

    def _transcript(self) -> Transcript:
        return self._started.transcript

    def _state(self) -> PartyState:
        return self._started.state()

    def _load_state(self, state: PartyState) -> None:
        self._started.load_state(state)

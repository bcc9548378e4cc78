"""What every site's process has: its checkpoints on its own disk, its costs, and its answers to the coordinator."""

from __future__ import annotations

import copy
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from he_core import CostLedger, HeCoreError
from trainer import checkpoint
from trainer.checkpoint import Snapshot
from trainer.config import Config
from trainer.errors import CheckpointError, ProtocolError, TrainerError
from trainer.federation.commands import Costs, Done, GoBack, Keep, OpenTranscript, Ping, ReportCosts, Restore
from trainer.federation.senders import check_sender
from trainer.federation.vocabulary import VOCABULARY
from trainer.parties.state import PartyState
from trainer.run_folder import TRANSCRIPTS
from trainer.transcript.log import Transcript
from trainer.transport.remote import Answer, Service
from trainer.transport.traffic import Traffic


class Site(ABC):
    """One party in a process of its own.

    config: the job's, with this site's own file on top. folder: where its checkpoints and its transcript go.
    """

    def __init__(self, name: str, config: Config, folder: Path) -> None:
        self.name = name
        self.config = config
        self.ledger = CostLedger()
        self.traffic = Traffic()
        self._checkpoints = folder / "checkpoints"
        self._transcripts = folder / TRANSCRIPTS
        self._busy = threading.Lock()
        self._kept: Snapshot | None = None  # of the round finished last, as it was then
        own: dict[type, Answer] = {
            ReportCosts: self._report_costs,
            Keep: self._keep,
            GoBack: self._go_back,
            Restore: self._restore,
            OpenTranscript: self._open_transcript,
        }
        handlers = {kind: self._in_turn(answer) for kind, answer in (own | dict(self._handlers())).items()}
        handlers[Ping] = lambda sender, message: Done()
        self.service = Service(VOCABULARY, handlers, check_sender, expected=(TrainerError, HeCoreError))

    @abstractmethod
    def _handlers(self) -> Mapping[type, Answer]:
        """Who answers what, beside what every site answers."""

    @abstractmethod
    def _state(self) -> PartyState:
        """What the party must keep to go on exactly."""

    @abstractmethod
    def _load_state(self, state: PartyState) -> None:
        """Restore it. Raises CheckpointError."""

    @abstractmethod
    def _transcript(self) -> Transcript | None:
        """The party's transcript, None where it keeps none."""

    def _in_turn(self, answer: Answer) -> Answer:
        """`answer`, after what the party is doing now: it has one state."""

        def later(sender: str, message: Any) -> Any:
            with self._busy:
                return answer(sender, message)

        return later

    def _open_transcript(self, sender: str, message: OpenTranscript) -> Done:
        transcript = self._transcript()
        if transcript is not None:
            transcript.open(self._transcripts / f"{self.name}.jsonl", message.next_round)
        return Done()

    def _report_costs(self, sender: str, message: ReportCosts) -> Costs:
        totals = {f"{source} {target}": count for (source, target), count in self.traffic.totals().items()}
        return Costs(tuple(cost.as_row() for cost in self.ledger.rows(message.round)), totals)

    def _keep(self, sender: str, message: Keep) -> Done:
        if self._kept is None or self._kept.round != message.round:
            self._kept = Snapshot(message.round, {self.name: copy.deepcopy(self._state())}, {})
        transcript = self._transcript()
        if transcript is not None:
            transcript.sync()
        if message.links:
            for link in message.links:
                if link not in checkpoint.LINKS or link == "previous":
                    raise ProtocolError(f"there is no checkpoint link {link!r}")
            if "latest" in message.links:
                checkpoint.hold_latest(self._checkpoints)
            checkpoint.write(self._checkpoints, self._kept, message.links)
        return Done()

    def _go_back(self, sender: str, message: GoBack) -> Done:
        if self._kept is None:
            raise ProtocolError(f"{self.name} has nothing to go back to")
        self._load_state(self._kept.parties[self.name])
        return Done()

    def _restore(self, sender: str, message: Restore) -> Done:
        folder = self._checkpoints / f"round-{message.round:04d}"
        snapshot = checkpoint.read(folder)
        if set(snapshot.parties) != {self.name}:
            raise CheckpointError(f"{folder} is of {', '.join(sorted(snapshot.parties))}, not of {self.name}")
        self._load_state(snapshot.parties[self.name])
        self._kept = snapshot
        return Done()

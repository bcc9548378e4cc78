"""A party's own transcript: entries as they happen, appended to a file of its own and never rewritten."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime, timezone
from errno import ENOSPC
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from he_core import PublicBundle, Scheme
from he_core.frame import Participant
from trainer.errors import RunFolderError
from trainer.transcript.chain import GENESIS, Entry, check_facts, content_digest, digest_of, read_chain


class Transcript:
    """What one party writes down.

    Entries are kept in memory until `open` names the file; from then on each is in the file before `record` returns,
    and on the disk once `sync` has. identity: facts of the first entry, and of every `resumed` one.
    """

    def __init__(self, party: str, **identity: Any) -> None:
        self._party = party
        self._identity = identity
        self._waiting: list[tuple[str, dict[str, Any]]] = []
        self._path: Path | None = None
        self._sequence, self._previous = 0, GENESIS

    def record(self, event: str, **facts: Any) -> None:
        """Append an entry. Raises ValueError for facts that are not the event's, RunFolderError for a full disk."""
        check_facts(event, facts)
        if self._path is None:
            self._waiting.append((event, facts))
        else:
            self._append(self._path, event, facts)

    def open(self, path: Path, next_round: int) -> None:
        """Write to `path` from now on: a new log, or one that is there and goes on at `next_round`.

        Raises TranscriptError where that is no sound log, RunFolderError where it cannot be read or written.
        """
        try:
            content = path.read_bytes() if path.exists() else b""
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(f"cannot use {path}: {error.strerror}") from None
        if content:
            self._resume(path, content, next_round)
        else:
            begun = {"next_round": next_round} if next_round else {}  # a run of before there were transcripts
            self._append(path, "started", {**self._identity, **begun})
        self._path = path
        waiting, self._waiting = self._waiting, []
        for event, facts in waiting:
            self._append(path, event, facts)

    def sync(self) -> None:
        """See to it that everything recorded is on the disk. Raises RunFolderError."""
        if self._path is None:
            return
        try:
            with self._path.open("ab") as file:
                os.fsync(file.fileno())
        except OSError as error:
            raise RunFolderError(f"cannot write {self._path}: {error.strerror}") from None

    def _resume(self, path: Path, content: bytes, next_round: int) -> None:
        chain = read_chain(str(path), content)
        self._sequence, self._previous = len(chain.entries), chain.head
        torn = {"torn": content_digest(chain.torn), "torn_bytes": len(chain.torn)} if chain.torn else {}
        lead = b"" if content.endswith(b"\n") else b"\n"  # closes what a kill tore, which stays
        self._append(path, "resumed", {"next_round": next_round, **self._identity, **torn}, lead)

    def _append(self, path: Path, event: str, facts: dict[str, Any], lead: bytes = b"") -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        line = Entry(self._sequence, self._previous, self._party, now, event, facts).line()
        data = lead + line + b"\n"
        try:
            with path.open("ab", buffering=0) as file:  # in one call: a kill tears this line at most
                if file.write(data) != len(data):
                    raise OSError(ENOSPC, os.strerror(ENOSPC))
        except OSError as error:
            raise RunFolderError(
                f"cannot write {path}: {error.strerror}. Free some space, or make the folder writable"
            ) from None
        self._sequence, self._previous = self._sequence + 1, digest_of(line)


def identity(scheme: Scheme, public: PublicBundle) -> dict[str, str]:
    """Facts of a party that encrypts, adds or decrypts."""
    return {"scheme": scheme.name, "parameters": scheme.parameters.digest.hex(), "key": public.key_id.hex()}


def participants_fact(participants: Iterable[Participant]) -> list[list[int]]:
    """[[client, weight], ...], ascending."""
    return sorted([entry.client, entry.weight] for entry in participants)


def weights_digest(weights: NDArray[np.float32]) -> str:
    """SHA-256 of float32 weights, little-endian, in the order of `FlatLayout`."""
    return content_digest(np.ascontiguousarray(weights, "<f4").tobytes())

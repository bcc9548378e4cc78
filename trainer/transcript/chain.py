"""The log's format: one entry per line, each naming the hash of the line before. docs/transcript.md has the rules.

Pure: lines in, entries or a `TranscriptError` out. The reader trusts nothing: what is not exactly the line that
`line_of` writes for some entry is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from trainer.errors import TrainerError

FORMAT = 1
GENESIS = "0" * 64
MAX_LINE_BYTES = 1 << 22  # 65,536 participants, the most a frame names, take half of it
MAX_TEXT = 1000

_DIGEST = re.compile(r"[0-9a-f]{64}")
_PARTY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class TranscriptError(TrainerError):
    """A transcript that is not what its party wrote; names the file and the entry, counted from 0."""

    def __init__(self, name: str, sequence: int, reason: str) -> None:
        super().__init__(f"{name}, entry {sequence} (line {sequence + 1}): {reason}")
        self.name, self.sequence, self.reason = name, sequence, reason


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 64


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT


def _are_participants(value: object) -> bool:
    """[[client, weight], ...], by strictly ascending client."""
    if not isinstance(value, list) or not value:
        return False
    for entry in value:
        if not (isinstance(entry, list) and len(entry) == 2 and all(map(_is_number, entry))):
            return False
    return all(before[0] < after[0] for before, after in pairwise(value))


_FACTS = {
    "round": _is_number,
    "client": _is_number,
    "weight": _is_number,
    "next_round": _is_number,
    "torn_bytes": _is_number,
    "participants": _are_participants,
    "frame": _is_digest,
    "sum": _is_digest,
    "codec": _is_digest,
    "result": _is_digest,
    "parameters": _is_digest,
    "key": _is_digest,
    "torn": _is_digest,
    "scheme": _is_text,
    "reason": _is_text,
    "session": _is_text,
}

_IDENTITY = ("scheme", "parameters", "key")

EVENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "started": ((), (*_IDENTITY, "session", "next_round")),
    "resumed": (("next_round",), (*_IDENTITY, "session", "torn", "torn_bytes")),
    "opened": (("round", "participants"), ()),
    "contributed": (("round", "client", "weight", "codec", "frame"), ()),
    "received": (("round", "client", "weight", "codec", "frame"), ()),
    "summed": (("round", "participants", "codec", "sum"), ()),
    "accepted": (("round", "participants", "codec", "sum", "result"), ()),
    "caught-up": (("round", "client", "result"), ()),
    "averaged": (("round", "participants", "result"), ()),
    "refused": (("round", "participants", "codec", "reason"), ("sum",)),
    "undone": (("round", "participants", "reason"), ()),
}
"""event -> the facts that it must have, and those that it may have."""


@dataclass(frozen=True)
class Entry:
    """One checked entry. facts: by name, as `EVENTS` says."""

    sequence: int
    previous: str
    party: str
    time: str
    event: str
    facts: Mapping[str, Any]

    @property
    def round(self) -> int | None:
        """The round it is about, None for `started` and `resumed`."""
        return self.facts.get("round")

    def line(self) -> bytes:
        """Its line, without the newline: JSON in ASCII, keys sorted, no spaces."""
        document = {
            "format": FORMAT,
            "sequence": self.sequence,
            "previous": self.previous,
            "party": self.party,
            "time": self.time,
            "event": self.event,
            **self.facts,
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")


def digest_of(line: bytes) -> str:
    """What the next entry names: SHA-256 of the line without its newline, in hexadecimal."""
    return hashlib.sha256(b"dcsfl transcript 1\0" + line).hexdigest()


def content_digest(content: bytes) -> str:
    """SHA-256 of a frame, or of weights, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def check_facts(event: str, facts: Mapping[str, Any]) -> None:
    """Raise ValueError saying what is wrong with them."""
    if event not in EVENTS:
        raise ValueError(f"no event is called {event[:40]!r}")
    needed, allowed = EVENTS[event]
    missing = [name for name in needed if name not in facts]
    foreign = [name for name in facts if name not in (*needed, *allowed)]
    if missing or foreign:
        raise ValueError(f"event {event!r} lacks {missing} or has no use for {[name[:40] for name in foreign]}")
    wrong = [name for name, value in facts.items() if not _FACTS[name](value)]
    if wrong:
        raise ValueError(f"{wrong[0]} is not of its form")


def parse_line(name: str, sequence: int, line: bytes) -> Entry:
    """The entry of a line that should be number `sequence`. Raises TranscriptError."""

    def refuse(reason: str) -> TranscriptError:
        return TranscriptError(name, sequence, reason)

    if len(line) > MAX_LINE_BYTES:
        raise refuse(f"is over {MAX_LINE_BYTES} bytes, too long for an entry")
    try:
        document = json.loads(line.decode("ascii"), parse_float=_no_number, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise refuse("is not JSON of whole numbers and text") from None
    if not isinstance(document, dict):
        raise refuse("is no JSON object")
    facts = {key: value for key, value in document.items() if key not in _HEAD}
    head: list[Any] = [document.get(key) for key in _HEAD]
    version, number, previous, party, time, event = head
    if version != FORMAT or isinstance(version, bool):
        raise refuse(f"has format {str(version)[:40]}; this version reads {FORMAT}")
    if not (_is_number(number) and _is_digest(previous) and _is_text(time) and _is_text(event)):
        raise refuse("lacks a sequence, previous, time or event of the right form")
    if not (isinstance(party, str) and _PARTY.fullmatch(party)):
        raise refuse("names no party")
    try:
        check_facts(event, facts)
    except ValueError as error:
        raise refuse(str(error)) from None
    entry = Entry(number, previous, party, time, event, facts)
    if entry.line() != line:
        raise refuse("is not written as an entry is: other order, spaces, escapes or a key twice")
    return entry


_HEAD = ("format", "sequence", "previous", "party", "time", "event")


def _no_number(text: str) -> Any:
    raise ValueError(text[:40])


@dataclass(frozen=True)
class Chain:
    """A log as read. torn: what stands after the last whole entry, left by a kill; no entry."""

    name: str
    entries: tuple[Entry, ...]
    torn: bytes

    @property
    def party(self) -> str:
        return self.entries[0].party

    @property
    def head(self) -> str:
        """The hash of the last entry: whoever notes it can tell later that nothing up to it was changed."""
        return digest_of(self.entries[-1].line())


def read_chain(name: str, content: bytes) -> Chain:
    """All entries of a log, each checked against the one before it.

    What a kill tore may stand before a `resumed` entry that names its digest and length, or at the very end, without
    a newline. Raises TranscriptError.
    """
    lines = content.split(b"\n")
    if not lines[-1]:
        lines.pop()
    entries: list[Entry] = []
    previous, torn, fault = GENESIS, list[bytes](), None
    for line in lines:
        try:
            entry = parse_line(name, len(entries), line)
        except TranscriptError as error:
            fault = fault or error
            torn.append(line)
            continue
        if fault is not None and not _tells_of(entry, torn):
            raise fault
        _check_link(name, entry, entries, previous)
        if fault is None and "torn" in entry.facts:
            raise TranscriptError(name, len(entries), "tells of a torn line before it, and there is none")
        entries.append(entry)
        previous, torn, fault = digest_of(line), [], None
    if fault is not None and content.endswith(b"\n"):
        raise fault
    if not entries:
        raise fault or TranscriptError(name, 0, "there is none")
    return Chain(name, tuple(entries), b"\n".join(torn))


def _check_link(name: str, entry: Entry, before: list[Entry], previous: str) -> None:
    sequence = len(before)
    if entry.sequence != sequence:
        raise TranscriptError(
            name, sequence, f"says that it is number {entry.sequence}: entries were taken out, put in or moved"
        )
    if (entry.event == "started") != (sequence == 0):
        raise TranscriptError(name, sequence, f"is {entry.event!r}; a log begins with 'started', and only once")
    if entry.previous != previous:
        if not before:
            raise TranscriptError(name, 0, "is not the first entry of a log")
        raise TranscriptError(
            name, sequence - 1, f"is not what entry {sequence} was written after: one of the two was altered"
        )
    if before and entry.party != before[0].party:
        raise TranscriptError(name, sequence, f"is {entry.party}'s, in a log of {before[0].party}")


def _tells_of(entry: Entry, torn: list[bytes]) -> bool:
    """Whether a `resumed` entry names the lines torn before it, joined by newlines."""
    found = b"\n".join(torn)
    return (entry.facts.get("torn"), entry.facts.get("torn_bytes")) == (content_digest(found), len(found))

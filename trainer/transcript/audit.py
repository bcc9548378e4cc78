"""Comparing the parties' transcripts: what one says that it sent, the other must say that it received.

A chain tells of changes in the middle of a log. What it cannot tell, an end cut off, a last entry altered, a whole
log written anew, shows where it does not fit what other parties wrote at the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainer.transcript.chain import Chain, Entry

OUTCOMES = ("accepted", "refused")
"""How a round ends at a client."""

CAUGHT_UP = "caught-up"
"""How it ends at a client that missed the result, and was given the model by another."""

AT_THE_SERVER = ("averaged", "undone")
"""How it ends at the compute server."""


@dataclass(frozen=True)
class Said:
    """An entry and whose log it is in."""

    name: str
    entry: Entry

    def __getitem__(self, fact: str) -> Any:
        return self.entry.facts.get(fact)

    @property
    def where(self) -> str:
        return f"{self.name}, entry {self.entry.sequence}"


@dataclass
class RoundAudit:
    """A round as all logs together tell it.

    said: but for sums that were begun anew in it, for lack of a client. findings: what does not fit; notes: worth
    knowing, and no mismatch.
    """

    number: int
    said: list[Said]
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def of(self, *events: str) -> list[Said]:
        """What was said of those events."""
        return [said for said in self.said if said.entry.event in events]

    def first(self, fact: str) -> Any:
        """The fact as it is first told, None where nobody tells."""
        return next((said[fact] for said in self.said if said[fact] is not None), None)

    @property
    def outcome(self) -> str:
        """How it ended, for people."""
        counts = {event: len(self.of(event)) for event in OUTCOMES}
        told = [f"{event} by {count}" for event, count in counts.items() if count]
        return ", ".join(told) or "unfinished"


@dataclass
class Audit:
    """What comparing logs gave. findings: of no round in particular; notes: worth knowing, and no mismatch."""

    parties: list[str]
    rounds: list[RoundAudit]
    findings: list[str]
    notes: list[str]

    @property
    def all_findings(self) -> list[str]:
        return [*self.findings, *(finding for entry in self.rounds for finding in entry.findings)]


def audit(chains: Sequence[Chain]) -> Audit:
    """Compare the logs of one run, each checked by `read_chain` before."""
    findings = [*_twice(chains), *_identities(chains)]
    notes = [f"{chain.name}: its last line is torn, by a kill; it is no entry" for chain in chains if chain.torn]
    standing = {chain.name: list(_standing(chain)) for chain in chains}
    clients = _clients(chains)
    numbers = sorted({entry.round for entries in standing.values() for entry in entries if entry.round is not None})
    rounds = []
    for number in numbers:
        said = [
            _last_attempt([Said(name, e) for e in entries if e.round == number]) for name, entries in standing.items()
        ]
        rounds.append(RoundAudit(number, [entry for of_log in said for entry in of_log]))
    ends_are_told = any(about.of(*OUTCOMES, *AT_THE_SERVER) for about in rounds)  # not by the aggregation server
    for about in rounds:
        if not ends_are_told or about.of(*OUTCOMES, *AT_THE_SERVER):
            about.findings += _round_findings(about)
            _check_contributions(about, chains, clients)
            _check_silence(about, chains, clients)
            notes += about.notes
        elif about is rounds[-1]:
            notes.append(f"round {about.number} is unfinished: no client says that it accepted or refused its sum")
        else:
            about.findings.append(f"round {about.number}: later rounds are told of, but not how this one ended")
    return Audit([chain.party for chain in chains], rounds, findings, notes)


def _standing(chain: Chain) -> Iterator[Entry]:
    """Its entries but for those of rounds that were made again after a resume."""
    kept: list[Entry] = []
    for entry in chain.entries:
        if entry.event == "resumed":
            kept = [before for before in kept if before.round is None or before.round < entry.facts["next_round"]]
        kept.append(entry)
    return iter(kept)


def _last_attempt(said: list[Said]) -> list[Said]:
    """What one log says of a round, but for sums that were begun anew in it: the last beginning counts."""
    begun = [at for at, entry in enumerate(said) if entry.entry.event in ("opened", "contributed")]
    return said[begun[-1] :] if begun else said


def _clients(chains: Sequence[Chain]) -> dict[str, int]:
    """Log -> whose it is, as far as it says so."""
    return {
        chain.name: entry.facts["client"]
        for chain in chains
        for entry in chain.entries
        if entry.event == "contributed"
    }


def _twice(chains: Sequence[Chain]) -> Iterator[str]:
    seen: dict[str, str] = {}
    for chain in chains:
        if chain.party in seen:
            yield f"{chain.name} and {seen[chain.party]} are both logs of {chain.party}"
        seen[chain.party] = chain.name


def _identities(chains: Sequence[Chain]) -> Iterator[str]:
    """Scheme, parameters, key and session as each log last told them, where they differ."""
    for fact in ("scheme", "parameters", "key", "session"):
        last: list[Said] = []
        for chain in chains:
            told = [entry for entry in chain.entries if fact in entry.facts]
            last += [Said(chain.name, told[-1])] if told else []
        yield from _differing(last, fact, "are logs of different runs")


def _round_findings(about: RoundAudit) -> Iterator[str]:
    number = about.number
    for fact, events, meaning in (
        ("codec", ("contributed", "received", "summed", *OUTCOMES), "differ"),
        ("participants", ("opened", "summed", *OUTCOMES, *AT_THE_SERVER), "differ"),
        ("sum", ("summed", *OUTCOMES), "differ: not all saw the same sum"),
        ("result", ("accepted", CAUGHT_UP), "differ: the clients' models are not the same"),
    ):
        told = [said for said in about.of(*events) if said[fact] is not None]
        yield from _differing(told, fact, f"of round {number} {meaning}")
    taken, left = about.of("accepted", "averaged", CAUGHT_UP), about.of("refused", "undone")
    if taken and left:
        yield f"round {number}: {taken[0].where} has taken it up, {left[0].where} has not"


def _check_contributions(about: RoundAudit, chains: Sequence[Chain], clients: dict[str, int]) -> None:
    """What each client sent against what the server received, and that against the sum's participants."""
    sent = {said["client"]: said for said in about.of("contributed")}
    received = {said["client"]: said for said in about.of("received")}
    servers = [chain for chain in chains if any(entry.event in ("opened", "received") for entry in chain.entries)]
    summed = {client for client, _ in about.first("participants") or ()}
    known = {client: name for name, client in clients.items()}
    say = about.findings.append
    for client in sorted(sent.keys() | received.keys()):
        ours, theirs = sent.get(client), received.get(client)
        if ours is not None and theirs is not None:
            meaning = f"of client {client}'s contribution to round {about.number} differ"
            about.findings += [
                line for fact in ("frame", "weight") for line in _differing([ours, theirs], fact, meaning)
            ]
        elif ours is not None and servers and client in summed:
            say(f"round {about.number}: {ours.where} sent a contribution that {servers[0].name} does not tell of")
        elif ours is not None and servers:
            about.notes.append(f"round {about.number}: {ours.where} sent a contribution; the sum was made without it")
        elif theirs is not None and client in known:
            say(f"round {about.number}: {theirs.where} received what {known[client]} does not tell of having sent")
    for said in about.of("summed"):
        parts = sorted([client, found["weight"]] for client, found in received.items())
        if parts != said["participants"]:
            say(f"round {about.number}: {said.where} names participants other than those it received frames from")


def _check_silence(about: RoundAudit, chains: Sequence[Chain], clients: dict[str, int]) -> None:
    """Logs that do not tell how the round ended; of a client without a part in it, that is no mismatch."""
    telling = {said.name for said in about.of("summed", *OUTCOMES, CAUGHT_UP, *AT_THE_SERVER)}
    summed = {client for client, _ in about.first("participants") or ()}
    for chain in chains:
        begun_later = chain.entries[0].facts.get("next_round", 0) > about.number
        if chain.name in telling or begun_later:
            continue
        absent = chain.name in clients and clients[chain.name] not in summed
        (about.notes if absent else about.findings).append(
            f"round {about.number}: {chain.name} tells nothing of how it ended, which others do; its last entry is "
            f"{chain.entries[-1].sequence}: cut off after it, or its party was gone"
        )


def _differing(told: Iterable[Said], fact: str, meaning: str) -> Iterator[str]:
    """A sentence for everybody who does not say what most say (of two, both)."""
    values: dict[str, list[Said]] = {}
    for said in told:
        values.setdefault(repr(said[fact]), []).append(said)
    if len(values) < 2:
        return
    most = max(values.values(), key=len)
    against = most[0]
    for others in values.values():
        if others is most:
            continue
        for said in others:
            ours, theirs = _brief(said[fact]), _brief(against[fact])
            yield f"{fact} {meaning}: {ours} in {said.where}, {theirs} in {against.where}"


def _brief(value: Any) -> str:
    return f"{value[:16]}…" if isinstance(value, str) and len(value) > 20 else str(value)

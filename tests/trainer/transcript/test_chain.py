"""The log's format: what was written comes back, nothing else is read, and a change in the middle is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.transcript.chain import (
    EVENTS,
    GENESIS,
    MAX_LINE_BYTES,
    Chain,
    Entry,
    TranscriptError,
    content_digest,
    digest_of,
    parse_line,
    read_chain,
)

digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
numbers = st.integers(0, 2**64 - 1)
texts = st.text(max_size=60)
participants = st.dictionaries(numbers, numbers, min_size=1, max_size=5).map(
    lambda found: [list(entry) for entry in sorted(found.items())]
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("round", "client", "weight", "next_round", "torn_bytes"), numbers),
    **dict.fromkeys(("frame", "sum", "codec", "result", "parameters", "key", "torn"), digests),
    **dict.fromkeys(("scheme", "reason", "session"), texts),
    "participants": participants,
}
TORN = ("torn", "torn_bytes")  # only after a torn line


@st.composite
def events(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    event = draw(st.sampled_from(sorted(set(EVENTS) - {"started"})))
    needed, allowed = EVENTS[event]
    also = [name for name in allowed if name not in TORN and draw(st.booleans())]
    return event, {name: draw(VALUES[name]) for name in (*needed, *also)}


def written(happened: list[tuple[str, dict[str, Any]]], party: str = "client-0") -> list[bytes]:
    """The lines of a log that begins as it should."""
    lines, previous = [], GENESIS
    for sequence, (event, facts) in enumerate([("started", {}), *happened]):
        lines.append(Entry(sequence, previous, party, "2026-01-31T12:00:00+00:00", event, facts).line())
        previous = digest_of(lines[-1])
    return lines


def read(lines: list[bytes]) -> Chain:
    return read_chain("log", b"".join(line + b"\n" for line in lines))


logs = st.lists(events(), min_size=3, max_size=8).map(written)


@given(happened=st.lists(events(), max_size=8))
@settings(deadline=None)
def test_what_was_written_comes_back(happened: list[tuple[str, dict[str, Any]]]) -> None:
    lines = written(happened)
    chain = read(lines)
    assert [(entry.event, entry.facts) for entry in chain.entries[1:]] == happened
    assert [entry.line() for entry in chain.entries] == lines
    assert (chain.party, chain.torn, chain.head) == ("client-0", b"", digest_of(lines[-1]))


@given(lines=logs, data=st.data())
@settings(deadline=None)
def test_any_changed_byte_before_the_last_entry_is_found_where_it_is(lines: list[bytes], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(lines) - 2))
    place = data.draw(st.integers(0, len(lines[at]) - 1))
    changed = bytearray(lines[at])
    changed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(TranscriptError) as refusal:
        read([*lines[:at], bytes(changed), *lines[at + 1 :]])
    assert refusal.value.sequence in (at - 1, at)  # its `previous` may be what was changed
    assert f"log, entry {refusal.value.sequence} (line {refusal.value.sequence + 1})" in str(refusal.value)


@given(lines=logs, data=st.data())
@settings(deadline=None)
def test_a_missing_repeated_or_moved_entry_is_found(lines: list[bytes], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(lines) - 2))
    swapped = [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]]
    for wrong in (lines[:at] + lines[at + 1 :], [*lines[: at + 1], *lines[at:]], swapped):
        with pytest.raises(TranscriptError):
            read(wrong)


@given(lines=logs, data=st.data())
@settings(deadline=None)
def test_entries_of_another_log_do_not_fit_in(lines: list[bytes], data: st.DataObject) -> None:
    at = data.draw(st.integers(1, len(lines) - 1))
    other = written([("refused", {"round": 1, "participants": [[0, 1]], "reason": "x"})] * 8, "client-1")
    with pytest.raises(TranscriptError):
        read([*lines[:at], other[at], *lines[at + 1 :], *other[len(lines) :]])


def test_an_end_that_was_cut_off_is_no_break_of_the_chain() -> None:
    """What only a comparison with other parties' logs tells; the head, noted before, tells too."""
    lines = written([("averaged", {"round": r, "participants": [[0, 1]], "result": GENESIS}) for r in range(3)])
    assert read(lines[:-1]).head != read(lines).head


# --- torn lines


def test_a_torn_end_is_left_out_and_a_resumed_entry_may_tell_of_it_later() -> None:
    lines = written([("summed", {"round": 0, "participants": [[0, 1]], "codec": GENESIS, "sum": GENESIS})])
    whole = b"".join(line + b"\n" for line in lines)
    for cut in range(1, len(lines[1])):
        torn = lines[1][:cut]
        content = lines[0] + b"\n" + torn
        chain = read_chain("log", content)
        assert (len(chain.entries), chain.torn) == (1, torn)
        facts = {"next_round": 0, "torn": content_digest(torn), "torn_bytes": len(torn)}
        told = Entry(1, chain.head, "client-0", "t", "resumed", facts).line()
        assert [e.event for e in read_chain("log", content + b"\n" + told + b"\n").entries] == ["started", "resumed"]
        for lie in ({"next_round": 0}, facts | {"torn": GENESIS}, facts | {"torn_bytes": cut + 1}):
            wrong = Entry(1, chain.head, "client-0", "t", "resumed", lie).line()
            with pytest.raises(TranscriptError, match="entry 1"):
                read_chain("log", content + b"\n" + wrong + b"\n")
    assert len(read_chain("log", whole[:-1]).entries) == 2  # only the newline is missing: a whole entry


def test_a_broken_last_line_with_its_newline_is_no_kill() -> None:
    with pytest.raises(TranscriptError, match=r"entry 1 .*not JSON"):
        read_chain("log", written([])[0] + b"\nhalf a li\n")


def test_a_resumed_entry_that_tells_of_a_torn_line_where_there_is_none_is_refused() -> None:
    facts = {"next_round": 1, "torn": GENESIS, "torn_bytes": 3}
    with pytest.raises(TranscriptError, match="there is none"):
        read(written([("resumed", facts)]))


# --- hostile lines


@given(content=st.binary(max_size=400))
@settings(deadline=None)
def test_any_bytes_are_a_log_or_refused(content: bytes) -> None:
    with pytest.raises(TranscriptError):
        read_chain("log", content)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    data=st.data(),
    change=st.dictionaries(
        st.sampled_from(("format", "sequence", "previous", "party", "time", "event", *VALUES)) | st.text(max_size=8),
        json_values,
        min_size=1,
        max_size=3,
    ),
)
@settings(deadline=None)
def test_any_json_in_the_place_of_a_fact_is_an_entry_or_refused(data: st.DataObject, change: dict[str, Any]) -> None:
    line = data.draw(logs)[1]
    document = {**json.loads(line), **change}
    changed = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    try:
        assert parse_line("log", 1, changed).line() == changed
    except TranscriptError as error:
        assert len(str(error)) < 400  # noqa: PT017


REWRITTEN: list[Callable[[bytes], bytes]] = [
    lambda line: line.replace(b",", b", ", 1),
    lambda line: line.replace(b'{"', b'{ "', 1),
    lambda line: b" " + line,
    lambda line: line + b"\r",
    lambda line: line.replace(b'"event"', b'"\\u0065vent"'),
    lambda line: line.replace(b'"round":1', b'"round":1.0'),
    lambda line: line.replace(b'"round":1', b'"round":1e0'),
    lambda line: line.replace(b'"round":1', b'"round":01'),
    lambda line: line.replace(b'"round":1', b'"round":-1'),
    lambda line: line.replace(b'"round":1', b'"round":NaN'),
    lambda line: line.replace(b'"round":1', b'"round":true'),
    lambda line: line.replace(b'"round":1', b'"round":18446744073709551616'),
    lambda line: line.replace(b'"round":1', b'"round":' + b"9" * 5000),
    lambda line: line.replace(b'"round":1', b'"round":1,"round":1'),
    lambda line: line.replace(b"[[0,1]]", b"[[1,1],[0,1]]"),
    lambda line: line.replace(b"[[0,1]]", b"[[0,1],[0,2]]"),
    lambda line: line.replace(b"[[0,1]]", b"[]"),
    lambda line: line.replace(b"[[0,1]]", b"[" * 3000),
    lambda line: line.replace(b'"client-0"', b'"../client-0"'),
    lambda line: line.replace(b'"format":1', b'"format":2'),
    lambda line: line.replace(b'"averaged"', b'"Averaged"'),
    lambda line: line.upper(),
    lambda line: b"[" + line + b"]",
    lambda line: b"[" * 100_000,
    lambda line: b"{" + b" " * MAX_LINE_BYTES + line[1:],
]


@pytest.mark.parametrize("rewrite", REWRITTEN, ids=range(len(REWRITTEN)))
def test_one_entry_has_one_form(rewrite: Callable[[bytes], bytes]) -> None:
    line = written([("averaged", {"round": 1, "participants": [[0, 1]], "result": GENESIS})])[1]
    assert parse_line("log", 1, line).facts["round"] == 1
    assert rewrite(line) != line
    with pytest.raises(TranscriptError):
        parse_line("log", 1, rewrite(line))

"""Logs of real runs: honest ones fit, and what was changed, cut off or lied about is named by log and entry."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lying_servers
from trainer.display import QuietDisplay
from trainer.transcript.chain import GENESIS, Entry, content_digest, digest_of, read_chain

THREE = ("data.clients=3", "training.rounds=3", "run.examples=0")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """`logs(into)`: a copy of the transcripts of an honest run of three clients and three rounds."""
    made: list[Path] = []

    def copied(into: Path) -> Path:
        shutil.copytree(made[0], into)
        return into

    copied.made = made  # type: ignore[attr-defined]
    return copied


@pytest.fixture
def honest(logs: Any, quick_config: Any, start: Any, tmp_path: Path) -> Path:
    """The folder of logs; the run is made once."""
    if not logs.made:
        start(quick_config(*THREE), tmp_path / "run").run()
        logs.made.append(tmp_path / "run" / "transcripts")
    return logs(tmp_path / "logs")


def audited(cli: Any, *paths: Path) -> tuple[int, dict[str, Any]]:
    ended = cli("audit", "--format", "json", *paths)
    return ended.exit_code, json.loads(ended.stdout)


def rechained(path: Path, change: Callable[[Entry], dict[str, Any] | None]) -> None:
    """Write a log anew from its beginning, as only its own party could: no chain can tell. None leaves one out."""
    lines: list[bytes] = []
    previous = GENESIS
    for entry in read_chain(path.name, path.read_bytes()).entries:
        facts = change(entry)
        if facts is not None:
            lines.append(Entry(len(lines), previous, entry.party, entry.time, entry.event, facts).line())
            previous = digest_of(lines[-1])
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def test_the_logs_of_an_honest_run_fit_and_the_table_has_every_round(cli: Any, honest: Path) -> None:
    status, found = audited(cli, honest)
    assert (status, found["findings"], found["notes"]) == (0, [], [])
    assert [entry["party"] for entry in found["logs"]] == [
        "aggregation",
        "client-0",
        "client-1",
        "client-2",
        "compute",
    ]
    assert [(entry["round"], entry["outcome"]) for entry in found["rounds"]] == [
        (number, "accepted by 3") for number in range(3)
    ]
    assert found["rounds"][0]["participants"] == [[0, 1], [1, 1], [2, 1]]
    shown = cli("audit", honest)
    assert shown.exit_code == 0
    assert "5 logs, 41 entries, 3 rounds: they fit each other" in shown.stdout
    for entry in found["rounds"]:
        assert entry["sum"][:16] in shown.stdout
        assert entry["result"][:16] in shown.stdout


def test_files_named_one_by_one_are_compared_as_far_as_they_go(cli: Any, honest: Path) -> None:
    for names in (
        ("client-0",),
        ("client-0", "client-2"),
        ("aggregation", "client-1"),
        ("aggregation",),
        ("compute",),
    ):
        status, found = audited(cli, *(honest / f"{name}.jsonl" for name in names))
        assert (status, found["findings"]) == (0, []), names


@pytest.mark.parametrize("name", ["aggregation", "client-1", "compute"])
def test_an_entry_that_was_edited_is_named(cli: Any, honest: Path, name: str) -> None:
    path = honest / f"{name}.jsonl"
    lines = path.read_bytes().split(b"\n")
    lines[1] = lines[1].replace(b'"round":0', b'"round":9')
    path.write_bytes(b"\n".join(lines))
    status, found = audited(cli, honest)
    assert status == 1
    assert any(f"{name}.jsonl, entry 1 (line 2)" in finding and "altered" in finding for finding in found["findings"])


def test_a_log_whose_end_was_cut_off_is_named_with_where_it_ends(cli: Any, honest: Path) -> None:
    for name, left in (("client-2", 5), ("aggregation", 9), ("compute", 3)):
        path = honest / f"{name}.jsonl"
        whole = path.read_bytes()
        path.write_bytes(b"".join(whole.splitlines(keepends=True)[:left]))
        status, found = audited(cli, honest)
        assert status == 1, name
        assert any(
            f"{name}.jsonl tells nothing" in finding and f"its last entry is {left - 1}" in finding
            for finding in found["findings"]
        ), (name, found["findings"])
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("name", "event", "fact", "value"),
    [
        ("client-0", "contributed", "frame", "ab" * 32),
        ("client-0", "contributed", "weight", 7),
        ("client-1", "accepted", "sum", "ab" * 32),
        ("client-1", "accepted", "result", "ab" * 32),
        ("client-2", "accepted", "participants", [[0, 1], [1, 2], [2, 1]]),
        ("client-2", "accepted", "codec", "ab" * 32),
        ("aggregation", "received", "frame", "ab" * 32),
        ("aggregation", "summed", "sum", "ab" * 32),
        ("aggregation", "summed", "participants", [[0, 1], [1, 1]]),
        ("compute", "averaged", "participants", [[0, 1], [2, 1]]),
    ],
)
def test_a_log_that_was_written_anew_around_a_lie_does_not_fit_the_others(
    cli: Any, honest: Path, name: str, event: str, fact: str, value: Any
) -> None:
    """The last round's fact is another one, and every hash after it is right again."""

    def change(entry: Entry) -> dict[str, Any]:
        lie = entry.event == event and entry.round == 2
        return {**entry.facts, **({fact: value} if lie else {})}

    rechained(honest / f"{name}.jsonl", change)
    entries = read_chain(name, (honest / f"{name}.jsonl").read_bytes()).entries
    lied = [entry.sequence for entry in entries if entry.event == event and entry.round == 2]
    status, found = audited(cli, honest)
    assert status == 1
    about = [finding for finding in found["findings"] if f"{name}.jsonl, entry" in finding]
    assert any(f"entry {sequence}" in finding for finding in about for sequence in lied), found["findings"]
    assert found["rounds"][2]["findings"] == found["findings"]


def test_a_contribution_that_one_of_the_two_does_not_tell_of_is_missed(cli: Any, honest: Path) -> None:
    def without(event: str) -> Callable[[Entry], dict[str, Any] | None]:
        return lambda entry: None if (entry.event, entry.round) == (event, 1) else dict(entry.facts)

    whole = (honest / "client-0.jsonl").read_bytes()
    rechained(honest / "client-0.jsonl", without("contributed"))
    _, found = audited(cli, honest)
    assert any("received what" in finding and "client-0.jsonl" in finding for finding in found["findings"])
    (honest / "client-0.jsonl").write_bytes(whole)
    rechained(honest / "aggregation.jsonl", without("received"))
    _, found = audited(cli, honest)
    assert any("sent a contribution that" in finding for finding in found["findings"])


def test_logs_of_two_runs_are_told_apart(
    cli: Any, honest: Path, quick_config: Any, start: Any, tmp_path: Path
) -> None:
    start(quick_config(*THREE), tmp_path / "other").run()
    shutil.copy(tmp_path / "other" / "transcripts" / "client-1.jsonl", honest / "client-1.jsonl")
    status, found = audited(cli, honest)
    assert status == 1
    assert any(finding.startswith("key are logs of different runs") for finding in found["findings"])


def test_two_logs_of_one_party_are_told(cli: Any, honest: Path) -> None:
    shutil.copy(honest / "client-1.jsonl", honest / "client-9.jsonl")
    status, found = audited(cli, honest)
    assert status == 1
    assert "both logs of client-1" in found["findings"][0]


# --- lies, refusals, resumes, kills


QUICK = (lying_servers.Dropping, lying_servers.LyingToOne)
EVERY = [
    pytest.param(server, id=server.__name__, marks=() if server in QUICK else pytest.mark.slow)
    for server in lying_servers.MISDEEDS + lying_servers.OTHER_MISDEEDS
]


@pytest.mark.parametrize("server", EVERY)
def test_a_server_that_lied_is_shown_by_its_own_log_against_the_clients(
    server: type, cli: Any, quick_config: Any, start: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("trainer.parties.parties.AggregationServer", server)
    start(quick_config(*THREE, "encryption.on_refused=continue"), tmp_path / "run").run()
    status, found = audited(cli, tmp_path / "run")
    assert status == 1
    assert [entry["outcome"] for entry in found["rounds"]] == ["accepted by 3", "refused by 3", "accepted by 3"]
    assert all(finding.startswith("sum of round 1 differ: not all saw the same sum") for finding in found["findings"])
    for client in range(3):
        entries = read_chain("", (tmp_path / "run" / "transcripts" / f"client-{client}.jsonl").read_bytes()).entries
        (refused,) = [entry for entry in entries if entry.event == "refused"]
        assert refused.round == 1
        assert (
            "the sum of round 1" in refused.facts["reason"]
            or "wrong" in refused.facts["reason"]
            or ("refused by" in refused.facts["reason"])
        )


def test_a_refusal_is_no_mismatch_where_all_logs_tell_of_the_sum_that_was_handed_out(
    cli: Any, quick_config: Any, start: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    servers: list[Any] = []

    class Watched(lying_servers.Altering):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            servers.append(self)

    monkeypatch.setattr("trainer.parties.parties.AggregationServer", Watched)
    start(quick_config(*THREE, "encryption.on_refused=continue"), tmp_path / "run").run()
    sent = content_digest(servers[0]._lies[1].frame)

    def admit(entry: Entry) -> dict[str, Any]:
        lied = (entry.event, entry.round) == ("summed", 1)
        return {**entry.facts, **({"sum": sent} if lied else {})}

    rechained(tmp_path / "run" / "transcripts" / "aggregation.jsonl", admit)
    status, found = audited(cli, tmp_path / "run")
    assert (status, found["findings"]) == (0, [])
    assert found["rounds"][1]["outcome"] == "refused by 3"


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


class KilledIn(QuietDisplay):
    def __init__(self, batch: int) -> None:
        self._left = batch

    def batch(self, client: str, loss: float) -> None:
        self._left -= 1
        if self._left < 0:
            raise Killed


def test_a_killed_and_resumed_run_has_logs_that_fit_with_the_lost_attempts_in_them(
    cli: Any, quick_config: Any, start: Any, go_on: Any, tmp_path: Path
) -> None:
    config = quick_config(*THREE, "checkpoint.every=3", "training.learning_rate=1e-20")
    with pytest.raises(Killed):
        start(config, tmp_path / "run", KilledIn(2 * 3 + 1)).run()
    before = {path: path.read_bytes() for path in (tmp_path / "run" / "transcripts").iterdir()}
    assert audited(cli, tmp_path / "run")[0] == 0
    client = tmp_path / "run" / "transcripts" / "client-0.jsonl"
    client.write_bytes(client.read_bytes() + b'{"a torn li')
    status, found = audited(cli, tmp_path / "run")
    assert (status, found["findings"]) == (0, [])
    assert "its last line is torn" in found["notes"][0]
    go_on(tmp_path / "run").run()
    status, found = audited(cli, tmp_path / "run")
    assert (status, found["findings"], found["notes"]) == (0, [], [])
    assert [entry["outcome"] for entry in found["rounds"]] == ["accepted by 3"] * 3
    for path, content in before.items():
        assert path.read_bytes().startswith(content)
        events = [entry.event for entry in read_chain("", path.read_bytes()).entries]
        assert events.count("resumed") == 1


def test_a_folder_without_transcripts_or_a_file_that_cannot_be_read_is_refused_in_a_line(
    cli: Any, quick_config: Any, start: Any, tmp_path: Path
) -> None:
    start(quick_config("method.name=local"), tmp_path / "run").run()
    assert not (tmp_path / "run" / "transcripts").exists()
    for path, told in ((tmp_path / "run", "holds no transcripts"), (tmp_path / "none", "cannot read")):
        ended = cli("audit", path)
        assert ended.exit_code == 1
        assert told in ended.stderr
    (tmp_path / "bytes").write_bytes(bytes(range(256)))
    assert audited(cli, tmp_path / "bytes")[0] == 1


def test_who_averages_nothing_keeps_no_log_and_one_body_for_all_is_no_average(
    quick_config: Any, start: Any, tmp_path: Path
) -> None:
    for method, names in (
        ("splitfed-v2", ["aggregation", "client-0", "client-1"]),
        ("fedavg", ["aggregation", "client-0", "client-1"]),
    ):
        start(quick_config(f"method.name={method}"), tmp_path / method).run()
        assert sorted(path.stem for path in (tmp_path / method / "transcripts").iterdir()) == names

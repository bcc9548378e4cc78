"""A lying aggregation server, end to end: the round is refused by every client, and the last good model stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import lying_servers
from he_core import create, keystore
from he_core.errors import UnverifiableSchemeError
from trainer import checkpoint, participation
from trainer.config import load
from trainer.display import QuietDisplay
from trainer.errors import ConfigError, RoundRefusedError
from trainer.experiment import Experiment
from trainer.participation import Attendance
from trainer.parties.messages import EncryptedSum, SumRequest
from trainer.run_folder import RunFolder

SAID = {
    "Dropping": "client 1 is in it not at all",
    "Repeating": "client 0 is in it twice",
    "Replaying": "it was altered",
    "Altering": "it was altered",
    "ReplayingTheSum": "wrong round, already closed",
    "MisnamingParticipants": "wrong participants of the sum",
    "LyingToOne": "client 1 is in it not at all",
}
every_misdeed = pytest.mark.parametrize("server", lying_servers.MISDEEDS, ids=lambda server: server.__name__)
any_misdeed = pytest.mark.parametrize(
    "server", lying_servers.MISDEEDS + lying_servers.OTHER_MISDEEDS, ids=lambda server: server.__name__
)
BRIEF = ("training.rounds=4", "run.examples=0")
GOES_ON = (*BRIEF, "encryption.on_refused=continue")


@pytest.fixture
def lie(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`lie(server, rounds)`: aggregation servers are such liars from now on."""

    def begin(server: type, rounds: tuple[int, ...] = (1,)) -> None:
        liar = type(server.__name__, (server,), {"lies_in": frozenset(rounds)})
        monkeypatch.setattr("trainer.parties.parties.AggregationServer", liar)

    return begin


@pytest.fixture
def skip(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`skip(rounds)`: from now on nobody is there in those rounds."""
    attendance = participation.attendance

    def begin(rounds: tuple[int, ...] = (1,)) -> None:
        def absent(config: Any, clients: int, *, seed: int, round: int) -> Attendance:
            found = attendance(config, clients, seed=seed, round=round)
            return Attendance((), found.present, found.needed) if round in rounds else found

        monkeypatch.setattr(participation, "attendance", absent)

    return begin


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


class Said(QuietDisplay):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def run_with(config: Any, path: Path, start: Any) -> list[str]:
    """A whole run; what it said of refusals."""
    display = Said()
    start(config, path, display).run()
    return [line for line in display.lines if "refused" in line]


# --- continue


@any_misdeed
@pytest.mark.parametrize(
    "scheme", ["rlwe", *(pytest.param(name, marks=pytest.mark.slow) for name in ("plain", "paillier"))]
)
def test_a_run_that_goes_on_after_a_refused_round_is_the_run_that_skipped_it(
    server: type, scheme: str, lie: Any, skip: Any, quick_config: Any, start: Any, what_remains: Any, tmp_path: Path
) -> None:
    """Head, body, tail, their optimisers, the correction and the clip limits: nothing of the lost round is left."""
    small = ("encryption.parameters.modulus_bits=2048",) if scheme == "paillier" else ()
    config = quick_config(*GOES_ON, f"encryption.scheme={scheme}", *small)
    lie(server)
    (told,) = run_with(config, tmp_path / "lied", start)
    seen = 1 if server is lying_servers.LyingToOne else 2
    assert f"round 2 is refused by {seen} of 2 clients" in told
    assert SAID[server.__name__] in told
    assert [sum(row["refused"].values()) for row in rows_of(tmp_path / "lied")] == [0, seen, 0, 0]
    lie(server, rounds=())
    skip()
    assert run_with(config, tmp_path / "skipped", start) == []
    assert what_remains(tmp_path / "lied")["state"] == what_remains(tmp_path / "skipped")["state"]


@pytest.mark.parametrize(
    "method",
    ["splitfed-v2", *(pytest.param(name, marks=pytest.mark.slow) for name in ("splitfed-v1", "fedavg", "fedprox"))],
)
@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param((1, 2), id="two-in-a-row"),
        pytest.param((0,), id="first"),
        pytest.param((1,), id="second", marks=pytest.mark.slow),
    ],
)
def test_every_method_goes_back_whole(
    method: str,
    rounds: tuple[int, ...],
    lie: Any,
    skip: Any,
    quick_config: Any,
    start: Any,
    what_remains: Any,
    tmp_path: Path,
) -> None:
    config = quick_config(*GOES_ON, f"method.name={method}")
    lie(lying_servers.Altering, rounds)
    assert len(run_with(config, tmp_path / "lied", start)) == len(rounds)
    lie(lying_servers.Altering, ())
    skip(rounds)
    run_with(config, tmp_path / "skipped", start)
    assert what_remains(tmp_path / "lied")["state"] == what_remains(tmp_path / "skipped")["state"]


def test_clients_that_were_absent_refuse_as_well(lie: Any, quick_config: Any, start: Any, tmp_path: Path) -> None:
    config = quick_config(*GOES_ON, "data.clients=3", "method.clients_per_round=2")
    lie(lying_servers.Dropping)
    (told,) = run_with(config, tmp_path / "run", start)
    assert "refused by 3 of 3 clients" in told


def test_a_run_stopped_after_a_refused_round_and_resumed_is_the_run_that_never_stopped(
    lie: Any, quick_config: Any, start: Any, go_on: Any, what_remains: Any, tmp_path: Path
) -> None:
    class StopIn(QuietDisplay):
        def round_done(self, row: Any) -> None:
            if row["round"] == 1:
                raise KeyboardInterrupt

    config = quick_config(*GOES_ON)
    lie(lying_servers.Dropping)
    start(config, tmp_path / "whole").run()
    with pytest.raises(KeyboardInterrupt):
        start(config, tmp_path / "run", StopIn()).run()
    go_on(tmp_path / "run").run()
    assert what_remains(tmp_path / "run") == what_remains(tmp_path / "whole")


# --- stop


@every_misdeed
def test_a_run_stops_at_a_refused_round_with_the_last_good_model_saved_and_the_reason_in_the_log(
    server: type,
    lie: Any,
    cli: Any,
    quick: tuple[str, ...],
    quick_config: Any,
    start: Any,
    what_remains: Any,
    tmp_path: Path,
) -> None:
    """Resumed with an honest server, it is the run that nobody lied to."""
    lie(server)
    overrides = (*quick, *BRIEF, "encryption.scheme=rlwe", "checkpoint.every=4")
    ended = cli("run", "--into", tmp_path / "run", *overrides)
    assert ended.exit_code == 1
    log = (tmp_path / "run" / "run.log").read_text()
    for told in (ended.stderr, log):
        assert "round 2 is refused by 2 of 2 clients" in told
        assert SAID[server.__name__] in told
        assert "encryption.on_refused=continue" in told
    assert checkpoint.read(tmp_path / "run" / "checkpoints" / "latest").round == 0
    assert [sum(row["refused"].values()) for row in rows_of(tmp_path / "run")] == [0, 2]
    assert "Clients refused the sum of 1 of the 2 rounds (1)" in (tmp_path / "run" / "report.html").read_text()

    lie(server, rounds=())
    assert cli("run", "--resume", tmp_path / "run").exit_code == 0
    start(quick_config(*BRIEF, "encryption.scheme=rlwe", "checkpoint.every=4"), tmp_path / "honest").run()
    ours, theirs = what_remains(tmp_path / "run"), what_remains(tmp_path / "honest")
    assert ours["state"] == theirs["state"]
    assert ours["metrics"] == theirs["metrics"]


def test_a_run_that_is_refused_before_any_round_is_saved_says_so(
    lie: Any, cli: Any, quick: tuple[str, ...], tmp_path: Path
) -> None:
    lie(lying_servers.Altering, rounds=(0,))
    ended = cli("run", "--into", tmp_path / "run", *quick)
    assert ended.exit_code == 1
    assert "No round is saved yet" in ended.stderr


# --- switched off, not possible, or without a key


def test_without_verification_a_dropped_contribution_passes_unseen(
    lie: Any, quick_config: Any, start: Any, tmp_path: Path
) -> None:
    """What the check is for: the same lie, and nobody notices."""
    lie(lying_servers.Dropping)
    assert run_with(quick_config(*BRIEF, "encryption.verified=false"), tmp_path / "run", start) == []
    assert not any(row["stage"] == "verify" for row in RunFolder(tmp_path / "run").rows("ledger"))


def test_sums_that_are_exact_are_verified_by_default_and_others_are_not(
    quick_config: Any, start: Any, tmp_path: Path
) -> None:
    for scheme, verified in (("rlwe", True), ("plain", True), ("none", False)):
        start(quick_config(f"encryption.scheme={scheme}"), tmp_path / scheme).run()
        stages = {row["stage"] for row in RunFolder(tmp_path / scheme).rows("ledger")}
        assert ("verify" in stages) == verified, scheme


def test_an_explicit_wish_that_a_scheme_cannot_meet_is_refused_by_name(
    cli: Any, quick: tuple[str, ...], tmp_path: Path
) -> None:
    overrides = (*quick, "encryption.scheme=none", "encryption.verified=true")
    ended = cli("run", "--into", tmp_path / "run", *overrides)
    assert ended.exit_code != 0
    assert "scheme='none': its sums are not exact" in ended.stderr
    assert not (tmp_path / "run").exists()
    with pytest.raises(UnverifiableSchemeError):
        Experiment.prepare(load((), overrides))


def test_keys_of_before_verified_sums_are_refused_with_two_ways_out(
    quick_config: Any, start: Any, tmp_path: Path
) -> None:
    keys, folder = create("plain").generate_keys(), tmp_path / "keys"
    folder.mkdir()
    keystore.save_public(folder / "public.key", keys.public)
    keystore.save_secret(folder / "secret.key", replace(keys, verification_key=None))
    config = quick_config(f"encryption.key_folder={folder}")
    with pytest.raises(ConfigError, match=r"no verification key.*encryption\.verified=false"):
        start(config, tmp_path / "refused")
    start(quick_config(f"encryption.key_folder={folder}", "encryption.verified=false"), tmp_path / "run").run()


def test_two_runs_under_one_key_cannot_replay_each_others_rounds(
    quick_config: Any, start: Any, tmp_path: Path
) -> None:
    """Same key, same round, same codec and weights; a server keeps the first run's frames for the second."""
    config = quick_config(f"encryption.key_folder={tmp_path / 'keys'}")
    first, second = (start(config, tmp_path / name) for name in ("first", "second"))
    server = first.parties.aggregation_server
    first.run()
    kept = server._sum_frame
    honest = second.parties.aggregation_server._sum

    def replayed(message: Any) -> EncryptedSum:
        return EncryptedSum(kept) if message.round == 1 else honest(message)

    second.parties.aggregation_server._handlers[SumRequest] = replayed
    with pytest.raises(RoundRefusedError, match=r"round 2 is refused by 2 of 2 clients.*altered"):
        second.run()

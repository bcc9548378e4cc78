"""Who takes part: how often, by which seed, and what a round does without the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trainer.config import MethodConfig, load
from trainer.errors import ConfigError
from trainer.participation import asked_per_round, attendance, check, plan
from trainer.run_folder import RunFolder

ROUNDS = 4000


def drawn(config: MethodConfig, clients: int = 5, seed: int = 1, rounds: int = ROUNDS) -> list[Any]:
    return [attendance(config, clients, seed=seed, round=number) for number in range(rounds)]


# --- the draw ----------------------------------------------------------------------------------------------


def test_by_default_all_clients_take_part_in_every_round() -> None:
    assert all(found.present == (0, 1, 2) and found.enough for found in drawn(MethodConfig(), clients=3, rounds=50))


@pytest.mark.parametrize(
    ("options", "clients", "asked"),
    [
        ({"participation": 0.5}, 4, 2),
        ({"participation": 0.5}, 5, 3),
        ({"participation": 0.1}, 4, 1),
        ({"participation": 1.0}, 7, 7),
        ({"clients_per_round": 3}, 7, 3),
        ({"clients_per_round": 1}, 7, 1),
    ],
)
def test_a_share_is_rounded_to_clients_and_at_least_one(options: dict[str, Any], clients: int, asked: int) -> None:
    config = MethodConfig(**options)
    assert asked_per_round(config, clients) == asked
    assert {len(found.present) for found in drawn(config, clients, rounds=50)} == {asked}


def test_every_client_is_asked_equally_often() -> None:
    rounds = drawn(MethodConfig(clients_per_round=2))
    for client in range(5):
        times = sum(client in found.present for found in rounds)
        assert times == pytest.approx(ROUNDS * 2 / 5, abs=5 * (ROUNDS * 0.4 * 0.6) ** 0.5)


def test_every_client_drops_out_as_often_as_configured_and_independently() -> None:
    rounds = drawn(MethodConfig(drop_out=0.3))
    for client in range(5):
        times = sum(client in found.dropped_out for found in rounds)
        assert times == pytest.approx(ROUNDS * 0.3, abs=5 * (ROUNDS * 0.3 * 0.7) ** 0.5)
    together = sum({0, 1} <= set(found.dropped_out) for found in rounds)
    assert together == pytest.approx(ROUNDS * 0.09, abs=5 * (ROUNDS * 0.09 * 0.91) ** 0.5)


def test_a_client_asked_is_there_or_dropped_out_and_one_not_asked_is_neither() -> None:
    for found in drawn(MethodConfig(clients_per_round=3, drop_out=0.4), rounds=200):
        assert len({*found.present, *found.dropped_out}) == len(found.present) + len(found.dropped_out) == 3
        assert list(found.present) == sorted(found.present)


def test_a_draw_is_a_function_of_seed_and_round_alone() -> None:
    config = MethodConfig(participation=0.6, drop_out=0.3)
    rounds = drawn(config, rounds=60)
    assert attendance(config, 5, seed=1, round=37) == rounds[37]
    assert drawn(config, rounds=60) == rounds
    assert drawn(config, seed=2, rounds=60) != rounds
    assert len(set(rounds)) > 10


def test_who_drops_out_does_not_depend_on_who_is_asked() -> None:
    everyone, some = MethodConfig(drop_out=0.4), MethodConfig(drop_out=0.4, clients_per_round=2)
    for all_asked, few_asked in zip(drawn(everyone, rounds=50), drawn(some, rounds=50), strict=True):
        assert set(few_asked.dropped_out) <= set(all_asked.dropped_out)


def test_a_plan_weighs_those_present_and_names_the_others_absent() -> None:
    made = plan((1, 3), (10, 20, 30, 40), round=6)
    assert [(participant.client, participant.weight) for participant in made.participants] == [(1, 20), (3, 40)]
    assert made.absent == (0, 2)
    assert made.receivers == (1, 3, 0, 2)
    assert made.weight_reference == 40


# --- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("method.clients_per_round=5",), "method.clients_per_round=5, but there are 4 clients"),
        (("method.min_participants=5",), "4 of 4 clients are asked in a round, fewer than method.min_participants=5"),
        (("method.clients_per_round=1",), "1 of 4 clients .* set method.min_participants=1 .the sum of one client's"),
        (
            ("method.participation=0.5", "method.min_participants=3"),
            "2 of 4 clients .* set method.min_participants=2",
        ),
    ],
)
def test_too_few_clients_for_what_is_asked_is_refused_with_the_way_out(
    overrides: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        check(load((), overrides).method, 4)


def test_a_single_client_is_enough_for_itself() -> None:
    check(MethodConfig(), 1)
    assert attendance(MethodConfig(), 1, seed=0, round=0).enough


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("method.participation=0", "greater than 0"),
        ("method.participation=1.5", "less than or equal to 1"),
        ("method.clients_per_round=0", "greater than or equal to 1"),
        ("method.drop_out=1", "less than 1"),
        ("method.min_participants=0", "greater than or equal to 1"),
        ("method.laplace_scale=-1", "greater than or equal to 0"),
        ("method={participation: 0.5, clients_per_round: 2}", "leave one of them out"),
    ],
)
def test_values_out_of_range_are_refused(override: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load((), [override])


# --- a run -------------------------------------------------------------------------------------------------

SOME = ("data.clients=3", "training.rounds=6", "run.examples=0", "method.drop_out=0.5")


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_metrics_tell_who_took_part_and_who_dropped_out(quick_config: Any, start: Any, tmp_path: Path) -> None:
    config = quick_config(*SOME, "method.min_participants=1", "method.clients_per_round=2", "run.seed=3")
    run = start(config, tmp_path / "run")
    run.run()
    names = run.parties.site_names
    for row in rows_of(tmp_path / "run"):
        found = attendance(config.method, 3, seed=3, round=row["round"])
        assert row["took_part"] == {name: int(i in found.present) for i, name in enumerate(names)}
        assert row["dropped_out"] == {name: int(i in found.dropped_out) for i, name in enumerate(names)}
        assert list(row["train_loss"]) == [names[client] for client in found.present]
        assert set(row["evaluation"]["clients"]) == set(names)


@pytest.mark.parametrize("method", ["dcsfl", "splitnn", "fedavg"])
def test_a_round_with_too_few_is_skipped_said_and_leaves_the_model_as_it_was(
    method: str, cli: Any, quick: tuple[str, ...], tmp_path: Path
) -> None:
    options = (*SOME, f"method.name={method}", "method.min_participants=3", "run.seed=11")
    result = cli("run", "--into", tmp_path / "run", *quick, *options)
    assert result.exit_code == 0, result.stderr
    rows = rows_of(tmp_path / "run")
    skipped = [row["round"] for row in rows if not any(row["took_part"].values())]
    assert 0 < len(skipped) < len(rows), "the seed must give both kinds of round"
    for number in skipped:
        assert rows[number]["train_loss"] == {}
        assert rows[number]["train_loss_mean"] is None
        assert rows[number]["aggregation_bytes"] == rows[number]["handover_bytes"] == 0
        if number:
            assert rows[number]["evaluation"] == rows[number - 1]["evaluation"]
        gone = sum(rows[number]["dropped_out"].values())
        line = f"round {number + 1} is skipped: {gone} of 3 clients dropped out, and {3 - gone} left are fewer than"
        assert line in (tmp_path / "run" / "run.log").read_text()
        assert line in result.stderr
        assert f"round {number + 1}/6  skipped  dice" in result.stderr
    text = (tmp_path / "run" / "report.html").read_text()
    assert f"{len(skipped)} of the {len(rows)} rounds were skipped" in text
    assert RunFolder.open(tmp_path / "run").is_finished(6)


def test_a_run_that_skips_every_round_ends_like_any_other(cli: Any, quick: tuple[str, ...], tmp_path: Path) -> None:
    options = (*quick, *SOME, "training.rounds=2", "method.drop_out=0.999", "run.tensorboard=true")
    result = cli("run", "--into", tmp_path / "run", *options)
    assert result.exit_code == 0, result.stderr
    assert [row["train_loss_mean"] for row in rows_of(tmp_path / "run")] == [None, None]
    assert (tmp_path / "run" / "metrics.csv").read_text().splitlines()[0].split(",")[:2] == [
        "round",
        "train_loss_mean",
    ]


def test_a_sum_needs_room_for_those_asked_alone(cli: Any, quick: tuple[str, ...], tmp_path: Path) -> None:
    few = ("data.clients=3", "encryption.k_max=2", "run.examples=0", "training.rounds=1")
    refused = cli("run", "--into", tmp_path / "run", *quick, *few)
    assert refused.exit_code == 1
    assert "3 clients, but encryption.k_max=2" in refused.stderr
    assert cli("run", "--into", tmp_path / "run", *quick, *few, "method.clients_per_round=2").exit_code == 0

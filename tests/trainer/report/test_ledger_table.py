"""Sums of the cost ledger, on rows small enough to add up by hand."""

from __future__ import annotations

import pytest

from trainer.report.ledger_table import by_party, by_round, by_stage, bytes_per_value, stages_in_order
from trainer.report.run_folder import LedgerRow


def row(number: int, party: str, stage: str, milliseconds: int, *, bytes: int = 0, values: int = 0) -> LedgerRow:
    cost = {"elapsed_ns": milliseconds * 1_000_000, "bytes": bytes, "values": values, "calls": 1}
    return LedgerRow(round=number, party=party, stage=stage, **cost)


ROWS = [
    row(-1, "a", "keys", 500, bytes=64),
    row(0, "a", "frame", 1, bytes=300, values=100),
    row(0, "a", "encrypt", 20, values=100),
    row(0, "b", "encrypt", 30, values=100),
    row(1, "a", "encrypt", 40, values=100),
    row(1, "server", "audit", 5),
    row(1, "server", "add", 7),
    row(1, "b", "frame", 1, bytes=500, values=100),
]


def test_stages_come_in_pipeline_order_then_others_as_recorded():
    assert stages_in_order(ROWS) == ["encrypt", "frame", "add", "keys", "audit"]


def test_stage_totals_are_sums_over_parties_and_rounds():
    encrypt = by_stage(ROWS, rounds=2, wall_seconds=0.9)[0]
    assert encrypt.seconds == pytest.approx(0.09)
    assert encrypt.seconds_per_round == pytest.approx(0.045)
    assert encrypt.share == pytest.approx(0.1)
    assert (encrypt.values, encrypt.calls) == (300, 3)


def test_setup_before_the_first_round_has_no_mean_and_no_share():
    keys = next(stage for stage in by_stage(ROWS, rounds=2, wall_seconds=0.9) if stage.stage == "keys")
    assert keys.seconds == pytest.approx(0.5)
    assert keys.seconds_per_round is keys.share is keys.bytes_per_round is None


def test_party_totals_hold_every_stage_and_the_frames_alone_as_bytes():
    first, second, server = by_party(ROWS)
    assert (first.party, second.party, server.party) == ("a", "b", "server")
    assert first.stage_seconds == pytest.approx({"encrypt": 0.06, "frame": 0.001, "keys": 0.5})
    assert first.seconds == pytest.approx(0.561)
    assert (first.frame_bytes, second.frame_bytes, server.frame_bytes) == (300, 500, 0)


def test_rounds_without_a_stage_count_zero_and_setup_is_absent():
    stages = by_round(ROWS, [0, 1])
    assert stages["encrypt"] == pytest.approx([0.05, 0.04])
    assert stages["add"] == pytest.approx([0, 0.007])
    assert "keys" not in stages


def test_bytes_per_value_are_of_frames_that_carry_values():
    assert bytes_per_value(ROWS) == pytest.approx(4.0)
    assert bytes_per_value([row(0, "a", "frame", 1, bytes=10)]) is None
    assert bytes_per_value([]) is None


def test_parties_and_stages_add_up_to_the_same_total():
    stages = sum(stage.seconds for stage in by_stage(ROWS, rounds=2, wall_seconds=1.0))
    assert stages == pytest.approx(sum(party.seconds for party in by_party(ROWS)))

"""Clip limits: from public values alone, the same at every client, and soon large enough after being too small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainer.checkpoint import read
from trainer.parties.clipping import FLOOR, HEADROOM, INITIAL_HEADROOM, LARGEST, SMALLEST, ClipLimits


def test_the_first_round_s_limits_are_a_multiple_of_what_adam_can_reach() -> None:
    assert ClipLimits((3, 2), 0.01).values == (INITIAL_HEADROOM * 0.01,) * 2


def test_limits_follow_the_largest_magnitude_of_each_tensor() -> None:
    limits = ClipLimits((3, 1, 2), 1.0)
    limits.follow(np.array([0.25, -0.5, 0.125, 2.0, -0.0625, 0.03125], np.float32))
    assert limits.values == (HEADROOM * 0.5, HEADROOM * 2.0, HEADROOM * 0.0625)


def test_a_tensor_that_stood_still_keeps_room_to_move() -> None:
    limits = ClipLimits((2, 2), 1.0)
    limits.follow(np.zeros(4, np.float32))
    assert limits.values == (INITIAL_HEADROOM * FLOOR,) * 2
    assert min(limits.values) > 0


def test_limits_grow_by_the_headroom_each_round_while_everything_saturates() -> None:
    limits = ClipLimits((4,), 1e-3)
    for _ in range(5):
        before = limits.values[0]
        limits.follow(np.full(4, before, np.float32))  # every client sent the limit itself
        assert limits.values[0] == pytest.approx(HEADROOM * before)


@pytest.mark.parametrize(("reach", "limit"), [(1e-300, SMALLEST), (1e300, LARGEST)])
def test_limits_stay_within_what_the_codec_takes(reach: float, limit: float) -> None:
    limits = ClipLimits((1,), reach)
    assert limits.values == (limit,)
    limits.follow(np.array([min(reach, 3e38)], np.float32))
    assert SMALLEST <= limits.values[0] <= LARGEST


def test_every_client_of_a_run_has_the_same_limits(quick_config: Any, start: Any, tmp_path: Path) -> None:
    start(quick_config("run.examples=0", "data.clients=3"), tmp_path / "run").run()
    states = read(tmp_path / "run" / "checkpoints" / "final").parties
    limits = [states[f"client-{client}"].numbers["clip_limits"] for client in range(3)]
    assert limits[0] == limits[1] == limits[2]
    assert len(set(limits[0])) > 1


def test_in_a_run_limits_that_were_far_too_small_recover_and_saturation_is_reported(
    quick_config: Any, start: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # A hundredth of what Adam reaches: all updates saturate at first.
    monkeypatch.setattr("trainer.parties.clipping.INITIAL_HEADROOM", 0.01)
    start(quick_config("training.rounds=7", "run.examples=0"), tmp_path / "run").run()
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    saturated = [row["saturated_values"] for row in rows]
    values = json.loads((tmp_path / "run" / "parts.json").read_text())["encrypted_values"]
    assert saturated[0] > 0.9 * 2 * values
    assert saturated[-1] < 0.05 * 2 * values
    assert rows[0]["step"] < rows[1]["step"] < rows[2]["step"]

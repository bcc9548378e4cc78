"""bench/record.py: what becomes of pytest-benchmark's records in a results file."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SPEC = importlib.util.spec_from_file_location("bench_record", Path(__file__).parents[1] / "bench" / "record.py")
assert SPEC is not None
assert SPEC.loader is not None
record = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(record)


def benchmark(seconds: float, *, values: int = 1_000_000, **extra: Any) -> dict[str, Any]:
    row = {"values": values, "who": "ours", "what": "array to frame", "is_peer": False, "is_reference": False}
    return {
        "name": "test_array_to_frame[plain-numpy]",
        "fullname": "bench/bench_rounds.py::test_array_to_frame[plain-numpy]",
        "group": "client encrypts, per value",
        "extra_info": row | extra,
        "stats": {"rounds": 5, "median": seconds, "min": seconds / 2, "max": 2 * seconds},
    }


def peer(seconds: float, **extra: Any) -> dict[str, Any]:
    return benchmark(seconds, **({"who": "Peer 1.0", "is_peer": True, "is_reference": True} | extra))


def test_figures_are_scaled_to_a_million_values() -> None:
    row = record.row(benchmark(0.001, values=10_000), "avx2")
    assert (row["least_s"], row["median_s"], row["most_s"]) == pytest.approx((0.05, 0.1, 0.2))


def test_a_ratio_takes_the_peer_of_the_same_process() -> None:
    rows = [
        record.row(benchmark(0.01), "avx2"),
        record.row(peer(1.0), "avx2"),
        record.row(benchmark(0.02), "portable"),
        record.row(peer(3.0), "portable"),
    ]
    ratios = [row["times_faster_than"].get("Peer 1.0") for row in record.with_ratios(rows)]
    assert ratios == pytest.approx([100, None, 150, None])


def test_a_peer_that_ran_beside_one_target_serves_them_all() -> None:
    rows = [record.row(benchmark(0.01), "portable"), record.row(peer(1.0), "avx2")]
    assert record.with_ratios(rows)[0]["times_faster_than"] == pytest.approx({"Peer 1.0": 100})


def test_a_ratio_leaves_out_what_is_no_reference() -> None:
    rows = [record.row(benchmark(0.01), "avx2"), record.row(peer(1.0, is_reference=False), "avx2")]
    assert record.with_ratios(rows)[0]["times_faster_than"] == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [(32_810.4, "32,810 s"), (1.034, "1.03 s"), (0.32, "320 ms"), (0.00291, "2.91 ms"), (2.5e-7, "0.25 us")],
)
def test_seconds_are_written_with_three_digits_and_a_unit(value: float, text: str) -> None:
    assert record.seconds(value) == text


def test_every_row_is_in_the_table_beside_its_spread_and_ratio() -> None:
    rows = record.with_ratios([record.row(benchmark(0.01), "avx2"), record.row(peer(1.0), "avx2")])
    machine = {"cpu": {"model": "Model 1", "telling_flags": ["avx2"]}, "python": "3.11", "gmp": "6", "versions": {}}
    text = record.markdown(
        {
            "machine": machine,
            "commit": {"id": "abc", "dirty": True},
            "date": "2026-01-01T00:00:00",
            "targets": ["avx2"],
            "parameters": {},
            "rows": rows,
        }
    )
    assert "| ours | array to frame | avx2 | 10 ms | 5 ms to 20 ms |  | 1,000,000 x 5 | 100 |" in text
    assert "| Peer 1.0 | array to frame | (beside avx2) | 1 s | 500 ms to 2 s |  | 1,000,000 x 5 |  |" in text
    assert "abc, with changes" in text

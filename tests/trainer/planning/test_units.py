"""Numbers as typed at the command line: what is read, and that a doubtful unit is refused."""

from __future__ import annotations

import pytest

from trainer.errors import ConfigError
from trainer.planning import units


@pytest.mark.parametrize(
    ("text", "speed"),
    [
        ("100 Mbit/s", 100e6),
        ("100Mbit/s", 100e6),
        ("12.5 MB/s", 100e6),
        ("640kbit/s", 640e3),
        ("0.5 GB/s", 4e9),
        ("1Gbit/s", 1e9),
        ("80 kB/s", 640e3),
    ],
)
def test_bandwidth_is_a_number_and_a_decimal_unit(text: str, speed: float) -> None:
    assert units.bits_per_second(text) == pytest.approx(speed)


@pytest.mark.parametrize(
    "text",
    [
        *("100", "Mbit/s", "100 Mb/s", "100 mbit/s", "100 MBit/s", "100 Mbps", "100 MiB/s", "-1 Mbit/s", "0 Mbit/s"),
        *("1e3 Mbit/s", "100  Mbit/s", "100 Mbit/s ", "1,5 Mbit/s", "nan Mbit/s", "", "100 M", "100 Mbit"),
    ],
)
def test_any_other_bandwidth_is_refused_with_its_text_and_an_example(text: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        units.bits_per_second(text)
    assert f"--bandwidth={text!r}" in str(refusal.value)
    assert "such as 100Mbit/s" in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "count"),
    [("1", 1), ("247348", 247_348), ("1_000_000", 1_000_000), ("1e6", 1_000_000), ("2.5e6", 2_500_000)],
)
def test_values_are_a_whole_number_however_written(text: str, count: int) -> None:
    assert units.value_count(text) == count


@pytest.mark.parametrize(
    "text", ["", "0", "-5", "1.5", "2.55e1", "1,000", "1e", "1e10", "1e99", "nan", "1E6 ", "four", "4294967297", "_1"]
)
def test_any_other_count_is_refused_with_its_text_and_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match="such as 250000 or 1e6") as refusal:
        units.value_count(text)
    assert f"--values={text!r}" in str(refusal.value)

"""Quantities as text."""

from __future__ import annotations

import math

import pytest

from trainer.report import formats


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 s"),
        (4.12e-4, "412 µs"),
        (0.038, "38.0 ms"),
        (0.9996, "1.00 s"),
        (9.274, "9.27 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (185.2, "3 min 05 s"),
        (7_860, "2 h 11 min"),
        (None, formats.MISSING),
        (math.inf, formats.MISSING),
    ],
)
def test_seconds_are_said_in_the_fitting_unit(value, text):
    assert formats.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.00 kB"),
        (999_600, "1.00 MB"),
        (12_345_678, "12.3 MB"),
        (2.5e12, "2.50 TB"),
    ],
)
def test_bytes_are_said_in_decimal_units(value, text):
    assert formats.bytes_(value) == text


@pytest.mark.parametrize(("share", "text"), [(0, "0.0 %"), (0.17, "17.0 %"), (0.0052, "0.52 %"), (1e-6, "< 0.01 %")])
def test_small_shares_keep_digits(share, text):
    assert formats.percent(share) == text


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [(0.8614, "dice", "0.861"), (33.456, "psnr", "33.46"), (0.012345, "rmse", "0.0123"), (math.nan, "dice", "–")],  # noqa: RUF001
)
def test_metrics_have_their_customary_digits(value, name, text):
    assert formats.metric(value, name) == text


def test_metric_titles_name_class_and_unit():
    assert formats.metric_title("dice/grey") == "Dice, grey"
    assert formats.metric_title("psnr", unit=True) == "PSNR (dB)"
    assert formats.metric_title("hd95/grey", unit=True) == "HD95, grey (px)"
    assert formats.metric_title("hd95_mm/grey", unit=True) == "HD95, grey (mm)"
    assert formats.metric_title("hd95_mm") == "HD95"
    assert (formats.metric_unit("hd95_mm"), formats.metric_unit("hd95"), formats.metric_unit("dice")) == (
        "mm",
        "px",
        "",
    )
    assert formats.metric_title("nmi") == "nmi"


def test_flops_are_in_decimal_units_and_a_dash_where_not_recorded():
    assert [formats.flops(value) for value in (0, 999, 12_345, 84_934_656, 1.85e9, 3e12)] == [
        "0",
        "999",
        "12.3 k",
        "84.9 M",
        "1.85 G",
        "3.00 T",
    ]
    assert formats.flops(None) == formats.MISSING


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [
        (0.01234, "dice", "+0.0123"),
        (-0.5, "psnr", "-0.500"),
        (-1e-6, "dice", "0.0000"),
        (0.0, "hd95/grey", "0.000"),
        (None, "dice", "–"),  # noqa: RUF001
        (float("nan"), "dice", "–"),  # noqa: RUF001
    ],
)
def test_differences_have_a_sign_unless_they_round_to_none(value: float | None, name: str, text: str) -> None:
    assert formats.signed_metric(value, name) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (0.0683, "0.068"), (0.00048828, "0.00049"), (9e-5, "< 0.0001")]
)
def test_p_values_have_two_digits_and_a_floor(value: float, text: str) -> None:
    assert formats.p_value(value) == text

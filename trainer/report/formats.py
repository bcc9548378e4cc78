"""Quantities as people read them: seconds, bytes, counts, shares, metrics. Not a number, or none, is an en dash."""

from __future__ import annotations

import math

MISSING = "–"  # noqa: RUF001

_METRIC_TITLES = {
    "dice": "Dice",
    "iou": "IoU",
    "hd95": "HD95",
    "hd95_mm": "HD95",
    "psnr": "PSNR",
    "ssim": "SSIM",
    "rmse": "RMSE",
}
_METRIC_UNITS = {"psnr": "dB", "hd95": "px", "hd95_mm": "mm"}
_METRIC_FORMATS = {"psnr": "{:.2f}", "hd95": "{:.2f}", "hd95_mm": "{:.2f}", "rmse": "{:.3g}"}


def seconds(value: float | None) -> str:
    """A duration in s as text: `0 s`, `412 µs`, `38.0 ms`, `9.27 s`, `3 min 05 s`, `2 h 11 min`."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0 s"
    for limit, scale, unit in ((0.9995e-3, 1e6, "µs"), (0.9995, 1e3, "ms"), (59.95, 1.0, "s")):
        if value < limit:
            return f"{_three_digits(value * scale)} {unit}"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def bytes_(value: float | None) -> str:
    """A number of bytes in decimal units: `512 B`, `1.23 MB`."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value < 1000:
        return f"{value:.0f} B"
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.5:
            return f"{_three_digits(value)} {unit}"
    return f"{value / 1000:,.2f} TB"


def flops(value: float | None) -> str:
    """A number of floating-point operations in decimal units: `12.3 M`, `1.85 G`."""
    if value is None or not math.isfinite(value):
        return MISSING
    for unit in ("", " k", " M", " G"):
        if value < 999.5:
            return f"{_three_digits(value) if unit else f'{value:.0f}'}{unit}"
        value /= 1000
    return f"{value:,.2f} T"


def count(value: float) -> str:
    """A whole number with thousands separators."""
    return f"{value:,.0f}"


def percent(share: float | None) -> str:
    """A share in [0, 1] as per cent, with more digits where it is small."""
    if share is None or not math.isfinite(share):
        return MISSING
    if 0 < share < 0.0001:
        return "< 0.01 %"
    return f"{100 * share:.{1 if share >= 0.01 or share == 0 else 2}f} %"


def metric(value: float | None, name: str) -> str:
    """The value of metric `name` to its customary number of digits, without the unit."""
    if value is None or not math.isfinite(value):
        return MISSING
    return _METRIC_FORMATS.get(name.partition("/")[0], "{:.3f}").format(value)


def signed_metric(value: float | None, name: str) -> str:
    """A difference of metric `name`: with its sign unless it rounds to 0, and a digit more than the metric itself."""
    if value is None or not math.isfinite(value):
        return MISSING
    digits = 3 if name.partition("/")[0] in _METRIC_UNITS else 4
    return f"{value:+.{digits}f}" if round(value, digits) else f"{0:.{digits}f}"


def p_value(value: float) -> str:
    """`0.012`, `0.00049`, `1`; below 1e-4 as `< 0.0001`."""
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}"


def metric_title(name: str, unit: bool = False) -> str:
    """`dice/grey` -> `Dice, grey`; `psnr` -> `PSNR`, with `unit` `PSNR (dB)`. Unknown names stay as they are."""
    base, _, rest = name.partition("/")
    title = _METRIC_TITLES.get(base, base) + (f", {rest}" if rest else "")
    return f"{title} ({_METRIC_UNITS[base]})" if unit and base in _METRIC_UNITS else title


def metric_unit(name: str) -> str:
    """The unit of metric `name`, empty where it has none."""
    return _METRIC_UNITS.get(name.partition("/")[0], "")


def _three_digits(value: float) -> str:
    decimals = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{decimals}f}"

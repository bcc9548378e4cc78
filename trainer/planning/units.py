"""Numbers as people type them at the command line, read strictly: a misread unit is an error of eight times."""

from __future__ import annotations

import math
import re
from decimal import Decimal

from he_core.codec import MAX_VALUES
from trainer.errors import ConfigError

BITS_IN = {
    f"{prefix}{unit}/s": scale * bits
    for unit, bits in (("bit", 1), ("B", 8))
    for prefix, scale in (("k", 10**3), ("M", 10**6), ("G", 10**9))
}
"""Units of bandwidth, decimal as lines are sold. Letters' case counts: `Mb/s` may mean either and is refused."""

_BANDWIDTH = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z/]+)")
_WHOLE = re.compile(r"[0-9]+(?:_[0-9]+)*|[0-9]+(?:\.[0-9]+)?e[0-9]{1,2}")


def bits_per_second(text: str) -> float:
    """`100 Mbit/s` or `12.5MB/s`. Raises ConfigError."""
    units = f"a number with one of {', '.join(BITS_IN)}, such as 100Mbit/s"
    found = _BANDWIDTH.fullmatch(text)
    if found is None:
        raise ConfigError(f"--bandwidth={text!r}: write {units}")
    number, unit = found.groups()
    if unit not in BITS_IN:
        raise ConfigError(f"--bandwidth={text!r}: unknown unit {unit!r}; write {units}")
    speed = float(number) * BITS_IN[unit]
    if not (0 < speed < math.inf):
        raise ConfigError(f"--bandwidth={text!r}: nothing arrives at that speed; write {units}")
    return speed


def value_count(text: str) -> int:
    """`1000000`, `1_000_000` or `1e6`. Raises ConfigError."""
    count = Decimal(text) if _WHOLE.fullmatch(text) else Decimal("0.5")
    if count != count.to_integral_value() or not 1 <= count <= MAX_VALUES:
        raise ConfigError(f"--values={text!r}: write a whole number in [1, {MAX_VALUES}], such as 250000 or 1e6")
    return int(count)

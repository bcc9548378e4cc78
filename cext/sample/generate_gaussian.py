"""Makes gaussian_tables.c: alias tables of the discrete Gaussians over magnitudes, and their distance from the ideal.

With rho(x) = exp(-x^2 / (2 sigma^2)) and S its sum over all integers, the ideal magnitude has P(0) = rho(0) / S and
P(m) = 2 rho(m) / S. Sums and exponentials are taken with 120 decimal digits (`decimal`, whose exp is correctly
rounded); everything after them is integers and fractions.

1. Each P(m), m in [0, 63], becomes a whole number of units of 2^-70, which is what a column of 64 and a threshold out
   of 2^64 can tell apart: rounded down, then one unit more for the largest remainders until the units are 2^70. No
   integers with that sum lie nearer to the ideal in statistical distance, so no table of this format does.
2. Walker's alias method after Vose (IEEE Trans. Softw. Eng. 17(9), 1991) on those integers is exact: every column
   holds 2^64 units, its own magnitude below the threshold and one alias above it. A column full of its own
   magnitude names itself as alias, and its threshold does not matter.

Run `python cext/sample/generate_gaussian.py` to write the file and print the distances; a test compares the two.
"""

from __future__ import annotations

from decimal import Context, Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

OUTPUT = Path(__file__).with_name("gaussian_tables.c")

COLUMNS = 64
COLUMN_UNITS = 2**64
UNITS = COLUMNS * COLUMN_UNITS
DIGITS = 120
SUPPORT = 512  # rho(512) is below 10^-1400 for the sigmas here: far under the last digit kept


class Gaussian(NamedTuple):
    """A table to make: the variance is the exact sigma^2."""

    name: str
    sigma: str
    variance: Fraction


GAUSSIANS = (
    Gaussian("narrow", "4.5", Fraction(81, 4)),
    Gaussian("wide", "4.5 * sqrt(2)", Fraction(81, 2)),
)


class Table(NamedTuple):
    """alias[64] and threshold[64], the latter each in [0, 2^64); column c yields c if r < threshold[c]."""

    alias: tuple[int, ...]
    threshold: tuple[int, ...]


def ideal_probabilities(variance: Fraction) -> list[Fraction]:
    """P(m) for m in [0, SUPPORT): the decimals kept, as the fractions they are."""
    with localcontext(Context(prec=DIGITS)):
        exponents = [-Decimal(m * m * variance.denominator) / (2 * variance.numerator) for m in range(SUPPORT)]
        weights = [exponent.exp() * (1 if m == 0 else 2) for m, exponent in enumerate(exponents)]
        total = sum(reversed(weights), Decimal(0))  # the smallest first
        return [Fraction(weight / total) for weight in weights]


def round_to_units(probabilities: list[Fraction]) -> list[int]:
    """Whole units for magnitudes 0..63, UNITS in all, as near to the probabilities as integers can be."""
    scaled = [probability * UNITS for probability in probabilities[:COLUMNS]]
    units = [int(value) for value in scaled]  # rounds down: all are positive
    by_remainder = sorted(range(COLUMNS), key=lambda m: units[m] - scaled[m])
    for m in by_remainder[: UNITS - sum(units)]:
        units[m] += 1
    return units


def alias_table(units: list[int]) -> Table:
    """Vose's algorithm on integers: the columns of `units` cut and paired so that each holds COLUMN_UNITS."""
    left = list(units)
    alias = list(range(COLUMNS))
    threshold = [COLUMN_UNITS - 1] * COLUMNS
    small = [m for m in range(COLUMNS) if left[m] < COLUMN_UNITS]
    large = [m for m in range(COLUMNS) if left[m] >= COLUMN_UNITS]
    while small:
        filled, giver = small.pop(), large[-1]
        threshold[filled], alias[filled] = left[filled], giver
        left[giver] -= COLUMN_UNITS - left[filled]
        if left[giver] < COLUMN_UNITS:
            small.append(large.pop())
    return Table(tuple(alias), tuple(threshold))


def implied_probabilities(table: Table) -> list[Fraction]:
    """The distribution that the sampler draws from, exactly."""
    units = [0] * COLUMNS
    for column in range(COLUMNS):
        units[column] += table.threshold[column]
        units[table.alias[column]] += COLUMN_UNITS - table.threshold[column]
    return [Fraction(count, UNITS) for count in units]


def statistical_distance(table: Table, ideal: list[Fraction]) -> Fraction:
    """Half the sum of |difference| over all magnitudes, those above 63 included. Signs are fair in both."""
    drawn = implied_probabilities(table) + [Fraction(0)] * (len(ideal) - COLUMNS)
    return sum((abs(p - q) for p, q in zip(drawn, ideal, strict=True)), Fraction(0)) / 2


def log2(value: Fraction) -> float:
    with localcontext(Context(prec=50)):
        return float((Decimal(value.numerator) / value.denominator).ln() / Decimal(2).ln())


def rows(values: list[int], form: str, per_row: int) -> str:
    texts = [format(value, form) for value in values]
    return "\n".join(
        "            " + ", ".join(texts[first : first + per_row]) + "," for first in range(0, len(texts), per_row)
    )


def render(gaussian: Gaussian, table: Table) -> str:
    slices = [[threshold >> (8 * (7 - s)) & 0xFF for threshold in table.threshold] for s in range(8)]
    thresholds = "\n".join(f"        {{\n{rows(values, '#04x', 16)}\n        }}," for values in slices)
    return (
        f"/* sigma = {gaussian.sigma} */\n"
        f"const struct dcsfl_gaussian_table dcsfl_gaussian_{gaussian.name} = {{\n"
        f"    .alias =\n        {{\n{rows(list(table.alias), '2d', 16)}\n        }},\n"
        f"    .threshold = {{\n{thresholds}\n    }},\n}};\n"
    )


def make() -> tuple[str, list[str]]:
    """The C source, and a line on each table's distance from its ideal."""
    bodies, lines = [], []
    for gaussian in GAUSSIANS:
        ideal = ideal_probabilities(gaussian.variance)
        table = alias_table(round_to_units(ideal))
        distance = log2(statistical_distance(table, ideal))
        tail = log2(sum(ideal[COLUMNS:], Fraction(0)) / 2)
        lines.append(
            f"{gaussian.name}: sigma {gaussian.sigma}, distance 2^{distance:.2f}, the tail's part 2^{tail:.2f}"
        )
        bodies.append(render(gaussian, table))
    header = (
        "/*\n"
        " * Alias tables of discrete Gaussians, in the format of sample.h. Made by generate_gaussian.py with\n"
        f" * {DIGITS} decimal digits; a test makes them again and compares.\n"
        " *\n"
        " * Statistical distance (total variation) of one sample from the ideal, untruncated Gaussian, rounding and\n"
        " * tail together; the rounding is the least that 64 thresholds out of 2^64 allow:\n"
        + "".join(f" *   {line}\n" for line in lines)
        + ' */\n#include "sample.h"\n\n'
    )
    return header + "\n".join(bodies), lines


def main() -> None:
    source, lines = make()
    OUTPUT.write_text(source, encoding="ascii")
    print("\n".join(lines))


if __name__ == "__main__":
    main()

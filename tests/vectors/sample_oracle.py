"""The samplers in plain Python integers, from their definitions alone; nothing of the engine is imported.

Sources:
- streams: ChaCha20, RFC 8439, sections 2.1 to 2.4; nonce = domain as 4 bytes, then index as 8, both little-endian.
- Gaussians: `cext/sample/sample.h` says which bytes a sample takes and how a column and a comparand make a magnitude;
  the tables are read from `cext/sample/gaussian_tables.c`.
- uniform residues: 64-bit little-endian words cut to 50 bits, those of q or more left out, q = 63 * 2^44 + 1.
- the ideal Gaussian: P(x) in proportion to exp(-x^2 / (2 sigma^2)), by a Taylor series and powers in fixed point.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

TABLES = Path(__file__).parents[2] / "cext" / "sample" / "gaussian_tables.c"
VARIANCES = {"narrow": Fraction(81, 4), "wide": Fraction(81, 2)}

Q = 63 * 2**44 + 1
GROUP = 64
GROUP_BYTES = 576
BLOCK_BYTES = 64
MASK32 = 2**32 - 1


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> (32 - bits)) & MASK32


def _quarter_round(x: list[int], a: int, b: int, c: int, d: int) -> None:
    for left, right, turned, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        x[left] = (x[left] + x[right]) & MASK32
        x[turned] = _rotate(x[turned] ^ x[left], bits)


def chacha20_block(seed: bytes, domain: int, index: int, block: int) -> bytes:
    nonce = domain.to_bytes(4, "little") + index.to_bytes(8, "little")
    initial = b"expand 32-byte k" + seed + block.to_bytes(4, "little") + nonce
    start = [int.from_bytes(initial[4 * i : 4 * i + 4], "little") for i in range(16)]
    x = list(start)
    for _ in range(10):
        for i in range(4):
            _quarter_round(x, i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            _quarter_round(x, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return b"".join(((a + b) & MASK32).to_bytes(4, "little") for a, b in zip(x, start, strict=True))


def chacha20(seed: bytes, domain: int, index: int, first_block: int, blocks: int) -> bytes:
    return b"".join(chacha20_block(seed, domain, index, first_block + i) for i in range(blocks))


class AliasTable(NamedTuple):
    """alias[64] and threshold[64]: column c yields c if its comparand is below threshold[c], else alias[c]."""

    alias: tuple[int, ...]
    threshold: tuple[int, ...]

    def probabilities(self) -> list[Fraction]:
        """Of the magnitudes 0..63: exactly what columns and comparands, all equally likely, come to."""
        units = [0] * 64
        for column, (alias, threshold) in enumerate(zip(self.alias, self.threshold, strict=True)):
            units[column] += threshold
            units[alias] += 2**64 - threshold
        return [Fraction(unit, 64 * 2**64) for unit in units]


def read_table(name: str) -> AliasTable:
    """The table dcsfl_gaussian_`name` of the C source."""
    source = TABLES.read_text(encoding="ascii")
    found = re.search(rf"dcsfl_gaussian_{name} = \{{\s*\.alias =(.*?)\.threshold =(.*?)\}};", source, re.DOTALL)
    assert found is not None
    alias = [int(text) for text in re.findall(r"\d+", found[1])]
    slices = [int(text, 16) for text in re.findall(r"0x[0-9a-f]{2}", found[2])]
    assert (len(alias), len(slices)) == (64, 8 * 64)
    thresholds = [int.from_bytes(bytes(slices[column::64]), "big") for column in range(64)]
    return AliasTable(tuple(alias), tuple(thresholds))


def map_gaussian(stream: bytes, table: AliasTable) -> list[int]:
    samples = []
    for first in range(0, len(stream), GROUP_BYTES):
        group = stream[first : first + GROUP_BYTES]
        for lane in range(GROUP):
            column_byte, *comparand = group[lane::GROUP]
            column = column_byte % 64
            below = int.from_bytes(bytes(comparand), "big") < table.threshold[column]
            magnitude = column if below else table.alias[column]
            samples.append(-magnitude if column_byte >= 128 else magnitude)
    return samples


def sample_gaussian(seed: bytes, domain: int, index: int, count: int, table: AliasTable) -> list[int]:
    groups = count // GROUP
    return map_gaussian(chacha20(seed, domain, index, 0, groups * GROUP_BYTES // BLOCK_BYTES), table)


def _residues(seed: bytes, domain: int, index: int) -> Iterator[int]:
    for number in range(2**32):
        block = chacha20_block(seed, domain, index, number)
        for first in range(0, BLOCK_BYTES, 8):
            word = int.from_bytes(block[first : first + 8], "little") % 2**50
            if word < Q:
                yield word


def uniform_residues(seed: bytes, domain: int, index: int, count: int) -> list[int]:
    residues = _residues(seed, domain, index)
    return [next(residues) for _ in range(count)]


def ideal_magnitudes(variance: Fraction, bits: int = 400, most: int = 200) -> list[Fraction]:
    """P(|x| = m), m in [0, most), of the discrete Gaussian, in fixed point of `bits` bits.

    base = exp(-1 / (2 sigma^2)) is summed as a series, and rho(m + 1) = rho(m) * base^(2m + 1). Errors stay below
    2^-(bits - 20); what lies above `most` is below 2^-700 for the variances here.
    """
    one = 1 << bits
    exponent = 1 / (2 * variance)
    base, term, k = 0, Fraction(1), 0
    while term * one >= 1:
        base += (-1) ** k * int(term * one)
        k += 1
        term = term * exponent / k
    rho, step, square = [one], base, base * base >> bits
    for _ in range(1, most):
        rho.append(rho[-1] * step >> bits)
        step = step * square >> bits
    weights = [rho[0], *(2 * value for value in rho[1:])]
    total = sum(weights)
    return [Fraction(weight, total) for weight in weights]

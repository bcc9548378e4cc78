"""The `rlwe` scheme's steps, slowly, in plain Python integers: what fast kernels and vectors are held against.

Nothing of the engine is imported, and everything follows a definition, not an algorithm. Sources:
- ChaCha20: RFC 8439, sections 2.1 to 2.4.
- streams and samplers: the contract `cext/sample/sample.h`. Walker's alias method: A. J. Walker, "An efficient method
  for generating discrete random variables with general distributions", ACM TOMS 3(3), 1977. The tables are read from
  `cext/sample/gaussian_tables.c`.
- the Gaussians they stand for: P(x) in proportion to exp(-x^2 / (2 sigma^2)), by a Taylor series and powers in fixed
  point.
- ring, covering and rounding: the contract `cext/ring/ring.h`. The transform is the evaluation of a polynomial at the
  odd powers of psi, a 2N-th root of unity: P. Longa, M. Naehrig, CANS 2016, section 2.2. The product is schoolbook.
- bits in bytes: `cext/pack/pack.h`, one little-endian bit stream.

A polynomial is the list of its coefficients, constant first; a degree is their number, N. Time is quadratic in N: a
product or transform at N = 2,048 takes about a second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

Q = 63 * 2**44 + 1

GAUSSIAN_TABLES = Path(__file__).parents[2] / "cext" / "sample" / "gaussian_tables.c"
VARIANCES = {"narrow": Fraction(81, 4), "wide": Fraction(81, 2)}
"""Of the Gaussians, sigma^2 by width."""

CONSTANTS = b"expand 32-byte k"
GROUP = 64
GROUP_BYTES = 384


# ChaCha20


def rotate_left(value: int, bits: int) -> int:
    """A 32-bit word turned left."""
    return (value << bits | value >> (32 - bits)) & 0xFFFFFFFF


def quarter_round(state: list[int], a: int, b: int, c: int, d: int) -> None:
    """RFC 8439, section 2.1, on four words of `state` in place."""
    for first, second, third, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        state[first] = (state[first] + state[second]) & 0xFFFFFFFF
        state[third] = rotate_left(state[third] ^ state[first], bits)


def chacha20_block(key: bytes, counter: int, nonce: bytes) -> bytes:
    """One block of 64 bytes of key[32], a 32-bit counter and nonce[12]: RFC 8439, section 2.3."""
    given = CONSTANTS + key + counter.to_bytes(4, "little") + nonce
    initial = [int.from_bytes(given[i : i + 4], "little") for i in range(0, 64, 4)]
    state = list(initial)
    for _ in range(10):
        quarter_round(state, 0, 4, 8, 12)
        quarter_round(state, 1, 5, 9, 13)
        quarter_round(state, 2, 6, 10, 14)
        quarter_round(state, 3, 7, 11, 15)
        quarter_round(state, 0, 5, 10, 15)
        quarter_round(state, 1, 6, 11, 12)
        quarter_round(state, 2, 7, 8, 13)
        quarter_round(state, 3, 4, 9, 14)
    total = [(word + start) & 0xFFFFFFFF for word, start in zip(state, initial, strict=True)]
    return b"".join(word.to_bytes(4, "little") for word in total)


def chacha20_encrypt(key: bytes, counter: int, nonce: bytes, message: bytes) -> bytes:
    """RFC 8439, section 2.4."""
    cipher = bytearray()
    for first in range(0, len(message), 64):
        block = chacha20_block(key, counter + first // 64, nonce)
        cipher += bytes(a ^ b for a, b in zip(message[first : first + 64], block, strict=False))
    return bytes(cipher)


# Streams and samplers


def stream_nonce(domain: int, index: int) -> bytes:
    """The nonce of the stream (domain, index): 32 bits and 64 bits, little-endian."""
    return domain.to_bytes(4, "little") + index.to_bytes(8, "little")


def stream(seed: bytes, domain: int, index: int, byte_count: int, first_block: int = 0) -> bytes:
    """The first `byte_count` bytes of a stream, from a block on."""
    nonce = stream_nonce(domain, index)
    blocks = -(-byte_count // 64)
    return b"".join(chacha20_block(seed, first_block + i, nonce) for i in range(blocks))[:byte_count]


class AliasTable(NamedTuple):
    """alias[64] and threshold[64]: column c yields c if its comparand is below threshold[c], else alias[c]."""

    alias: Sequence[int]
    threshold: Sequence[int]

    def probabilities(self) -> list[Fraction]:
        """Of the magnitudes 0..63: exactly what columns and comparands, all equally likely, come to."""
        units = [0] * 64
        for column, (alias, threshold) in enumerate(zip(self.alias, self.threshold, strict=True)):
            units[column] += threshold
            units[alias] += 2**64 - threshold
        return [Fraction(unit, 64 * 2**64) for unit in units]


@cache
def gaussian_table(width: str) -> AliasTable:
    """The table dcsfl_gaussian_`width` of the C source."""
    source = GAUSSIAN_TABLES.read_text(encoding="ascii")
    found = re.search(rf"dcsfl_gaussian_{width} = \{{\s*\.alias =(.*?)\.threshold =(.*?)\}};", source, re.DOTALL)
    assert found is not None
    alias = [int(text) for text in re.findall(r"\d+", found[1])]
    slices = [int(text, 16) for text in re.findall(r"0x[0-9a-f]{2}", found[2])]
    assert (len(alias), len(slices)) == (64, 8 * 64)
    thresholds = [int.from_bytes(bytes(slices[column::64]), "big") for column in range(64)]
    return AliasTable(tuple(alias), tuple(thresholds))


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


def gaussian_samples(source: bytes, table: AliasTable) -> list[int]:
    """The samples that source[384 g] makes, 64 g of them."""
    samples = []
    for group in range(0, len(source), GROUP_BYTES):
        slices = [source[group + GROUP * s : group + GROUP * (s + 1)] for s in range(6)]
        shared = sum(2**i for i in range(24) if source[group + i] // 64 % 2)
        for drawn, *own in zip(*slices, strict=True):
            column = drawn % 64
            below = 2**24 * int.from_bytes(own, "big") + shared < table.threshold[column]
            magnitude = column if below else table.alias[column]
            samples.append(-magnitude if drawn >= 128 else magnitude)
    return samples


def sample_gaussian(seed: bytes, domain: int, index: int, count: int, table: AliasTable) -> list[int]:
    """`count` samples, a multiple of 64, of a stream."""
    return gaussian_samples(stream(seed, domain, index, count * 6), table)


def candidates(seed: bytes, domain: int, index: int) -> Iterator[int]:
    """The 64-bit little-endian words of a stream, cut to 50 bits, without end."""
    block = 0
    while True:
        words = stream(seed, domain, index, 64, block)
        yield from (int.from_bytes(words[i : i + 8], "little") % 2**50 for i in range(0, 64, 8))
        block += 1


def expand_uniform(seed: bytes, domain: int, index: int, count: int) -> list[int]:
    """`count` residues mod q: the candidates below it."""
    return list(islice((value for value in candidates(seed, domain, index) if value < Q), count))


# The ring Z_q[X] / (X^N + 1)


def prime_factors(value: int) -> list[int]:
    """The different primes in `value`, by trial division."""
    factors, divisor = [], 2
    while value > 1:
        if value % divisor == 0:
            factors.append(divisor)
            while value % divisor == 0:
                value //= divisor
        divisor += 1
    return factors


@cache
def smallest_generator() -> int:
    """The least g whose powers are all of Z_q^*: none of its powers (q-1)/p is 1."""
    exponents = [(Q - 1) // prime for prime in prime_factors(Q - 1)]
    return next(g for g in range(2, Q) if all(pow(g, exponent, Q) != 1 for exponent in exponents))


def root(degree: int) -> int:
    """psi = g^((q-1)/2N), of order 2N."""
    return pow(smallest_generator(), (Q - 1) // (2 * degree), Q)


def reversed_bits(index: int, degree: int) -> int:
    """The log2(N) bits of `index` in reverse."""
    bits = degree.bit_length() - 1
    return sum((index >> i & 1) << (bits - 1 - i) for i in range(bits))


def transform_at(poly: Sequence[int], index: int) -> int:
    """Entry `index` of the transform: poly(psi^(2 r(index) + 1)), by Horner's rule."""
    degree = len(poly)
    point = pow(root(degree), 2 * reversed_bits(index, degree) + 1, Q)
    value = 0
    for coefficient in reversed(poly):
        value = (value * point + coefficient) % Q
    return value


def transform(poly: Sequence[int]) -> list[int]:
    """All entries of the transform."""
    return [transform_at(poly, index) for index in range(len(poly))]


def inverse_transform(transformed: Sequence[int]) -> list[int]:
    """poly[j] = 1/N sum over i of transformed[i] * psi^(-(2 r(i) + 1) j): orthogonality of the odd powers of psi."""
    degree, psi = len(transformed), root(len(transformed))
    order = 2 * degree
    powers = [pow(psi, exponent, Q) for exponent in range(order)]
    exponents = [2 * reversed_bits(i, degree) + 1 for i in range(degree)]
    scale = pow(degree, -1, Q)
    return [
        sum(value * powers[-exponent * j % order] for value, exponent in zip(transformed, exponents, strict=True))
        * scale
        % Q
        for j in range(degree)
    ]


def negacyclic_product(a: Sequence[int], b: Sequence[int]) -> list[int]:
    """a * b mod X^N + 1 and q: X^N is -1."""
    degree = len(a)
    product = [0] * degree
    for i, left in enumerate(a):
        for j, right in enumerate(b):
            if i + j < degree:
                product[i + j] += left * right
            else:
                product[i + j - degree] -= left * right
    return [value % Q for value in product]


# Plaintexts in coefficients


def kept_modulus(dropped_bits: int) -> int:
    """Q': q, or 63 * 2^(44 - dropped_bits) where low bits are dropped."""
    return 63 * 2 ** (44 - dropped_bits) if dropped_bits else Q


def drop_low_bits(value: int, dropped_bits: int) -> int:
    """`value` mod q, with half of a kept unit added, without its low bits."""
    half = 2 ** (dropped_bits - 1) if dropped_bits else 0
    return ((value + half) % Q) >> dropped_bits


def cover(
    mask: Sequence[int], errors: Sequence[int], words: Sequence[int], plaintext_bits: int, dropped_bits: int
) -> list[int]:
    """A ciphertext's coefficients mod Q': words of plaintext_bits, under a mask and its errors."""
    unit = 63 * 2 ** (44 - plaintext_bits)
    return [
        drop_low_bits(m + error + word * unit, dropped_bits) % kept_modulus(dropped_bits)
        for m, error, word in zip(mask, errors, words, strict=True)
    ]


def uncover(mask: Sequence[int], sums: Sequence[int], plaintext_bits: int, dropped_bits: int) -> list[int]:
    """The words that sums of ciphertexts hold, mod 2^plaintext_bits, given the sum of their masks."""
    unit = 63 * 2 ** (44 - dropped_bits - plaintext_bits)
    return [
        ((total - drop_low_bits(m, dropped_bits)) % kept_modulus(dropped_bits) + unit // 2)
        // unit
        % 2**plaintext_bits
        for m, total in zip(mask, sums, strict=True)
    ]


def reduce(words: Sequence[int], dropped_bits: int) -> list[int]:
    """Any integers mod Q'."""
    return [word % kept_modulus(dropped_bits) for word in words]


# Coefficients in bytes


def pack_bits(values: Sequence[int], bits: int) -> bytes:
    """Values of `bits` bits each as one little-endian bit stream, zeros up to a whole byte."""
    digits = "".join(f"{value:0{bits}b}" for value in reversed(values))
    return int(digits or "0", 2).to_bytes(-(-len(values) * bits // 8), "little")


def unpack_bits(data: bytes, count: int, bits: int) -> list[int]:
    """The first `count` values of such a stream."""
    values = []
    for first in range(0, count * bits, bits):
        touched = int.from_bytes(data[first // 8 : (first + bits + 7) // 8], "little")
        values.append((touched >> first % 8) % 2**bits)
    return values

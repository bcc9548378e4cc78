"""The ring of the rlwe scheme in plain Python integers, straight from the definitions.

Z_q[X]/(X^N + 1) with q = 63 * 2^44 + 1. Products are schoolbook sums, transforms are evaluations at the odd powers of
psi = g^((q-1)/2N), g the smallest generator of Z_q^*, in bit-reversed order; roundings are integer divisions.
Nothing of the engine is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

Q = 63 * 2**44 + 1


@cache
def smallest_generator() -> int:
    """The least g whose powers are all of Z_q^*; q - 1 = 2^44 * 3^2 * 7."""
    g = 2
    while any(pow(g, (Q - 1) // prime, Q) == 1 for prime in (2, 3, 7)):
        g += 1
    return g


def reversal(index: int, bits: int) -> int:
    """The number whose `bits` binary digits are those of `index` from the last to the first."""
    return int(format(index, f"0{bits}b")[::-1], 2)


def transformed_at(poly: Sequence[int], index: int) -> int:
    """Entry `index` of the transform: the value at psi^(2 r(index) + 1)."""
    degree = len(poly)
    psi = pow(smallest_generator(), (Q - 1) // (2 * degree), Q)
    point = pow(psi, 2 * reversal(index, degree.bit_length() - 1) + 1, Q)
    value = 0
    for coefficient in reversed(poly):
        value = (value * point + coefficient) % Q
    return value


def transformed(poly: Sequence[int]) -> list[int]:
    """All entries of the transform."""
    return [transformed_at(poly, index) for index in range(len(poly))]


def product(a: Sequence[int], b: Sequence[int]) -> list[int]:
    """a * b mod X^N + 1: what passes X^N comes back negated."""
    degree = len(a)
    out = [0] * degree
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            if i + j < degree:
                out[i + j] += x * y
            else:
                out[i + j - degree] -= x * y
    return [value % Q for value in out]


def ciphertext_modulus(dropped_bits: int) -> int:
    """Q', of the coefficients that are sent."""
    return 63 * 2 ** (44 - dropped_bits) if dropped_bits else Q


def _half(dropped_bits: int) -> int:
    return 2 ** (dropped_bits - 1) if dropped_bits else 0


def cover(mask: int, error: int, word: int, plaintext_bits: int, dropped_bits: int) -> int:
    """One covered coefficient."""
    b = (mask + error + word * 63 * 2 ** (44 - plaintext_bits) + _half(dropped_bits)) % Q
    return (b >> dropped_bits) % ciphertext_modulus(dropped_bits)


def uncover(mask: int, total: int, plaintext_bits: int, dropped_bits: int) -> int:
    """One word of a sum of covered coefficients, `mask` the sum of theirs mod q."""
    step = 63 * 2 ** (44 - dropped_bits - plaintext_bits)
    rounded = ((mask + _half(dropped_bits)) % Q) >> dropped_bits
    difference = (total - rounded) % ciphertext_modulus(dropped_bits)
    return (difference + step // 2) // step % 2**plaintext_bits

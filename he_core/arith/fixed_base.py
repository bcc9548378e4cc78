"""Fixed-base exponentiation tables: b^r mod m for one b and many r, without a single squaring.

Radix-2^w digits of r select one precomputed power each (Brickell, Gordon, McCurley, Wilson, EUROCRYPT '92, with
every multiple stored): ceil(bits / w) multiplications per exponentiation.
"""

from __future__ import annotations

import numpy as np
from gmpy2 import mpz
from numpy.typing import NDArray

from he_core.arith.fields import FieldLayout

MIN_WINDOW_BITS, MAX_WINDOW_BITS = 4, 10  # 10 bits at 3,072: a table of 121 MB mod n^2


def window_bits_for(exponentiations: int, exponent_bits: int) -> int:
    """The window with the fewest multiplications in all: building the table plus `exponentiations` uses."""
    windows = range(MIN_WINDOW_BITS, MAX_WINDOW_BITS + 1)
    return min(windows, key=lambda w: -(-exponent_bits // w) * ((1 << w) + exponentiations))


class FixedBaseTable:
    """powers[i][d] = base^(d 2^(w i)) mod modulus."""

    def __init__(self, base: int, modulus: int, exponent_bits: int, window_bits: int) -> None:
        self.window_bits = window_bits
        self._modulus = mpz(modulus)
        self._digits = -(-exponent_bits // window_bits)
        self._entropy_bytes = -(-exponent_bits // 8)
        self._layout = FieldLayout(window_bits, self._digits, -(-self._digits * window_bits // 8))
        power = mpz(base)
        self._powers: list[list[mpz]] = []
        for _ in range(self._digits):
            row = [mpz(1)]
            for _ in range((1 << window_bits) - 1):
                row.append(row[-1] * power % self._modulus)
            self._powers.append(row)
            power = row[-1] * power % self._modulus

    def digits(self, exponents: NDArray[np.uint8]) -> NDArray[np.uint32]:
        """Little-endian exponents uint8[C, exponent_bytes] as window digits uint32[C, digits]."""
        padded = np.zeros((len(exponents), self._layout.word_bytes), np.uint8)
        padded[:, : self._entropy_bytes] = exponents
        return self._layout.unpack(padded, len(exponents) * self._digits).reshape(-1, self._digits)

    def power(self, digits: list[int]) -> mpz:
        """base^exponent mod modulus; one look-up and one multiplication per digit, zero digits included."""
        modulus = self._modulus
        result = mpz(1)
        for row, digit in zip(self._powers, digits, strict=True):
            result = result * row[digit] % modulus
        return result

"""The ring of a threshold group of `bfv`, as OpenFHE orders its residues, and division by the primes noise fills.

OpenFHE floods a partial decryption with noise as wide as W = q_1 q_2. What W divides away is noise alone, so what
travels is round(x / W) mod q_3: a third of the bytes, at the cost of one unit of the remaining modulus.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from he_core.arith.residue_ring import ResidueRing, Residues, first_root
from he_core.params import BfvParameters


class TowerRing(ResidueRing):
    """Three primes; transforms hold values at the powers of the smallest root of unity, as OpenFHE's do."""

    def __init__(self, degree: int) -> None:
        primes = BfvParameters.FLOODED_PRIMES[degree]
        super().__init__(degree, primes, [smallest_root(prime, degree) for prime in primes])
        self.last = primes[2]
        self._each = [ResidueRing(degree, (prime,), (smallest_root(prime, degree),)) for prime in primes]
        self._width = primes[0] * primes[1]

    def divided(self, polynomials: Residues) -> NDArray[np.uint64]:
        """round(x / W) mod q_3 of every polynomial, transformed before and after: uint64[n, N] of uint64[n, 3, N]."""
        out = np.empty((len(polynomials), self.degree), np.uint64)
        for row, polynomial in zip(out, polynomials, strict=True):
            row[:] = self._quotient(polynomial)
        return out

    def multiplied(self, quotients: NDArray[np.uint64]) -> Residues:
        """W x mod Q of every x mod q_3: zeros mod the first two primes. uint64[n, 3, N] of uint64[n, N]."""
        out = np.zeros((len(quotients), 3, self.degree), np.uint64)
        out[:, 2] = self._each[2].times(quotients.reshape(1, -1), self._width).reshape(quotients.shape)
        return out

    def add_quotients(self, a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """a + b mod q_3: uint64[n, N]."""
        return self._each[2].add(a[:, None], b[:, None])[:, 0]

    def centred(self, quotient: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The coefficients of a transform mod q_3, in (-q_3 / 2, q_3 / 2): int64[N] of uint64[N]."""
        coefficients = self._each[2].coefficients(quotient[None])[0].astype(np.int64)
        return np.where(coefficients > self.last // 2, coefficients - self.last, coefficients)

    def _quotient(self, polynomial: Residues) -> NDArray[np.uint64]:
        """(x - ((x + h mod W) - h)) / W mod q_3, h = floor(W / 2)."""
        first, second, last = self._each
        rows, half = polynomial[:, None], self._width // 2
        shifted = [
            ring.add(ring.coefficients(row), self._all(half, ring))
            for ring, row in zip(self._each[:2], rows, strict=False)
        ]
        # x + h mod W is low + q_1 high; low is below q_1, which is over q_2 and q_3.
        low = shifted[0]
        difference = second.add(shifted[1], second.times(low, -1))
        high = second.times(difference, pow(first.modulus, -1, second.modulus))
        remainder = last.add(last.times(low, 1), last.times(high, first.modulus))
        taken = last.transform(last.add(remainder, self._all(-half, last)))
        return last.times(last.add(rows[2], last.times(taken, -1)), pow(self._width, -1, last.modulus))[0]

    def _all(self, number: int, ring: ResidueRing) -> Residues:
        return np.full((1, self.degree), number % ring.modulus, np.uint64)


@cache
def smallest_root(modulus: int, degree: int) -> int:
    """The smallest primitive 2N-th root of unity mod q."""
    root = first_root(modulus, degree)
    square, power, smallest = root * root % modulus, root, root
    for _ in range(degree - 1):
        power = power * square % modulus
        smallest = min(smallest, power)
    return smallest

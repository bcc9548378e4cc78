"""The ring R_Q of a threshold group of `rlwe`, Q = q_1 q_2 of 104 bits, and numbers of that size on the wire.

`scaled` and `restored` use Python's integers; they are for what may be known: ciphertexts, and partial decryptions
with their noise.
"""

from __future__ import annotations

import numpy as np

from he_core.arith.residue_ring import ResidueRing, Residues, first_root, stream_words
from he_core.params import RlweParameters

PRIMES = RlweParameters.WIDE_PRIMES
MODULUS = PRIMES[0] * PRIMES[1]


class WideRing(ResidueRing):
    """R_Q of one degree."""

    def __init__(self, degree: int) -> None:
        super().__init__(degree, PRIMES, [first_root(prime, degree) for prime in PRIMES])

    def noise(self, seed: bytes, domain: int, count: int, bits: int) -> Residues:
        """`count` numbers uniform on [-2^bits, 2^bits), 64 <= bits < 127: whole bits of a stream, so without bias."""
        words = stream_words(seed, domain, 0, 2 * count)
        drawn = self.reduced(words[0::2], words[1::2] & np.uint64((1 << (bits + 1 - 64)) - 1))
        shift = [[-(1 << bits) % modulus] for modulus in PRIMES]
        return self.add(drawn, np.broadcast_to(np.array(shift, np.uint64), drawn.shape))


def scaled(residues: Residues, bits: int) -> list[int]:
    """Coefficients mod Q as whole numbers mod 2^bits: round(x 2^bits / Q). Not constant time."""
    first, second = (row.tolist() for row in residues)
    inverse, half = pow(PRIMES[0], -1, PRIMES[1]), MODULUS // 2
    whole = (a + PRIMES[0] * ((b - a) * inverse % PRIMES[1]) for a, b in zip(first, second, strict=True))
    return [((x << bits) + half) // MODULUS % (1 << bits) for x in whole]


def restored(values: list[int], bits: int) -> Residues:
    """What `scaled` made of x, back mod Q: round(y Q / 2^bits). Not constant time."""
    half = 1 << (bits - 1)
    whole = [(y * MODULUS + half) >> bits for y in values]
    return np.array([[x % modulus for x in whole] for modulus in PRIMES], np.uint64)

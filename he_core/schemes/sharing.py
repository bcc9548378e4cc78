"""Shamir's sharing of a ring's elements, as threshold groups of every scheme use it.

A. Shamir, CACM 22(11), 1979, coefficient by coefficient over Z_Q; holder j's point is j + 1, so that differences of
points are units mod every prime of Q. Sharing is linear: it is the same on coefficients and on transforms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np

from he_core.arith.residue_ring import ResidueRing, Residues
from he_core.arith.ring import SHARING
from he_core.errors import ParameterError
from he_core.schemes.rlwe import material_of
from he_core.threshold_errors import TooFewPartialsError, WrongHoldersError

RESIDUE_BYTES = 8  # where they are stored: not packed
HOLDER_BYTES = 4


class Sharing:
    """t of n over one ring."""

    def __init__(self, ring: ResidueRing, threshold: int, holders: int) -> None:
        self.ring, self.threshold, self.holders = ring, threshold, holders

    def deal(self, secret: Residues, seed: bytes) -> tuple[bytes, ...]:
        """A share of `secret` for every holder. seed: 32 secret bytes for this alone."""
        ring = self.ring
        # Of the polynomial secret + c_1 X + ... + c_(t-1) X^(t-1) over the ring.
        coefficients = [ring.uniform(seed, SHARING, index) for index in range(self.threshold - 1)]
        shares = []
        for holder in range(self.holders):
            share = np.zeros_like(secret)
            for coefficient in (*reversed(coefficients), secret):
                share = ring.add(ring.times(share, holder + 1), coefficient)
            shares.append(stored(share))
        return tuple(shares)

    def sum(self, parts: Sequence[bytes], what: str) -> Residues:
        """Of one part from every client. Raises ParameterError."""
        if len(parts) != self.holders:
            raise ParameterError("parts", len(parts), f"every one of {self.holders} clients has one")
        total = self.residues(parts[0], what)
        for part in parts[1:]:
            total = self.ring.add(total, self.residues(part, what))
        return total

    def residues(self, data: bytes, what: str) -> Residues:
        """uint64[L, N] from outside. Raises ParameterError."""
        count = len(self.ring.primes)
        expected = RESIDUE_BYTES * count * self.ring.degree
        if len(data) != expected:
            raise ParameterError(what, f"{len(data)} bytes", f"must be {expected} bytes")
        residues = np.frombuffer(data, "<u8").astype(np.uint64).reshape(count, -1)
        # The values may be secret: the message shows none of them.
        if not bool((residues < np.array(self.ring.primes, np.uint64)[:, None]).all()):
            raise ParameterError(what, "…", "holds a residue at or above its prime")
        return residues

    def material(self, holder: int, shares: Sequence[bytes]) -> dict[str, bytes]:
        """What a holder keeps, of what every client dealt to it. Raises ParameterError."""
        return {
            "holder": holder.to_bytes(HOLDER_BYTES, "little"),
            "share": stored(self.sum(shares, "share")),
        }

    def opened(self, material: Mapping[str, bytes]) -> tuple[int, Residues]:
        """Holder and share. Raises ParameterError."""
        holder = int.from_bytes(material_of(material, "holder", HOLDER_BYTES), "little")
        if holder >= self.holders:
            raise ParameterError("key holder", holder, f"must be below {self.holders}, the clients of the group")
        return holder, self.residues(material.get("share", b""), "key share")

    def lagrange(self, holder: int, holders: Sequence[int]) -> int:
        """lambda_j mod Q of a set of holders, at 0: products of x_i / (x_i - x_j), x = holder + 1."""
        others = [other for other in holders if other != holder]
        below = prod(other - holder for other in others)
        return prod(other + 1 for other in others) * pow(below, -1, self.ring.modulus) % self.ring.modulus

    def check(self, holders: Sequence[int]) -> None:
        """Raise TooFewPartialsError, WrongHoldersError where these are no set of t."""
        if len(holders) < self.threshold:
            raise TooFewPartialsError(self.threshold, len(holders))
        if len(holders) > self.threshold or len(set(holders)) != len(holders):
            raise WrongHoldersError(holders, f"must be {self.threshold} different ones")
        if not all(0 <= holder < self.holders for holder in holders):
            raise WrongHoldersError(holders, f"the group's are 0 to {self.holders - 1}")

    def check_among(self, holder: int, holders: Sequence[int]) -> None:
        """As `check`, and that `holder` is one of them."""
        self.check(holders)
        if holder not in holders:
            raise WrongHoldersError(holders, f"holder {holder} is not among them")


def stored(residues: Residues) -> bytes:
    """As key files and a ceremony's messages have them."""
    return residues.astype("<u8").tobytes()

"""The ring beside OpenFHE that threshold groups of bfv compute in, against whole numbers and plain Python."""

from __future__ import annotations

import os

import numpy as np
import pytest

import lattice_oracle as oracle
from he_core.arith.tower_ring import TowerRing, smallest_root


@pytest.mark.parametrize("degree", [8192, 16384])
def test_division_by_what_noise_fills_is_that_of_whole_numbers(degree: int) -> None:
    ring = TowerRing(degree)
    polynomial = ring.uniform(os.urandom(32), 1, 0)
    width, last = ring.primes[0] * ring.primes[1], ring.last
    quotient = ring.divided(ring.transform(polynomial)[None])[0]
    expected = [(2 * x + width) // (2 * width) for x in oracle.joined(polynomial, ring.primes)]
    assert [int(x) % last for x in ring.centred(quotient)] == [x % last for x in expected]
    back = ring.coefficients(ring.multiplied(quotient[None])[0])
    assert [x % ring.modulus for x in oracle.joined(back, ring.primes)] == [
        x % last * width % ring.modulus for x in expected
    ]


def test_transforms_are_in_openfhes_order_by_plain_python(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = TowerRing(8192)
    polynomial = ring.uniform(bytes(32), 1, 0)
    for row, transformed, prime in zip(polynomial, ring.transform(polynomial), ring.primes, strict=True):
        monkeypatch.setattr(oracle, "Q", prime)
        slow = oracle.Ring(8192)
        assert slow.psi == smallest_root(prime, 8192)
        assert slow.evaluated([int(x) for x in row]) == transformed.tolist()
    np.testing.assert_array_equal(ring.coefficients(ring.transform(polynomial)), polynomial)

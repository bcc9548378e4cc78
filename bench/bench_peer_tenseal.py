"""TenSEAL's CKKS under a public key, in two settings. Its arrays go in, its lists come out.

As NVFlare's users run it: N = 8,192, primes of 60, 40 and 40 bits, scale 2^40. And with the least that serves
additions at 128 bits with an error below 10^-6: N = 4,096, a prime of 40 bits and one more, which the library asks
for, scale 2^34. One thread in its pool, and the process held to one processor.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from peer import Frames, Peer
from peers import PeerSuite

ts = pytest.importorskip("tenseal", reason="tenseal is not installed; pip install 'dcsfl[peers]'")


class TensealCkks(Peer):
    """A vector of N/2 values to a ciphertext."""

    def __init__(self, ring: int, primes_bits: list[int], scale_bits: int, note: str, tolerance: float) -> None:
        self.context = ts.context(
            ts.SCHEME_TYPE.CKKS,
            poly_modulus_degree=ring,
            coeff_mod_bit_sizes=primes_bits,
            encryption_type=ts.ENCRYPTION_TYPE.ASYMMETRIC,
            n_threads=1,
        )
        self.context.global_scale = 2.0**scale_bits
        self.slots = ring // 2
        self.name = f"TenSEAL {version('tenseal')} CKKS, N = {ring:,}"
        self.note = f"128 bits, {note}; primes of {', '.join(map(str, primes_bits))} bits, scale 2^{scale_bits}"
        self.tolerance = tolerance

    def encrypt(self, values: NDArray[np.float32], client: int = 0) -> Frames:
        chunks = (values[start : start + self.slots] for start in range(0, len(values), self.slots))
        return [ts.ckks_vector(self.context, chunk).serialize() for chunk in chunks]

    def start(self, received: Frames) -> list[Any]:
        return [ts.ckks_vector_from(self.context, data) for data in received]

    def add(self, total: list[Any], received: Frames) -> list[Any]:
        for into, addend in zip(total, self.start(received), strict=True):
            into += addend  # noqa: PLW2901  in place, as its operator is
        return total

    def finish(self, total: list[Any]) -> Frames:
        return [vector.serialize() for vector in total]

    def decrypt(self, received: Frames, count: int) -> NDArray[np.float32]:
        sums = np.concatenate([np.array(vector.decrypt(), np.float32) for vector in self.start(received)])
        return sums / np.float32(self.addends)


class TestAsInNvflare(PeerSuite):
    @pytest.fixture(scope="class")
    def peer(self) -> Peer:
        return TensealCkks(8_192, [60, 40, 40], 40, "as NVFlare sets it up", 2.0**-20)


class TestMinimal(PeerSuite):
    @pytest.fixture(scope="class")
    def peer(self) -> Peer:
        return TensealCkks(4_096, [40, 40], 34, "the least for additions", 1e-6)

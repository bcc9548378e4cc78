"""pypaillier (Rust over GMP) under 3,072 bits: a value per ciphertext, through its calls for many values."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
import pytest
from numpy.typing import NDArray

from peer import Frames, Peer
from peers import PeerSuite

paillier = pytest.importorskip("paillier", reason="pypaillier is not installed; pip install 'dcsfl[peers]'")

pytestmark = pytest.mark.slow  # it looks for safe primes: half a minute for a key
BITS, QUICK_BITS, POWER_OF_TEN = 3_072, 2_048, 8  # quick: where benchmarks run once as tests


class Pypaillier(Peer):
    name = f"pypaillier {version('pypaillier')}, a value per ciphertext"
    note = "128 bits; short exponents"
    tolerance = 10.0**-POWER_OF_TEN
    least = 16

    def __init__(self, bits: int) -> None:
        self.public, self.secret = paillier.generate_keypair(bits)

    def encrypt(self, values: NDArray[np.float32], client: int = 0) -> Frames:
        return [bytes(blob) for blob in paillier.encrypt_many(self.public, values.tolist(), POWER_OF_TEN)]

    def start(self, received: Frames) -> Frames:
        return received

    def add(self, total: Frames, received: Frames) -> Frames:
        pairs = zip(total, received, strict=True)
        return [bytes(paillier.add_many(self.public, list(pair))) for pair in pairs]

    def finish(self, total: Frames) -> Frames:
        return total

    def decrypt(self, received: Frames, count: int) -> NDArray[np.float32]:
        exact = paillier.decrypt_exact_many(self.secret, received)
        return np.array([numerator / 10**power / self.addends for numerator, power in exact], np.float32)


class TestPypaillier(PeerSuite):
    @pytest.fixture(scope="class")
    def peer(self, timed: bool) -> Peer:
        return Pypaillier(BITS if timed else QUICK_BITS)

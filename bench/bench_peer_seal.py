"""Microsoft SEAL through seal-python: BFV in slots, N = 4,096, its own 128-bit modulus, 16-bit codes, public key."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from peer import Frames, Peer
from peers import PeerSuite
from values import LIMIT

seal = pytest.importorskip("seal", reason="seal-python is not installed; pip install 'dcsfl[peers]'")

RING, PLAIN_BITS, CODE_BITS = 4_096, 20, 16  # sums of up to 8 codes
STEP = 2 * LIMIT / (2**CODE_BITS - 1)


class SealBfv(Peer):
    name = f"seal-python {version('seal-python')} BFV, N = {RING:,}"
    note = "128 bits, SEAL's default modulus for this ring; sums of 8 clients"
    tolerance = 0.51 * STEP

    def __init__(self) -> None:
        parameters = seal.EncryptionParameters(seal.scheme_type.bfv)
        parameters.set_poly_modulus_degree(RING)
        parameters.set_coeff_modulus(seal.CoeffModulus.BFVDefault(RING))
        parameters.set_plain_modulus(seal.PlainModulus.Batching(RING, PLAIN_BITS))
        self.context = seal.SEALContext(parameters)
        keys = seal.KeyGenerator(self.context)
        self.encryptor = seal.Encryptor(self.context, keys.create_public_key())
        self.decryptor = seal.Decryptor(self.context, keys.secret_key())
        self.encoder, self.evaluator = seal.BatchEncoder(self.context), seal.Evaluator(self.context)

    def encrypt(self, values: NDArray[np.float32], client: int = 0) -> Frames:
        codes = np.rint((np.clip(values, -LIMIT, LIMIT) + LIMIT) / STEP).astype(np.int64)
        chunks = (codes[start : start + RING] for start in range(0, len(codes), RING))
        return [self.encryptor.encrypt(self.encoder.encode(chunk)).to_string() for chunk in chunks]

    def start(self, received: Frames) -> list[Any]:
        return [self.context.from_cipher_str(data) for data in received]

    def add(self, total: list[Any], received: Frames) -> list[Any]:
        for into, addend in zip(total, self.start(received), strict=True):
            self.evaluator.add_inplace(into, addend)
        return total

    def finish(self, total: list[Any]) -> Frames:
        return [ciphertext.to_string() for ciphertext in total]

    def decrypt(self, received: Frames, count: int) -> NDArray[np.float32]:
        sums = [self.encoder.decode(self.decryptor.decrypt(one)) % (1 << PLAIN_BITS) for one in self.start(received)]
        return (np.concatenate(sums)[:count] * (STEP / self.addends) - LIMIT).astype(np.float32)


class TestSeal(PeerSuite):
    @pytest.fixture(scope="class")
    def peer(self) -> Peer:
        return SealBfv()

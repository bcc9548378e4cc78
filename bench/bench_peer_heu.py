"""SecretFlow's HEU: its numpy API with ZPaillier under 3,072 bits, a value per ciphertext, float encoder."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from peer import Frames, Peer
from peers import PeerSuite

pytest.importorskip("heu", reason="sf-heu is not installed; pip install 'dcsfl[peers]'")
from heu import numpy as hnp
from heu import phe

BITS = 3_072


class Heu(Peer):
    name = f"SecretFlow HEU {version('sf_heu')}, a value per ciphertext"
    note = "128 bits: 3,072, where its default is 2,048; fixed point of 10^6"
    tolerance = 2e-6
    least = 16

    def __init__(self) -> None:
        self.kit = hnp.setup(phe.SchemaType.ZPaillier, BITS)
        self.encoder = self.kit.float_encoder()

    def encrypt(self, values: NDArray[np.float32], client: int = 0) -> Frames:
        plain = self.kit.array(values.astype(np.float64), self.encoder)
        return [self.kit.encryptor().encrypt(plain).serialize()]

    def start(self, received: Frames) -> Any:
        return hnp.CiphertextArray.load_from(received[0])

    def add(self, total: Any, received: Frames) -> Any:
        return self.kit.evaluator().add(total, self.start(received))

    def finish(self, total: Any) -> Frames:
        return [total.serialize()]

    def decrypt(self, received: Frames, count: int) -> NDArray[np.float32]:
        sums = self.kit.decryptor().decrypt(self.start(received)).to_numpy(self.encoder)
        return (sums / self.addends).astype(np.float32)


class TestHeu(PeerSuite):
    @pytest.fixture(scope="class")
    def peer(self) -> Peer:
        return Heu()

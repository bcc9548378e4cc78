"""DESILO's CKKS (desilofhe): its smallest engine, 4,096 values a ciphertext, one thread, public key."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from peer import Frames, Peer
from peers import PeerSuite

desilofhe = pytest.importorskip("desilofhe", reason="desilofhe is not installed; pip install 'dcsfl[peers]'")


class Desilo(Peer):
    name = f"desilofhe {version('desilofhe')} CKKS"
    tolerance = 2.0**-20

    def __init__(self) -> None:
        self.engine = desilofhe.Engine(max_level=1, mode="cpu", thread_count=1)
        self.secret = self.engine.create_secret_key()
        self.public = self.engine.create_public_key(self.secret)
        self.slots = self.engine.slot_count
        self.note = f"{self.slots:,} slots at level 1, its least; the parameters behind them are not published"

    def encrypt(self, values: NDArray[np.float32], client: int = 0) -> Frames:
        chunks = (
            values[start : start + self.slots].astype(np.float64) for start in range(0, len(values), self.slots)
        )
        return [self.engine.serialize_ciphertext(self.engine.encrypt(chunk, self.public)) for chunk in chunks]

    def start(self, received: Frames) -> list[Any]:
        return [self.engine.deserialize_ciphertext(data) for data in received]

    def add(self, total: list[Any], received: Frames) -> list[Any]:
        return [self.engine.add(left, right) for left, right in zip(total, self.start(received), strict=True)]

    def finish(self, total: list[Any]) -> Frames:
        return [self.engine.serialize_ciphertext(ciphertext) for ciphertext in total]

    def decrypt(self, received: Frames, count: int) -> NDArray[np.float32]:
        sums = [self.engine.decrypt(ciphertext, self.secret) for ciphertext in self.start(received)]
        return (np.concatenate(sums)[:count].real / self.addends).astype(np.float32)


class TestDesilofhe(PeerSuite):
    @pytest.fixture(scope="class")
    def peer(self) -> Peer:
        return Desilo()

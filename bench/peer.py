"""The one interface to a peer: its own calls, behind the three steps of a round. Needs numpy alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from values import mean_of, uniform

Frames = list[bytes]
"""What travels: a message, or one per ciphertext."""


class Peer(ABC):
    """A library, set up with keys. `name` is the row's, `note` what its user should know of the setting.

    encrypts: whether who adds cannot read the sum. tolerance: of a mean. addends: the updates in a mean. least: the
    fewest values it makes sense to measure, where even a thousand take minutes.
    """

    name: str
    note: str = ""
    encrypts: ClassVar[bool] = True
    tolerance: float
    addends: ClassVar[int] = 2
    least: ClassVar[int | None] = None

    @abstractmethod
    def encrypt(self, values: NDArray[np.float32], client: int = 0) -> Frames:
        """A client's update, ready to be sent."""

    @abstractmethod
    def start(self, received: Frames) -> Any:
        """The sum of one."""

    @abstractmethod
    def add(self, total: Any, received: Frames) -> Any:
        """One more update, off the wire, into the sum, which may be overwritten."""

    @abstractmethod
    def finish(self, total: Any) -> Frames:
        """The sum, ready to be sent."""

    @abstractmethod
    def decrypt(self, received: Frames, count: int) -> NDArray[np.float32]:
        """The mean of `addends` updates of `count` values."""


class PeerRound:
    """A round of `count` values at a peer, step by step; each step may be repeated, and its last result counts."""

    def __init__(self, peer: Peer, count: int) -> None:
        self.peer, self.count = peer, count
        self.updates = [uniform(count, seed) for seed in range(1, peer.addends + 1)]
        self.sent = [peer.encrypt(update, client) for client, update in enumerate(self.updates)]
        self.total = self._sum()

    def encrypt(self) -> None:
        self.sent[0] = self.peer.encrypt(self.updates[0], 0)

    def before_add(self) -> None:
        self._accumulator = self.peer.start(self.sent[0])

    def add(self) -> None:
        self._accumulator = self.peer.add(self._accumulator, self.sent[1])

    def after_add(self) -> None:
        self.total = self._finished(self._accumulator)

    def decrypt(self) -> None:
        self.mean = self.peer.decrypt(self.total, self.count)

    def error(self) -> float:
        """The largest error of the mean. Raises AssertionError where it is above the peer's tolerance."""
        expected = mean_of(self.updates)
        np.testing.assert_allclose(self.mean, expected, rtol=0, atol=self.peer.tolerance)
        return float(np.abs(self.mean.astype(np.float64) - expected).max())

    def resum(self) -> None:
        """The sum of what was sent last."""
        self.total = self._sum()

    def _sum(self) -> Frames:
        total = self.peer.start(self.sent[0])
        return self._finished(self.peer.add(total, self.sent[1]))

    def _finished(self, total: Any) -> Frames:
        for received in self.sent[2:]:
            total = self.peer.add(total, received)
        return self.peer.finish(total)


def whole_pass(peer: Peer, count: int) -> None:
    """Everything once, for an estimate."""
    PeerRound(peer, count).decrypt()

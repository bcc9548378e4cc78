"""What every peer is measured by: the three steps of a round, bytes to bytes. A peer's file names the suite:

    class TestTenseal(PeerSuite):
        @pytest.fixture(scope="class")
        def peer(self): return TensealCkks(...)

One that cannot run in this interpreter is driven in another by `elsewhere.py`, with the same three steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from affordable import FEW, MILLION, Affordable
from peer import Peer, PeerRound, whole_pass

SECONDS_A_PASS = 4.0
Put = Callable[..., None]


def count_for(run: Callable[[int], object], least: int | None, timed: bool) -> int:
    """As many values as are affordable, a million at most."""
    if least is not None:
        return least
    return Affordable(run, SECONDS_A_PASS).largest(MILLION) if timed else FEW


class PeerSuite:
    """Encrypt, add, decrypt. Needs the fixture `peer`."""

    @pytest.fixture(scope="class")
    def a_round(self, peer: Peer, timed: bool) -> PeerRound:
        return PeerRound(peer, count_for(lambda count: whole_pass(peer, count), peer.least, timed))

    @pytest.fixture
    def put(self, record: Callable[..., None], peer: Peer, a_round: PeerRound) -> Put:
        def peers_row(group: str, what: str, sent: list[bytes], error: float) -> None:
            about = {"who": peer.name, "note": peer.note, "is_peer": True, "is_headline": True}
            about["encrypts"] = peer.encrypts
            record(a_round.count, group=group, what=what, bytes=sum(map(len, sent)), error=error, **about)

        return peers_row

    def test_array_to_bytes(self, repeat: Any, put: Put, a_round: PeerRound) -> None:
        repeat(a_round.encrypt)
        a_round.resum()
        a_round.decrypt()
        put("encrypt", "array to bytes", a_round.sent[0], a_round.error())

    def test_bytes_into_the_sum(self, repeat: Any, put: Put, a_round: PeerRound) -> None:
        repeat(a_round.add, a_round.before_add)
        a_round.after_add()
        a_round.decrypt()
        put("add", "bytes parsed and added", a_round.sent[1], a_round.error())

    def test_bytes_to_mean(self, repeat: Any, put: Put, a_round: PeerRound) -> None:
        repeat(a_round.decrypt)
        put("decrypt", "bytes to mean", a_round.total, a_round.error())

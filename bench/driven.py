"""A peer's side of `elsewhere.py`: reads requests from standard input, times its own steps, answers in JSON lines.

Runs under whatever interpreter has the peer; needs numpy alone. Whatever the library prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from peer import Peer, PeerRound, whole_pass


def serve(make: Callable[[], Peer]) -> None:
    """Answer until standard input ends.

    {"do": "describe"} -> name, note, encrypts; {"do": "whole_pass", "count"}; {"do": "begin", "count"};
    {"do": "encrypt" | "add" | "decrypt"} -> seconds; {"do": "check", "step"} -> bytes, error.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    session = _Session(make())
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(getattr(session, request.pop("do"))(**request)), file=answers, flush=True)


class _Session:
    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._round: PeerRound | None = None

    def describe(self) -> dict[str, Any]:
        return {"name": self._peer.name, "note": self._peer.note, "encrypts": self._peer.encrypts}

    def whole_pass(self, count: int) -> dict[str, Any]:
        whole_pass(self._peer, count)
        return {}

    def begin(self, count: int) -> dict[str, Any]:
        self._round = PeerRound(self._peer, count)
        return {}

    def encrypt(self) -> dict[str, Any]:
        return self._timed(self._begun.encrypt)

    def add(self) -> dict[str, Any]:
        self._begun.before_add()
        return self._timed(self._begun.add)

    def decrypt(self) -> dict[str, Any]:
        return self._timed(self._begun.decrypt)

    def check(self, step: str) -> dict[str, Any]:
        a_round = self._begun
        if step == "encrypt":
            a_round.resum()
        if step == "add":
            a_round.after_add()
        a_round.decrypt()
        sent = a_round.total if step == "decrypt" else a_round.sent[0]
        return {"bytes": sum(map(len, sent)), "error": a_round.error()}

    @property
    def _begun(self) -> PeerRound:
        if self._round is None:
            raise RuntimeError("begin comes first")
        return self._round

    @staticmethod
    def _timed(step: Callable[[], None]) -> dict[str, Any]:
        start = time.perf_counter()
        step()
        return {"seconds": time.perf_counter() - start}

"""How many bytes crossed between whom: tensors and frames; identities and numbers are not counted."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import fields
from typing import Any

from torch import Tensor

from trainer.parties.messages import QuantisedTensor

COMPUTE = "compute"
AGGREGATION = "aggregation"


class Traffic:
    """Payload bytes per (sender, recipient). Safe for use by several threads."""

    def __init__(self) -> None:
        self._bytes: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def count(self, sender: str, recipient: str, message: Any) -> None:
        """Add what `message` carries."""
        with self._lock:
            self._bytes[sender, recipient] += payload_bytes(message)

    def put(self, sender: str, recipient: str, total: int) -> None:
        """Set what went from `sender` to `recipient` so far, as a third party tells it."""
        with self._lock:
            self._bytes[sender, recipient] = total

    def totals(self) -> dict[tuple[str, str], int]:
        """Bytes so far by (sender, recipient)."""
        with self._lock:
            return dict(self._bytes)

    def bytes_with(self, server: str) -> int:
        """Bytes exchanged with `server` so far, both directions."""
        return sum(count for pair, count in self.totals().items() if server in pair)

    def bytes_between_clients(self) -> int:
        """Bytes that went from client to client so far, past both servers."""
        return sum(count for pair, count in self.totals().items() if not {COMPUTE, AGGREGATION} & set(pair))


def payload_bytes(message: Any) -> int:
    """Bytes of the tensors and frames in `message`."""
    total = 0
    for field in fields(message):
        value = getattr(message, field.name)
        if isinstance(value, Tensor | QuantisedTensor):
            total += value.nbytes
        elif isinstance(value, bytes):
            total += len(value)
        elif isinstance(value, tuple):
            total += sum(len(part) for part in value if isinstance(part, bytes))
    return total

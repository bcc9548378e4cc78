"""The in-process transport: a request is a call, and every byte that would cross a wire is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Protocol

from torch import Tensor

from trainer.errors import ProtocolError
from trainer.parties.messages import Message

COMPUTE = "compute"
AGGREGATION = "aggregation"

Handler = Callable[[Message], Message]


class Transport(Protocol):
    """What a client holds of the outside world: a way to ask a server."""

    def request(self, sender: str, recipient: str, message: Message) -> Message:
        """Deliver `message` and return the recipient's reply. Raises ProtocolError."""
        ...


class InProcessTransport:
    """Calls the recipient's handler directly. `traffic` counts payload bytes per (sender, recipient)."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self.traffic: Counter[tuple[str, str]] = Counter()

    def request(self, sender: str, recipient: str, message: Message) -> Message:
        if recipient not in self._handlers:
            raise ProtocolError(f"no party named {recipient!r}; there are {', '.join(sorted(self._handlers))}")
        self.traffic[sender, recipient] += payload_bytes(message)
        reply = self._handlers[recipient](message)
        self.traffic[recipient, sender] += payload_bytes(reply)
        return reply

    def bytes_with(self, server: str) -> int:
        """Bytes exchanged with `server` so far, both directions."""
        return sum(count for pair, count in self.traffic.items() if server in pair)

    def bytes_between_clients(self) -> int:
        """Bytes that went from client to client so far, past both servers."""
        return sum(count for pair, count in self.traffic.items() if not {COMPUTE, AGGREGATION} & set(pair))


def payload_bytes(message: Message) -> int:
    """Bytes of the tensors and frames in `message`; identities and numbers are not counted."""
    total = 0
    for field in fields(message):
        value = getattr(message, field.name)
        if isinstance(value, Tensor):
            total += value.nbytes
        elif isinstance(value, bytes):
            total += len(value)
    return total

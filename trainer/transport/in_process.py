"""The in-process transport: a request is a call, and every byte that would cross a wire is counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Protocol

from trainer.errors import ProtocolError
from trainer.parties.messages import Message
from trainer.transport.traffic import AGGREGATION, COMPUTE, Traffic

__all__ = ["AGGREGATION", "COMPUTE", "Handler", "InProcessTransport", "Transport"]

Handler = Callable[[Message], Message]


class Transport(Protocol):
    """What a client holds of the outside world: a way to ask a server."""

    def request(self, sender: str, recipient: str, message: Message) -> Message:
        """Deliver `message` and return the recipient's reply. Raises ProtocolError."""
        ...

    def submit(self, sender: str, recipient: str, message: Message) -> Future[Message]:
        """Send `message`; the reply is the future's result. Several may be under way, and arrive in any order.

        Raises what `request` raises, at once or when asked for the result.
        """
        ...


class InProcessTransport:
    """Calls the recipient's handler directly."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self.traffic = Traffic()

    def request(self, sender: str, recipient: str, message: Message) -> Message:
        if recipient not in self._handlers:
            raise ProtocolError(f"no party named {recipient!r}; there are {', '.join(sorted(self._handlers))}")
        self.traffic.count(sender, recipient, message)
        reply = self._handlers[recipient](message)
        self.traffic.count(recipient, sender, reply)
        return reply

    def submit(self, sender: str, recipient: str, message: Message) -> Future[Message]:
        """A call, like `request`: nothing is under way when it returns."""
        done: Future[Message] = Future()
        done.set_result(self.request(sender, recipient, message))
        return done

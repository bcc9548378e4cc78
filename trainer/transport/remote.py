"""The transport between processes: messages as bytes over a link, and what stands at its other end.

A link carries bytes to a named party and brings bytes back; who the sender is, it must know from certificates, not
from what is sent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from trainer.errors import ProtocolError, TrainerError
from trainer.transport.traffic import Traffic
from trainer.transport.wire import MAX_MESSAGE_BYTES, Vocabulary

LOG = logging.getLogger(__name__)


CALL_DEADLINE = 600.0
"""Seconds until the answer of a call must be there that names no deadline: a step at the cuts."""

MOST_IN_FLIGHT = 32
"""More requests of a party wait until one of these is answered."""


class PartyUnreachableError(TrainerError):
    """A party that did not answer: its process is gone, the network is, or its deadline has passed."""

    def __init__(self, party: str, reason: str) -> None:
        super().__init__(f"{party} cannot be reached: {reason}")
        self.party, self.reason = party, reason


class RemoteRefusalError(ProtocolError):
    """Another party's refusal of what it was sent. kind: the class of the error at its end."""

    def __init__(self, party: str, kind: str, reason: str) -> None:
        super().__init__(f"{party} refused: {reason} ({kind})")
        self.party, self.kind, self.reason = party, kind, reason


@dataclass(frozen=True)
class Refused:
    """Any party -> any other: why a message was not served. kind: the class of the error at its end."""

    kind: str
    reason: str


class Link(Protocol):
    """Brings bytes to a party, and its answer back. Called by several threads at once."""

    def call(self, recipient: str, data: bytes, deadline: float | None = None) -> bytes:
        """deadline: seconds until the answer must be there; the link's own if None. Raises PartyUnreachableError."""
        ...


class RemoteTransport:
    """A party's way to the others: encodes, sends, waits, decodes. Counts what the in-process transport counts."""

    def __init__(self, link: Link, vocabulary: Vocabulary, traffic: Traffic | None = None) -> None:
        self.link = link
        self._vocabulary = vocabulary
        self.traffic = Traffic() if traffic is None else traffic
        self._pool = ThreadPoolExecutor(MOST_IN_FLIGHT, "request")

    def request(self, sender: str, recipient: str, message: Any, deadline: float | None = None) -> Any:
        """Deliver `message`, and return the answer.

        Raises PartyUnreachableError, RemoteRefusalError, and MessageFormatError where the answer is no message.
        """
        self.traffic.count(sender, recipient, message)
        reply = self._vocabulary.decode(self.link.call(recipient, self._vocabulary.encode(message), deadline))
        if isinstance(reply, Refused):
            raise RemoteRefusalError(recipient, reply.kind, reply.reason)
        self.traffic.count(recipient, sender, reply)
        return reply

    def submit(self, sender: str, recipient: str, message: Any) -> Future[Any]:
        """`request` in a thread of its own: coded, sent and decoded while the caller goes on."""
        return self._pool.submit(self.request, sender, recipient, message)


Answer = Callable[[str, Any], Any]
"""(sender, message) -> reply."""


class Service:
    """The receiving end: hostile bytes of a known sender in, an answer or a `Refused` out; it never raises.

    handlers: class of message -> who answers it; messages of other classes are refused.
    check: raises ProtocolError where a message is not its sender's to send.
    expected: classes of errors raised on purpose, whose messages hold no secret and are told to the sender; of any
        other the sender hears the class alone.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        handlers: Mapping[type, Answer],
        check: Callable[[str, Any], None],
        *,
        expected: tuple[type[Exception], ...],
        max_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        self._vocabulary = vocabulary
        self._handlers = dict(handlers)
        self._check = check
        self._expected = expected
        self._max_bytes = max_bytes

    def answer(self, sender: str, data: bytes | memoryview) -> bytes:
        """The bytes of the answer to `data` from `sender`."""
        try:
            message = self._vocabulary.decode(data, self._max_bytes)
            handler = self._handlers.get(type(message))
            if handler is None:
                raise ProtocolError(f"no {type(message).__name__} is taken here")
            self._check(sender, message)
            return self._vocabulary.encode(handler(sender, message))
        except Exception as error:
            return self._vocabulary.encode(self._refusal(sender, error))

    def _refusal(self, sender: str, error: Exception) -> Refused:
        if isinstance(error, self._expected):
            LOG.warning("refused %s: %s", sender, error)
            return Refused(type(error).__name__, str(error))
        # A bug of ours: its message may hold anything, so it stays in this party's log.
        LOG.exception("failed to serve %s", sender)
        return Refused(type(error).__name__, "an error of its own; its log has it")

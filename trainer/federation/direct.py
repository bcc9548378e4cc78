"""A gRPC stream of its own for the cuts, hospital to compute server, under FLARE's certificates.

FLARE's calls carry everything else; at the cuts, which are crossed twice in every batch, their cost is most of a step
(docs/federation.md has the figures). Both sides show certificates of the federation's root; the sender's name is its
certificate's. One stream a hospital, requests and answers in order, each a message of `trainer.transport.wire`.

Requests follow each other on the wire without waiting for answers: while one is worked on, the next travels.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, TimeoutError
from pathlib import Path

import grpc

from trainer.transport.in_process import COMPUTE
from trainer.transport.remote import CALL_DEADLINE, Link, PartyUnreachableError
from trainer.transport.wire import MAX_MESSAGE_BYTES

LOG = logging.getLogger(__name__)
SERVICE, METHOD = "dcsfl.Cuts", "Exchange"
IN_HAND = 4
"""Requests of a hospital that the server has read and not yet answered; what follows waits on the wire."""
OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", min(MAX_MESSAGE_BYTES, 2**31 - 1)),
    ("grpc.keepalive_time_ms", 60_000),
)


def serve(
    startup: Path, address: str, hospitals: int, answer: Callable[[str, bytes], bytes]
) -> tuple[grpc.Server, int]:
    """Listen at `address` (port 0: any) with the server's certificate in `startup`; returns server and port.

    answer: gets the site's name, as its certificate has it, and bytes; returns bytes.
    """
    credentials = grpc.ssl_server_credentials(
        [((startup / "server.key").read_bytes(), (startup / "server.crt").read_bytes())],
        root_certificates=(startup / "rootCA.pem").read_bytes(),
        require_client_auth=True,
    )

    def exchange(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        (site, *_) = (name.decode() for name in context.auth_context()["x509_common_name"])
        yield from _answers(requests, lambda request: answer(site, request))

    handler = grpc.stream_stream_rpc_method_handler(exchange)
    server = grpc.server(ThreadPoolExecutor(hospitals + 1, "cuts"), options=OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
    port = server.add_secure_port(address, credentials)
    server.start()
    return server, port


def _answers(requests: Iterator[bytes], answer: Callable[[bytes], bytes]) -> Iterator[bytes]:
    """In the order of `requests`: while one is worked out, the next is read and the one before is sent."""
    due: queue.SimpleQueue[Future[bytes] | None] = queue.SimpleQueue()
    room = threading.Semaphore(IN_HAND)
    worker = ThreadPoolExecutor(1, "cuts-worker")

    def read() -> None:
        try:
            while room.acquire() and (request := next(requests, None)) is not None:
                due.put(worker.submit(answer, request))
        except (grpc.RpcError, RuntimeError) as error:  # the stream has broken, or the worker is gone
            LOG.debug("the stream of the cuts has ended: %s", error)
        finally:
            due.put(None)

    threading.Thread(target=read, name="cuts-reader", daemon=True).start()
    try:
        while (done := due.get()) is not None:
            yield done.result()
            room.release()
    finally:
        worker.shutdown(wait=False)
        room.release()


class _Stream:
    """One stream of requests, and those that wait for their answers."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._answers = channel.stream_stream(f"/{SERVICE}/{METHOD}")(iter(self._requests.get, None))
        self._order = threading.Lock()
        self._due: deque[Future[bytes]] = deque()  # in the order of their requests
        self.broken = ""  # why, once it is
        threading.Thread(target=self._read, name="cuts", daemon=True).start()

    def send(self, data: bytes) -> Future[bytes]:
        """The answer to come. Raises PartyUnreachableError where the stream has broken."""
        answer: Future[bytes] = Future()
        with self._order:
            if self.broken:
                raise PartyUnreachableError(COMPUTE, self.broken)
            self._due.append(answer)
            self._requests.put(data)
        return answer

    def _read(self) -> None:
        """Hand answers to those who wait; when the stream breaks, tell them all."""
        reason = "it ended the stream"
        try:
            for answer in self._answers:
                self._due.popleft().set_result(answer)
        except grpc.RpcError as error:
            reason = _said(error)
        except IndexError:
            reason = "it answered what nobody asked"
            self._answers.cancel()
        with self._order:
            self.broken = reason
        self._requests.put(None)
        for waiting in self._due:
            waiting.set_exception(PartyUnreachableError(COMPUTE, reason))


class DirectLink:
    """A hospital's link: its stream to the compute server at `address`, and `others` to everybody else.

    startup: the folder with its certificate, and the federation's root.

    When the stream breaks, all requests under way fail with PartyUnreachableError; the next opens another.
    """

    def __init__(self, startup: Path, address: str, others: Link) -> None:
        credentials = grpc.ssl_channel_credentials(
            root_certificates=(startup / "rootCA.pem").read_bytes(),
            private_key=(startup / "client.key").read_bytes(),
            certificate_chain=(startup / "client.crt").read_bytes(),
        )
        self._channel = grpc.secure_channel(address, credentials, OPTIONS)
        self._others = others
        self._opening = threading.Lock()
        self._stream = _Stream(self._channel)

    def call(self, recipient: str, data: bytes, deadline: float | None = None) -> bytes:
        if recipient != COMPUTE:
            return self._others.call(recipient, data, deadline)
        seconds = CALL_DEADLINE if deadline is None else deadline
        try:
            return self._sent(data).result(seconds)
        except TimeoutError:  # the answer keeps its place in the order, should it still come
            raise PartyUnreachableError(recipient, f"no answer in {seconds:g} s") from None

    def _sent(self, data: bytes) -> Future[bytes]:
        with self._opening:
            if self._stream.broken:
                self._stream = _Stream(self._channel)
            return self._stream.send(data)


def direct_link(startup: Path, port: int, others: Link) -> DirectLink:
    """The link of a site whose startup kit is in `startup`: to FLARE's server, at `port`."""
    kit = json.loads((startup / "fed_client.json").read_bytes())
    host, _, _ = kit["servers"][0]["service"]["target"].rpartition(":")
    return DirectLink(startup, f"{host}:{port}", others)


def _said(error: Exception) -> str:
    details = error.details() if isinstance(error, grpc.Call) else str(error)
    return str(details or "the stream has broken")

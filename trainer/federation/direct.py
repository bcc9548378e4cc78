"""A gRPC stream of its own for the cuts, hospital to compute server, under FLARE's certificates.

FLARE's calls carry everything else; at the cuts, which are crossed twice in every batch, their cost is most of a step
(docs/federation.md has the figures). Both sides show certificates of the federation's root; the sender's name is its
certificate's. One stream a hospital, requests and answers in order, each a message of `trainer.transport.wire`.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from trainer.transport.in_process import COMPUTE
from trainer.transport.remote import Link, PartyUnreachableError
from trainer.transport.wire import MAX_MESSAGE_BYTES

SERVICE, METHOD = "dcsfl.Cuts", "Exchange"
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
        for request in requests:
            yield answer(site, request)

    handler = grpc.stream_stream_rpc_method_handler(exchange)
    server = grpc.server(ThreadPoolExecutor(hospitals + 1, "cuts"), options=OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
    port = server.add_secure_port(address, credentials)
    server.start()
    return server, port


class DirectLink:
    """A hospital's link: its stream to the compute server at `address`, and `others` to everybody else.

    startup: the folder with its certificate, and the federation's root.
    """

    def __init__(self, startup: Path, address: str, others: Link) -> None:
        credentials = grpc.ssl_channel_credentials(
            root_certificates=(startup / "rootCA.pem").read_bytes(),
            private_key=(startup / "client.key").read_bytes(),
            certificate_chain=(startup / "client.crt").read_bytes(),
        )
        self._channel = grpc.secure_channel(address, credentials, OPTIONS)
        self._others = others
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._answers = self._channel.stream_stream(f"/{SERVICE}/{METHOD}")(iter(self._requests.get, None))
        self._order = threading.Lock()

    def call(self, recipient: str, data: bytes, deadline: float | None = None) -> bytes:
        if recipient != COMPUTE:
            return self._others.call(recipient, data, deadline)
        with self._order:
            self._requests.put(data)
            try:
                return next(self._answers)
            except (grpc.RpcError, StopIteration) as error:
                raise PartyUnreachableError(recipient, _said(error)) from None


def direct_link(startup: Path, port: int, others: Link) -> DirectLink:
    """The link of a site whose startup kit is in `startup`: to FLARE's server, at `port`."""
    kit = json.loads((startup / "fed_client.json").read_bytes())
    host, _, _ = kit["servers"][0]["service"]["target"].rpartition(":")
    return DirectLink(startup, f"{host}:{port}", others)


def _said(error: Exception) -> str:
    return str(error.details()) if isinstance(error, grpc.Call) else "it ended the stream"

"""Two sites that send each other tensors of given sizes, train a step, and take the time: for bench/transport.py."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from nvflare.collab import collab

from trainer.allocation import keep_freed_memory
from trainer.federation.direct import direct_link, serve
from trainer.federation.vocabulary import VOCABULARY
from trainer.parties.messages import BatchPart, BodyActivations, HeadActivations
from trainer.transport.in_process import COMPUTE
from trainer.transport.remote import PartyUnreachableError
from transport_step import Function, service, steps

MEGABYTES = (1, 4, 16)
REPEATS = 9
HOUR = 3600.0


def echo(data: bytes) -> bytes:
    """What the compute server does with a message, without its body: parse, and answer with as large a tensor."""
    return VOCABULARY.encode(BodyActivations(VOCABULARY.decode(data).activations))


def crossing(call: Callable[[bytes], bytes], tensor: torch.Tensor) -> None:
    """A client's side of one crossing, there and back."""
    VOCABULARY.decode(call(VOCABULARY.encode(HeadActivations(0, BatchPart(0, 0, 0, 1), tensor))))


def crossings(call: Callable[[bytes], bytes]) -> dict[str, float]:
    """Median seconds of a crossing there and back, by size."""
    found = {}
    for size in MEGABYTES:
        tensor = torch.randn(1, size << 18)
        found[f"{size} MB"] = _median(lambda tensor=tensor: crossing(call, tensor))
    return found


def _median(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


class NoOther:
    """There is nobody else to call."""

    def call(self, recipient: str, data: bytes, deadline: float | None = None) -> bytes:
        raise PartyUnreachableError(recipient, "it is not part of this measurement")


class TimedServer:
    """FLARE's server: it echoes crossings, and is the compute server of the steps."""

    def __init__(self, result: str) -> None:
        self.result = result
        self._ports: tuple[int, ...] = ()
        self._service = service()

    @collab.publish
    def exchange(self, message: bytes) -> bytes:
        return echo(message)

    @collab.publish
    def serve(self, message: bytes) -> bytes:
        return self._service.answer("client-0", message)

    @collab.publish
    def ports(self) -> tuple[int, ...]:
        """Of the streams that echo, and that serve."""
        return self._ports

    @collab.main
    def run(self) -> None:
        torch.set_num_threads(1)
        keep_freed_memory()  # as the sites of a federation do
        startup = Path(collab.workspace.get_startup_kit_dir())
        echoing, first = serve(startup, "[::]:0", 1, lambda site, data: echo(data))
        serving, second = serve(startup, "[::]:0", 1, self._service.answer)
        self._ports = first, second
        (client,) = collab.clients
        found = client(timeout=HOUR).measure()
        Path(self.result).write_text(json.dumps(found), encoding="utf-8")
        for server in (echoing, serving):
            server.stop(grace=None)


class TimingClient:
    """FLARE's client."""

    def __init__(self, result: str) -> None:
        self.result = result

    @collab.publish
    def measure(self) -> dict[str, Any]:
        torch.set_num_threads(1)
        keep_freed_memory()  # as the sites of a federation do
        flare = collab.server(timeout=HOUR)
        startup = Path(collab.workspace.get_startup_kit_dir())
        echoing, serving = (direct_link(startup, port, others=NoOther()) for port in flare.ports())
        return {
            "crossings": {
                "in process": crossings(echo),
                "direct stream": crossings(lambda data: echoing.call(COMPUTE, data)),
                "FLARE": crossings(lambda data: flare.exchange(message=data)),
            },
            "steps": steps({
                "direct stream": serving,
                "FLARE": Function(lambda data: flare.serve(message=data)),
            }),
        }  # fmt: skip

"""Two sites that send each other tensors of given sizes and take the time: run by bench/transport.py under FLARE."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from nvflare.collab import collab

from trainer.federation.direct import direct_link, serve
from trainer.federation.vocabulary import VOCABULARY
from trainer.parties.messages import BatchPart, BodyActivations, HeadActivations
from trainer.transport.in_process import COMPUTE
from trainer.transport.remote import PartyUnreachableError

MEGABYTES = (1, 4, 16)
IN_FLIGHT = (1, 2, 4, 8)
REPEATS = 9


def echo(data: bytes) -> bytes:
    """What the compute server does with a message, without its body: parse, and answer with as large a tensor."""
    return VOCABULARY.encode(BodyActivations(VOCABULARY.decode(data).activations))


def step(call: Callable[[bytes], bytes], tensor: torch.Tensor) -> None:
    """A client's side of one crossing, there and back."""
    VOCABULARY.decode(call(VOCABULARY.encode(HeadActivations(0, BatchPart(0, 0, 0, 1), tensor))))


def measured(call: Callable[[bytes], bytes]) -> dict[str, float]:
    """Median seconds of a crossing there and back, by megabytes, and of 4 MB in several parts at once."""
    found = {}
    for size in MEGABYTES:
        tensor = torch.randn(1, size << 18)
        found[f"{size} MB"] = _median(lambda tensor=tensor: step(call, tensor))
    with ThreadPoolExecutor(max(IN_FLIGHT)) as pool:
        for parts in IN_FLIGHT:
            pieces = torch.randn(parts, (4 << 18) // parts)
            found[f"4 MB in {parts}"] = _median(
                lambda pieces=pieces: list(pool.map(lambda piece: step(call, piece[None]), pieces))
            )
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


class EchoServer:
    """FLARE's server."""

    def __init__(self, result: str) -> None:
        self.result = result
        self._port = 0

    @collab.publish
    def exchange(self, message: bytes) -> bytes:
        return echo(message)

    @collab.publish
    def port(self) -> int:
        return self._port

    @collab.main
    def run(self) -> None:
        startup = Path(collab.workspace.get_startup_kit_dir())
        server, self._port = serve(startup, "[::]:0", 1, lambda site, data: echo(data))
        (client,) = collab.clients
        found = client(timeout=600.0).measure()
        Path(self.result).write_text(json.dumps(found), encoding="utf-8")
        server.stop(grace=None)


class TimingClient:
    """FLARE's client."""

    def __init__(self, result: str) -> None:
        self.result = result

    @collab.publish
    def measure(self) -> dict[str, dict[str, float]]:
        torch.set_num_threads(1)
        flare = collab.server(timeout=60.0)

        startup = Path(collab.workspace.get_startup_kit_dir())
        direct = direct_link(startup, flare.port(), others=NoOther())
        return {
            "in process": measured(echo),
            "direct stream": measured(lambda data: direct.call(COMPUTE, data)),
            "FLARE": measured(lambda data: flare.exchange(message=data)),
        }

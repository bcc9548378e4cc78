"""The stream of the cuts: many requests under way, each with its answer, and what becomes of them when it ends."""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("nvflare", reason="the extra flare is not installed: it makes the certificates")

from trainer.federation import kits
from trainer.federation.direct import IN_HAND, _answers, direct_link, serve
from trainer.transport.in_process import AGGREGATION, COMPUTE
from trainer.transport.remote import PartyUnreachableError

SECONDS = 20.0


class Others:
    def call(self, recipient, data, deadline=None):
        return b"by another way to " + recipient.encode()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return kits.provision(tmp_path_factory.mktemp("direct") / "kits", ("client-0",), kits.free_port())


@pytest.fixture
def connected(prepared):
    """`connected(answer)`: the server, a hospital's link to it, and the port."""
    servers = []

    def connect(answer, port=0):
        server, port = serve(prepared / kits.SERVER / "startup", f"localhost:{port}", 1, answer)
        servers.append(server)
        return server, direct_link(prepared / "client-0" / "startup", port, Others()), port

    yield connect
    for server in servers:
        server.stop(grace=None)


def test_every_one_of_many_requests_under_way_gets_its_own_answer(connected):
    _, link, _ = connected(lambda site, data: site.encode() + b" " + data[::-1])
    requests = [number.to_bytes(2, "little") * (1 + 997 * number % 60_000) for number in range(64)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda request: link.call(COMPUTE, request), requests))
    assert answers == [b"client-0 " + request[::-1] for request in requests]
    assert link.call(AGGREGATION, b"") == b"by another way to aggregation"


def test_a_request_is_read_while_the_one_before_is_worked_on():
    second_is_there = threading.Event()

    def requests():
        yield b"first"
        second_is_there.set()
        yield b"second"

    def answer(request):
        assert second_is_there.wait(SECONDS)
        return request.upper()

    assert list(_answers(requests(), answer)) == [b"FIRST", b"SECOND"]


def test_a_hospital_that_sends_without_end_does_not_fill_the_servers_memory():
    read, go_on = [], threading.Event()

    def requests():
        for number in range(10 * IN_HAND):
            read.append(number)
            yield bytes([number])

    def answer(request):
        assert go_on.wait(SECONDS)
        return request

    answers = _answers(requests(), answer)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(next, answers)
        time.sleep(0.3)
        assert len(read) == IN_HAND
        go_on.set()
        assert first.result(SECONDS) == b"\0"
    assert list(answers) == [bytes([number]) for number in range(1, 10 * IN_HAND)]


def test_a_stream_that_breaks_fails_all_that_are_under_way_and_the_next_request_opens_another(connected):
    stuck = threading.Event()
    server, link, port = connected(lambda site, data: stuck.wait(SECONDS) and data)
    with ThreadPoolExecutor(6) as pool:
        calls = [pool.submit(link.call, COMPUTE, b"x" * 1000) for _ in range(6)]
        time.sleep(0.3)
        assert not any(call.done() for call in calls)
        server.stop(grace=None)
        for call in calls:
            with pytest.raises(PartyUnreachableError, match="compute cannot be reached"):
                call.result(SECONDS)
        stuck.set()
    server.stop(grace=None).wait(SECONDS)
    with pytest.raises(PartyUnreachableError, match="compute cannot be reached"):
        link.call(COMPUTE, b"nobody listens")
    connected(lambda site, data: b"back: " + data, port)
    deadline = time.monotonic() + SECONDS  # gRPC waits a while between attempts to connect
    while True:
        try:
            assert link.call(COMPUTE, b"later") == b"back: later"
            return
        except PartyUnreachableError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_a_request_past_its_deadline_fails_and_the_next_gets_its_own_answer(connected):
    slow = queue.SimpleQueue()

    def answer(site, data):
        if data == b"slow":
            slow.get(timeout=SECONDS)
        return data

    _, link, _ = connected(answer)
    assert link.call(COMPUTE, b"quick") == b"quick"
    with pytest.raises(PartyUnreachableError, match=r"no answer in 0\.2 s"):
        link.call(COMPUTE, b"slow", 0.2)
    slow.put(None)
    assert link.call(COMPUTE, b"next") == b"next"


def test_no_thread_is_left_of_a_stream_that_has_ended(connected):
    server, link, _ = connected(lambda site, data: data)
    assert link.call(COMPUTE, b"once") == b"once"
    server.stop(grace=None).wait(SECONDS)
    deadline = time.monotonic() + SECONDS
    while names := {thread.name for thread in threading.enumerate()} & {"cuts", "cuts-reader", "cuts-worker_0"}:
        assert time.monotonic() < deadline, names
        time.sleep(0.05)

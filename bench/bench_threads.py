"""One thread beside two, not held to a processor: encryption and decryption, of every engine that encrypts."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from affordable import FEW, MILLION, Affordable
from he_core import Scheme, SecretBundle, registry
from workload import BITS, Workload

pytestmark = pytest.mark.slow
Record = Callable[..., None]
Repeat = Callable[..., Any]
Engine = tuple[str, str]

THREADS = (1, 2)
ENCRYPTING = [
    (status.scheme, status.backend)
    for status in registry.default().statuses()
    if status.capabilities is not None and status.capabilities.encrypts
]


@pytest.fixture(autouse=True)
def one_processor() -> None:
    """Unlike everywhere else in this folder, the process keeps all its processors."""
    if len(os.sched_getaffinity(0)) < max(THREADS):
        pytest.skip(f"needs {max(THREADS)} processors")


@pytest.fixture(params=ENCRYPTING, ids="-".join)
def of_threads(
    request: pytest.FixtureRequest,
    threads: int,
    engine_of: Callable[..., tuple[Scheme, SecretBundle]],
    affordable_at: Callable[[Engine], Affordable],
    timed: bool,
) -> Workload:
    """The same keys at a scheme object with that many threads."""
    engine = request.param
    _, keys = engine_of(*engine)
    scheme = registry.create(*engine, threads=threads)
    if not timed:
        return Workload(scheme, keys, FEW)
    affordable = affordable_at(engine)
    count = affordable.largest(MILLION)
    # Enough of them that every thread has some and starting it does not show.
    return Workload(scheme, keys, 4 * count if affordable.estimate(4 * count)[0] else count)


@pytest.mark.parametrize("threads", THREADS)
def test_encrypt(of_threads: Workload, repeat: Repeat, record: Record, threads: int) -> None:
    w = of_threads
    w.scheme.encrypt(w.public, w.words, w.codec.shape, 0)
    ciphertext = repeat(lambda: w.scheme.encrypt(w.public, w.words, w.codec.shape, 0))
    w.assert_decrypts_to(ciphertext, 1)
    record(w.value_count, group="threads: encrypt", who=w.who, what=_count(threads), bits=BITS)


@pytest.mark.parametrize("threads", THREADS)
def test_decrypt(of_threads: Workload, repeat: Repeat, record: Record, threads: int) -> None:
    w = of_threads
    ciphertext = w.scheme.parse(w.public, memoryview(w.payload), w.codec.shape)
    words = repeat(lambda: w.scheme.decrypt(w.secret, ciphertext, 0))
    w.assert_holds(words)
    record(w.value_count, group="threads: decrypt", who=w.who, what=_count(threads), bits=BITS)


def _count(threads: int) -> str:
    return f"{threads} thread{'s' * (threads > 1)}"

"""Clients of one process at work at the same time, a core each. What comes of it does not depend on how many."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

import torch

from trainer.config import Config

Result = TypeVar("Result")


class Crew:
    """workers: how many clients work at the same time."""

    def __init__(self, workers: int = 1) -> None:
        self._workers = workers
        self._stopping = threading.Event()

    def each(self, clients: Sequence[int], work: Callable[[int], Result]) -> dict[int, Result]:
        """`work` for each of `clients`; results in their order.

        Where one raises, or Ctrl-C does, the others end at their next `check`, and the first error is raised.
        """
        workers = min(self._workers, len(clients))
        if workers <= 1:
            return {client: work(client) for client in clients}
        # A new thread of torch's would compute with all cores.
        threads = (torch.get_num_threads(),)
        with ThreadPoolExecutor(workers, "client", torch.set_num_threads, threads) as pool:
            futures = {client: pool.submit(work, client) for client in clients}
            with self._stopped_at_the_end(pool):
                ended, _ = wait(futures.values(), return_when=FIRST_EXCEPTION)
                for future in ended:
                    future.result()
                return {client: future.result() for client, future in futures.items()}

    @contextmanager
    def _stopped_at_the_end(self, pool: ThreadPoolExecutor) -> Iterator[None]:
        """Where the block ends by an error, what is not done yet is given up."""
        try:
            yield
        finally:
            self._stopping.set()
            pool.shutdown(cancel_futures=True)
            self._stopping.clear()

    def check(self) -> None:
        """Called by work now and then: raises StoppedError where it is not wanted any more."""
        if self._stopping.is_set():
            raise StoppedError


class StoppedError(Exception):
    """Work that was given up because of other work's error; nobody sees it."""


def workers(config: Config) -> int:
    """How many clients work at the same time: as asked for, or as many as have `training.threads` cores each."""
    if config.run.clients_at_once:
        return config.run.clients_at_once
    if config.run.device != "cpu":
        return 1
    return max(1, len(os.sched_getaffinity(0)) // config.training.threads)

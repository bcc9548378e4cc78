"""Batches of rows split over threads: contiguous shares, one for each thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


class RowThreads:
    """`threads` workers for functions of a range of rows.

    initialiser: run once in every worker before its first share.
    """

    def __init__(self, threads: int, *, initialiser: Callable[[], None] | None = None) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "rows", initializer=initialiser) if threads > 1 else None

    def each(self, work: Callable[[slice], None], count: int, *, multiple: int = 1) -> None:
        """work(share) for shares that cover range(count), each but the last a multiple of `multiple` rows.

        Returns when all are done; raises what the first of them raised.
        """
        share = max(1, -(-count // self._threads))
        share = -(-share // multiple) * multiple
        shares = [slice(start, min(start + share, count)) for start in range(0, count, share)]
        if self._pool is None:
            for rows in shares:
                work(rows)
        else:
            list(self._pool.map(work, shares))

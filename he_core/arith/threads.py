"""Work split into equal slices over a few threads; kernels release the GIL while they work."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


class Threads:
    """A pool of `count` threads that is kept; the calling thread alone where `count` is 1.

    initialiser: run once in every thread before its first slice.
    """

    def __init__(self, count: int, name: str, *, initialiser: Callable[[], None] | None = None) -> None:
        self._count = count
        self._pool = ThreadPoolExecutor(count, name, initializer=initialiser) if count > 1 else None

    def split(self, size: int, work: Callable[[slice], None], *, multiple: int = 1) -> None:
        """Call `work` on slices that make up range(size), one per thread, each but the last a multiple of `multiple`.

        Returns when all are done. The first exception is raised.
        """
        share = -(-max(1, -(-size // self._count)) // multiple) * multiple
        slices = [slice(start, min(start + share, size)) for start in range(0, size, share)]
        if self._pool is None or len(slices) == 1:
            for part in slices:
                work(part)
        else:
            list(self._pool.map(work, slices))

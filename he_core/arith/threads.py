"""Work split into equal slices over a few threads; kernels release the GIL while they work."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


class Threads:
    """A pool of `count` threads, made when first needed and kept; the calling thread alone where `count` is 1."""

    def __init__(self, count: int, name: str, initializer: Callable[[], None] | None = None) -> None:
        self._count = count
        self._pool = ThreadPoolExecutor(count, name, initializer=initializer) if count > 1 else None

    def split(self, size: int, work: Callable[[slice], None]) -> None:
        """Call `work` on slices that make up range(size), one per thread. The first exception is raised."""
        share = max(1, -(-size // self._count))
        slices = [slice(start, min(start + share, size)) for start in range(0, size, share)]
        if self._pool is None or len(slices) == 1:
            for part in slices:
                work(part)
        else:
            list(self._pool.map(work, slices))

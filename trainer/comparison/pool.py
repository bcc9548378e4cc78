"""Cells in processes, as many at a time as there are cores and as memory allows."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable

from trainer.comparison.display import ComparisonDisplay
from trainer.comparison.folder import CellRecord, ComparisonFolder
from trainer.comparison.memory import available_bytes
from trainer.comparison.plan import Cell, Plan
from trainer.comparison.process import CellProcess

HEADROOM = 1.25
"""A further cell is started where this much of the largest one so far is still free."""

_POLL_SECONDS = 0.1
_MEASURE_SECONDS = 1.0


def threads_of(plan: Plan) -> int:
    """Threads that a cell computes with at most."""
    configs = [cell.config for cell in plan.cells]
    return max(max(own.training.threads * own.run.clients_at_once, own.run.threads) for own in configs)


def jobs_by_cores(threads: int) -> int:
    """Cells at a time that the cores this process may use have room for."""
    return max(1, len(os.sched_getaffinity(0)) // threads)


class Pool:
    """Runs cells. What they leave is in their folders and in `records`.

    jobs: at most so many at a time, whatever the memory; None for as many as cores and measured memory allow: then
    the first cell runs alone until it has finished a round and shown what it takes.
    """

    def __init__(
        self,
        folder: ComparisonFolder,
        lock: int,
        display: ComparisonDisplay,
        *,
        jobs: int | None,
        threads: int,
        free_bytes: Callable[[], int] = available_bytes,
    ) -> None:
        self._folder = folder
        self._lock = lock
        self._display = display
        self._jobs = jobs
        self._limit = jobs or jobs_by_cores(threads)
        self._threads = threads
        self._free_bytes = free_bytes
        self._running: list[CellProcess] = []
        self._clock = self._measured = time.monotonic()
        self.records = folder.records()
        self._largest = max((record.peak_bytes for record in self.records.values()), default=0)

    def run(self, cells: Iterable[Cell]) -> None:
        """Run them all. A cell that fails is recorded, and the others go on.

        On KeyboardInterrupt the running cells save what they have finished, then it is raised again.
        """
        waiting = deque(cells)
        try:
            while waiting or self._running:
                while waiting and self._has_room():
                    self._start(waiting.popleft())
                time.sleep(_POLL_SECONDS)
                self._look()
        except KeyboardInterrupt:
            self._display.say("stopping: each run saves its finished rounds; Ctrl-C again ends them at once")
            for process in self._running:
                process.stop()
            for process in self._running:
                process.wait()
            raise
        finally:
            for process in self._running:
                process.close()
            self._folder.write_records(self.records)

    def _has_room(self) -> bool:
        if not self._running:
            return True
        if len(self._running) >= self._limit:
            return False
        if self._jobs is not None:
            return True
        if self._largest == 0:
            return False  # nothing is known yet of what a cell takes
        may_grow = sum(max(0, self._largest - process.resident_bytes) for process in self._running)
        return self._free_bytes() - may_grow >= HEADROOM * self._largest

    def _start(self, cell: Cell) -> None:
        self.records.setdefault(cell.key, CellRecord()).error = None
        self._running.append(CellProcess(cell, self._folder, self._lock, self._threads))
        self._display.cell_started(cell, self._folder.finished_rounds(cell))

    def _look(self) -> None:
        now = time.monotonic()
        passed, self._clock = now - self._clock, now
        if now - self._measured >= _MEASURE_SECONDS:
            self._measured = now
            for process in self._running:
                process.measure()
        for process in self._running:
            record = self.records[process.cell.key]
            record.seconds += passed
            record.together_seconds += passed * len(self._running)
        for process in list(self._running):
            ended = process.status is not None  # before the last rows are read
            for row in process.rows():
                process.measure()
                self._note_memory(process)
                self._display.round_done(process.cell, row)
            if ended:
                self._end(process)

    def _note_memory(self, process: CellProcess) -> None:
        """Only after a finished round: until then a cell has not taken what it will take."""
        record = self.records[process.cell.key]
        record.peak_bytes = max(record.peak_bytes, process.peak_bytes)
        self._largest = max(self._largest, process.peak_bytes)

    def _end(self, process: CellProcess) -> None:
        self._note_memory(process)
        cell, record = process.cell, self.records[process.cell.key]
        finished = process.status == 0 and self._folder.is_finished(cell)
        record.error = None if finished else process.message()
        self._running.remove(process)
        process.close()
        self._folder.write_records(self.records)
        self._display.cell_ended(cell, record)

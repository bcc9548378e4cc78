"""Worker processes that have OpenFHE: started when first needed, started again when they die, gone with this one."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import warnings
import weakref
from pathlib import Path
from typing import IO, Any

from numpy.typing import NDArray

from he_core.arith.openfhe_backend.channel import Channel, ChannelClosedError
from he_core.arith.openfhe_backend.library import Call
from he_core.errors import LibraryError, WorkerDiedError, WorkerStartError

START_SECONDS = 60.0
CALL_SECONDS = 120.0  # calls are cut to a tenth of a second or so: this one hangs
END_SECONDS = 5.0
# A bare `he_core`: the real one imports what the other interpreter need not have.
_COMMAND = """
import sys, types
engine = sys.modules["he_core"] = types.ModuleType("he_core")
engine.__path__ = [sys.argv[1]]
from he_core.arith.openfhe_backend import worker
worker.main(int(sys.argv[2]), int(sys.argv[3]))
"""
_ENGINE = Path(__file__).parents[2]


class Worker:
    """One process. `call` may be used from any thread; calls wait for each other."""

    def __init__(self, python: Path) -> None:
        self._python = python
        self._lock = threading.Lock()
        self._process: _Process | None = None

    @property
    def pid(self) -> int | None:
        """Of the process that runs, if one does."""
        return None if self._process is None else self._process.popen.pid

    def call(self, name: str, context: dict[str, Any], arrays: list[NDArray[Any]]) -> Call:
        """`library.call`, over there.

        A call gives nothing away before its whole answer is here, and changes nothing over there: if the worker dies
        in it, it is made once more at a new one, with a RuntimeWarning that says so. Raises WorkerDiedError if that
        dies too, WorkerStartError, LibraryError.
        """
        with self._lock:
            try:
                return self._attempt(name, context, arrays)
            except WorkerDiedError as death:
                warnings.warn(f"{death}; starting another", RuntimeWarning, stacklevel=2)
            return self._attempt(name, context, arrays)

    def _attempt(self, name: str, context: dict[str, Any], arrays: list[NDArray[Any]]) -> Call:
        process = self._running()
        try:
            process.channel.send({"call": name, "context": context}, arrays)
            head, answers = process.channel.receive()
        except (ChannelClosedError, TimeoutError) as error:
            self._process = None
            raise WorkerDiedError(name, process.end(error)) from None
        if "error" in head:
            raise LibraryError(name, head["error"])
        return answers, head["conversion_ns"]

    def _running(self) -> _Process:
        if self._process is not None and self._process.owner != os.getpid():
            self._process = None  # forked: that one is the parent's
        if self._process is None:
            self._process = _Process(self._python)
        return self._process


class _Process:
    """A started worker that has said what it has."""

    def __init__(self, python: Path) -> None:
        self.owner = os.getpid()
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        their_reading, our_writing = os.pipe()
        our_reading, their_writing = os.pipe()
        self.channel = Channel(our_reading, our_writing, START_SECONDS)
        command = [str(python), "-I", "-c", _COMMAND, str(_ENGINE), str(their_reading), str(their_writing)]
        try:
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                pass_fds=[their_reading, their_writing],
                env={**os.environ, "OMP_NUM_THREADS": "1"},  # one prime: OpenFHE has nothing to share out
            )
        except OSError as error:
            self.channel.close()
            raise WorkerStartError(str(python), str(error)) from None
        finally:
            os.close(their_reading)
            os.close(their_writing)
        self._finalizer = weakref.finalize(self, _close, self.channel, self.popen, self.owner)
        try:
            hello, _ = self.channel.receive()
        except (ChannelClosedError, TimeoutError) as error:
            raise WorkerStartError(str(python), self.end(error)) from None
        if "error" in hello:
            self._finalizer()
            raise WorkerStartError(str(python), hello["error"])
        self.channel.seconds = CALL_SECONDS

    def end(self, error: Exception) -> str:
        """Make sure it is gone; how it ended, with the last line it wrote."""
        if isinstance(error, TimeoutError):
            self.popen.kill()
            how = "did not answer in time and was killed"
        else:
            how = _status(self.popen)
        self._finalizer()
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - 2_000))
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"{how} ({lines[-1]})" if lines else how


def _status(process: subprocess.Popen[bytes]) -> str:
    try:
        code = process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        return "closed its channel"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"


def _close(ours: Channel, process: subprocess.Popen[bytes], owner: int) -> None:
    """A worker whose channel is closed exits by itself; one that does not is killed."""
    ours.close()
    if os.getpid() != owner:
        return
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

"""A cell as a process: `dcsfl-train run`, as a user would type it, watched from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import Any

from trainer.comparison.folder import ComparisonFolder
from trainer.comparison.memory import taken_bytes
from trainer.comparison.plan import Cell

# The folder that Python puts first on its path is the one it was started in, where anything may lie.
COMMAND = (
    sys.executable,
    "-c",
    "import sys; sys.path = [p for p in sys.path if p]; from trainer.__main__ import main; main('dcsfl-train')",
)
_THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class CellProcess:
    """A cell that is running; it is in a session of its own, so that Ctrl-C reaches it through us alone.

    lock: file descriptor that it keeps open while it lives. threads: for every library it computes with.
    """

    def __init__(self, cell: Cell, folder: ComparisonFolder, lock: int, threads: int) -> None:
        self.cell = cell
        path = folder.run_folder(cell).path
        place = ("--resume" if folder.prepare(cell) else "--into", str(path))
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._process = subprocess.Popen(
            [*COMMAND, "run", "--format", "json", "--config", str(folder.config_file(cell)), *place],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=os.environ | dict.fromkeys(_THREAD_LIMITS, str(threads)),
            pass_fds=(lock,),
            start_new_session=True,
        )
        if self._process.stdout:
            os.set_blocking(self._process.stdout.fileno(), False)
        self._unread = b""
        self.resident_bytes = self.peak_bytes = 0

    def rows(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl that it has printed since the last call."""
        if self._process.stdout:
            self._unread += self._process.stdout.read() or b""
        *lines, self._unread = self._unread.split(b"\n")
        return [json.loads(line) for line in lines if line.strip()]

    def measure(self) -> None:
        """Look at its memory."""
        self.resident_bytes, most = taken_bytes(self._process.pid)
        self.peak_bytes = max(self.peak_bytes, most)

    @property
    def status(self) -> int | None:
        """Its exit status, -signal if one ended it, None while it runs."""
        return self._process.poll()

    def message(self) -> str:
        """What it said on standard error, its last paragraph alone: where there is a trace, the error's line."""
        self._errors.seek(0)
        lines = [line for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()]
        told = [number for number, line in enumerate(lines) if line.startswith("error: ")]
        if told:
            return lines[told[-1]].removeprefix("error: ")
        ended = "" if self.status is None or self.status >= 0 else f"ended by {signal.Signals(-self.status).name}"
        return ": ".join(part for part in (ended, lines[-1] if lines else "") if part) or f"exit status {self.status}"

    def stop(self) -> None:
        """Ask it to save what it has finished and end. Workers that it has started are its own to end."""
        self._process.terminate()

    def wait(self) -> None:
        """Until it has ended. It may have more to say than the pipe holds."""
        while self.status is None:
            self.rows()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.1)

    def close(self) -> None:
        """End it at once if it runs, and free what it used."""
        if self.status is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._errors.close()
        if self._process.stdout:
            self._process.stdout.close()

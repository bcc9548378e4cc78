"""TensorBoard events, an extra: `run.tensorboard=true` with `pip install dcsfl[tensorboard]`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from trainer.errors import ConfigError, RunFolderError
from trainer.run_folder import flatten


class EventWriter(Protocol):
    """Told every round's row of metrics.jsonl."""

    def begin(self, folder: Path, first_round: int) -> None:
        """The run starts or goes on at `first_round`; events go into `folder`."""
        ...

    def write(self, row: dict[str, Any]) -> None: ...


class NoEvents:
    """Events are off."""

    def begin(self, folder: Path, first_round: int) -> None:
        return None

    def write(self, row: dict[str, Any]) -> None:
        return None


class TensorBoardEvents:
    """Every number of the row as a scalar. Raises ConfigError where TensorBoard is not installed."""

    def __init__(self) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ConfigError(
                "run.tensorboard=true needs TensorBoard; run: pip install 'dcsfl[tensorboard]'"
            ) from None
        self._make = SummaryWriter

    def begin(self, folder: Path, first_round: int) -> None:
        """Open an event file. Events of earlier files from `first_round` on are hidden: those rounds come again."""
        with _disk_errors(folder):
            self._folder = folder
            self._writer = self._make(str(folder), purge_step=first_round or None)

    def write(self, row: dict[str, Any]) -> None:
        with _disk_errors(self._folder):
            for name, value in flatten(row).items():
                if value is not None:
                    self._writer.add_scalar(name.replace(".", "/"), value, row["round"])
            self._writer.flush()


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunFolderError(f"cannot write TensorBoard events into {folder}: {error.strerror}") from None

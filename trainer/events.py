"""TensorBoard events, an extra: `run.tensorboard=true` with `pip install dcsfl[tensorboard]`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from trainer.errors import ConfigError
from trainer.run_folder import flatten


class EventWriter(Protocol):
    """Told every round's row of metrics.jsonl."""

    def write(self, row: dict[str, Any]) -> None: ...


class NoEvents:
    """Events are off."""

    def write(self, row: dict[str, Any]) -> None:
        return None


class TensorBoardEvents:
    """Every number of the row as a scalar."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ConfigError(
                "run.tensorboard=true needs TensorBoard; run: pip install 'dcsfl[tensorboard]'"
            ) from None
        self._writer = SummaryWriter(str(folder))

    def write(self, row: dict[str, Any]) -> None:
        for name, value in flatten(row).items():
            self._writer.add_scalar(name.replace(".", "/"), value, row["round"])
        self._writer.flush()

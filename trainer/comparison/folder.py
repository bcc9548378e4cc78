"""The folder of a comparison: its plan, a run folder for every cell, and the results.

Format in docs/compare.md. One process at a time works in it, with the runs it started: they share a lock, which the
kernel frees with the last of them, however it ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from os.path import lexists
from pathlib import Path
from typing import Any

import yaml

from trainer.comparison.errors import ComparisonError
from trainer.comparison.plan import Cell, Plan, Variant
from trainer.config import load
from trainer.run_folder import RunFolder, environment, refuse_existing
from trainer.yaml12 import yaml_text

PREFIX = "compare-"
PLAN, SHARED, RECORDS, LOCK = "comparison.yaml", "shared.yaml", "cells.json", ".lock"
FORMAT = 1


@dataclass
class CellRecord:
    """What is known of a cell beside its run folder.

    seconds: in processes of its own, over all sessions; together_seconds: the same, each second times the number of
    cells that ran in it. peak_bytes: most memory resident. error: why it failed the last time, if it did.
    """

    seconds: float = 0.0
    together_seconds: float = 0.0
    peak_bytes: int = 0
    error: str | None = None

    @property
    def beside(self) -> float | None:
        """Cells that ran at a time while this one did, itself included, on average."""
        return self.together_seconds / self.seconds if self.seconds else None


class ComparisonFolder:
    """Paths and writers of one comparison."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = RunFolder(path)

    @classmethod
    def create(cls, path: Path, plan: Plan) -> ComparisonFolder:
        """Make a new folder and write the plan down. Raises RunFolderError."""
        refuse_existing(path)
        folder = cls(path)
        RunFolder.create(path)
        folder.files.write_json("environment.json", environment())
        folder.write_plan(plan)
        return folder

    @classmethod
    def open(cls, path: Path) -> ComparisonFolder:
        """An existing one. Raises ComparisonError."""
        if not (path / PLAN).is_file():
            missing = f"there is no {PLAN} in it" if lexists(path) else "it does not exist"
            raise ComparisonError(f"{path} is no comparison: {missing}")
        return cls(path)

    @classmethod
    def latest(cls, parent: Path) -> ComparisonFolder:
        """The comparison under `parent` that was changed last. Raises ComparisonError."""
        plans = list(parent.glob(f"*/{PLAN}"))
        if not plans:
            raise ComparisonError(f"there is no comparison under {parent}; name one: --resume PATH")
        return cls(max(plans, key=lambda plan: plan.parent.stat().st_mtime_ns).parent)

    @property
    def shared_file(self) -> Path:
        """The configuration that all cells share."""
        return self.path / SHARED

    def plan(self) -> Plan:
        """What is compared. Raises ComparisonError, ConfigError."""
        try:
            record = yaml.safe_load((self.path / PLAN).read_text(encoding="utf-8"))
            if record["format"] != FORMAT:
                raise ComparisonError(
                    f"{self.path / PLAN} has format {record['format']}; this version reads {FORMAT}"
                )
            variants = tuple(Variant(e["name"], e["method"], tuple(e["overrides"])) for e in record["variants"])
            seeds = tuple(int(seed) for seed in record["seeds"])
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
            raise ComparisonError(f"cannot read {self.path / PLAN}: {' '.join(str(error).split())}") from None
        return Plan(variants, seeds, load([self.shared_file]))

    def write_plan(self, plan: Plan) -> None:
        """Configuration and plan, the plan last: a folder that has it is one to go on with. Raises RunFolderError."""
        variants = [{"name": v.name, "method": v.method, "overrides": list(v.overrides)} for v in plan.variants]
        self.files.write_text(SHARED, plan.shared.dump())
        self.files.write_text(PLAN, yaml_text({"format": FORMAT, "variants": variants, "seeds": list(plan.seeds)}))

    def run_folder(self, cell: Cell) -> RunFolder:
        """The cell's run folder, which need not exist yet."""
        return RunFolder(self.path / "cells" / cell.key)

    def config_file(self, cell: Cell) -> Path:
        """The configuration that the cell is started and resumed with."""
        return self.path / "cells" / f"{cell.key}.yaml"

    def is_finished(self, cell: Cell) -> bool:
        return self.run_folder(cell).is_finished(cell.config.training.rounds)

    def finished_rounds(self, cell: Cell) -> int:
        """Rounds that the cell's checkpoint holds."""
        try:
            checkpoint = json.loads((self.run_folder(cell).checkpoints / "latest" / "run.json").read_bytes())
        except (OSError, ValueError):
            return 0
        return int(checkpoint["round"]) + 1

    def prepare(self, cell: Cell) -> bool:
        """Make ready for the cell to be started; returns whether it goes on from a checkpoint.

        What a run left that was stopped in its first round is removed. Raises RunFolderError.
        """
        run = self.run_folder(cell)
        if self.finished_rounds(cell):
            return True
        if lexists(run.path):
            shutil.rmtree(run.path)
        run.path.parent.mkdir(parents=True, exist_ok=True)
        self.config_file(cell).write_text(cell.config.dump(), encoding="utf-8")
        return False

    def records(self) -> dict[str, CellRecord]:
        """By the cells' keys; empty where there are none yet."""
        try:
            content: dict[str, Any] = json.loads((self.path / RECORDS).read_bytes())
            return {key: CellRecord(**record) for key, record in content.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def write_records(self, records: dict[str, CellRecord]) -> None:
        self.files.write_json(RECORDS, {key: asdict(record) for key, record in records.items()})

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the folder's lock; yields its file descriptor for processes to inherit. Raises ComparisonError."""
        try:
            descriptor = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise ComparisonError(f"cannot write into {self.path}: {error.strerror}") from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ComparisonError(
                    f"{self.path} is being worked on, or runs of a comparison that was killed are ending: "
                    "they end with their round; try again then"
                ) from None
            yield descriptor
        finally:
            os.close(descriptor)

"""The run folder: one per run, self-describing, append-only, and enough to repeat or resume the run.

Format in docs/run-folder.md. Metrics and ledger are JSON lines (flushed per round) with CSV twins.
"""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from trainer.config import Config, load
from trainer.errors import RunFolderError

RECORDED_PACKAGES = ("dcsfl", "torch", "numpy", "gmpy2", "numba", "monai", "torchmetrics", "safetensors")
METRICS, LEDGER = "metrics", "ledger"


class RunFolder:
    """Paths and writers of one run folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """Make a new run folder. Raises RunFolderError where it exists or cannot be made."""
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            raise RunFolderError(
                f"run folder {path} exists; choose another, or resume it with --resume {path}"
            ) from None
        except OSError as error:
            raise RunFolderError(f"cannot make run folder {path}: {error.strerror}") from None
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """An existing run folder. Raises RunFolderError."""
        if not (path / "config.yaml").is_file():
            raise RunFolderError(f"{path} is no run folder: there is no config.yaml in it")
        return cls(path)

    @classmethod
    def latest(cls, parent: Path) -> RunFolder:
        """The newest run folder with a checkpoint under `parent`. Raises RunFolderError."""
        candidates = sorted(path.parent.parent for path in parent.glob("*/checkpoints/latest"))
        if not candidates:
            raise RunFolderError(f"there is no run with a checkpoint under {parent}; name one: --resume PATH")
        return cls.open(candidates[-1])

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def config(self) -> Config:
        """The run's resolved configuration."""
        return load([self.path / "config.yaml"])

    def write_config(self, config: Config, overrides: Iterable[str] = ()) -> None:
        """The resolved configuration, and the overrides as typed."""
        self.write_text("config.yaml", config.dump())
        self.write_text("overrides.yaml", yaml.safe_dump(list(overrides)))

    def write_text(self, name: str, text: str) -> None:
        """Write a whole file, replacing it at once."""
        temporary = self.path / f".{name}.partial"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self.path / name)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        self.write_text(name, json.dumps(content, indent=1) + "\n")

    def append(self, table: str, rows: list[dict[str, Any]]) -> None:
        """Append rows to TABLE.jsonl and bring TABLE.csv, its flattened twin, up to date."""
        with (self.path / f"{table}.jsonl").open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        flat = [flatten(row) for row in self.rows(table)]
        # Columns are the union: a class absent from one round's images has no figure there.
        columns = list(dict.fromkeys(column for row in flat for column in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)
        self.write_text(f"{table}.csv", text.getvalue())

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The rows of a table so far; a torn last line of a killed run is left out."""
        target = self.path / f"{table}.jsonl"
        rows = []
        for line in target.read_text(encoding="utf-8").splitlines() if target.exists() else []:
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return rows

    def keep_rounds(self, last: int) -> None:
        """Drop metrics and ledger rows after round `last`: they will be made again."""
        for table in (METRICS, LEDGER):
            rows = [row for row in self.rows(table) if row["round"] <= last]
            (self.path / f"{table}.jsonl").unlink(missing_ok=True)
            self.append(table, rows)


def new_path(config: Config) -> Path:
    """FOLDER/NAME/TIMESTAMP for a run that starts now."""
    return config.run.folder / config.run.name / datetime.now().strftime("%Y%m%d-%H%M%S")


def environment() -> dict[str, Any]:
    """Versions, machine and commit: what a figure must be quoted with."""
    return {
        **{package: _version(package) for package in RECORDED_PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "commit": _commit(),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def flatten(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one level, keys joined with dots."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text().splitlines() if cpuinfo.exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    source = Path(__file__).resolve().parent
    try:
        asked = subprocess.run(
            ["git", "-C", str(source), "describe", "--always", "--dirty", "--abbrev=12", "--exclude", "*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout.strip() or None if asked.returncode == 0 else None

"""The run folder: one per run, self-describing, append-only, and enough to repeat or resume the run.

Format in docs/run-folder.md. Metrics and ledger are JSON lines (synced per round) with CSV twins. Every other file is
replaced as a whole, so that a run killed at any moment leaves either the old or the new one.
"""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from os.path import lexists  # unlike Path.exists, False rather than an error where one may not look
from pathlib import Path
from typing import Any

import yaml

import he_core
from trainer.config import Config, load
from trainer.errors import RunFolderError

RECORDED_PACKAGES = (
    "dcsfl",
    "torch",
    "numpy",
    "gmpy2",
    "numba",
    "monai",
    "torchmetrics",
    "safetensors",
    "scikit-image",
)
METRICS, LEDGER = "metrics", "ledger"
SUMMARY, OVERRIDES, REPORT, DATA = "summary.json", "overrides.yaml", "report.html", "data.json"
TRANSCRIPTS = "transcripts"


class RunFolder:
    """Paths and writers of one run folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """Make a new run folder. Raises RunFolderError where it exists or cannot be made."""
        refuse_existing(path)
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise RunFolderError(f"cannot make run folder {path}: {error.strerror}") from None
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """An existing run folder. Raises RunFolderError."""
        if not lexists(path):
            raise RunFolderError(f"there is no run folder {path}")
        if not (path / "config.yaml").is_file():
            raise RunFolderError(f"{path} is no run folder: there is no config.yaml in it")
        return cls(path)

    @classmethod
    def latest(cls, parent: Path) -> RunFolder:
        """Of the run folders under `parent`, the one whose checkpoint is the newest. Raises RunFolderError."""
        checkpoints = list(parent.glob("*/checkpoints/latest"))
        if not checkpoints:
            raise RunFolderError(f"there is no run with a checkpoint under {parent}; name one: --resume PATH")
        return cls.open(max(checkpoints, key=lambda link: link.lstat().st_mtime_ns).parent.parent)

    def discard(self) -> None:
        """Remove the folder and all that is in it: for a run that could not start."""
        shutil.rmtree(self.path, ignore_errors=True)

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def config(self) -> Config:
        """The run's resolved configuration."""
        return load([self.path / "config.yaml"])

    def is_finished(self, rounds: int) -> bool:
        """Whether `rounds` rounds are done and reported on."""
        try:
            summary = json.loads((self.path / SUMMARY).read_bytes())
        except (OSError, ValueError):
            return False
        done = isinstance(summary, dict) and summary.get("finished") is True and summary.get("rounds") == rounds
        return done and (self.path / REPORT).exists()

    def check_data(self, sha256: str | None) -> None:
        """Raise RunFolderError where data.json records another digest than `sha256`: the images have changed."""
        try:
            recorded = json.loads((self.path / DATA).read_bytes()).get("sha256")
        except (OSError, ValueError, AttributeError):
            return
        # Runs of earlier versions recorded none, and nobody sees the images of sites of their own.
        if recorded and sha256 and recorded != sha256:
            raise RunFolderError(
                f"the images are not those that {self.path} was trained on, or are shared out in another way (sha256 "
                f"{sha256[:12]}, there {recorded[:12]}): put images and data settings back, or start a new run"
            )

    def write_config(self, config: Config, overrides: Iterable[str] = ()) -> None:
        """The resolved configuration, and the overrides as typed, after those of earlier calls."""
        recorded = self.path / OVERRIDES
        earlier = yaml.safe_load(recorded.read_text(encoding="utf-8")) if recorded.exists() else []
        self.write_text("config.yaml", config.dump())
        self.write_text(OVERRIDES, yaml.safe_dump([*earlier, *overrides]))

    def write_text(self, name: str, text: str) -> None:
        """Write a whole file, replacing it at once. Raises RunFolderError where it cannot be written."""
        self.write_bytes(name, text.encode())

    def write_bytes(self, name: str, content: bytes) -> None:
        """As `write_text`."""
        temporary = self.path / f".{name}.partial"
        with _disk_errors(self.path / name):
            try:
                temporary.write_bytes(content)
                temporary.replace(self.path / name)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        self.write_text(name, json.dumps(content, indent=1) + "\n")

    def log(self, text: str) -> None:
        """Append `text` to run.log, each line with the time (UTC). Raises RunFolderError."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        target = self.path / "run.log"
        with _disk_errors(target), target.open("a", encoding="utf-8") as file:
            file.writelines(f"{now}  {line}\n" for line in text.splitlines())

    def read_json(self, name: str) -> Any:
        """What `write_json` wrote. Raises RunFolderError."""
        try:
            return json.loads((self.path / name).read_bytes())
        except (OSError, ValueError) as error:
            raise RunFolderError(f"cannot read {self.path / name}: {error}") from None

    def remove(self, name: str) -> None:
        """Remove a file if it is there. Raises RunFolderError."""
        with _disk_errors(self.path / name):
            (self.path / name).unlink(missing_ok=True)

    def append(self, table: str, rows: list[dict[str, Any]]) -> None:
        """Append rows to TABLE.jsonl and bring TABLE.csv, its flattened twin, up to date. Raises RunFolderError."""
        target = self.path / f"{table}.jsonl"
        with _disk_errors(target), target.open("a", encoding="utf-8") as file:
            file.write(_json_lines(rows))
            file.flush()
            os.fsync(file.fileno())
        self._write_csv(table)

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
            self.write_text(f"{table}.jsonl", _json_lines(rows))
            self._write_csv(table)

    def _write_csv(self, table: str) -> None:
        flat = [flatten(row) for row in self.rows(table)]
        # Columns are the union: a class absent from one round's images has no figure there.
        columns = list(dict.fromkeys(column for row in flat for column in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)
        self.write_text(f"{table}.csv", text.getvalue())


def refuse_existing(path: Path) -> None:
    """Raise RunFolderError where `path` cannot be a new run folder because something is there."""
    if not lexists(path):
        return
    way_out = f", or resume it with --resume {path}" if lexists(path / "checkpoints" / "latest") else ""
    raise RunFolderError(f"run folder {path} exists; choose another{way_out}")


def new_path(config: Config, prefix: str = "") -> Path:
    """FOLDER/NAME/[prefix]TIMESTAMP for a run that starts now, numbered from the second of the same second on."""
    parent, now = config.run.folder / config.run.name, prefix + datetime.now().strftime("%Y%m%d-%H%M%S")
    names = (now if number == 1 else f"{now}-{number}" for number in count(1))
    return next(path for path in (parent / name for name in names) if not lexists(path))


def environment() -> dict[str, Any]:
    """Versions, machine and commit: what a figure must be quoted with."""
    return {
        **{package: _version(package) for package in RECORDED_PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "kernels": he_core.kernel_target(),
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


def _json_lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunFolderError(
            f"cannot write {target}: {error.strerror}. Free some space, or make the folder writable"
        ) from None


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

"""Checkpoints: what every party must keep, one folder per party, written so that a crash loses nothing.

    checkpoints/round-0007/{client-0,...,compute,aggregation}/{state.safetensors,state.json}
    checkpoints/round-0007/run.json
    checkpoints/{latest,best,final} -> round-0007
    checkpoints/previous -> round-0006 at a site of a federation, whose coordinator may not have got so far

A checkpoint is written beside the others under a temporary name and then renamed, and links are replaced, not
rewritten, `latest` last of all: at every moment it is whole, and what it counts as the best round is what `best`
points to. Everything is synced to the disk on the way. Keys are never in a checkpoint.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors import torch as safetensors

from trainer.errors import CheckpointError
from trainer.parties.state import PartyState

FORMAT = 1
LINKS = ("latest", "best", "final", "previous")


@dataclass(frozen=True)
class Snapshot:
    """Everything a run goes on from after `round`. progress: what the loop itself must remember, JSON-able."""

    round: int
    parties: dict[str, PartyState]
    progress: dict[str, Any]


def write(folder: Path, snapshot: Snapshot, links: tuple[str, ...]) -> Path:
    """Write a checkpoint into `folder` and point `links` to it; older ones without a link are removed.

    Raises CheckpointError where it cannot be written (a full disk, say); the earlier checkpoints are untouched.
    """
    target = folder / f"round-{snapshot.round:04d}"
    partial = folder / f".partial-{target.name}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left_over in folder.glob(".partial-*"):  # of a run that was killed
            shutil.rmtree(left_over)
        partial.mkdir()
        for party, state in snapshot.parties.items():
            (partial / party).mkdir()
            _write_bytes(partial / party / "state.safetensors", safetensors.save(state.tensors))
            _write_bytes(partial / party / "state.json", json.dumps(state.numbers).encode())
            _sync(partial / party)
        run = {"format": FORMAT, "round": snapshot.round, "progress": snapshot.progress}
        _write_bytes(partial / "run.json", json.dumps(run).encode())
        _sync(partial)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
        _sync(folder)
        _sync(folder.parent)  # which may have `folder` and the run's tables only just now
        for link in sorted(links, key=LINKS.index, reverse=True):
            _point(folder, link, target.name)
        _sync(folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise CheckpointError(
            f"cannot write checkpoint {target}: {error.strerror}. Earlier checkpoints are whole: free some space, "
            "or make the folder writable, then go on from there"
        ) from None
    _prune(folder)
    return target


def read(checkpoint: Path) -> Snapshot:
    """Read a checkpoint folder or link. Raises CheckpointError."""
    try:
        run = json.loads((checkpoint / "run.json").read_bytes())
        if run["format"] != FORMAT:
            raise CheckpointError(f"{checkpoint} has format {run['format']}; this version reads {FORMAT}")
        parties = {
            party.name: PartyState(
                safetensors.load((party / "state.safetensors").read_bytes()),
                json.loads((party / "state.json").read_bytes()),
            )
            for party in sorted(checkpoint.iterdir())
            if party.is_dir()
        }
        return Snapshot(int(run["round"]), parties, run["progress"])
    except FileNotFoundError as error:
        raise CheckpointError(f"no whole checkpoint at {checkpoint}: {error.filename} is missing") from None
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(
            f"checkpoint {checkpoint} is damaged: {error}. If {checkpoint.parent} holds another round, point latest "
            f"to it: ln -sfn round-NNNN {checkpoint.parent / 'latest'}"
        ) from None


def hold_latest(folder: Path) -> None:
    """Point `previous` to the checkpoint that is `latest` now, so that the next one does not take its place.

    Raises CheckpointError.
    """
    latest = folder / "latest"
    try:
        if latest.exists():
            _point(folder, "previous", latest.resolve().name)
    except OSError as error:
        raise CheckpointError(f"cannot replace {folder / 'previous'}: {error.strerror}") from None


def unlink(folder: Path, link: str) -> None:
    """Take one of LINKS away; the checkpoint it points to stays. Raises CheckpointError."""
    try:
        (folder / link).unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(f"cannot remove {folder / link}: {error.strerror}") from None


def _write_bytes(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    # Without this the names in a folder may be lost in a power failure, though the files' contents are not.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _point(folder: Path, link: str, target: str) -> None:
    temporary = folder / f".{link}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(folder / link)


def _prune(folder: Path) -> None:
    kept = {(folder / link).resolve().name for link in LINKS if (folder / link).exists()}
    for checkpoint in folder.glob("round-*"):
        if checkpoint.name not in kept:
            shutil.rmtree(checkpoint, ignore_errors=True)

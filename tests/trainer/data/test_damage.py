"""Damaged files: whatever happens to one of them, the folder is read or refused in words."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainer.config import DataConfig
from trainer.data import load
from trainer.errors import DataError


def npz(disk: Any) -> Path:
    masks = np.zeros((4, 20, 20), dtype=np.uint8)
    masks[:, 5:10, 5:10] = 1
    disk.npz("npz/a.npz", images=masks * 100, masks=masks)
    return disk.root / "npz"


FOLDERS: dict[str, Callable[[Any], Path]] = {
    "msd": lambda disk: disk.msd(count=2),
    "nnunet": lambda disk: disk.nnunet(count=2),
    "dicom": lambda disk: disk.dicom_cases(count=2),
    "npz": npz,
}


def damaged(content: bytes, chance: random.Random) -> bytes:
    """`content` cut short, with bytes changed (mostly in its head), taken out or put in."""
    changed = bytearray(content)
    kind, where = chance.choice(["cut", "change", "remove", "insert"]), chance.randrange(len(content))
    if kind == "cut":
        del changed[where:]
    elif kind == "change":
        head = min(len(content), chance.choice([400, 2000, len(content)]))
        for _ in range(chance.choice([1, 4, 30])):
            changed[chance.randrange(head)] = chance.randrange(256)
    elif kind == "remove":
        del changed[where : where + chance.randrange(1, 50)]
    else:
        changed[where:where] = chance.randbytes(chance.randrange(1, 40))
    return bytes(changed)


@pytest.mark.parametrize("layout", FOLDERS)
def test_a_damaged_file_is_read_or_refused_by_name_never_a_crash(layout, disk):
    path = FOLDERS[layout](disk)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    chance = random.Random(layout)
    refusals = []
    for _ in range(60):
        file = chance.choice(files)
        content = file.read_bytes()
        file.write_bytes(damaged(content, chance))
        try:
            load(DataConfig(source="folder", path=path, image_size=24), "segmentation", 0)
        except DataError as error:
            refusals.append(str(error))
        file.write_bytes(content)
    assert len(refusals) > 10
    assert all(str(path) in refusal for refusal in refusals)

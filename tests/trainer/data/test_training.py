"""From a folder as it lies on disk to a finished run: two rounds of a tiny network on each layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def npz(disk: Any) -> Path:
    masks = np.zeros((12, 40, 40), dtype=np.uint8)
    masks[:, 8:30, 10:25] = 1
    images = (np.random.default_rng(0).integers(0, 60, masks.shape) + 150 * masks).astype(np.uint8)
    disk.npz("archive/train.npz", images=images, masks=masks, subjects=np.arange(12) // 2)
    return disk.root / "archive"


def pictures(disk: Any) -> Path:
    for number in range(6):
        mask = np.zeros((40, 40), dtype=np.uint8)
        mask[8:30, 10 : 25 + number] = 255
        disk.png(f"png/images/p{number}.png", mask // 2 + number)
        disk.png(f"png/masks/p{number}.png", mask)
    return disk.root / "png"


LAYOUTS: dict[str, tuple[Callable[[Any], Path], tuple[str, ...]]] = {
    "msd": (lambda disk: disk.msd(count=6), ("data.partition=dirichlet", "data.intensity=percentile")),
    "nnunet": (lambda disk: disk.nnunet(count=6, channels=2), ("data.partition=quantity", "data.channel=1")),
    "dicom": (lambda disk: disk.dicom_cases(count=4), ("data.intensity=window", "data.spacing=[1,1,2.5]")),
    "npz": (npz, ("data.partition=even", "data.feature_shift=true")),
    "pairs": (pictures, ("data.partition=even",)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_run_on_own_images_learns_and_records_what_it_was_given(layout, disk, cli, quick, tmp_path):
    write, extra = LAYOUTS[layout]
    own = ("data.source=folder", f"data.path={write(disk)}", f"data.layout={layout}")
    result = cli("run", "--into", tmp_path / "run", *quick, *own, *extra)
    assert result.exit_code == 0, result.stderr
    rounds = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(rounds) >= 2
    recorded = json.loads((tmp_path / "run" / "data.json").read_text())
    assert len(recorded["clients"]) == (1 if layout == "dicom" else 2)
    if layout != "dicom":
        assert any(note.startswith("simulated hospitals: 6 subjects of one site") for note in recorded["notes"])
    assert (tmp_path / "run" / "report.html").is_file()

"""Voxels that are not cubes: which side lies along which axis, from the file to the distance and to the picture."""

from __future__ import annotations

from pathlib import Path

import nibabel
import nibabel.orientations
import numpy as np
import pytest
import torch

from trainer.config import DataConfig
from trainer.data import FederatedData, load
from trainer.report.planes import pixel_aspect, plane, to_scale
from trainer.tasks import task_for

SIDES = (1.0, 2.0, 3.0)  # mm to the right, to the front, upwards


def save(folder: Path, name: str, labels: np.ndarray, codes: str = "RAS") -> None:
    """Labels [right, anterior, superior] of voxels of SIDES and an image of them, stored along the axes `codes`."""
    stored = nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(codes)
    )
    for kind, array in (("images", labels * np.float32(2)), ("labels", labels)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        image = nibabel.Nifti1Image(array, np.diag([*SIDES, 1.0])).as_reoriented(stored)
        assert "".join(nibabel.aff2axcodes(image.affine)) == codes
        nibabel.save(image, folder / kind / f"{name}.nii.gz")


def targets(data: FederatedData) -> dict[str, torch.Tensor]:
    """The labels int64 [1, D, H, W] of every volume by its name."""
    return {
        name: part.targets[index][None]
        for client in data.clients
        for part in (client.train, client.test)
        for index, name in enumerate(part.identifiers)
    }


def settings(path: Path) -> DataConfig:
    return DataConfig(source="folder", path=path, image_size=24, depth=16, spacing=SIDES)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "RSP", "SLA", "AIL", "PSR"])
def test_six_millimetres_are_six_to_the_right_to_the_front_and_upwards_however_voxels_are_stored(codes, tmp_path):
    """A cube moved by 6, by 3, or by 2 voxels: with any sides swapped, one distance at least is not 6 mm."""
    cube = np.zeros((18, 16, 12), dtype=np.uint8)
    cube[2:10, 2:10, 2:9] = 1
    for name, (voxels, axis) in {"still": (0, 0), "right": (6, 0), "front": (3, 1), "up": (2, 2)}.items():
        save(tmp_path, name, np.roll(cube, voxels, axis), codes)
    data = settings(tmp_path)
    loaded = load(data, "segmentation", 0)
    task = task_for("segmentation", loaded.class_names, voxel_mm=data.voxel_mm)
    found, distances = targets(loaded), {}
    for name, labels in found.items():
        metrics = task.metrics()
        metrics.update(labels, found["still"])
        distances[name] = metrics.compute()["hd95_mm"]
    assert distances == {"still": 0.0, "right": 6.0, "front": 6.0, "up": 6.0}


def test_a_ball_of_uneven_voxels_is_shown_round(tmp_path):
    grid = np.meshgrid(
        *(np.arange(count) * side for count, side in zip((20, 10, 12), SIDES, strict=True)), indexing="ij"
    )
    ball = sum((axis - centre) ** 2 for axis, centre in zip(grid, (10, 10, 15), strict=True)) <= 8**2
    for name in ("a", "b"):
        save(tmp_path, name, ball.astype(np.uint8))
    data = settings(tmp_path)
    labels = targets(load(data, "segmentation", 0))["a"][0].numpy()
    stored = plane(labels, labels)
    shown = to_scale(stored, pixel_aspect(data.voxel_mm))
    assert np.ptp(np.argwhere(stored), axis=0).tolist() == [8, 16]
    assert np.ptp(np.argwhere(shown), axis=0) == pytest.approx([16, 16], abs=1)


def test_slices_have_pixels_of_no_fixed_size():
    assert DataConfig(source="folder", spacing=SIDES).voxel_mm is None
    assert DataConfig().voxel_mm is None

"""Volumes with a position in space: two of them brought onto one grid, resampled if asked, cut into axial slices.

Both are turned to the orientation closest to right, anterior, superior (RAS), each by its own affine, so that the
order in which a format or a converter stores voxels does not matter.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import nibabel.affines
import nibabel.orientations
import numpy as np
import numpy.typing as npt

from trainer.data.pair import printable
from trainer.data.raw import RawPair
from trainer.data.settings import Settings
from trainer.data.slices import seen_from_above
from trainer.errors import DataError

MAX_VOXELS = 2**27  # 512^3: half a gigabyte as float32
GRID_TOLERANCE_VOXELS = 0.1


@dataclass(frozen=True, eq=False)
class Volume:
    """`shape`: three sides; `affine`: float64[4, 4], voxel indices to mm in RAS; `read`: the voxels, of that shape.

    `file` is what messages name. An object that exists has between 1 and MAX_VOXELS voxels and an affine that can be
    inverted; raises DataError otherwise. Voxels are read once both volumes of a pair are known to fit.
    """

    file: Path
    shape: tuple[int, int, int]
    affine: npt.NDArray[np.float64]
    read: Callable[[], npt.NDArray[Any]]

    def __post_init__(self) -> None:
        if math.prod(self.shape) > MAX_VOXELS:
            raise DataError(
                f"{printable(self.file)}: shape {times(self.shape)} exceeds {MAX_VOXELS} voxels; crop or resample it"
            )
        linear = self.affine[:3, :3]
        if not np.isfinite(self.affine).all() or abs(np.linalg.det(linear)) < 1e-9 or abs(linear).max() > 1e4:
            raise DataError(
                f"{printable(self.file)}: its affine does not describe a grid in space; repair the header"
            )

    def canonical(self) -> Volume:
        """This volume turned to RAS."""
        orientation = nibabel.io_orientation(self.affine)
        affine = self.affine @ nibabel.orientations.inv_ornt_aff(orientation, self.shape)
        order = np.argsort(orientation[:, 0])
        first, second, third = (self.shape[int(axis)] for axis in order)
        return Volume(
            self.file, (first, second, third), affine, lambda: nibabel.apply_orientation(self.read(), orientation)
        )


def slices_of(image: Volume, target: Volume, settings: Settings) -> RawPair:
    """Both volumes as axial slices seen from above, on the image's grid or resampled to `settings.spacing_mm`.

    Raises DataError, naming the file, if shape or position in space of the two differ.
    """
    image, target = image.canonical(), target.canonical()
    if image.shape != target.shape:
        raise DataError(
            f"{printable(target.file)}: shape {times(target.shape)} does not fit its image's {times(image.shape)}"
        )
    _check_same_grid(image, target)
    voxels, labels, affine = image.read(), target.read(), image.affine
    remarks: tuple[str, ...] = ()
    stored_mm = nibabel.affines.voxel_sizes(affine)
    if settings.spacing_mm is not None:
        mode = "nearest" if settings.task == "segmentation" else "bilinear"
        _refuse_oversize(image, stored_mm, settings.spacing_mm)
        voxels, _ = _resampled(voxels, affine, settings.spacing_mm, "bilinear")
        labels, affine = _resampled(labels, affine, settings.spacing_mm, mode)
        remarks = (f"volumes resampled to {times(settings.spacing_mm)} mm",)
    spacing = nibabel.affines.voxel_sizes(affine)
    cut, cut_labels = seen_from_above(voxels), seen_from_above(labels)
    return RawPair(
        image=cut,
        target=cut_labels,
        spacing=(float(spacing[1]), float(spacing[0])),
        slice_names=tuple(f"slice-{index:03d}" for index in range(len(cut))),
        remarks=remarks,
        stored_shape=image.shape,
        stored_mm=(float(stored_mm[0]), float(stored_mm[1]), float(stored_mm[2])),
        true_to_scale=settings.spacing_mm is not None,
    )


def times(sides: tuple[float, ...]) -> str:
    """`sides` as "3 x 4"."""
    return " x ".join(f"{side:g}" for side in sides)


def _check_same_grid(image: Volume, target: Volume) -> None:
    corners = np.array([[*corner, 1] for corner in itertools.product(*((0, side - 1) for side in image.shape))])
    apart = np.abs(corners @ (target.affine - image.affine).T)[:, :3].max()
    voxel = float(nibabel.affines.voxel_sizes(image.affine).min())
    if apart > GRID_TOLERANCE_VOXELS * voxel:
        raise DataError(
            f"{printable(target.file)}: its affine places it {apart:.2f} mm away from its image; "
            "resample it to the image's grid"
        )


def _refuse_oversize(image: Volume, stored_mm: npt.NDArray[Any], wanted_mm: tuple[float, float, float]) -> None:
    voxels = math.prod(image.shape) * math.prod(
        float(stored) / wanted for stored, wanted in zip(stored_mm, wanted_mm, strict=True)
    )
    if voxels > MAX_VOXELS:
        raise DataError(
            f"{printable(image.file)}: resampled to data.spacing it would have {voxels:.3g} voxels, more than "
            f"{MAX_VOXELS}; make data.spacing coarser"
        )


def _resampled(
    voxels: npt.NDArray[Any], affine: npt.NDArray[np.float64], spacing_mm: tuple[float, float, float], mode: str
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    import torch
    from monai.data import MetaTensor
    from monai.transforms import Spacing

    # MONAI gives float32, in which mask values up to 2^31 would not survive; their positions among all values do.
    values, positions = np.unique(voxels, return_inverse=True) if mode == "nearest" else (None, voxels)
    change = Spacing(pixdim=spacing_mm, mode=mode, padding_mode="border", dtype=np.float64)
    numbers = torch.from_numpy(positions.reshape(voxels.shape).astype(np.float64))
    done = change(MetaTensor(numbers[None], affine=torch.from_numpy(affine)))
    resampled = done[0].numpy()
    if values is not None:
        resampled = values[np.rint(resampled).astype(np.int64)]
    return resampled, np.asarray(done.affine, dtype=np.float64)

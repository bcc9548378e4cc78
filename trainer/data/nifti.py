"""NIfTI pairs: an image volume and its label (or clean) volume on the same grid, as axial slices.

Files are untrusted: the header's shape, type and affine are checked before a voxel is read.
"""

from __future__ import annotations

import itertools
import math
import zlib
from pathlib import Path
from typing import Any

import nibabel
import nibabel.affines
import nibabel.orientations
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from trainer.data.pairing import Pair, printable
from trainer.data.raw import RawPair
from trainer.data.slices import seen_from_above
from trainer.errors import DataError

MAX_VOXELS = 2**27  # 512^3: half a gigabyte as float32
GRID_TOLERANCE_VOXELS = 0.1
# nibabel and gzip report a broken file by any of these.
_BROKEN = (OSError, EOFError, ValueError, OverflowError, zlib.error, ImageFileError, HeaderDataError)


def read_pair(pair: Pair) -> RawPair:
    """The two volumes of `pair` in canonical orientation, cut into axial slices seen from above.

    Both are turned to the orientation closest to right, anterior, superior, by the image's affine. Raises
    DataError, naming the file, if one cannot be read, is not a 3-D (or 2-D) volume of real numbers, has more than
    2^27 voxels, or if shape or position in space of the two differ.
    """
    image, target = _open(pair.image), _open(pair.target)
    if image.shape != target.shape:
        raise DataError(
            f"{printable(pair.target)}: shape {_times(target.shape)} does not fit its image's {_times(image.shape)}"
        )
    _check_same_grid(pair, image, target)
    orientation = nibabel.io_orientation(image.affine)
    canonical_affine = image.affine @ nibabel.orientations.inv_ornt_aff(orientation, _grid(image))
    spacing = nibabel.affines.voxel_sizes(canonical_affine)
    volumes = [
        seen_from_above(nibabel.apply_orientation(_voxels(file, volume), orientation))
        for file, volume in ((pair.image, image), (pair.target, target))
    ]
    return RawPair(
        image=volumes[0],
        target=volumes[1],
        spacing=(float(spacing[1]), float(spacing[0])),
        slice_names=tuple(f"slice-{index:03d}" for index in range(len(volumes[0]))),
    )


def _open(file: Path) -> Any:
    try:
        volume = nibabel.load(file)
    except _BROKEN as error:
        raise DataError(f"{printable(file)}: is not a readable NIfTI file: {_one_line(error)}") from None
    if not isinstance(volume, nibabel.Nifti1Image):
        raise DataError(f"{printable(file)}: holds a {type(volume).__name__}, not a NIfTI volume")
    shape = volume.shape
    if not 2 <= len(shape) <= 4 or min(shape) < 1 or math.prod(shape[3:]) != 1:
        raise DataError(f"{printable(file)}: has shape {_times(shape)}; one 3-D volume per file is needed")
    if math.prod(shape) > MAX_VOXELS:
        raise DataError(f"{printable(file)}: shape {_times(shape)} exceeds {MAX_VOXELS} voxels; crop or resample it")
    if volume.get_data_dtype().kind not in "iuf":
        raise DataError(f"{printable(file)}: voxels of type {volume.get_data_dtype()} are not real numbers")
    linear = volume.affine[:3, :3]
    if not np.isfinite(volume.affine).all() or abs(np.linalg.det(linear)) < 1e-9 or abs(linear).max() > 1e4:
        raise DataError(f"{printable(file)}: its affine does not describe a grid in space; repair the header")
    return volume


def _check_same_grid(pair: Pair, image: Any, target: Any) -> None:
    corners = np.array([[*corner, 1] for corner in itertools.product(*((0, side - 1) for side in _grid(image)))])
    apart = np.abs(corners @ (target.affine - image.affine).T)[:, :3].max()
    voxel = float(nibabel.affines.voxel_sizes(image.affine).min())
    if apart > GRID_TOLERANCE_VOXELS * voxel:
        raise DataError(
            f"{printable(pair.target)}: its affine places it {apart:.2f} mm away from its image; "
            "resample it to the image's grid"
        )


def _voxels(file: Path, volume: Any) -> npt.NDArray[Any]:
    try:
        voxels = np.asanyarray(volume.dataobj)
    except _BROKEN as error:
        raise DataError(f"{printable(file)}: its voxels cannot be read: {_one_line(error)}") from None
    return voxels.reshape(_grid(volume))


def _grid(volume: Any) -> tuple[int, int, int]:
    first, second, *rest = volume.shape
    return first, second, rest[0] if rest else 1


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _one_line(error: BaseException) -> str:
    return printable(" ".join(str(error).split())) or type(error).__name__

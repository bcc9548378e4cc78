"""NIfTI pairs: an image volume and its label (or clean) volume on the same grid, as axial slices.

Files are untrusted: the header's shape, type and affine are checked before a voxel is read.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from trainer.data.pair import Pair, one_line, printable
from trainer.data.raw import RawPair
from trainer.data.settings import Settings
from trainer.data.volumes import Volume, slices_of, times
from trainer.errors import DataError

# nibabel and gzip report a broken file by any of these.
_BROKEN = (OSError, EOFError, ValueError, OverflowError, zlib.error, ImageFileError, HeaderDataError)


def read_pair(pair: Pair, settings: Settings) -> RawPair:
    """The two volumes of `pair`, cut into axial slices. Raises DataError, naming the file, if one cannot be read, is
    not a 3-D (or 2-D) volume of real numbers, is too large, or if the two do not lie on one grid.
    """
    return slices_of(open_volume(pair.image), open_volume(pair.target), settings)


def read_channel(pair: Pair, settings: Settings) -> RawPair:
    """As `read_pair`; of an image with a fourth dimension, channel `settings.channel`."""
    return slices_of(open_volume(pair.image, settings.channel), open_volume(pair.target), settings)


def open_volume(file: Path, channel: int | None = None) -> Volume:
    """The volume in `file`, its header checked, its voxels not read yet; of several channels, `channel`."""
    try:
        volume = nibabel.load(file)
    except _BROKEN as error:
        raise DataError(f"{printable(file)}: is not a readable NIfTI file: {one_line(error)}") from None
    if not isinstance(volume, nibabel.Nifti1Image):
        raise DataError(f"{printable(file)}: holds a {type(volume).__name__}, not a NIfTI volume")
    shape = volume.shape
    channels = shape[3] if len(shape) == 4 else 1
    if not 2 <= len(shape) <= 4 or min(shape) < 1 or (channels > 1 and channel is None):
        raise DataError(f"{printable(file)}: has shape {times(shape)}; one 3-D volume per file is needed")
    if channels > 1 and channel is not None and channel >= channels:
        raise DataError(f"{printable(file)}: has {channels} channels, counted from 0; data.channel={channel} is none")
    if volume.get_data_dtype().kind not in "iuf":
        raise DataError(f"{printable(file)}: voxels of type {volume.get_data_dtype()} are not real numbers")
    grid = (shape[0], shape[1], shape[2] if len(shape) > 2 else 1)
    affine = np.asarray(volume.affine, dtype=np.float64)
    return Volume(file, grid, affine, lambda: _voxels(file, volume, channel if channels > 1 else None).reshape(grid))


def _voxels(file: Path, volume: Any, channel: int | None) -> npt.NDArray[Any]:
    try:
        return np.asanyarray(volume.dataobj if channel is None else volume.dataobj[..., channel])
    except _BROKEN as error:
        raise DataError(f"{printable(file)}: its voxels cannot be read: {one_line(error)}") from None

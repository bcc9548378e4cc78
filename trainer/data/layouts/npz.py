"""NumPy archives: `images` and `masks` in one file, or one file a picture, slice or volume.

Names: images with masks or labels (restoration: noisy with clean), in the plural for a stack [n, h, w] of pictures or
[n, d, h, w] of volumes, in the singular for one picture [h, w] or one volume [d, h, w]; `train_`, `val_` and `test_`
in front. A last axis of colours or channels may follow in images. `subjects` [n] says who is shown; without it a
file CASE_slice012.npz belongs to CASE, and every item of a stack to a subject of its own. Archives are untrusted:
sizes are checked before anything is unpacked, and pickles are not opened.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.data.federated import Task
from trainer.data.pair import Found, Pair, one_line, printable
from trainer.data.pictures import LUMINANCE
from trainer.data.problems import Problems
from trainer.data.raw import RawPair
from trainer.data.settings import Settings
from trainer.data.walk import children, passed_over
from trainer.errors import DataError

TREES: Mapping[Task, str] = {
    "segmentation": "SITE/*.npz with arrays images and masks, or train_images, train_masks, test_images, test_masks",
    "restoration": "SITE/*.npz with arrays noisy and clean",
}
MAX_BYTES = 2**31  # of one archive, unpacked
_PARTS = ("", "train_", "val_", "test_")
_IMAGES: Mapping[Task, tuple[str, ...]] = {"segmentation": ("images", "image"), "restoration": ("noisy",)}
_TARGETS: Mapping[Task, tuple[str, ...]] = {
    "segmentation": ("masks", "mask", "labels", "label"),
    "restoration": ("clean",),
}
_SLICE = re.compile(r"^(?P<case>.+)[_-](?P<slice>slice[_-]?[0-9]+)$", re.IGNORECASE)
# NumPy and zipfile report a broken file by any of these; MemoryError: a header that claims more than there is.
_BROKEN = (
    *(OSError, EOFError, ValueError, KeyError, RuntimeError, NotImplementedError, MemoryError),
    *(zipfile.BadZipFile, zlib.error),
)


Array = npt.NDArray[Any]


def recognises(folder: Path, task: Task) -> bool:
    """Whether `folder` itself holds npz files."""
    return any(child.suffix.lower() == ".npz" for child in children(folder) if child.is_file())


def find(site: Path, settings: Settings, problems: Problems) -> Found:
    """The items of every archive in `site`; what is broken or does not fit goes to `problems`."""
    files = [child for child in children(site) if child.suffix.lower() == ".npz" and child.is_file()]
    pairs: list[Pair] = []
    notes: list[str] = []
    for file in files:
        try:
            arrays = _load(file, settings.task)
            pairs += _items(file, arrays, settings.task)
        except DataError as error:
            problems.add(str(error))
    if any(pair.held_out is not None for pair in pairs):
        pairs, notes = _with_test_set(site, pairs)
    others = [child for child in children(site) if child not in files]
    return Found(tuple(sorted(pairs, key=lambda pair: pair.name)), (*notes, *passed_over(site, others)))


def _load(file: Path, task: Task) -> dict[str, Array]:
    wanted = {part + name for part in _PARTS for name in (*_IMAGES[task], *_TARGETS[task], "subjects")}
    try:
        with zipfile.ZipFile(file) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAX_BYTES:
            raise DataError(f"{printable(file)}: unpacks to {size} bytes, more than {MAX_BYTES}; split it")
        with np.load(file, allow_pickle=False) as opened:
            present = list(opened.files)
            arrays = {name: opened[name] for name in present if name in wanted}
    except _BROKEN as error:
        raise DataError(f"{printable(file)}: is not a readable npz file: {one_line(error)}") from None
    if not any(name.removesuffix("subjects") not in _PARTS for name in arrays):
        raise DataError(
            f"{printable(file)}: holds {printable(', '.join(present[:8])) or 'no array'}; expected "
            f"{TREES[task].partition(' with ')[2]}"
        )
    return arrays


def _items(file: Path, arrays: Mapping[str, Array], task: Task) -> Iterator[Pair]:
    for part in _PARTS:
        images = [name for name in _IMAGES[task] if part + name in arrays]
        targets = [name for name in _TARGETS[task] if part + name in arrays]
        if not images and not targets:
            continue
        if len(images) != 1 or len(targets) != 1:
            raise DataError(
                f"{printable(file)}: has {', '.join(part + name for name in (*images, *targets))}; expected one of "
                f"{part}{f', {part}'.join(_IMAGES[task])} and one of {part}{f', {part}'.join(_TARGETS[task])}"
            )
        yield from _of_part(file, part, images[0], targets[0], arrays)


def _of_part(file: Path, part: str, image_name: str, target_name: str, arrays: Mapping[str, Array]) -> Iterator[Pair]:
    image, target = arrays[part + image_name], arrays[part + target_name]
    if target.ndim == image.ndim and target.ndim > 2 and target.shape[-1] == 1:
        target = target[..., 0]
    channels = image.shape[target.ndim :]
    if image.shape[: target.ndim] != target.shape or len(channels) > 1 or not 2 <= target.ndim <= 4:
        raise DataError(
            f"{printable(file)}: {part}{image_name} {list(image.shape)} does not fit {part}{target_name} "
            f"{list(arrays[part + target_name].shape)}"
        )
    for name, array in ((image_name, image), (target_name, target)):
        if array.dtype.kind not in "biuf" or 0 in array.shape:
            raise DataError(f"{printable(file)}: {part}{name} is {array.dtype} {list(array.shape)}, not numbers")
    stacked = target.ndim == 4 or (target.ndim == 3 and image_name != "image")
    count = len(target) if stacked else 1
    subjects = arrays.get(part + "subjects")
    if subjects is not None and (subjects.shape != (count,) or subjects.dtype.kind not in "iuUS"):
        raise DataError(f"{printable(file)}: {part}subjects must be {count} names, not {list(subjects.shape)}")
    held_out = {"": None, "train_": False}.get(part, True)
    for index in range(count):
        name, subject = _named(file.stem, part, index if stacked else None, subjects)
        chosen = (image[index], target[index]) if stacked else (image, target)
        yield Pair(name, subject, file, file, _Reader(*chosen), chosen[1].ndim == 3, held_out)


def _named(stem: str, part: str, index: int | None, subjects: Array | None) -> tuple[str, str]:
    """Name and subject of an item."""
    matched = _SLICE.match(stem)
    if index is None and matched:
        return printable(f"{matched['case']}/{matched['slice']}"), printable(matched["case"])
    name = printable(stem if index is None else f"{stem}-{part.replace('_', '-')}{index:05d}")
    if subjects is None:
        return name, name
    subject = printable(subjects[index or 0])
    return f"{subject}/{name}", subject


class _Reader:
    """Gives an item's two arrays; a picture as one slice."""

    def __init__(self, image: Array, target: Array) -> None:
        self._image, self._target = image, target

    def __call__(self, pair: Pair, settings: Settings) -> RawPair:
        image, remarks = self._image, tuple[str, ...]()
        if image.ndim > self._target.ndim:
            image, remarks = _one_channel(pair, image, settings.channel)
        target = self._target.astype(np.uint8) if self._target.dtype == np.bool_ else self._target
        is_picture = target.ndim == 2
        return RawPair(
            image=image[None] if is_picture else image,
            target=target[None] if is_picture else target,
            spacing=(1.0, 1.0),
            slice_names=("",) if is_picture else tuple(f"slice-{index:03d}" for index in range(len(target))),
            remarks=remarks,
            stored_shape=image.shape if is_picture else image.shape[::-1],  # [d, h, w] is right, front, up backwards
        )


def _one_channel(pair: Pair, image: Array, channel: int) -> tuple[Array, tuple[str, ...]]:
    count = image.shape[-1]
    if count == 3 and channel == 0:
        return image @ LUMINANCE, ("colour pictures read as luminance",)
    if channel >= count:
        raise DataError(f"{printable(pair.image)}: {count} channels, counted from 0; data.channel={channel} is none")
    return image[..., channel], (f"channel {channel} of {count} read (data.channel)",) if count > 1 else ()


def _with_test_set(site: Path, pairs: list[Pair]) -> tuple[list[Pair], list[str]]:
    """The archive's own test set held out; `val_` beside it trains, or is the test set where there is no other."""
    has_test = any(pair.held_out and "-test-" in pair.name for pair in pairs)
    validation = [pair for pair in pairs if pair.held_out and "-val-" in pair.name] if has_test else []
    note = f"{printable(site.name)}: the archive's own {'test_' if has_test else 'val_'} arrays are the test set"
    if validation:
        note += f"; its {len(validation)} val_ item(s) train"
    chosen = [replace(pair, held_out=False) if pair in validation else pair for pair in pairs]
    return [replace(pair, held_out=bool(pair.held_out)) for pair in chosen], [note]

"""Users' own images: one sub-folder per site, or one site. See `pairing.py` for the layouts.

Everything that is wrong with the files is found in one pass and listed in one error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from trainer.config import DataConfig
from trainer.data.classes import ClassMap, found_classes, given_classes
from trainer.data.federated import ClientData, FederatedData, SampleSet, Task
from trainer.data.pairing import LAYOUTS, Pair, describe_content, find_pairs, is_site, printable, site_folders
from trainer.data.problems import Problems
from trainer.data.splitting import Split, limited, split_slices, split_subjects
from trainer.data.subject import Prepared, prepare
from trainer.errors import DataError

_GREY_STEP = 0x010101  # a grey colour 0xVVVVVV is V times this


@dataclass(frozen=True)
class _Site:
    name: str
    scans: tuple[Prepared, ...]
    notes: tuple[str, ...]

    @property
    def subjects(self) -> list[str]:
        return sorted({scan.pair.subject for scan in self.scans})


def load(data: DataConfig, task: Task, seed: int) -> FederatedData:
    """The images below `data.path`, a client per site; images float32[n, 1, s, s] with s = `data.image_size`.

    Each site's subjects are split into training and test (drawn from `seed` and the site's name); a site with
    one subject is split by blocks of its slices instead, with `data.gap` slices between. Raises DataError with
    all problems found.
    """
    folders = _sites_below(data.path, task)
    given = given_classes(data.classes) if task == "segmentation" and data.classes is not None else None
    problems = Problems()
    sites = [_read_site(folder, task, data.image_size, given, problems) for folder in folders]
    problems.raise_if_any(f"{printable(data.path)} cannot be used as it is:")
    notes = [note for site in sites for note in site.notes]
    class_names: tuple[str, ...] = ()
    if task == "segmentation":
        sites = _with_uniform_values(sites)
        class_map = given or found_classes(value for site in sites for scan in site.scans for value in scan.values)
        _check_values(sites, class_map, problems)
        sites = [_with_classes(site, class_map) for site in sites]
        class_names = class_map.names
        notes += _class_notes(sites, class_map, is_given=given is not None)
    split = [done for site in sites if (done := _client(site, data, task, seed, problems))]
    problems.raise_if_any(f"{printable(data.path)} cannot be used as it is:")
    notes += [note for _, decided in split for note in decided]
    return FederatedData(
        task=task,
        class_names=class_names,
        clients=tuple(client for client, _ in split),
        provenance=_provenance(data, task),
        notes=tuple(notes),
    )


def _sites_below(path: Path | None, task: Task) -> list[Path]:
    if path is None:
        raise DataError("data.source=folder needs data.path=FOLDER, the folder that holds your sites")
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "does not exist"
        raise DataError(f"data.path={printable(path)} {what}; expected a folder with a sub-folder per site")
    if (path / "imagesTr").is_dir():
        raise DataError(
            f"data.path={printable(path)}: imagesTr/ and labelsTr/ (nnU-Net, Medical Segmentation Decathlon) are not "
            f"read yet; expected {LAYOUTS[task]}"
        )
    try:
        sites = [path] if is_site(path, task) else site_folders(path)
    except OSError as error:
        raise DataError(f"data.path={printable(path)} cannot be opened: {error.strerror}") from None
    if not sites:
        raise DataError(f"data.path={printable(path)}: found {describe_content(path)}; expected {LAYOUTS[task]}")
    return sites


def _read_site(folder: Path, task: Task, size: int, given: ClassMap | None, problems: Problems) -> _Site:
    try:
        pairing = find_pairs(folder, task, problems)
    except OSError as error:
        problems.add(f"{printable(folder)}: cannot be opened: {error.strerror}")
        return _Site(printable(folder.name), (), ())
    background = given.background() if given else frozenset({0})
    attempts = (_prepared(pair, task, size, background, problems) for pair in pairing.pairs)
    scans = [scan for scan in attempts if scan is not None]
    name = printable(folder.name or folder.resolve().name)
    if scans and not any(scan.identifiers for scan in scans):
        problems.add(f"{name}: no slice of any volume holds a label")
    remarks = sum((scan.remarks for scan in scans), Counter[str]())
    counted = tuple(f"{name}: {count} {what}" for what, count in remarks.items() if count)
    return _Site(name, tuple(scan for scan in scans if scan.identifiers), (*pairing.notes, *counted))


def _prepared(pair: Pair, task: Task, size: int, background: Set[int], problems: Problems) -> Prepared | None:
    try:
        return prepare(pair, task, size, background)
    except DataError as error:
        problems.add(str(error))
        return None


def _with_uniform_values(sites: list[_Site]) -> list[_Site]:
    """Grey masks stored as RGB as grey levels; raises DataError if real colours and grey levels are mixed."""
    scans = [scan for site in sites for scan in site.scans]
    coloured = [scan for scan in scans if scan.colour_target]
    if any(value != (value & 0xFF) * _GREY_STEP for scan in coloured for value in scan.values):
        if len(coloured) < len(scans):
            plain = next(scan for scan in scans if not scan.colour_target)
            raise DataError(
                f"some masks are in colour ({printable(coloured[0].pair.target)}), others are not "
                f"({printable(plain.pair.target)}): one map from values to classes cannot hold for both"
            )
        return sites
    return [replace(site, scans=tuple(_as_grey(scan) for scan in site.scans)) for site in sites]


def _as_grey(scan: Prepared) -> Prepared:
    if not scan.colour_target:
        return scan
    targets = np.where(scan.targets < 0, scan.targets, scan.targets // _GREY_STEP)
    return replace(scan, targets=targets, values=frozenset(value // _GREY_STEP for value in scan.values))


def _check_values(sites: list[_Site], class_map: ClassMap, problems: Problems) -> None:
    for site in sites:
        for scan in site.scans:
            strange = sorted(scan.values - class_map.indices.keys())
            if strange:
                problems.add(
                    f"{printable(scan.pair.target)}: holds {_listed(strange)}, which data.classes does not name "
                    f"(it names {_listed(sorted(class_map.indices))})"
                )
    problems.raise_if_any("mask values without a class:")


def _with_classes(site: _Site, class_map: ClassMap) -> _Site:
    return replace(site, scans=tuple(replace(scan, targets=class_map.apply(scan.targets)) for scan in site.scans))


def _class_notes(sites: list[_Site], class_map: ClassMap, is_given: bool) -> list[str]:
    notes = []
    if not is_given:
        pairs = ", ".join(f"{value} -> {class_map.names[index]}" for value, index in class_map.indices.items())
        notes.append(f"classes found in the masks, the smallest value taken as background: {pairs}")
    for site in sites:
        present = {class_map.indices[value] for scan in site.scans for value in scan.values}
        absent = [name for index, name in enumerate(class_map.names) if index and index not in present]
        if absent:
            notes.append(f"{site.name}: no slice holds {', '.join(absent)}")
    return notes


def _client(
    site: _Site, data: DataConfig, task: Task, seed: int, problems: Problems
) -> tuple[ClientData, tuple[str, ...]] | None:
    """The site's slices, split, and notes on how; or None, and why in `problems`."""
    try:
        split, notes = _split(site, data, seed)
    except DataError as error:
        problems.add(f"{site.name}: shows one subject only, and its {error}")
        return None
    kept = limited(split, data.max_slices)
    sizes = f"{len(kept.train)} training and {len(kept.test)} test slices"
    if kept != split:
        notes += (f"{site.name}: data.max_slices={data.max_slices} leaves {sizes}",)
    files = f"{len(site.scans)} {'NIfTI volume' if site.scans[0].pair.is_nifti else 'picture'}(s)"
    client = ClientData(
        name=site.name,
        description=f"{files} of {len(site.subjects)} subject(s); {sizes}",
        train=_samples(site.scans, kept.train, task),
        test=_samples(site.scans, kept.test, task),
    )
    return client, notes


def _split(site: _Site, data: DataConfig, seed: int) -> tuple[Split, tuple[str, ...]]:
    """Positions of the site's slices, all scans in order, that train and that test; and notes on how."""
    owners = [scan.pair.subject for scan in site.scans for _ in scan.identifiers]
    if len(site.subjects) == 1:
        split = split_slices(len(owners), 1, data.test_fraction, data.gap)[0]
        dropped = len(owners) - len(split.train) - len(split.test)
        return split, (
            f"{site.name}: one subject only, so training and test slices show the same person; split into blocks of "
            f"slices, {dropped} between them dropped (data.gap={data.gap})",
        )
    positions = split_subjects(site.subjects, site.name, data.test_fraction, seed)
    held_out = {site.subjects[index] for index in positions.test}
    test = tuple(index for index, owner in enumerate(owners) if owner in held_out)
    train = tuple(index for index, owner in enumerate(owners) if owner not in held_out)
    if any("/" not in scan.pair.name and not scan.pair.is_nifti for scan in site.scans):
        return Split(train, test), (
            f"{site.name}: every picture counts as a subject of its own; if several show one patient, put them into "
            "a sub-folder per patient, or training and test set share patients",
        )
    return Split(train, test), ()


def _samples(scans: Sequence[Prepared], positions: Sequence[int], task: Task) -> SampleSet:
    chosen = np.array(positions)
    images = np.concatenate([scan.images for scan in scans])[chosen]
    targets = torch.from_numpy(np.concatenate([scan.targets for scan in scans])[chosen])
    names = [name for scan in scans for name in scan.identifiers]
    return SampleSet(
        images=torch.from_numpy(images)[:, None],
        targets=targets if task == "segmentation" else targets[:, None],
        identifiers=tuple(names[index] for index in positions),
    )


def _provenance(data: DataConfig, task: Task) -> str:
    intensity = {
        "segmentation": "each image (volume or picture) z-scored",
        "restoration": "each noisy and clean pair mapped to [0, 1] together, by their smallest and largest value",
    }
    return (
        f"folder: your own images, {printable(data.path)}; source and licence are yours to state.\n"
        f"Prepared: {intensity[task]}; volumes turned to canonical orientation and cut into axial slices; resampled "
        f"to {data.image_size} x {data.image_size} pixels, aspect kept, shorter side padded."
    )


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")

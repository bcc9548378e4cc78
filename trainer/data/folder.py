"""Users' own images: found, read, checked, shared out to clients. See `layouts/` for how they may lie on disk.

Everything that is wrong with the files is found in one pass; `load` lists it in one error, `inspect` hands it out
beside what could be read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, field

from trainer.config import DataConfig
from trainer.data.classes import ClassMap, given_classes
from trainer.data.clients import client_of, through_scanner
from trainer.data.crops import crop_notes
from trainer.data.federated import FederatedData, Task
from trainer.data.labels import absent_classes, labelled, own_classes
from trainer.data.pair import Found, Pair, printable
from trainer.data.partition import simulated
from trainer.data.problems import Problems
from trainer.data.scanner import draw_scanner
from trainer.data.settings import Settings
from trainer.data.site import Site
from trainer.data.site_table import by_pattern, by_table
from trainer.data.sites import SiteFolder, find_sites
from trainer.data.subject import Prepared, prepare
from trainer.data.volumes import times
from trainer.errors import DataError


@dataclass
class Inspection:
    """What a folder holds. `folders` and `sites` (as far as they could be read) correspond; `data` is None where
    there are problems.
    """

    folders: list[SiteFolder]
    sites: list[Site] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: Problems = field(default_factory=Problems)
    data: FederatedData | None = None


def load(data: DataConfig, task: Task, seed: int) -> FederatedData:
    """The images below `data.path`: slices float32[n, 1, s, s] with s = `data.image_size`, or, where d = `data.depth`
    is given, volumes float32[n, 1, d, s, s].

    Clients are the sites, or simulated (`data.partition`). Each client's subjects are split into training and test,
    as the data set says or drawn from `seed` and the client's name; a site with one subject is split by blocks of its
    slices instead, with `data.gap` slices between, and refused where volumes are learnt whole. Raises DataError with
    all problems found.
    """
    found = inspect(data, task, seed)
    found.problems.raise_if_any(f"{printable(data.path)} cannot be used as it is:")
    if found.data is None:
        raise DataError(f"{printable(data.path)} holds no images")
    return found.data


def inspect(data: DataConfig, task: Task, seed: int) -> Inspection:
    """As `load`, but problems with the files are handed out. Raises DataError where there is no site at all."""
    settings = Settings.of(data, task)
    given = given_classes(data.classes) if task == "segmentation" and data.classes is not None else None
    result = Inspection(find_sites(data, task))
    finds = [(folder.name, _find(folder, settings, result.problems)) for folder in result.folders]
    own = own_classes(finds, result.problems) if given is None and task == "segmentation" else None
    class_map = given or own
    background = class_map.background() if class_map else frozenset({0})
    for name, found in finds:
        result.sites.append(_read(name, found, settings, background, result))
    if result.problems:
        return result
    try:
        result.data = _federated(
            result, data, settings, class_map, "data.classes" if given else "the data set itself", seed
        )
    except DataError as error:
        result.problems.add(str(error))
    if result.problems:
        result.data = None
    return result


def _find(folder: SiteFolder, settings: Settings, problems: Problems) -> Found:
    try:
        return folder.layout.find(folder.path, settings, problems)
    except OSError as error:
        problems.add(f"{printable(folder.path)}: cannot be opened: {error.strerror}")
        return Found()


def _read(name: str, found: Found, settings: Settings, background: Set[int], result: Inspection) -> Site:
    pictures = [pair for pair in found.pairs if not pair.is_volume]
    if settings.depth is not None and pictures:
        result.problems.add(
            f"{name}: {len(pictures)} image(s) are pictures, not volumes (such as {printable(pictures[0].image)}): "
            "network.dimensions=3 trains on volumes; set network.dimensions=2 and leave data.depth out, or convert "
            "each subject's pictures to one NIfTI file"
        )
        return Site(name, ())
    attempts = (_prepared(pair, settings, background, result.problems) for pair in found.pairs)
    scans = [scan for scan in attempts if scan is not None]
    if scans and not any(scan.identifiers for scan in scans):
        result.problems.add(f"{name}: no slice of any volume holds a label")
    if not found.pairs and not result.problems:
        result.problems.add(f"{name}: no image with its mask was found")
    remarks = sum((scan.remarks for scan in scans), Counter[str]())
    result.notes += [*found.notes, *(f"{name}: {count} {what}" for what, count in remarks.items() if count)]
    try:
        result.notes += crop_notes(name, scans, settings)
    except DataError as error:
        result.problems.add(str(error))
    empty = [scan.pair.name for scan in scans if not scan.identifiers]
    if empty:
        result.notes.append(f"{name}: {len(empty)} volume(s) without any label left out (such as {empty[0]})")
    return Site(name, tuple(scan for scan in scans if scan.identifiers))


def _prepared(pair: Pair, settings: Settings, background: Set[int], problems: Problems) -> Prepared | None:
    try:
        return prepare(pair, settings, background)
    except DataError as error:
        problems.add(str(error))
        return None


def _federated(
    result: Inspection, data: DataConfig, settings: Settings, given: ClassMap | None, source: str, seed: int
) -> FederatedData | None:
    """The clients' data; None, and why in the problems, or DataError, where there is none to be had."""
    sites, problems, notes = result.sites, result.problems, result.notes
    class_map = None
    if settings.task == "segmentation":
        sites, class_map, said = labelled(sites, given, source, problems)
        notes += said
    if problems:
        return None
    if data.sites is not None and data.site_pattern is not None:
        raise DataError("data.sites and data.site_pattern both say which site an image is of; give one of them")
    if data.sites is not None:
        sites, said = by_table(data.sites, sites, problems)
        notes += said
    elif data.site_pattern is not None:
        sites, said = by_pattern(data.site_pattern, sites, problems)
        notes += said
    if problems:
        return None
    class_names = class_map.names if class_map else ()
    if data.partition != "site":
        sites, said = simulated(sites, data, len(class_names), seed)
        notes += said
    if class_map is not None:
        notes += absent_classes(sites, class_map)
    if data.feature_shift:
        sites = _with_scanners(sites, data, settings, seed, notes)
    clients = []
    for site in sites:
        try:
            client, decided = client_of(site, data, settings.task, seed)
        except DataError as error:
            problems.add(str(error))
            continue
        clients.append(client)
        notes += decided
    if problems:
        return None
    provenance = _provenance(data, settings)
    return FederatedData(settings.task, class_names, tuple(clients), provenance, tuple(notes))


def _with_scanners(
    sites: list[Site], data: DataConfig, settings: Settings, seed: int, notes: list[str]
) -> list[Site]:
    shifted = []
    for client, site in enumerate(sites):
        scanner = draw_scanner(seed, client, data.heterogeneity)
        notes.append(f"{site.name}: simulated scanner: {scanner.describe()}")
        shifted.append(through_scanner(site, scanner, settings, client, seed))
    return shifted


def _provenance(data: DataConfig, settings: Settings) -> str:
    size = data.image_size
    if data.depth is not None and data.spacing is not None:
        kept, placed = "", f"cropped or padded to {size} x {size} x {data.depth} voxels of {times(data.spacing)} mm"
    else:
        kept = " and cut into axial slices"
        placed = (
            f"resampled to {size} x {size} pixels, aspect kept, shorter side padded"
            if data.spacing is None
            else f"volumes cropped or padded to {size} x {size} pixels at data.spacing"
        )
    return (
        f"folder: your own images, {printable(data.path)}; source and licence are yours to state.\n"
        f"Prepared: {settings.intensity.describe(settings.task)}; volumes turned to canonical orientation (RAS)"
        f"{kept}; {placed}."
    )

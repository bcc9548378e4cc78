"""From a site to a client: which subjects train and which test, and the tensors of both."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from trainer.config import DataConfig
from trainer.data.federated import ClientData, SampleSet, Task
from trainer.data.scanner import Scanner, noise_generator
from trainer.data.settings import Settings
from trainer.data.site import Site
from trainer.data.slices import unit_range
from trainer.data.splitting import Split, limited, split_slices, split_subjects
from trainer.data.subject import Prepared
from trainer.errors import DataError


def client_of(site: Site, data: DataConfig, task: Task, seed: int) -> tuple[ClientData, tuple[str, ...]]:
    """The site's slices or volumes, split, and notes on how. Raises DataError if it cannot be split."""
    split, notes = _split(site, data, seed)
    kept = limited(split, data.max_slices)
    sizes = f"{len(kept.train)} training and {len(kept.test)} test {'slices' if data.depth is None else 'volumes'}"
    if kept != split:
        notes += (f"{site.name}: data.max_slices={data.max_slices} leaves {sizes}",)
    files = f"{len(site.scans)} {'volume' if site.scans[0].pair.is_volume else 'picture'}(s)"
    client = ClientData(
        name=site.name,
        description=f"{files} of {len(site.subjects)} subject(s); {sizes}",
        train=_samples(site.scans, kept.train, task),
        test=_samples(site.scans, kept.test, task),
    )
    return client, notes


def through_scanner(site: Site, scanner: Scanner, settings: Settings, client: int, seed: int) -> Site:
    """`site` as client number `client`'s simulated `scanner` would show it; each image keeps its intensity rule."""
    scans = tuple(_scanned(scan, scanner, settings, client, seed) for scan in site.scans)
    return replace(site, scans=scans)


def _scanned(scan: Prepared, scanner: Scanner, settings: Settings, client: int, seed: int) -> Prepared:
    if settings.task == "segmentation":
        (clean,) = unit_range(scan.images)
    else:
        clean = np.clip(scan.images, 0.0, 1.0)
    shape, names = scan.images.shape, scan.identifiers
    if settings.depth is not None:  # slice by slice too, as such images are taken: one table, coil and noise for all
        names = tuple(f"{name}/slice-{index:03d}" for name in names for index in range(settings.depth))
    seen = np.stack(
        [
            # By name, not by position: a slice does not depend on which others are loaded.
            scanner.apply(image, noise_generator(seed, client, zlib.crc32(name.encode())))
            for image, name in zip(clean.reshape(-1, *shape[-2:]), names, strict=True)
        ]
    ).reshape(shape)
    turned = np.stack([scanner.orient(target) for target in scan.targets.reshape(-1, *shape[-2:])])
    if settings.task == "restoration":
        turned = np.stack([scanner.expose(target) for target in turned])
    if settings.intensity.rule == "zscore":
        (seen,) = settings.intensity.normalise(seen)
    else:
        seen = np.clip(seen, 0.0, 1.0)
    return replace(scan, images=seen, targets=turned.reshape(shape))


def _split(site: Site, data: DataConfig, seed: int) -> tuple[Split, tuple[str, ...]]:
    """Positions of the site's slices or volumes, all scans in order, that train and that test; and notes on how."""
    owners = [scan.pair.subject for scan in site.scans for _ in scan.identifiers]
    if len(site.subjects) == 1 and data.depth is not None:
        raise DataError(
            f"{site.name}: shows one subject only, and volumes are not split: it needs a second to test on "
            "(data.partition=even would deal out the subjects of all sites)"
        )
    if len(site.subjects) == 1:
        try:
            split = split_slices(len(owners), 1, data.test_fraction, data.gap)[0]
        except DataError as error:
            raise DataError(f"{site.name}: shows one subject only, and its {error}") from None
        dropped = len(owners) - len(split.train) - len(split.test)
        return split, (
            f"{site.name}: one subject only, so training and test slices show the same person; split into blocks of "
            f"slices, {dropped} between them dropped (data.gap={data.gap})",
        )
    held_out, notes = _own_test_set(site, data)
    if not held_out:
        positions = split_subjects(site.subjects, site.name, data.test_fraction, seed)
        held_out = {site.subjects[index] for index in positions.test}
    test = tuple(index for index, owner in enumerate(owners) if owner in held_out)
    train = tuple(index for index, owner in enumerate(owners) if owner not in held_out)
    if any(scan.pair.subject == scan.pair.name and not scan.pair.is_volume for scan in site.scans):
        notes += (
            f"{site.name}: every picture counts as a subject of its own; if several show one patient, put them into "
            "a sub-folder per patient, or training and test set share patients",
        )
    return Split(train, test), notes


def _own_test_set(site: Site, data: DataConfig) -> tuple[set[str], tuple[str, ...]]:
    """Subjects that the data set itself holds out, and notes; none where it has no test set, or it is not followed.

    Raises DataError if it holds out a part of a subject's images.
    """
    said = [scan.pair.held_out for scan in site.scans]
    if all(held_out is None for held_out in said):
        return set(), ()
    if data.partition != "site":
        return set(), (f"{site.name}: the data set's own test set is not followed; drawn anew for this hospital",)
    tests = {scan.pair.subject for scan in site.scans if scan.pair.held_out}
    trains = {scan.pair.subject for scan in site.scans if not scan.pair.held_out}
    if tests & trains:
        raise DataError(
            f"{site.name}: the data set has {', '.join(sorted(tests & trains)[:3])} in both its training and its "
            "test set; a subject belongs to one"
        )
    if not tests or not trains:
        return set(), (f"{site.name}: the data set's own split leaves one of the two sets empty; drawn anew",)
    return tests, (f"{site.name}: {len(tests)} of {len(tests | trains)} subjects test, as the data set says",)


def _samples(scans: Sequence[Prepared], positions: Sequence[int], task: Task) -> SampleSet:
    items = [(scan, index) for scan in scans for index in range(len(scan.identifiers))]
    chosen = [items[position] for position in positions]
    # Stacked once, out of the scans: volumes are too large to copy twice.
    images = torch.from_numpy(np.stack([scan.images[index] for scan, index in chosen]))
    targets = torch.from_numpy(np.stack([scan.targets[index] for scan, index in chosen]))
    return SampleSet(
        images=images[:, None],
        targets=targets if task == "segmentation" else targets[:, None],
        identifiers=tuple(scan.identifiers[index] for scan, index in chosen),
    )

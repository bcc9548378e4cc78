"""The demo set: axial slices of the MNI ICBM152 2009a brain template, as the nilearn package carries it.

One brain is shared out to simulated hospitals: each gets its own slices and its own simulated scanner, which for
restoration is a CT scanner. It is a template, the average of 152 people, not a patient; what is learnt here says
nothing about patients.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
import torch

from trainer.config import DataConfig
from trainer.data import ct
from trainer.data.federated import ClientData, FederatedData, SampleSet, Task
from trainer.data.scanner import Scanner, draw_scanner, noise_generator
from trainer.data.slices import fit_image, fit_labels, seen_from_above, zscore
from trainer.data.splitting import Split, limited, split_slices
from trainer.errors import DataError

CLASS_NAMES = ("background", "other brain", "grey matter", "white matter")
PROVENANCE = """\
brain-mri: MNI ICBM152 2009a symmetric template (T1, grey and white matter maps, 1 mm), read from the installed
nilearn package (BSD-3-Clause). Template: Fonov et al., NeuroImage 54(1), 2011, doi 10.1016/j.neuroimage.2010.07.033;
copyright Louis Collins, McConnell Brain Imaging Centre, McGill University, whose page for the template grants use,
copying and distribution under its notice; nilearn's own description calls the licence unknown.
Caveats: the average of 152 brains, not a patient; all clients share this one brain and differ by their slices and
their simulated scanners; labels are thresholded tissue probabilities, not a reader's contours."""
CT_CAVEATS = """
Restoration: MRI anatomy stands in for CT. T1 intensity is read as attenuation, 0 as air and full scale as 1.25
times water, so there is no skull, and tissues differ far more than in a real head (about 10 HU). Each slice fills
its client's field of view. Geometry, photon counts and reconstruction are simulated, with scikit-image's
projections; scatter, beam hardening and electronic noise are left out."""

MIN_TISSUE_VOXELS = 500  # grey and white voxels (mm^2) a slice must hold; below, a slice is a few pixels of cortex
MARGIN_VOXELS = 4  # kept around the brain on every side
_FILE = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"


@dataclass(frozen=True)
class Template:
    """The slices in use, from the lowest up, seen from above with the nose at the top.

    `images`: float32[n, h, w] in [0, 1]. `labels`: int64[n, h, w], indices of CLASS_NAMES. `axial_indices`: n
    positions along the volume's inferior-superior axis, consecutive.
    """

    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    axial_indices: tuple[int, ...]


def load(data: DataConfig, task: Task, seed: int) -> FederatedData:
    """The demo set for `data.clients` hospitals; images float32[n, 1, s, s] with s = `data.image_size`.

    Segmentation: images z-scored per slice, targets are indices of CLASS_NAMES. Restoration: the target is the
    slice as a map of attenuation, the image is what the client's simulated CT scanner makes of it; both in
    [0, 1]. Raises DataError if nilearn's files are missing, the slices do not suffice for the clients, or volumes are
    asked for.
    """
    if data.depth is not None:
        raise DataError(
            "data.source=brain-mri is one brain, dealt out by its slices, and has no volume for each hospital: for "
            "network.dimensions=3 set data.source=folder and data.path to volumes of your own"
        )
    template = read_template(template_files())
    splits = split_slices(len(template.axial_indices), data.clients, data.test_fraction, data.gap)
    clients = []
    for client, split in enumerate(splits):
        kept, key = limited(split, data.max_slices), (data.image_size, seed, client)
        if task == "segmentation":
            scanner = draw_scanner(seed, client, data.heterogeneity)
            train, test = (_scan(template, part, scanner, key) for part in (kept.train, kept.test))
            description = scanner.describe()
        else:
            ct_scanner = ct.draw_ct_scanner(seed, client, data.heterogeneity, data.image_size)
            train, test = (_scan_ct(template, part, ct_scanner, key) for part in (kept.train, kept.test))
            description = ct_scanner.describe()
        clients.append(ClientData(f"hospital-{client + 1}", description, train, test))
    return FederatedData(
        task=task,
        class_names=CLASS_NAMES if task == "segmentation" else (),
        clients=tuple(clients),
        provenance=PROVENANCE if task == "segmentation" else PROVENANCE + CT_CAVEATS,
        notes=_notes(template, splits, data),
    )


def template_files() -> dict[str, Path]:
    """Paths of the T1 template ("t1") and the grey ("gm") and white ("wm") matter maps.

    Found without importing nilearn, which would load scikit-learn for three files. Raises DataError if missing.
    """
    found = importlib.util.find_spec("nilearn")
    if found is None or not found.submodule_search_locations:
        raise DataError('the brain-mri images come with the nilearn package: pip install "dcsfl[demo]"')
    folder = Path(found.submodule_search_locations[0]) / "datasets" / "data"
    files = {name: folder / _FILE.format(name) for name in ("t1", "gm", "wm")}
    missing = [file.name for file in files.values() if not file.is_file()]
    if missing:
        raise DataError(
            f'the installed nilearn lacks {", ".join(missing)}; a version that has them: pip install "dcsfl[demo]"'
        )
    return files


def read_template(files: dict[str, Path]) -> Template:
    """The axial slices with at least MIN_TISSUE_VOXELS of grey and white matter, cropped to the brain.

    The T1 template is already stripped of the skull: it is exactly zero outside the template's brain mask, so
    brain is where it is not. A brain voxel is grey or white by the larger probability if that is at least 0.5,
    and otherwise "other brain" (ventricles and other fluid, and what the two maps leave undecided).
    """
    t1, grey, white = (_canonical(files[name]) for name in ("t1", "gm", "wm"))
    brain = t1 > 0
    labels = brain.astype(np.int64)
    labels[brain & (grey >= 0.5) & (grey >= white)] = CLASS_NAMES.index("grey matter")
    labels[brain & (white >= 0.5) & (white > grey)] = CLASS_NAMES.index("white matter")
    with_tissue = np.flatnonzero((labels >= CLASS_NAMES.index("grey matter")).sum(axis=(0, 1)) >= MIN_TISSUE_VOXELS)
    axial = range(int(with_tissue[0]), int(with_tissue[-1]) + 1)
    box = tuple(_extent(np.asarray(brain.any(axis=other))) for other in ((1, 2), (0, 2)))
    cut = (*box, slice(axial.start, axial.stop))
    return Template(seen_from_above(t1[cut]), seen_from_above(labels[cut]), tuple(axial))


def _canonical(file: Path) -> npt.NDArray[np.float32]:
    """A volume float32[right, anterior, superior] in [0, 1]; the files hold 0 to 255."""
    volume = nibabel.as_closest_canonical(nibabel.load(file))
    return np.asarray(volume.dataobj, dtype=np.float32) / 255.0


def _extent(occupied: npt.NDArray[np.bool_]) -> slice:
    where = np.flatnonzero(occupied)
    return slice(max(0, int(where[0]) - MARGIN_VOXELS), int(where[-1]) + 1 + MARGIN_VOXELS)


def _scan(template: Template, positions: tuple[int, ...], scanner: Scanner, key: tuple[int, int, int]) -> SampleSet:
    """Slices and labels at `positions` through `scanner`; `key` is (image size, seed, client)."""
    size, seed, client = key
    images, targets = [], []
    for position in positions:
        clean = scanner.expose(scanner.orient(fit_image(template.images[position], size)))
        images.append(zscore(scanner.acquire(clean, noise_generator(seed, client, template.axial_indices[position]))))
        targets.append(scanner.orient(fit_labels(template.labels[position], size)))
    return SampleSet(
        images=torch.from_numpy(np.stack(images))[:, None],
        targets=torch.from_numpy(np.stack(targets)),
        identifiers=_identifiers(template, positions),
    )


def _scan_ct(
    template: Template, positions: tuple[int, ...], scanner: ct.CtScanner, key: tuple[int, int, int]
) -> SampleSet:
    """Low-dose images of the slices at `positions`, and the slices themselves; `key` as for `_scan`."""
    size, seed, client = key
    circle = ct.imaged_circle(size)
    images, targets = [], []
    for position in positions:
        clean = np.where(circle, fit_image(template.images[position], size), np.float32(0.0))
        seen = scanner.scan(clean, ct.photon_generator(seed, client, template.axial_indices[position]))
        images.append(np.clip(seen, 0.0, 1.0))
        targets.append(clean)
    return SampleSet(
        images=torch.from_numpy(np.stack(images))[:, None],
        targets=torch.from_numpy(np.stack(targets))[:, None],
        identifiers=_identifiers(template, positions),
    )


def _identifiers(template: Template, positions: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(f"slice-{template.axial_indices[position]:03d}" for position in positions)


def _notes(template: Template, splits: tuple[Split, ...], data: DataConfig) -> tuple[str, ...]:
    first, last = template.axial_indices[0], template.axial_indices[-1]
    used = sum(len(split.train) + len(split.test) for split in splits)
    notes = [
        f"axial slices {first} to {last} in use: others hold under {MIN_TISSUE_VOXELS} mm^2 of grey and white matter",
        f"{len(template.axial_indices) - used} of {len(template.axial_indices)} slices dropped: {data.gap} on either "
        "side of each test block, so that no client's training slice is next to any client's test slice",
    ]
    if data.max_slices is not None:
        notes.append(f"data.max_slices={data.max_slices}: training slices thinned evenly, test slices in proportion")
    return tuple(notes)

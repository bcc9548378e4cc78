"""Which files of a site belong together: an image and its mask, or a noisy image and its clean one.

Two layouts: two folders side by side (`images/` with `masks/` or `labels/`; `noisy/` with `clean/`), the files
matched by their path below the folder without its ending; or all files in the site's folder, where the mask is
named like the image with `_mask`, `_seg`, `_segmentation` or `_label` behind it. In a mask folder both namings
are accepted. Below the two folders, a sub-folder is a subject; a file outside any is a subject of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from trainer.data import nifti, pictures
from trainer.data.federated import Task
from trainer.data.pair import Found, Pair, printable
from trainer.data.problems import Problems
from trainer.data.settings import Settings
from trainer.data.walk import (
    children,
    describe_content,
    ending,
    files_below,
    is_nifti,
    passed_over,
    without_mask_ending,
)

TREES: Mapping[Task, str] = {
    "segmentation": (
        "SITE/images/ with SITE/masks/ or SITE/labels/, or SITE/NAME with SITE/NAME_mask, _seg, _segmentation or "
        "_label; NIfTI (.nii, .nii.gz) or pictures (.png, .jpg, .tif)"
    ),
    "restoration": (
        "SITE/noisy/ with SITE/clean/, the same names in both; NIfTI (.nii, .nii.gz) or pictures (.png, .jpg, .tif)"
    ),
}
_INPUT: Mapping[Task, str] = {"segmentation": "images", "restoration": "noisy"}
_TARGETS: Mapping[Task, tuple[str, ...]] = {"segmentation": ("masks", "labels"), "restoration": ("clean",)}


def recognises(folder: Path, task: Task) -> bool:
    """Whether `folder` itself follows this layout, rather than holding sites."""
    if _has_roles(folder, task):
        return True
    below = children(folder)
    has_files = any(ending(child.name) for child in below if child.is_file())
    # A picture lying beside the sites' folders (a logo, a preview) does not make their parent a site.
    return has_files and not any(_has_roles(child, task) for child in below if child.is_dir())


def find(site: Path, settings: Settings, problems: Problems) -> Found:
    """Pair the files of `site`; whatever has no partner, or more than one, goes to `problems`."""
    task = settings.task
    below = children(site)
    folders = {child.name.lower(): child for child in below if child.is_dir()}
    targets = [folders[name] for name in _TARGETS[task] if name in folders]
    wanted = " or ".join(f"{name}/" for name in _TARGETS[task])
    inputs = folders.get(_INPUT[task])
    if inputs is None and not targets:
        if task == "segmentation" and any(ending(child.name) for child in below if child.is_file()):
            return _side_by_side(site, below, problems)
        problems.add(f"{printable(site)}: found {describe_content(site)}; expected {TREES[task]}")
        return Found()
    if inputs is None or len(targets) != 1:
        present = ", ".join(f"{printable(path.name)}/" for path in ([inputs] if inputs else []) + targets)
        problems.add(f"{printable(site)}: has {present}; expected {_INPUT[task]}/ and exactly one of {wanted}")
        return Found()
    return _two_folders(site, inputs, targets[0], task, problems)


def pair_of(name: str, subject: str, image: Path, target: Path, held_out: bool | None = None) -> Pair:
    """A pair of two files that are NIfTI volumes or pictures, by the image's ending."""
    volume = is_nifti(image)
    read = nifti.read_pair if volume else pictures.read_pair
    return Pair(printable(name), printable(subject), image, target, read, volume, held_out)


def _has_roles(folder: Path, task: Task) -> bool:
    roles = {_INPUT[task], *_TARGETS[task]}
    return any(child.name.lower() in roles for child in children(folder) if child.is_dir())


def _two_folders(site: Path, inputs: Path, targets: Path, task: Task, problems: Problems) -> Found:
    strangers: list[Path] = []
    images = _by_name(inputs, files_below(inputs, problems), strangers, problems)
    masks = _by_name(targets, files_below(targets, problems), strangers, problems)
    if not images and not masks:
        problems.add(f"{printable(site)}: found {describe_content(site)}; expected {TREES[task]}")
        return Found()
    _refuse_mixture(site, [*images.values(), *masks.values()], problems)
    matched: dict[str, Path] = {}
    for name, mask in masks.items():
        image_name = name if name in images or task == "restoration" else without_mask_ending(name)
        if image_name not in images:
            problems.add(f"{printable(mask)}: no image of this name in {printable(inputs.name)}/")
        elif image_name in matched:
            problems.add(
                f"{printable(images[image_name])}: two targets, "
                f"{printable(matched[image_name].name)} and {printable(mask.name)}"
            )
        else:
            matched[image_name] = mask
    for name, image in images.items():
        if name not in matched:
            problems.add(f"{printable(image)}: no file of this name in {printable(targets.name)}/")
    pairs = [pair_of(name, name.split("/")[0], images[name], matched[name]) for name in sorted(matched)]
    others = [child for child in children(site) if child not in (inputs, targets)]
    return Found(tuple(pairs), passed_over(site, [*strangers, *others]))


def _side_by_side(site: Path, below: list[Path], problems: Problems) -> Found:
    strangers = [child for child in below if child.is_dir()]
    files = _by_name(site, [child for child in below if child.is_file()], strangers, problems)
    _refuse_mixture(site, files.values(), problems)
    masks = {name for name in files if without_mask_ending(name) != name}
    pairs: dict[str, Pair] = {}
    for name in sorted(masks):
        image = without_mask_ending(name)
        if image not in files or image in masks:
            problems.add(f"{printable(files[name])}: no image named {printable(image)} beside this mask")
        elif image in pairs:
            problems.add(
                f"{printable(files[image])}: two masks, "
                f"{printable(pairs[image].target.name)} and {printable(files[name].name)}"
            )
        else:
            pairs[image] = pair_of(image, image, files[image], files[name])
    for name in sorted(files.keys() - masks - pairs.keys()):
        problems.add(f"{printable(files[name])}: no mask beside this image (its name with _mask or _seg)")
    return Found(tuple(pairs[name] for name in sorted(pairs)), passed_over(site, strangers))


def _by_name(folder: Path, files: Iterable[Path], strangers: list[Path], problems: Problems) -> dict[str, Path]:
    """Supported files by their path below `folder` without ending; others are appended to `strangers`."""
    named: dict[str, Path] = {}
    for file in files:
        suffix = ending(file.name)
        if not suffix:
            strangers.append(file)
            continue
        name = file.relative_to(folder).as_posix()[: -len(suffix)]
        if name in named:
            problems.add(f"{printable(file)}: has the same name as {printable(named[name].name)}; keep one of them")
        else:
            named[name] = file
    return named


def _refuse_mixture(site: Path, files: Iterable[Path], problems: Problems) -> None:
    if len({is_nifti(file) for file in files}) > 1:
        problems.add(f"{printable(site)}: mixes NIfTI volumes and pictures; make them two sites")

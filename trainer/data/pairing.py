"""Which files of a site belong together: an image and its mask, or a noisy image and its clean one.

Two layouts: two folders side by side (`images/` with `masks/` or `labels/`; `noisy/` with `clean/`), the files
matched by their path below the folder without its ending; or all files in the site's folder, where the mask is
named like the image with `_mask`, `_seg`, `_segmentation` or `_label` behind it. In a mask folder both namings
are accepted. Below the two folders, a sub-folder is a subject; a file outside any is a subject of its own.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from trainer.data.federated import Task
from trainer.data.problems import Problems

NIFTI = (".nii.gz", ".nii")
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
MASK_ENDINGS = ("_mask", "_segmentation", "_seg", "_label")
LAYOUTS: Mapping[Task, str] = {
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


@dataclass(frozen=True)
class Pair:
    """An image file and its target file. `name`: path below the folder without ending; `subject`: who it shows."""

    name: str
    subject: str
    image: Path
    target: Path

    @property
    def is_nifti(self) -> bool:
        """Whether the files are NIfTI volumes; otherwise they are pictures."""
        return _ending(self.image.name).lower() in NIFTI


@dataclass(frozen=True)
class Pairing:
    """The pairs of a site in the order of their names, and what was passed over (lines for the notes)."""

    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]


def printable(path: object) -> str:
    """`path` as text that is safe to print: names come from anywhere and may hold control characters."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def is_site(folder: Path, task: Task) -> bool:
    """Whether `folder` itself follows a layout, rather than holding sites."""
    if _has_roles(folder, task):
        return True
    children = _children(folder)
    has_files = any(_ending(child.name) for child in children if child.is_file())
    # A picture lying beside the sites' folders (a logo, a preview) does not make their parent a site.
    return has_files and not any(_has_roles(child, task) for child in children if child.is_dir())


def site_folders(folder: Path) -> list[Path]:
    """The visible sub-folders of `folder`, by name."""
    return [child for child in _children(folder) if child.is_dir()]


def find_pairs(site: Path, task: Task, problems: Problems) -> Pairing:
    """Pair the files of `site`; whatever has no partner, or more than one, goes to `problems`."""
    children = _children(site)
    folders = {child.name.lower(): child for child in children if child.is_dir()}
    targets = [folders[name] for name in _TARGETS[task] if name in folders]
    wanted = " or ".join(f"{name}/" for name in _TARGETS[task])
    inputs = folders.get(_INPUT[task])
    if inputs is None and not targets:
        if task == "segmentation" and any(_ending(child.name) for child in children if child.is_file()):
            return _side_by_side(site, children, problems)
        problems.add(f"{printable(site)}: found {describe_content(site)}; expected {LAYOUTS[task]}")
        return Pairing((), ())
    if inputs is None or len(targets) != 1:
        present = ", ".join(f"{printable(path.name)}/" for path in ([inputs] if inputs else []) + targets)
        problems.add(f"{printable(site)}: has {present}; expected {_INPUT[task]}/ and exactly one of {wanted}")
        return Pairing((), ())
    return _two_folders(site, inputs, targets[0], task, problems)


def describe_content(folder: Path) -> str:
    """What lies below `folder`, counted by file ending; DICOM is recognised by content too."""
    kinds = Counter(_kind_of(file) for file in _files(folder, Problems()))
    if not kinds:
        return "no files"
    return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(6))


def _has_roles(folder: Path, task: Task) -> bool:
    roles = {_INPUT[task], *_TARGETS[task]}
    return any(child.name.lower() in roles for child in _children(folder) if child.is_dir())


def _two_folders(site: Path, inputs: Path, targets: Path, task: Task, problems: Problems) -> Pairing:
    strangers: list[Path] = []
    images = _by_name(inputs, _files(inputs, problems), strangers, problems)
    masks = _by_name(targets, _files(targets, problems), strangers, problems)
    if not images and not masks:
        problems.add(f"{printable(site)}: found {describe_content(site)}; expected {LAYOUTS[task]}")
        return Pairing((), ())
    _refuse_mixture(site, [*images.values(), *masks.values()], problems)
    matched: dict[str, Path] = {}
    for name, mask in masks.items():
        image_name = name if name in images or task == "restoration" else _without_ending(name)
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
    pairs = [
        Pair(printable(name), printable(name.split("/")[0]), images[name], matched[name]) for name in sorted(matched)
    ]
    passed_over = [child for child in _children(site) if child not in (inputs, targets)]
    return Pairing(tuple(pairs), _passed_over(site, [*strangers, *passed_over]))


def _side_by_side(site: Path, children: list[Path], problems: Problems) -> Pairing:
    strangers = [child for child in children if child.is_dir()]
    files = _by_name(site, [child for child in children if child.is_file()], strangers, problems)
    _refuse_mixture(site, files.values(), problems)
    masks = {name for name in files if _without_ending(name) != name}
    pairs: dict[str, Pair] = {}
    for name in sorted(masks):
        image = _without_ending(name)
        if image not in files or image in masks:
            problems.add(f"{printable(files[name])}: no image named {printable(image)} beside this mask")
        elif image in pairs:
            problems.add(
                f"{printable(files[image])}: two masks, "
                f"{printable(pairs[image].target.name)} and {printable(files[name].name)}"
            )
        else:
            pairs[image] = Pair(printable(image), printable(image), files[image], files[name])
    for name in files.keys() - masks - pairs.keys():
        problems.add(f"{printable(files[name])}: no mask beside this image (its name with _mask or _seg)")
    return Pairing(tuple(pairs[name] for name in sorted(pairs)), _passed_over(site, strangers))


def _by_name(folder: Path, files: Iterable[Path], strangers: list[Path], problems: Problems) -> dict[str, Path]:
    """Supported files by their path below `folder` without ending; others are appended to `strangers`."""
    named: dict[str, Path] = {}
    for file in files:
        ending = _ending(file.name)
        if not ending:
            strangers.append(file)
            continue
        name = file.relative_to(folder).as_posix()[: -len(ending)]
        if name in named:
            problems.add(f"{printable(file)}: has the same name as {printable(named[name].name)}; keep one of them")
        else:
            named[name] = file
    return named


def _refuse_mixture(site: Path, files: Iterable[Path], problems: Problems) -> None:
    if len({_ending(file.name).lower() in NIFTI for file in files}) > 1:
        problems.add(f"{printable(site)}: mixes NIfTI volumes and pictures; make them two sites")


def _passed_over(site: Path, strangers: list[Path]) -> tuple[str, ...]:
    if not strangers:
        return ()
    kinds = Counter("folder" if path.is_dir() else _kind_of(path) for path in strangers)
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(6))
    example = printable(strangers[0].relative_to(site))
    return (f"{printable(site.name)}: passed over, not part of the layout: {listed} (such as {example})",)


def _children(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if not _is_hidden(child.name))


def _files(folder: Path, problems: Problems) -> list[Path]:
    """All visible files below `folder`, by name; folders that cannot be entered go to `problems`."""
    found: list[Path] = []

    def refuse(error: OSError) -> None:
        problems.add(f"{printable(error.filename)}: cannot be opened: {error.strerror}")

    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        for name in folders:
            if (Path(parent) / name).is_symlink():  # following links could go round in circles
                problems.add(f"{printable(Path(parent) / name)}: is a link to a folder; put the folder itself here")
        found += [Path(parent) / name for name in names if not _is_hidden(name)]
    return sorted(found)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _ending(name: str) -> str:
    """The supported file ending of `name`, in its own spelling; empty if there is none."""
    return next((name[-len(end) :] for end in (*NIFTI, *PICTURES) if name.lower().endswith(end)), "")


def _without_ending(name: str) -> str:
    """`name` without a mask's `_seg` and the like; unchanged if it has none."""
    ending = next((end for end in MASK_ENDINGS if name.lower().endswith(end)), "")
    return name[: len(name) - len(ending)]


def _kind_of(file: Path) -> str:
    if file.suffix.lower() in (".dcm", ".dicom", ".ima") or _has_dicom_magic(file):
        return "DICOM files (not read yet: convert them, for example with dcm2niix)"
    return f"{printable(file.suffix.lower())} files" if file.suffix else "files without ending"


def _has_dicom_magic(file: Path) -> bool:
    if file.suffix:
        return False
    try:
        with file.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False

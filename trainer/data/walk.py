"""Files below a folder, whatever lies there: hidden ones left out, links to folders and closed folders named."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from trainer.data.pair import printable
from trainer.data.problems import Problems

NIFTI = (".nii.gz", ".nii")
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
MASK_ENDINGS = ("_mask", "_segmentation", "_seg", "_label")
DICOM = (".dcm", ".dicom", ".ima")


def children(folder: Path) -> list[Path]:
    """The visible files and folders of `folder`, by name; none where it is no folder. Raises OSError."""
    if not folder.is_dir():
        return []
    return sorted(child for child in folder.iterdir() if not _is_hidden(child.name))


def subfolders(folder: Path) -> list[Path]:
    """The visible sub-folders of `folder`, by name."""
    return [child for child in children(folder) if child.is_dir()]


def files_below(folder: Path, problems: Problems) -> list[Path]:
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


def describe_content(folder: Path) -> str:
    """What lies below `folder`, counted by file ending; DICOM is recognised by content too."""
    kinds = Counter(kind_of(file) for file in files_below(folder, Problems()))
    if not kinds:
        return "no files"
    return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(6))


def passed_over(site: Path, strangers: Sequence[Path]) -> tuple[str, ...]:
    """A note on files and folders of `site` that do not belong to its layout; nothing where there are none."""
    if not strangers:
        return ()
    kinds = Counter("folder" if path.is_dir() else kind_of(path) for path in strangers)
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(6))
    example = printable(strangers[0].relative_to(site))
    return (f"{printable(site.name)}: passed over, not part of the layout: {listed} (such as {example})",)


def ending(name: str) -> str:
    """The supported file ending of `name`, in its own spelling; empty if there is none."""
    return next((name[-len(end) :] for end in (*NIFTI, *PICTURES) if name.lower().endswith(end)), "")


def is_nifti(file: Path) -> bool:
    """Whether `file` is named like a NIfTI volume."""
    return ending(file.name).lower() in NIFTI


def without_mask_ending(name: str) -> str:
    """`name` without a mask's `_seg` and the like; unchanged if it has none."""
    mask_ending = next((end for end in MASK_ENDINGS if name.lower().endswith(end)), "")
    return name[: len(name) - len(mask_ending)]


def kind_of(file: Path) -> str:
    """`file`'s kind in the plural, for counting: "DICOM files", ".txt files"."""
    if is_dicom(file):
        return "DICOM files"
    return f"{printable(file.suffix.lower())} files" if file.suffix else "files without ending"


def is_dicom(file: Path) -> bool:
    """Whether `file` is named like a DICOM file, or holds DICOM's four letters under a name that says nothing.

    Scanners and archives name files IM0001, 1.2.840.10008.1 or with the ending of their choice.
    """
    if file.suffix.lower() in DICOM:
        return True
    if file.suffix and not file.suffix[1:].isdigit():
        return False
    try:
        with file.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"

"""Where the sites of a folder are, and in which layout: the folder itself, or each of its sub-folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trainer.config import DataConfig
from trainer.data.federated import Task
from trainer.data.layouts import Layout, expected, named
from trainer.data.pair import printable
from trainer.data.walk import describe_content, subfolders
from trainer.errors import DataError

# Folders inside a site; whoever names one of them as the path means the site.
_INSIDE = ("images", "masks", "labels", "noisy", "clean", "imagestr", "labelstr", "imagests", "labelsts")


@dataclass(frozen=True)
class SiteFolder:
    """A folder that holds one site's images, and how they lie there."""

    path: Path
    layout: Layout

    @property
    def name(self) -> str:
        """The folder's own name."""
        return printable(self.path.name or self.path.resolve().name)


def find_sites(data: DataConfig, task: Task) -> list[SiteFolder]:
    """The sites below `data.path`: the path itself if a layout recognises it, or its sub-folders.

    Layouts are tried in their order, or only the one that `data.layout` names. Raises DataError, with what was found
    and what was expected, where there is no site.
    """
    path, layouts = data.path, named(data.layout)
    if path is None:
        raise DataError("data.source=folder needs data.path=FOLDER, the folder that holds your sites")
    shown = f"data.path={printable(path)}"
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "does not exist"
        raise DataError(f"{shown} {what}; expected a folder with a sub-folder per site{_hint(path, layouts, task)}")
    try:
        if path.name.lower() in _INSIDE and _recognised(path.resolve().parent, layouts, task):
            raise DataError(f"{shown} is a part of a site{_hint(path, layouts, task)}")
        return _sites(path, layouts, task) or _refuse(path, layouts, task, data.layout)
    except OSError as error:
        raise DataError(f"{shown} cannot be opened: {error.strerror}") from None


def _sites(path: Path, layouts: tuple[Layout, ...], task: Task) -> list[SiteFolder]:
    own = _recognised(path, layouts, task)
    if own is not None:
        return [SiteFolder(path, own)]
    below = [(child, _recognised(child, layouts, task)) for child in subfolders(path)]
    if any(layout is not None for _, layout in below):
        # A sub-folder that no layout recognises is a site gone wrong, and the plainest layout says so.
        return [SiteFolder(child, layout or layouts[-1]) for child, layout in below]
    if len(layouts) == 1 and layouts[0].name == "dicom" and task in layouts[0].trees and subfolders(path):
        return [SiteFolder(path, layouts[0])]  # deeper trees, as archives deliver them, when asked for by name
    return []


def _recognised(path: Path, layouts: tuple[Layout, ...], task: Task) -> Layout | None:
    return next((layout for layout in layouts if layout.recognises(path, task)), None)


def _refuse(path: Path, layouts: tuple[Layout, ...], task: Task, asked: str) -> list[SiteFolder]:
    forced = "" if asked == "auto" else f" in the layout {asked}, which data.layout asks for"
    trees = expected(layouts, task) or f"a task that this layout serves; it has nothing for {task}"
    raise DataError(
        f"data.path={printable(path)}: found {describe_content(path)}, and no site{forced}; expected {trees}"
        f"{_hint(path, layouts, task)}"
    )


def _hint(path: Path, layouts: tuple[Layout, ...], task: Task) -> str:
    """Where the images seem to be instead: one folder up, or one or two down."""
    parent = path.resolve().parent
    nearby = [parent] if path.exists() else []
    if path.is_dir():
        nearby += [inner for child in subfolders(path) for inner in subfolders(child)]
    for folder in nearby:
        try:
            layout = _recognised(folder, layouts, task)
        except OSError:
            continue
        if layout is not None and (folder != parent or path.is_file() or path.name.lower() in _INSIDE):
            meant = folder if folder == parent else folder.parent
            return f"; there seem to be images ({layout.name}) in data.path={printable(meant)}"
    return ""

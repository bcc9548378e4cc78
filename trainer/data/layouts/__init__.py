"""The layouts that a folder of images may have, each in a file of its own, and the order in which they are tried.

From the most telling sign to the least: two kinds of `dataset.json`, files of a kind of their own, folder names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from trainer.data.federated import Task
from trainer.data.layouts import dicom, msd, nnunet, npz, pairs
from trainer.data.pair import Found
from trainer.data.problems import Problems
from trainer.data.settings import Settings


@dataclass(frozen=True)
class Layout:
    """`recognises`: whether a folder follows the layout itself, rather than holding sites that do; may raise OSError.
    `find`: its pairs; what is wrong goes to the problems. `trees`: what it expects, one line a task; tasks that it
    does not serve are left out.
    """

    name: str
    recognises: Callable[[Path, Task], bool]
    find: Callable[[Path, Settings, Problems], Found]
    trees: Mapping[Task, str]


ORDER: tuple[Layout, ...] = (
    Layout("nnunet", nnunet.recognises, nnunet.find, nnunet.TREES),
    Layout("msd", msd.recognises, msd.find, msd.TREES),
    Layout("npz", npz.recognises, npz.find, npz.TREES),
    Layout("dicom", dicom.recognises, dicom.find, dicom.TREES),
    Layout("pairs", pairs.recognises, pairs.find, pairs.TREES),
)


def named(name: str) -> tuple[Layout, ...]:
    """The layouts to try: all for "auto", or the one of this name."""
    return tuple(layout for layout in ORDER if name in ("auto", layout.name))


def expected(layouts: tuple[Layout, ...], task: Task) -> str:
    """What `layouts` expect for `task`, one line; the plainest first."""
    return "; or ".join(layout.trees[task] for layout in reversed(layouts) if task in layout.trees)

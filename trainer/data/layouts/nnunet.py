"""nnU-Net's raw layout: `imagesTr/CASE_0000.nii.gz`, one file per channel, and `labelsTr/CASE.nii.gz`.

`dataset.json` names channels, labels and the file ending (nnU-Net's version 1 had `modality` and no ending). Where
`labelsTs/` exists, its cases are the test set; `imagesTs/` without labels is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainer.data.federated import Task
from trainer.data.layouts import dataset_json
from trainer.data.layouts.pairs import pair_of
from trainer.data.pair import Found, Pair, printable
from trainer.data.problems import Problems
from trainer.data.settings import Settings
from trainer.data.walk import children, ending, passed_over
from trainer.errors import DataError

TREES: Mapping[Task, str] = {
    "segmentation": "SITE/imagesTr/CASE_0000.nii.gz with SITE/labelsTr/CASE.nii.gz and SITE/dataset.json (nnU-Net)"
}
_CHANNEL = re.compile(r"^(?P<case>.+)_(?P<channel>[0-9]{4})$")


def recognises(folder: Path, task: Task) -> bool:
    """Whether `folder` has imagesTr/, and its dataset.json does not list the files that lie there.

    nnU-Net's version 1 listed its training images too, but without the channel's number in their names.
    """
    if task != "segmentation" or not (folder / "imagesTr").is_dir():
        return False
    listed = dataset_json.peek(folder).get("training")
    if listed is None:
        return True
    named = any(_CHANNEL.match(_stem(file)) for file in children(folder / "imagesTr") if file.is_file())
    return named and not _is_there(folder, listed)


def find(site: Path, settings: Settings, problems: Problems) -> Found:
    """The cases of imagesTr/ and labelsTr/; what has no partner goes to `problems`."""
    notes: list[str] = []
    content: dict[str, Any] = {}
    classes = None
    if (site / dataset_json.FILE).exists():
        try:
            content = dataset_json.read(site)
            classes, said = dataset_json.classes(site, content)
            notes += said
        except DataError as error:
            problems.add(str(error))
    else:
        notes.append(f"{printable(site.name)}: no dataset.json; classes are taken from the masks")
    folder_problems = len(problems)
    pairs = _cases(site, "Tr", settings, problems, notes)
    held_out = _cases(site, "Ts", settings, problems, notes) if (site / "labelsTs").is_dir() else []
    if held_out:
        pairs = [replace(pair, held_out=False) for pair in pairs]
        held_out = [replace(pair, held_out=True) for pair in held_out]
    elif (site / "imagesTs").is_dir():
        count = len(children(site / "imagesTs"))
        notes.append(f"{printable(site.name)}: imagesTs/ has no labels; its {count} file(s) left out")
    if not pairs and len(problems) == folder_problems:
        problems.add(f"{printable(site)}: imagesTr/ holds no case; expected {TREES['segmentation']}")
    announced = content.get("numTraining")
    if isinstance(announced, int) and announced != len(pairs):
        notes.append(
            f"{printable(site.name)}: dataset.json announces {announced} training cases, {len(pairs)} lie here"
        )
    notes += _channel_note(site, content, settings)
    return Found(tuple(sorted([*pairs, *held_out], key=lambda pair: pair.name)), tuple(notes), classes)


def _is_there(folder: Path, listed: object) -> bool:
    """Whether the first image that dataset.json lists is a file."""
    try:
        return dataset_json.inside(folder, listed[0]["image"]).is_file()  # type: ignore[index]
    except (DataError, LookupError, TypeError):
        return False


def _cases(site: Path, part: str, settings: Settings, problems: Problems, notes: list[str]) -> list[Pair]:
    images, labels = site / f"images{part}", site / f"labels{part}"
    missing = [folder for folder in (images, labels) if not folder.is_dir()]
    if missing:
        problems.add(f"{printable(missing[0])}: missing; expected {TREES['segmentation']}")
        return []
    strangers: list[Path] = []
    channels: dict[str, dict[int, Path]] = {}
    for file in children(images):
        matched = _CHANNEL.match(_stem(file))
        if not matched or not ending(file.name):
            strangers.append(file)
            continue
        channels.setdefault(matched["case"], {})[int(matched["channel"])] = file
    masks: dict[str, Path] = {}
    for file in children(labels):
        if not ending(file.name):
            strangers.append(file)
        elif _stem(file) in masks:
            problems.add(f"{printable(file)}: has the same name as {masks[_stem(file)].name}; keep one of them")
        else:
            masks[_stem(file)] = file
    notes += passed_over(site, strangers)
    pairs = []
    for case in sorted(channels.keys() | masks.keys()):
        image = channels.get(case, {}).get(settings.channel)
        if image is None:
            problems.add(f"{printable(images)}: no {printable(case)}_{settings.channel:04d}, {_why(case, channels)}")
        elif case not in masks:
            problems.add(f"{printable(image)}: no {printable(case)} in {labels.name}/")
        else:
            pairs.append(pair_of(case, case, image, masks[case]))
    return pairs


def _why(case: str, channels: Mapping[str, Mapping[int, Path]]) -> str:
    present = channels.get(case)
    if not present:
        return "though there is a label of this name"
    return f"only {', '.join(f'{channel:04d}' for channel in sorted(present))} (data.channel chooses)"


def _channel_note(site: Path, content: Mapping[str, Any], settings: Settings) -> list[str]:
    names = content.get("channel_names") or content.get("modality")
    if not isinstance(names, dict) or len(names) < 2:
        return []
    name = printable(names.get(str(settings.channel), "not named"))
    return [f"{printable(site.name)}: channel {settings.channel} ({name}) of {len(names)} read (data.channel)"]


def _stem(file: Path) -> str:
    return file.name[: len(file.name) - len(ending(file.name))]

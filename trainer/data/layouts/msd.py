"""The Medical Segmentation Decathlon's layout, which MONAI's data lists follow: `dataset.json` lists the pairs.

`training` and `validation` hold {"image": FILE, "label": FILE}, relative to the JSON; `validation` is the test set
here. An image may have a fourth dimension, or be a list of files: its channels. `test` has no labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainer.data import nifti, pictures
from trainer.data.federated import Task
from trainer.data.layouts import dataset_json
from trainer.data.pair import Found, Pair, printable
from trainer.data.problems import Problems
from trainer.data.settings import Settings
from trainer.data.walk import ending, files_below, is_nifti
from trainer.errors import DataError

TREES: Mapping[Task, str] = {
    "segmentation": "SITE/dataset.json whose training lists image and label files (Medical Segmentation Decathlon)"
}


def recognises(folder: Path, task: Task) -> bool:
    """Whether `folder` has a dataset.json with a list of training images."""
    return task == "segmentation" and "training" in dataset_json.peek(folder)


def find(site: Path, settings: Settings, problems: Problems) -> Found:
    """The pairs that dataset.json lists; missing files, and entries that are none, go to `problems`."""
    known = len(problems)
    try:
        content = dataset_json.read(site)
        classes, notes = dataset_json.classes(site, content)
    except DataError as error:
        problems.add(str(error))
        return Found()
    pairs: dict[str, Pair] = {}
    used: set[Path] = set()
    for part, held_out in (("training", None), ("validation", True)):
        entries = content.get(part, [])
        if not isinstance(entries, list):
            problems.add(f"{printable(site / dataset_json.FILE)}: {part} is not a list of images and labels")
            continue
        for number, entry in enumerate(entries):
            try:
                used |= _files(site, entry)
                pair = _pair(site, f"{part}[{number}]", entry, settings, held_out)
            except DataError as error:
                problems.add(str(error))
                continue
            if pair.name in pairs:
                problems.add(f"{printable(site / dataset_json.FILE)}: {part}[{number}] lists {pair.name} again")
                continue
            pairs[pair.name] = pair
    if content.get("validation") and pairs:
        # With a test set of its own, whoever is not in it trains.
        pairs = {name: replace(pair, held_out=bool(pair.held_out)) for name, pair in pairs.items()}
    if not pairs and len(problems) == known:
        problems.add(f"{printable(site / dataset_json.FILE)}: lists no training image")
    ordered = tuple(pairs[name] for name in sorted(pairs))
    return Found(ordered, (*notes, *_notes(site, content, used, settings)), classes)


def _pair(site: Path, where: str, entry: object, settings: Settings, held_out: bool | None) -> Pair:
    file = printable(site / dataset_json.FILE)
    if not isinstance(entry, dict) or "image" not in entry or "label" not in entry:
        raise DataError(f'{file}: {where} is not of the form {{"image": FILE, "label": FILE}}')
    images = entry["image"] if isinstance(entry["image"], list) else [entry["image"]]
    if len(images) > 1 and settings.channel >= len(images):
        raise DataError(f"{file}: {where} has {len(images)} images, counted from 0; data.channel={settings.channel}")
    image = dataset_json.inside(site, images[settings.channel] if len(images) > 1 else (images or [None])[0])
    label = dataset_json.inside(site, entry["label"])
    missing = [path for path in (image, label) if not path.is_file()]
    if missing:
        raise DataError("\n".join(f"{printable(path)}: missing; {where} lists it" for path in missing))
    name = image.relative_to(site).as_posix()
    name = name[: len(name) - len(ending(name))]
    subject = Path(name).name
    volume = is_nifti(image)
    if not volume and not ending(image.name):
        raise DataError(f"{printable(image)}: neither NIfTI nor a picture; convert it")
    return Pair(
        name=printable(name.removeprefix("imagesTr/")),
        subject=printable(subject),
        image=image,
        target=label,
        read=nifti.read_channel if volume else pictures.read_pair,
        is_volume=volume,
        held_out=held_out,
    )


def _files(site: Path, entry: object) -> set[Path]:
    """All files that an entry names."""
    named = list(entry.values()) if isinstance(entry, dict) else []
    flat = [name for value in named for name in (value if isinstance(value, list) else [value])]
    return {site / name for name in flat if isinstance(name, str)}


def _notes(site: Path, content: Mapping[str, Any], used: set[Path], settings: Settings) -> list[str]:
    notes = []
    tests = content.get("test")
    if isinstance(tests, list) and tests:
        notes.append(f"{printable(site.name)}: {len(tests)} test image(s) without labels left out")
    modality = content.get("modality") or content.get("channel_names")
    if isinstance(modality, dict) and len(modality) > 1:
        name = modality.get(str(settings.channel), "not named")
        notes.append(
            f"{printable(site.name)}: channel {settings.channel} ({printable(name)}) of {len(modality)} read "
            "(data.channel)"
        )
    folders = [site / name for name in ("imagesTr", "labelsTr") if (site / name).is_dir()]
    others = [file for folder in folders for file in files_below(folder, Problems()) if file not in used]
    if others:
        notes.append(
            f"{printable(site.name)}: {len(others)} file(s) that dataset.json does not list passed over (such as "
            f"{printable(others[0].relative_to(site))})"
        )
    return notes

"""`dataset.json` as the Medical Segmentation Decathlon and nnU-Net write it: read with distrust."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.data.pair import one_line, printable
from trainer.errors import DataError

FILE = "dataset.json"
MAX_BYTES = 2**24  # the largest of the Decathlon's has some hundred kilobytes


def read(folder: Path) -> dict[str, Any]:
    """The object in `folder`/dataset.json. Raises DataError naming the file."""
    file = folder / FILE
    try:
        if file.stat().st_size > MAX_BYTES:
            raise DataError(f"{printable(file)}: has more than {MAX_BYTES} bytes; that is no list of images")
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise DataError(f"{printable(file)}: is not readable JSON: {one_line(error)}") from None
    if not isinstance(content, dict):
        raise DataError(f"{printable(file)}: holds a {type(content).__name__}, not an object with keys")
    return content


def peek(folder: Path) -> dict[str, Any]:
    """As `read`; an empty object where there is none to be had."""
    try:
        return read(folder)
    except DataError:
        return {}


def classes(folder: Path, content: Mapping[str, Any]) -> tuple[dict[int, str] | None, tuple[str, ...]]:
    """Mask value -> class name out of `labels`, in either direction, and notes; None where it does not name any.

    The Decathlon maps numbers (as text) to names, nnU-Net names to numbers; a region (a name for several numbers) is
    left out with a note, and the numbers stay classes of their own. Raises DataError for what is neither.
    """
    labels = content.get("labels")
    if labels is None:
        return None, ()
    if not isinstance(labels, dict) or not labels:
        raise DataError(f"{printable(folder / FILE)}: labels is {_shown(labels)}; expected names and numbers")
    found: dict[int, str] = {}
    regions: dict[str, list[int]] = {}
    for key, value in labels.items():
        if isinstance(value, list) and all(_is_number(part) for part in value):
            regions[key] = value
            continue
        number, name = (value, key) if _is_number(value) else (_number(key), value)
        if number is None or not isinstance(name, str) or number in found:
            raise DataError(
                f"{printable(folder / FILE)}: labels holds {_shown(key)}: {_shown(value)}; expected one name for one "
                "number"
            )
        found[number] = printable(name)
    if not regions:
        return found, ()
    for number in sorted({number for numbers in regions.values() for number in numbers} - found.keys()):
        found[number] = f"value {number}"
    listed = ", ".join(printable(name) for name in regions)
    return found, (
        f"{printable(folder.name)}: regions ({listed}) are not learnt as such; each mask value is a class",
    )


def inside(folder: Path, named: object) -> Path:
    """The file that `named` (text, relative to dataset.json) stands for. Raises DataError if it leaves `folder`."""
    if not isinstance(named, str) or not named or "\0" in named:
        raise DataError(f"{printable(folder / FILE)}: {_shown(named)} is not a file name")
    file = Path(folder, named)
    if ".." in file.parts[len(folder.parts) :] or not file.is_relative_to(folder):
        raise DataError(
            f"{printable(folder / FILE)}: {_shown(named)} lies outside the folder; put the file below "
            f"{printable(folder)} and name it from there"
        )
    return file


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


def _shown(value: object) -> str:
    text = printable(json.dumps(value, ensure_ascii=True))
    return text if len(text) <= 60 else text[:57] + "..."

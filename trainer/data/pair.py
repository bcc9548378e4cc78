"""What a layout finds: an image, its target, and the reader that opens both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from trainer.data.raw import RawPair
from trainer.data.settings import Settings


@dataclass(frozen=True)
class Pair:
    """An image and its target, not read yet.

    `name`: unique within a site; identifiers start with it. `subject`: who it shows. `image` and `target`: the files
    (or folders) that messages name. `read`: opens the two; raises DataError naming the file. `is_volume`: slices of a
    body, of which those without a label are left out; otherwise a picture that is kept as it is. `held_out`: whether
    the data set itself gives it to the test set; None where it does not say.
    """

    name: str
    subject: str
    image: Path
    target: Path
    read: Reader
    is_volume: bool
    held_out: bool | None = None


Reader = Callable[[Pair, Settings], RawPair]


@dataclass(frozen=True)
class Found:
    """What a layout found in one site.

    `pairs` in the order of their names; `notes`: what was passed over, and decisions; `classes`: mask value -> class
    name, where the data set names its classes.
    """

    pairs: tuple[Pair, ...] = ()
    notes: tuple[str, ...] = ()
    classes: Mapping[int, str] | None = None


def printable(path: object) -> str:
    """`path` as text that is safe to print: names come from anywhere and may hold control characters."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def one_line(error: BaseException) -> str:
    """An error's message as one printable line; its class where it has none."""
    return printable(" ".join(str(error).split())) or type(error).__name__

"""A contact sheet: a row of images for each site, the outlines of their masks drawn in the classes' colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.data.splitting import evenly
from trainer.report import theme
from trainer.report.examples import Picture, class_colour, grey_picture, rgb, window
from trainer.report.planes import to_scale

IMAGES_PER_ROW = 6
MOST_ROWS = 40
"""Further sites are left out, and the sheet says how many."""

_TILE = 160  # pixels a tile has at least, so that an outline is thin beside what it encloses


@dataclass(frozen=True)
class Row:
    """Images float32 [n, H, W] with their targets [n, H, W]: integers are labels, 0 the background, and are outlined;
    floats are images, and are put beside. `aspect`: height over width of a pixel.
    """

    label: str
    images: NDArray
    targets: NDArray
    aspect: float = 1.0


def write_contact_sheet(rows: Sequence[Row], class_names: Sequence[str], file: Path) -> None:
    """Draw up to IMAGES_PER_ROW images of each row, evenly spread, into the PNG `file`. Raises OSError."""
    shown = rows[:MOST_ROWS]
    strips = [_strip(row) for row in shown]
    height = 1.75 * len(shown) + 0.75
    figure = theme.new_figure(10.0, height)
    for number, (row, strip) in enumerate(zip(shown, strips, strict=True), start=1):
        axes = figure.add_subplot(len(shown), 1, number)
        axes.imshow(strip, interpolation="nearest")
        axes.set_anchor("W")
        axes.set_axis_off()
        axes.set_title(row.label, fontsize=8, loc="left", color=theme.INK, parse_math=False)
    theme.place(figure, columns=1, left=0.1, right=0.1, bottom=0.5, top=0.3, gap=0.0)
    key = [(name, class_colour(label)) for label, name in enumerate(class_names) if label > 0]
    hidden = f"{len(rows) - len(shown)} more sites are not shown. " if len(rows) > len(shown) else ""
    theme.add_key(figure, key, 8, anchor=(0.012, 0.45 / height), title=hidden)
    file.parent.mkdir(parents=True, exist_ok=True)
    theme.save_png(figure, file)


def outlined(image: NDArray, labels: NDArray) -> Picture:
    """`image` [H, W] with the pixels of each label's inner border in its colour."""
    picture = grey_picture(image, *window(image))
    padded = np.pad(labels, 1, mode="edge")
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    border = (labels > 0) & np.any([labels != neighbour for neighbour in neighbours], axis=0)
    for label in np.unique(labels[border]):
        picture[border & (labels == label)] = rgb(class_colour(int(label)))
    return picture


def _strip(row: Row) -> Picture:
    """The chosen images of a row side by side."""
    tiles = []
    for index in evenly(range(len(row.images)), IMAGES_PER_ROW):
        image, target = (_enlarged(to_scale(array[index], row.aspect)) for array in (row.images, row.targets))
        if target.dtype.kind in "iu":
            tiles.append(outlined(image, target))
        else:
            tiles += [grey_picture(image, *window(target)), grey_picture(target, *window(target))]
    gap = np.full((tiles[0].shape[0], 4, 3), 255, dtype=np.uint8)
    strip = [part for tile in tiles for part in (tile, gap)]
    wanted = IMAGES_PER_ROW * (1 if row.targets.dtype.kind in "iu" else 2)
    # Rows with fewer images keep the scale of the others.
    missing = (wanted - len(tiles)) * (tiles[0].shape[1] + 4)
    return np.concatenate([*strip, np.full((tiles[0].shape[0], missing, 3), 255, dtype=np.uint8)], axis=1)


def _enlarged(array: NDArray) -> NDArray:
    factor = max(1, -(-_TILE // max(array.shape)))
    return array.repeat(factor, axis=0).repeat(factor, axis=1)

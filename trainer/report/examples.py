"""Example predictions beside ground truth: the arrays of `examples.npz` as pictures.

Four panels an example: the image, the truth, the prediction and where they differ. The page shows them one by one;
`examples.png` is the whole table.
"""

from __future__ import annotations

import base64
import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from trainer.report import theme
from trainer.report.errors import ReportError
from trainer.report.planes import to_scale

LARGEST_SIDE = 384
"""Pictures with a longer side are scaled down to it (pixels), so that the page stays small enough to mail."""

CLASS_COLOURS = ("#3987e5", "#1baf7a", "#f2a33a", "#9085e9", "#e66767", "#7ac74f", "#d55181", "#c9b28f")
"""Colours of labels 1, 2, …, repeated after the last; bright enough over a grey image."""

DIFFERENCES = {"missed": "#ffd447", "spurious": "#ff5fa2", "wrong class": "#4fd8ff"}
"""Kinds of segmentation error and their colours: truth without prediction, the reverse, and a mix-up of classes."""

PANELS = ("image", "truth", "prediction", "difference")

Picture = NDArray[np.uint8]  # [H, W, 3]


@dataclass(frozen=True)
class Example:
    """One test image: its label, what its score says, and a picture for each of PANELS."""

    label: str
    score: str
    pictures: dict[str, Picture]

    def png_sources(self) -> dict[str, str]:
        """Each picture as a `data:` URL of a PNG file."""
        return {panel: png_source(picture) for panel, picture in self.pictures.items()}

    def to_scale(self, aspect: float) -> Example:
        """The same with square pixels, where they had this height over width."""
        return replace(self, pictures={panel: to_scale(picture, aspect) for panel, picture in self.pictures.items()})


@dataclass(frozen=True)
class Examples:
    """All examples of a run, with what the colours mean as (name, CSS colour); `scale` words the difference."""

    examples: list[Example]
    classes: list[tuple[str, str]]
    differences: list[tuple[str, str]]
    scale: str


def read_examples(file: Path, task: str, class_names: Sequence[str]) -> Examples | None:
    """Draw the examples in `file`; None where the file does not exist or holds no image.

    `images` float32 [n, H, W]; `targets` and `predictions` [n, H, W], int64 labels for segmentation, float32 in the
    images' units for restoration; `labels` text [n]; `pixel_aspect`, height over width of a pixel, 1 where there is
    none (runs of earlier versions). Raises ReportError naming the file and what is wrong with it.
    """
    if not file.exists():
        return None
    (images, targets, predictions, labels), aspect = _load(file, integers=task == "segmentation")
    if len(images) == 0:
        return None
    return draw(task, images, targets, predictions, labels, class_names, aspect)


def draw(
    task: str,
    images: NDArray,
    targets: NDArray,
    predictions: NDArray,
    labels: NDArray,
    class_names: Sequence[str],
    aspect: float,
) -> Examples:
    """Draw arrays as `read_examples` has them, one image or more; differences of all on one scale."""
    if task == "segmentation":
        drawn = _segmentation(images, targets, predictions, labels, class_names)
    else:
        drawn = _restoration(images, targets, predictions, labels)
    return replace(drawn, examples=[example.to_scale(aspect) for example in drawn.examples])


def write_examples(examples: Examples, file: Path) -> None:
    """Draw all examples as one table, a row each, into the PNG `file`."""
    rows = len(examples.examples)
    figure = theme.new_figure(2.2 * len(PANELS), 2.45 * rows + 0.6)
    for row, example in enumerate(examples.examples):
        for column, panel in enumerate(PANELS):
            axes = figure.add_subplot(rows, len(PANELS), row * len(PANELS) + column + 1)
            axes.imshow(example.pictures[panel], interpolation="nearest")
            axes.set_axis_off()
            caption = {"image": example.label, "prediction": f"prediction, {example.score}"}.get(panel, panel)
            axes.set_title(caption, fontsize=8, loc="left", color=theme.INK, parse_math=False)
    theme.place(figure, columns=len(PANELS), left=0.1, right=0.1, bottom=0.45, top=0.3, gap=0.08)
    key = [*examples.classes, *examples.differences]
    height = float(figure.get_size_inches()[1])
    theme.add_key(figure, key, len(key), anchor=(0.012, 0.35 / height), title=examples.scale)
    theme.save_png(figure, file)


def window(image: NDArray) -> tuple[float, float]:
    """Grey values to show as black and white: all but the lowest and highest half per cent."""
    low, high = np.percentile(image, (0.5, 99.5))
    return float(low), float(high)


def grey_picture(image: NDArray, low: float, high: float) -> Picture:
    """`image` [H, W] as a picture: `low` black, `high` white."""
    scaled = np.clip((image - low) / (high - low if high > low else 1.0), 0.0, 1.0)
    return np.repeat((scaled * 255).astype(np.uint8)[..., None], 3, axis=2)


def class_colour(label: int) -> str:
    """The colour of a label from 1 up, as `#rrggbb`."""
    return CLASS_COLOURS[(label - 1) % len(CLASS_COLOURS)]


def rgb(colour: str) -> NDArray[np.uint8]:
    """`#rrggbb` as uint8[3]."""
    return np.frombuffer(bytes.fromhex(colour.removeprefix("#")), dtype=np.uint8)


def _load(file: Path, integers: bool) -> tuple[tuple[NDArray, NDArray, NDArray, NDArray], float]:
    try:
        with np.load(file, allow_pickle=False) as archive:
            images, targets, predictions, labels = (
                archive[name] for name in ("images", "targets", "predictions", "labels")
            )
            aspect = archive["pixel_aspect"] if "pixel_aspect" in archive else np.array(1.0)
    except KeyError as error:
        raise ReportError(f"{file}: {error.args[0]}") from None
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ReportError(f"{file} is not a readable npz file (truncated?): {error}") from None
    if images.ndim != 3 or images.dtype.kind != "f":
        raise ReportError(f"{file}: images must be float [n, H, W], not {images.dtype} {list(images.shape)}")
    kinds = "iu" if integers else "f"
    for name, array in (("targets", targets), ("predictions", predictions)):
        if array.shape != images.shape or array.dtype.kind not in kinds:
            wanted = f"{'integer labels' if integers else 'float'} {list(images.shape)}"
            raise ReportError(f"{file}: {name} must be {wanted}, not {array.dtype} {list(array.shape)}")
    if integers and min(targets.min(initial=0), predictions.min(initial=0)) < 0:
        raise ReportError(f"{file}: a label below 0 in targets or predictions; labels count from 0, the background")
    if labels.shape != images.shape[:1] or labels.dtype.kind != "U":
        raise ReportError(f"{file}: labels must be text [{len(images)}], not {labels.dtype} {list(labels.shape)}")
    if aspect.shape != () or aspect.dtype.kind != "f" or not 0 < aspect < np.inf:
        raise ReportError(f"{file}: pixel_aspect must be a positive number, not {aspect.dtype} {aspect.tolist()}")
    return (np.nan_to_num(images), targets, predictions, labels), float(aspect)


def _segmentation(
    images: NDArray, targets: NDArray, predictions: NDArray, labels: NDArray, class_names: Sequence[str]
) -> Examples:
    highest = int(max(targets.max(), predictions.max(), len(class_names) - 1))
    colours = np.stack([rgb("#000000"), *(rgb(class_colour(label)) for label in range(1, highest + 1))])
    drawn = []
    for image, target, prediction, label in zip(images, targets, predictions, labels, strict=True):
        grey = grey_picture(image, *window(image))
        errors = {
            "missed": (target > 0) & (prediction == 0),
            "spurious": (target == 0) & (prediction > 0),
            "wrong class": (target > 0) & (prediction > 0) & (target != prediction),
        }
        difference = grey // 3  # dimmed, so that the errors stand out
        for kind, where in errors.items():
            difference[where] = rgb(DIFFERENCES[kind])
        pictures = (grey, _overlay(grey, target, colours), _overlay(grey, prediction, colours), difference)
        score = f"Dice {mean_dice(target, prediction):.2f}"
        drawn.append(Example(str(label), score, dict(zip(PANELS, pictures, strict=True))))
    names = {
        label: class_names[label] if label < len(class_names) else f"label {label}" for label in range(highest + 1)
    }
    classes = [(names[label], class_colour(label)) for label in range(1, highest + 1)]
    return Examples(drawn, classes, list(DIFFERENCES.items()), "")


def _restoration(images: NDArray, targets: NDArray, predictions: NDArray, labels: NDArray) -> Examples:
    errors = np.nan_to_num(predictions.astype(np.float64) - targets)
    # One scale for all examples, so that they can be compared; the top half per cent may saturate.
    limit = float(np.percentile(np.abs(errors), 99.5)) or 1.0
    drawn = []
    for image, target, prediction, error, label in zip(images, targets, predictions, errors, labels, strict=True):
        shown_range = window(target)
        signed = (colormaps["RdBu_r"](0.5 + error / (2 * limit))[..., :3] * 255).astype(np.uint8)
        pictures = (
            *(grey_picture(np.nan_to_num(shown), *shown_range) for shown in (image, target, prediction)),
            signed,
        )
        score = f"RMSE {root_mean_square(error):.3g}"
        drawn.append(Example(str(label), score, dict(zip(PANELS, pictures, strict=True))))
    scale = f"Difference: prediction minus truth, blue to red is -{limit:.3g} to +{limit:.3g}."
    return Examples(drawn, [], [], scale)


def _overlay(grey: Picture, label: NDArray, colours: NDArray, opacity: float = 0.6) -> Picture:
    """`grey` with the colour of each pixel's label laid over it; label 0 is left clear."""
    mixed = (1 - opacity) * grey + opacity * colours[label]
    return np.where((label > 0)[..., None], mixed, grey).astype(np.uint8)


def mean_dice(target: NDArray, prediction: NDArray) -> float:
    """Dice averaged over the foreground labels that occur in either; 1 where none does."""
    found = [label for label in np.union1d(target, prediction) if label > 0]
    scores = [
        2
        * np.sum((target == label) & (prediction == label))
        / (np.sum(target == label) + np.sum(prediction == label))
        for label in found
    ]
    return float(np.mean(scores)) if scores else 1.0


def root_mean_square(error: NDArray) -> float:
    """Of all values of `error`."""
    return float(np.sqrt(np.mean(error**2)))


def png_source(picture: Picture, largest_side: int = LARGEST_SIDE, colours: int | None = None) -> str:
    """`picture` as a `data:` URL of a PNG file, of at most `colours` colours if given, which makes it smaller."""
    image = Image.fromarray(picture)
    image.thumbnail((largest_side, largest_side), Image.Resampling.BOX)
    if colours is not None:
        image = image.quantize(colours)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")

"""Test images beside ground truth and every variant's prediction: the same images for all, chosen by a rule.

Predictions are those of the final models with the first seed, made anew from the checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from he_core import CostLedger
from trainer import checkpoint
from trainer.comparison.folder import ComparisonFolder
from trainer.comparison.results import CellResult, Results
from trainer.data import FederatedData
from trainer.experiment import Experiment
from trainer.parties.federation import Parties
from trainer.report import theme
from trainer.report.examples import Example, Examples, draw, mean_dice, png_source, root_mean_square
from trainer.report.planes import pixel_aspect, plane, plane_name
from trainer.transport.in_process import AGGREGATION

WORST = 2
MOST_CLIENTS = 4
RULE = (
    "For each client the image in the middle of its test images, ordered by the mean score over all variants (of "
    f"{MOST_CLIENTS} clients, evenly spread, where there are more), and the {WORST} images of the lowest mean score "
    "of all; of segmentation, images whose truth holds a class. Where several models answer for an image (local), "
    "the one whose score on it is in the middle is shown."
)

_SIDE, _COLOURS = 192, 96  # pixels and colours of a picture on the page, which holds many


@dataclass(frozen=True)
class Row:
    """One test image: pictures of image and truth, and of each variant (prediction, difference, score)."""

    label: str
    why: str
    image: str
    truth: str
    predictions: dict[str, tuple[str, str, str]]


@dataclass(frozen=True)
class Gallery:
    """The chosen images as `data:` URLs, with what the colours mean."""

    rows: list[Row]
    seed: int
    classes: list[tuple[str, str]]
    differences: list[tuple[str, str]]
    scale: str


@dataclass(frozen=True)
class _Choice:
    site: int
    image: int
    why: str


def make_gallery(folder: ComparisonFolder, results: Results, data: FederatedData, file: Path) -> Gallery | None:
    """The gallery of the first seed's `data`; also drawn into the PNG `file`. None where no run of it is finished.

    Raises CheckpointError.
    """
    seed = results.plan.seeds[0]
    shown = [result for (_, of), result in results.cells.items() if of == seed]
    if not shown:
        return None
    scores = [_scores(folder, result, data) for result in shown]
    chosen = _choose([np.mean(np.stack(found), axis=0) for found in zip(*scores, strict=True)], data)
    if not chosen:
        return None
    predictions = [_predictions(folder, result, data, chosen) for result in shown]
    images, targets, labels = [], [], []
    for choice in chosen:
        client = data.clients[choice.site]
        truth = client.test.targets[choice.image].squeeze(0).numpy()
        images.append(plane(client.test.images[choice.image, 0].numpy(), truth))
        targets.append(plane(truth, truth))
        labels.append(f"{client.name} {client.test.identifiers[choice.image]}{plane_name(truth)}")
    count = len(shown)
    together = draw(
        data.task,
        np.tile(np.stack(images), (count, 1, 1)),
        np.tile(np.stack(targets), (count, 1, 1)),
        np.concatenate(predictions),
        np.tile(labels, count),
        data.class_names,
        pixel_aspect(results.plan.shared.data.voxel_mm),
    )
    table = [together.examples[i * len(chosen) : (i + 1) * len(chosen)] for i in range(count)]
    names = [result.cell.variant.name for result in shown]
    _write_png(table, names, together, file)
    rows = [
        Row(
            labels[i],
            choice.why,
            _source(table[0][i], "image"),
            _source(table[0][i], "truth"),
            {
                name: (_source(found[i], "prediction"), _source(found[i], "difference"), found[i].score)
                for name, found in zip(names, table, strict=True)
            },
        )
        for i, choice in enumerate(chosen)
    ]
    return Gallery(rows, seed, together.classes, together.differences, together.scale)


@dataclass(frozen=True)
class _Model:
    """The final models of a run, of which several may answer for an image."""

    experiment: Experiment
    parties: Parties

    @classmethod
    def of(cls, folder: ComparisonFolder, result: CellResult, data: FederatedData) -> _Model:
        """Raises CheckpointError."""
        # Without a scheme no keys are made: a prediction needs none.
        experiment = replace(Experiment.prepare(result.cell.config, data), scheme=None)
        parties = experiment.assemble(CostLedger())
        states = checkpoint.read(folder.run_folder(result.cell).checkpoints / "final").parties
        parties.load_states({name: state for name, state in states.items() if name != AGGREGATION})
        return cls(experiment, parties)

    def predictions(self, site: int, images: torch.Tensor) -> list[torch.Tensor]:
        """By each model that answers for the images of `site`."""
        return [self.parties.predict(judge, images) for judge in self.experiment.method.judges(self.parties, site)]


def _scores(folder: ComparisonFolder, result: CellResult, data: FederatedData) -> list[NDArray[np.float64]]:
    """For each site the score of each test image, the higher the better, that of the middle model."""
    model = _Model.of(folder, result, data)
    found = []
    for site, client in enumerate(data.clients):
        each = [
            [_score(*pair) for pair in zip(client.test.targets, predicted, strict=True)]
            for predicted in model.predictions(site, client.test.images)
        ]
        found.append(np.sort(np.array(each), axis=0)[(len(each) - 1) // 2])
    return found


def _predictions(
    folder: ComparisonFolder, result: CellResult, data: FederatedData, chosen: Sequence[_Choice]
) -> NDArray:
    """What the middle model predicts of each chosen image, as it is drawn, [n, H, W]."""
    model = _Model.of(folder, result, data)
    found = []
    for choice in chosen:
        samples = data.clients[choice.site].test
        target = samples.targets[choice.image]
        predicted = [images[0] for images in model.predictions(choice.site, samples.images[choice.image][None])]
        predicted.sort(key=partial(_score, target))
        middle = predicted[(len(predicted) - 1) // 2].squeeze(0)
        found.append(plane(middle.numpy(), target.squeeze(0).numpy()))
    return np.stack(found)


def _score(target: torch.Tensor, prediction: torch.Tensor) -> float:
    """Of one image, the higher the better: the mean Dice of labels, the negative RMSE of images."""
    if target.is_floating_point():
        return -root_mean_square((prediction - target).numpy())
    return mean_dice(target.numpy(), prediction.numpy())


def _choose(scores: Sequence[NDArray[np.float64]], data: FederatedData) -> list[_Choice]:
    """By RULE; scores: by site, of each test image, means over the variants."""
    usable = [
        [i for i, target in enumerate(client.test.targets) if target.is_floating_point() or bool(target.any())]
        for client in data.clients
    ]
    spread = np.unique(np.linspace(0, len(usable) - 1, min(MOST_CLIENTS, len(usable))).round().astype(int))
    typical = []
    for site in map(int, spread):
        ordered = sorted(usable[site], key=lambda image: scores[site][image])
        if ordered:
            typical.append(_Choice(site, ordered[(len(ordered) - 1) // 2], "typical of the client"))
    everywhere = sorted(
        ((site, image) for site, images in enumerate(usable) for image in images),
        key=lambda where: scores[where[0]][where[1]],
    )
    taken = {(choice.site, choice.image) for choice in typical}
    worst = [_Choice(*where, "among the worst of all") for where in everywhere if where not in taken][:WORST]
    return [*typical, *worst]


def _write_png(table: Sequence[Sequence[Example]], names: Sequence[str], together: Examples, file: Path) -> None:
    rows, columns = len(table[0]), 2 + len(table)
    figure = theme.new_figure(1.7 * columns, 1.95 * rows + 0.6)
    for row in range(rows):
        panels = [("image", table[0][row], table[0][row].label), ("truth", table[0][row], "truth")]
        panels += [
            ("prediction", found[row], f"{name}, {found[row].score}")
            for name, found in zip(names, table, strict=True)
        ]
        for column, (panel, example, caption) in enumerate(panels):
            axes = figure.add_subplot(rows, columns, row * columns + column + 1)
            axes.imshow(example.pictures[panel], interpolation="nearest")
            axes.set_axis_off()
            axes.set_title(caption, fontsize=7, loc="left", color=theme.INK, parse_math=False)
    theme.place(figure, columns=columns, left=0.1, right=0.1, bottom=0.45, top=0.3, gap=0.08)
    height = float(figure.get_size_inches()[1])
    if together.classes:
        theme.add_key(figure, together.classes, len(together.classes), anchor=(0.012, 0.35 / height))
    theme.save_png(figure, file)


def _source(example: Example, panel: str) -> str:
    return png_source(example.pictures[panel], _SIDE, _COLOURS)

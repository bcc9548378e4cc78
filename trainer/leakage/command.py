"""`dcsfl-train leakage`: how well images are rebuilt from what the compute server sees, at every cut."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.console import Console

from trainer.interruption import terminated_as_interrupted
from trainer.planning.show import progress_bar
from trainer.run_folder import RunFolder
from trainer.terminal import console, errors_in_a_line

FIGURES, ROWS, SHEET = "leakage.json", "leakage.csv", "leakage.png"


@click.command()
@click.argument("run_folder", type=click.Path(path_type=Path))
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    help="Of every optimisation of an attacker.",
)
@click.option(
    "--images", type=click.IntRange(min=1), default=8, show_default=True, help="Test images attacked, at most."
)
@click.option(
    "--pictures", type=click.IntRange(min=1), default=3, show_default=True, help="Of these, on the contact sheet."
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="A table or one object.")
def leakage(run_folder: Path, steps: int, images: int, pictures: int, form: str) -> None:
    """Attack the activations at the first cut of a trained run, at every cut its network can have.

    Test images of the first client are rebuilt from what the compute server sees of them, by attackers that know
    more or less; the others' training images are the attackers' own. Figures and a contact sheet (leakage.json, .csv
    and .png) go into the run folder; the originals are on the sheet. docs/leakage.md says how to read them.

    \b
    Examples:
      dcsfl-train leakage runs/demo/20260131-120000
      dcsfl-train leakage runs/demo/20260131-120000 --steps 2000 --images 32
    """
    with errors_in_a_line("stopped; nothing was written"), terminated_as_interrupted():
        folder = RunFolder.open(run_folder)
        # torch and MONAI take seconds to import, which the other commands need not wait for
        from trainer import checkpoint
        from trainer.experiment import Experiment
        from trainer.leakage.measure import measure
        from trainer.leakage.show import as_csv, as_json, draw_sheet, table
        from trainer.report.planes import pixel_aspect

        snapshot = checkpoint.read(folder.checkpoints / "latest")
        experiment = Experiment.prepare(folder.config())
        with progress_bar(console) as report:
            found = measure(experiment, snapshot, steps=steps, largest=images, progress=report)
        figures = as_json(found) | {"rounds": snapshot.round + 1, "steps": steps}
        folder.write_json(FIGURES, figures)
        folder.write_text(ROWS, as_csv(found))
        folder.write_bytes(SHEET, draw_sheet(found, pictures, pixel_aspect(experiment.config.data.voxel_mm)))
        if form == "json":
            click.echo(json.dumps(figures))
            return
        out = Console(width=None if sys.stdout.isatty() else 160)
        out.print(table(found))
        for name in (FIGURES, ROWS, SHEET):
            out.print(str(folder.path / name), markup=False, highlight=False, soft_wrap=True)

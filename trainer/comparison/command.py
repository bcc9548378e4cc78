"""`dcsfl-train compare`: methods and seeds on one data set, and what the differences amount to."""

from __future__ import annotations

from pathlib import Path

import click

from trainer.comparison import defaults
from trainer.config import load
from trainer.interruption import terminated_as_interrupted
from trainer.terminal import console, errors_in_a_line


@click.command()
@click.argument("overrides", nargs=-1, metavar="[SECTION.KEY=VALUE]...")
@click.option("--methods", help=f"Comma-separated; {defaults.METHODS} if not given.")
@click.option(
    "--variant",
    "variants",
    multiple=True,
    metavar='"METHOD LABEL: KEY=VALUE ..."',
    help=f'A method with overrides; repeatable. "{defaults.VARIANT}" if neither this nor --methods is given.',
)
@click.option("--seeds", help=f"Comma-separated values of run.seed; {defaults.SEEDS} if not given.")
@click.option(
    "--config", "configs", multiple=True, type=click.Path(path_type=Path), help="YAML file; repeatable, later wins."
)
@click.option(
    "--resume",
    is_flag=False,
    flag_value="",
    default=None,
    metavar="[FOLDER]",
    help="Finish what is missing; the comparison under run.folder/run.name that was changed last if none is named.",
)
@click.option(
    "--into", type=click.Path(path_type=Path), help="The folder itself, in place of FOLDER/NAME/compare-TIME."
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Runs at a time; by default as many as cores and measured memory allow. It changes no result.",
)
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="Progress as text or JSON lines."
)
@click.option("--quiet", is_flag=True, help="Print the comparison's folder alone.")
def compare(
    overrides: tuple[str, ...],
    methods: str | None,
    variants: tuple[str, ...],
    seeds: str | None,
    configs: tuple[Path, ...],
    resume: str | None,
    into: Path | None,
    jobs: int | None,
    form: str,
    quiet: bool,
) -> None:
    """Train every method with every seed on the same images, and say how far apart they are, and how surely.

    Each run is an ordinary one with a run folder of its own. At the end: means and spread, paired tests, curves over
    rounds, bytes and seconds, images beside ground truth; as page, CSV, JSON and LaTeX. An option of the method
    section that a method has no use for is left out for that method, and said.

    \b
    Examples:
      dcsfl-train compare
      dcsfl-train compare data.source=folder data.path=SITES training.rounds=50
      dcsfl-train compare --methods dcsfl,fedavg --seeds 1,2,3,4,5 --variant "dcsfl int8: training.cut_exchange=int8"
      dcsfl-train compare --resume --seeds 3,4
    """
    with errors_in_a_line("stopped before anything was run"), terminated_as_interrupted():
        if resume is not None and "=" in resume and not Path(resume).exists():
            overrides, resume = (resume, *overrides), ""  # click took the first override for the folder
        if resume is not None and into is not None:
            raise click.UsageError("--into names the folder of a new comparison; --resume goes on in the old one")
        # torch and MONAI take seconds to import, which the other commands need not wait for
        from trainer.comparison import session
        from trainer.comparison.folder import ComparisonFolder
        from trainer.comparison.plan import Plan, parse_seeds, parse_variants, refuse_reserved

        refuse_reserved(overrides)
        shown = "quiet" if quiet else form
        if resume is None:
            if methods is None and not variants:
                methods, variants = defaults.METHODS, (defaults.VARIANT,)
            chosen = parse_variants(methods or "", variants)
            plan = Plan(chosen, parse_seeds(seeds or defaults.SEEDS), load(configs, overrides))
            session.start(plan, into, jobs, shown, console)
            return
        if resume:
            folder = ComparisonFolder.open(Path(resume))
        else:
            run = load(configs, overrides).run
            folder = ComparisonFolder.latest(run.folder / run.name)
        asked = load([folder.shared_file, *configs], overrides)
        added = parse_variants(methods or "", variants)
        plan = session.extended(folder.plan(), asked, added, parse_seeds(seeds) if seeds else ())
        session.resume(folder, plan, jobs, shown, console)

"""One session of comparing at the command line: a new comparison or a resumed one, to its last line on the screen."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from he_core import HeCoreError
from trainer.comparison.display import ComparisonDisplay, display_for
from trainer.comparison.errors import ComparisonError
from trainer.comparison.folder import PREFIX, ComparisonFolder
from trainer.comparison.plan import Plan, Variant
from trainer.comparison.pool import Pool, jobs_by_cores, threads_of
from trainer.comparison.results import read_results
from trainer.comparison.write import PAGE, write_results
from trainer.config import Config
from trainer.data import FederatedData, load
from trainer.errors import ConfigError, TrainerError
from trainer.experiment import Experiment
from trainer.interruption import FAILED, INTERRUPTED
from trainer.run_folder import flatten, new_path, refuse_existing


def start(plan: Plan, into: Path | None, jobs: int | None, form: str, console: Console) -> None:
    """A new comparison. Whatever is wrong with any of its configurations is found before its folder is made."""
    path = into or new_path(plan.shared, PREFIX)
    refuse_existing(path)
    data = check(plan)
    folder = ComparisonFolder.create(path, plan)
    _compare(folder, plan, data, jobs, form, console)


def resume(folder: ComparisonFolder, plan: Plan, jobs: int | None, form: str, console: Console) -> None:
    """Go on with a comparison: finish what is missing, and write the results anew."""
    data = check(plan)
    for cell in plan.cells:
        if cell.seed == plan.seeds[0]:
            folder.run_folder(cell).check_data(data.sha256())
    _compare(folder, plan, data, jobs, form, console)


def extended(stored: Plan, asked: Config, variants: Sequence[Variant], seeds: Sequence[int]) -> Plan:
    """`stored` with further variants and seeds. Raises ConfigError where what is asked for differs from it.

    asked: the shared configuration, with what was given at the command line on top.
    """
    was, now = flatten(stored.shared.model_dump(mode="json")), flatten(asked.model_dump(mode="json"))
    differing = [
        f"{key} is {was.get(key)!r} there, {now.get(key)!r} here"
        for key in {**was, **now}
        if now.get(key) != was.get(key)
    ]
    known = {variant.name: variant for variant in stored.variants}
    differing += [
        f"variant {variant.name!r} has {' '.join(known[variant.name].overrides) or 'no overrides'} there, "
        f"{' '.join(variant.overrides) or 'none'} here"
        for variant in variants
        if variant != known.get(variant.name, variant)
    ]
    if differing:
        raise ConfigError(f"cannot resume: {', '.join(differing)}. Start a new comparison, or leave these out")
    return Plan(
        (*stored.variants, *(variant for variant in variants if variant.name not in known)),
        (*stored.seeds, *(seed for seed in seeds if seed not in stored.seeds)),
        stored.shared,
    )


def check(plan: Plan) -> FederatedData:
    """Prepare every variant with the first seed and its data, which are returned. Raises TrainerError."""
    first = plan.cells[0].config
    data = load(first.data, first.training.task, first.run.seed)
    for variant in plan.variants:
        try:
            Experiment.prepare(plan.config(variant, plan.seeds[0]), data)
        except (TrainerError, HeCoreError) as error:
            raise ComparisonError(f"variant {variant.name!r}: {error}") from None
    return data


def _compare(
    folder: ComparisonFolder, plan: Plan, data: FederatedData, jobs: int | None, form: str, console: Console
) -> None:
    display = display_for(form, console, folder.files.log)
    threads = threads_of(plan)
    with folder.locked() as lock:
        folder.write_plan(plan)
        missing = [cell for cell in plan.cells if not folder.is_finished(cell)]
        _introduce(folder, plan, data, display, f"{len(missing)} to run, {_limits(jobs, threads)}")
        pool = Pool(folder, lock, display, jobs=jobs, threads=threads)
        try:
            with display:
                display.begin(len(plan.cells), len(plan.cells) - len(missing))
                pool.run(missing)
        except KeyboardInterrupt:
            _tell(console, folder, f"stopped. Go on with:\n  {_command(folder)}")
            sys.exit(INTERRUPTED)
        failed = {cell.name: pool.records[cell.key].error for cell in plan.cells if not folder.is_finished(cell)}
        if len(failed) < len(plan.cells):
            results = read_results(folder, plan)
            write_results(folder, results, data)
            for line in results.lines():
                display.say(line)
            display.say(f"results: {folder.path / PAGE}")
        if failed:
            listed = "\n".join(f"  {name}: {error}" for name, error in failed.items())
            _tell(
                console,
                folder,
                f"error: {len(failed)} of {len(plan.cells)} runs failed:\n{listed}\nTry them again with:\n"
                f"  {_command(folder)}",
            )
            sys.exit(FAILED)
    if form == "quiet":
        click.echo(str(folder.path))


def _introduce(
    folder: ComparisonFolder, plan: Plan, data: FederatedData, display: ComparisonDisplay, amount: str
) -> None:
    names = ", ".join(variant.name for variant in plan.variants)
    display.say(f"comparison folder: {folder.path}\n{data.provenance}")
    display.say(f"{names}; seeds {', '.join(map(str, plan.seeds))}: {len(plan.cells)} runs, {amount}")
    for name, options in plan.left_out.items():
        display.say(f"note: {name} does without {', '.join(options)}, which it has no use for")


def _limits(jobs: int | None, threads: int) -> str:
    each = f"{threads} thread{'s' if threads > 1 else ''} each"
    if jobs is not None:
        return f"{jobs} at a time, {each}"
    return f"up to {jobs_by_cores(threads)} at a time by cores, fewer if memory is short, {each}"


def _command(folder: ComparisonFolder) -> str:
    return f"dcsfl-train compare --resume {shlex.quote(str(folder.path))}"


def _tell(console: Console, folder: ComparisonFolder, text: str) -> None:
    console.print("\n" + text, markup=False, highlight=False, soft_wrap=True)
    folder.files.log(text)

"""`dcsfl-train` and its commands. A user's mistake ends in a line that says what to do."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

import he_core
from trainer.comparison.command import compare
from trainer.config import Config, load
from trainer.explain import explain
from trainer.federation.command import submit
from trainer.interruption import FAILED, terminated_as_interrupted
from trainer.keys.commands import keys
from trainer.leakage.command import leakage
from trainer.planning.command import plan
from trainer.terminal import console, errors_in_a_line
from trainer.transcript.command import audit


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="dcsfl")
def main() -> None:
    """Split federated learning of U-shaped medical-image networks with encrypted averaging (DC-SFL).

    \b
    Start here:
      dcsfl-train run                        the demo: four simulated hospitals, real brain MRI
      dcsfl-train run --dry-run              what would cross between the parties, and its size
      dcsfl-train run data.source=folder data.path=SITES    your own images, one sub-folder per site
      dcsfl-train data data.source=folder data.path=SITES   what is there, what is wrong with it, a contact sheet
      dcsfl-train compare                    methods beside each other, over several seeds, with tests and tables
      dcsfl-train schemes                    encryption schemes, and whether they can run here
      dcsfl-train keys                       the group's keys: one for all, or any t of n
      dcsfl-train audit RUN_FOLDER           whether the parties' transcripts are whole, and tell the same
      dcsfl-train plan                       what each would cost on this machine, and which to choose
      dcsfl-train submit                     the same run across machines, under NVIDIA FLARE (docs/federation.md)
      dcsfl-train leakage RUN_FOLDER         how well images are rebuilt from what crosses the cut, at every cut
    """


main.add_command(compare)
main.add_command(plan)
main.add_command(keys)
main.add_command(audit)
main.add_command(leakage)
main.add_command(submit)


@main.command()
@click.argument("overrides", nargs=-1, metavar="[SECTION.KEY=VALUE]...")
@click.option(
    "--config", "configs", multiple=True, type=click.Path(path_type=Path), help="YAML file; repeatable, later wins."
)
@click.option("--print-config", is_flag=True, help="Print the resolved configuration, every key explained, and stop.")
@click.option("--dry-run", is_flag=True, help="Print parts, cuts, bytes per batch and per round, and stop.")
@click.option(
    "--resume",
    is_flag=False,
    flag_value="",
    default=None,
    metavar="[RUN_FOLDER]",
    help="Go on with a run after its last finished round; the newest under run.folder/run.name if none is named.",
)
@click.option("--into", type=click.Path(path_type=Path), help="The run folder itself, in place of FOLDER/NAME/TIME.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="Progress as text or JSON lines."
)
@click.option("--quiet", is_flag=True, help="Print the run folder's path alone.")
def run(
    overrides: tuple[str, ...],
    configs: tuple[Path, ...],
    print_config: bool,
    dry_run: bool,
    resume: str | None,
    into: Path | None,
    form: str,
    quiet: bool,
) -> None:
    """Train. With no arguments: the demo.

    The configuration is the defaults, then the --config files in order, then SECTION.KEY=VALUE overrides. Everything
    is written to a run folder: configuration, metrics, cost ledger, checkpoints, pictures and report.html.

    \b
    Examples:
      dcsfl-train run training.rounds=20 encryption.parameters.modulus_bits=2048
      dcsfl-train run method.name=splitfed-v1 encryption.scheme=plain
      dcsfl-train run training.task=restoration network.name=redcnn network.channels=16
      dcsfl-train run --resume runs/demo/20260131-120000
    """
    with errors_in_a_line("stopped before training"), terminated_as_interrupted():
        if resume is not None and "=" in resume and not Path(resume).exists():
            overrides, resume = (resume, *overrides), ""  # click took the first override for the folder
        if resume is not None and into is not None:
            raise click.UsageError("--into names the folder of a new run; --resume goes on in the old one")
        if print_config or dry_run:
            config = _config(configs, overrides, resume)
            if print_config:
                click.echo(explain(config), nl=False)
            else:
                _print_dry_run(config, form)
            return
        # torch and MONAI take seconds to import, which the other commands need not wait for
        from trainer import session

        shown = "quiet" if quiet else form
        if resume is None:
            session.start(load(configs, overrides), overrides, into, shown, console)
        else:
            session.resume(resume, configs, overrides, shown, console)


@main.command()
@click.argument("overrides", nargs=-1, metavar="[SECTION.KEY=VALUE]...")
@click.option(
    "--config", "configs", multiple=True, type=click.Path(path_type=Path), help="YAML file; repeatable, later wins."
)
@click.option(
    "--sheet", type=click.Path(path_type=Path), help="The contact sheet, in place of FOLDER/contact-sheet-NAME.png."
)
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="Tables, or one JSON object."
)
def data(overrides: tuple[str, ...], configs: tuple[Path, ...], sheet: Path | None, form: str) -> None:
    """Look at the images before training: what was found, what is wrong, who would train on what.

    Everything is read as a run would read it, all problems are listed, and a contact sheet (PNG) shows images
    with the outlines of their masks. The status is 1 where a run would refuse the data.

    \b
    Examples:
      dcsfl-train data data.source=folder data.path=SITES
      dcsfl-train data data.source=folder data.path=Task09_Spleen data.partition=dirichlet data.clients=4
      dcsfl-train data --format json
    """
    with errors_in_a_line("stopped while reading images"), terminated_as_interrupted():
        from trainer import data_check

        config = load(configs, overrides)
        checked = data_check.check(config)
        data_check.write_sheet(checked, config, sheet)
        if form == "json":
            click.echo(json.dumps(checked.report))
        else:
            data_check.print_check(checked, Console(width=None if sys.stdout.isatty() else 160))
        if not checked.is_usable:
            sys.exit(FAILED)


@main.command()
def schemes() -> None:
    """List encryption schemes and backends: what can run here, what each protects, and why not if not."""
    table = Table(
        *("scheme", "backend", "here", "security", "trust", "what it is"),
        title="encryption.scheme / .backend",
        caption=f"kernels in use: {he_core.kernel_target()}; a threshold (any t of n clients decrypt together, none "
        "alone): encryption.parameters.threshold=t .clients=n, keys by `dcsfl-train keys ceremony`",
    )
    for status in he_core.registry.default().statuses():
        found = status.capabilities
        table.add_row(
            status.scheme,
            status.backend,
            "yes" if status.obstacle is None else f"no: {status.obstacle}",
            "" if found is None else f"{found.security_bits} bits" if found.encrypts else "none",
            "" if found is None else found.trust.sentence + "; or a threshold" * status.can_be_split,
            "" if found is None else found.summary,
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _config(configs: tuple[Path, ...], overrides: tuple[str, ...], resume: str | None) -> Config:
    if resume is None:
        return load(configs, overrides)
    from trainer import session

    return session.asked_to_resume(resume, configs, overrides)[1]


def _print_dry_run(config: Config, form: str) -> None:
    from trainer.experiment import Experiment
    from trainer.split_tables import split_tables

    experiment = Experiment.prepare(config)
    parts = experiment.parts()
    if form == "json":
        click.echo(json.dumps(parts))
        return
    out = Console(width=None if sys.stdout.isatty() else 110)
    for table in split_tables(parts):
        out.print(table)
    if experiment.scheme is None:
        out.print(f"method {experiment.method.name} averages nothing: no ciphertext")
        return
    values, size = parts["encrypted_values"], parts["ciphertext_bytes"]
    out.print(
        f"per round each client sends one {experiment.scheme.name} ciphertext of {values:,} values: {size:,} bytes, "
        f"{8 * size / values:.1f} bits a value; and receives one of the same size"
    )

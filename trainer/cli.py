"""`dcsfl-train`: run, schemes. What a user may do wrong ends in one line that says how to do it right."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

import he_core
from trainer.config import Config, load
from trainer.errors import ConfigError, TrainerError

INTERRUPTED = 130  # what a shell reports for a program ended by Ctrl-C

console = Console(stderr=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="dcsfl")
def main() -> None:
    """Split federated learning of U-shaped medical-image networks with encrypted averaging (DC-SFL).

    \b
    Start here:
      dcsfl-train run                        the demo: four simulated hospitals, real brain MRI
      dcsfl-train run --dry-run              what would cross between the parties, and its size
      dcsfl-train run data.source=folder data.path=SITES    your own images, one sub-folder per site
      dcsfl-train schemes                    encryption schemes, and whether they can run here
    """


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
    with _errors_in_a_line():
        if resume is not None and "=" in resume:
            overrides, resume = (resume, *overrides), ""
        folder, config = (
            _resumed(resume, configs, overrides) if resume is not None else (None, load(configs, overrides))
        )
        if print_config:
            click.echo(explain(config), nl=False)
        elif dry_run:
            _print_dry_run(config)
        else:
            _train(config, overrides, folder, into, "quiet" if quiet else form)


@main.command()
def schemes() -> None:
    """List encryption schemes and backends: what can run here, what each protects, and why not if not."""
    table = Table(
        "scheme", "backend", "here", "security", "trust", "what it is", title="encryption.scheme / .backend"
    )
    for status in he_core.registry.default().statuses():
        found = status.capabilities
        table.add_row(
            status.scheme,
            status.backend,
            "yes" if status.obstacle is None else f"no: {status.obstacle}",
            "" if found is None else f"{found.security_bits} bits" if found.encrypts else "none",
            "" if found is None else found.trust,
            "" if found is None else found.summary,
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def explain(config: Config) -> str:
    """The configuration as YAML that loads again, each key's meaning beside it."""
    lines: list[str] = []
    _explain(config, lines, "")
    return "\n".join(lines) + "\n"


def _explain(section: Any, lines: list[str], indent: str) -> None:
    import yaml

    plain = section.model_dump(mode="json")
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if hasattr(value, "model_fields"):
            lines.append(f"{indent}{name}:  # {(type(value).__doc__ or '').splitlines()[0]}")
            _explain(value, lines, indent + "  ")
        else:
            text = yaml.safe_dump({name: plain[name]}, default_flow_style=None, width=1000).strip()
            comment = f"  # {field.description}" if field.description else ""
            lines.append(indent + text.replace("\n", "\n" + indent) + comment)


def _train(config: Config, overrides: tuple[str, ...], folder: Any, into: Path | None, form: str) -> None:
    from trainer import checkpoint
    from trainer.display import display_for
    from trainer.events import NoEvents, TensorBoardEvents
    from trainer.experiment import Experiment
    from trainer.rounds import Run
    from trainer.run_folder import RunFolder, environment, new_path

    display = display_for(form, console)
    experiment = Experiment.prepare(config)
    snapshot = checkpoint.read(folder.checkpoints / "latest") if folder is not None else None
    if folder is None:
        folder = RunFolder.create(into or new_path(config))
        folder.write_json("environment.json", environment())
        folder.write_json("parts.json", experiment.parts())
        folder.write_json("data.json", experiment.describe_data())
    folder.write_config(config, overrides)
    display.say(f"run folder: {folder.path}\n{experiment.data.provenance}")
    for client in experiment.data.clients:
        display.say(
            f"{client.name}: {len(client.train)} training, {len(client.test)} test images; {client.description}"
        )
    for note in experiment.data.notes:
        display.say(f"note: {note}")
    events = TensorBoardEvents(folder.path / "events") if config.run.tensorboard else NoEvents()
    training = Run(experiment, folder, display, events)
    if snapshot is not None:
        training.restore(snapshot)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with display:
            summary = training.run()
    except KeyboardInterrupt:
        console.print(
            f"\nstopped in round {training.finished_rounds + 1}; {training.finished_rounds} finished round(s) saved. "
            + (f"Go on with:\n  dcsfl-train run --resume {folder.path}" if training.finished_rounds else ""),
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        sys.exit(INTERRUPTED)
    figures = ", ".join(f"{name} {value:.4f}" for name, value in summary["final"].items())
    display.say(
        f"finished {summary['rounds']} rounds in {summary['wall_seconds']:.0f} s: {figures}; "
        f"encryption took {summary['encryption_seconds']:.1f} s, {summary['encryption_share']:.1%} of the time\n"
        f"report: {folder.path / 'report.html'}"
    )
    if form == "quiet":
        click.echo(str(folder.path))


def _print_dry_run(config: Config) -> None:
    from trainer.experiment import Experiment

    experiment = Experiment.prepare(config)
    parts = experiment.parts()
    total = sum(part["parameters"] for part in parts["parts"])
    table = Table("part", "at", "weights", "share", title=f"{parts['network']}: three parts")
    for part in parts["parts"]:
        table.add_row(part["part"], part["party"], f"{part['parameters']:,}", f"{part['parameters'] / total:.1%}")
    cuts = Table("cut", "shape", "bytes per image", "bytes per batch and step", title="the cuts, in training")
    for cut in parts["cuts"]:
        step = 2 * cut["bytes_per_image"] * config.training.batch_size  # activations, then their gradient
        cuts.add_row(cut["cut"], str(cut["shape"]), f"{cut['bytes_per_image']:,}", f"{step:,}")
    out = Console(width=None if sys.stdout.isatty() else 110)
    out.print(table)
    out.print(cuts)
    if experiment.scheme is None:
        out.print(f"method {experiment.method.name} averages nothing: no ciphertext")
        return
    values, size = parts["encrypted_values"], parts["ciphertext_bytes"]
    out.print(
        f"per round each client sends one {experiment.scheme.name} ciphertext of {values:,} values: {size:,} bytes, "
        f"{8 * size / values:.1f} bits a value; and receives one of the same size"
    )


def _resumed(resume: str, configs: tuple[Path, ...], overrides: tuple[str, ...]) -> tuple[Any, Config]:
    """The folder to go on with, and its configuration. Raises ConfigError where what was typed differs from it."""
    from trainer.run_folder import RunFolder, flatten

    if resume:
        folder = RunFolder.open(Path(resume))
    else:
        asked = load(configs, overrides)
        folder = RunFolder.latest(asked.run.folder / asked.run.name)
    stored = folder.config()
    if not configs and not overrides:
        return folder, stored
    asked = load([folder.path / "config.yaml", *configs], overrides)
    was, now = flatten(stored.model_dump(mode="json")), flatten(asked.model_dump(mode="json"))
    differing = [key for key in now if now[key] != was.get(key)]
    if asked.training.rounds >= stored.training.rounds:
        differing = [key for key in differing if key != "training.rounds"]  # a longer run starts the same
    if differing:
        listed = ", ".join(f"{key} is {was.get(key)!r} there, {now[key]!r} here" for key in differing)
        raise ConfigError(f"cannot resume {folder.path}: {listed}. Start a new run, or leave these out")
    return folder, asked


class _errors_in_a_line:  # noqa: N801 - reads as a phrase
    """Our own errors end the program with their message and status 1; anything else is a bug and keeps its trace."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, TrainerError | he_core.HeCoreError):
            console.print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
            sys.exit(1)


def _interrupt(number: int, stack: object) -> None:
    raise KeyboardInterrupt

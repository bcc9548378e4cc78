"""`dcsfl-train plan`: what each scheme would cost here, and which to choose."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import click

from he_core import Codec, Trust
from he_core.frame import MAX_PARTICIPANTS
from trainer.config import Config, load
from trainer.errors import ConfigError
from trainer.interruption import FAILED, terminated_as_interrupted
from trainer.planning import units
from trainer.planning.prediction import Workload
from trainer.planning.recommendation import Wishes, recommend
from trainer.planning.show import as_json, print_plan, progress_bar
from trainer.planning.survey import Survey
from trainer.terminal import console, errors_in_a_line

TRUST = {trust.label: trust for trust in Trust}


@click.command()
@click.argument("overrides", nargs=-1, metavar="[SECTION.KEY=VALUE]...")
@click.option(
    "--config", "configs", multiple=True, type=click.Path(path_type=Path), help="YAML file; repeatable, later wins."
)
@click.option("--values", help="Values in an update, such as 1e6; by default those of the configured network.")
@click.option(
    "--clients",
    type=click.IntRange(1, MAX_PARTICIPANTS),
    help="Hospitals in a round; by default those of the configured data.",
)
@click.option("--bits", type=int, help="Bits per quantised value, in place of encryption.bits.")
@click.option(
    "--bandwidth", default="100Mbit/s", show_default=True, help="Of a hospital's line, up and the same down."
)
@click.option(
    "--trust", type=click.Choice(list(TRUST)), default=Trust.SHARED_KEY.label, show_default=True, help="At least."
)
@click.option("--security", type=click.IntRange(min=0), default=0, help="Bits of security, at least.")
@click.option(
    "--precision", type=float, help="Largest error of the mean, relative to the clip limit of a value, such as 1e-5."
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Tables or one object.")
def plan(
    overrides: tuple[str, ...],
    configs: tuple[Path, ...],
    values: str | None,
    clients: int | None,
    bits: int | None,
    bandwidth: str,
    trust: str,
    security: int,
    precision: float | None,
    form: str,
) -> None:
    """Measure every scheme on this machine for two seconds at most, predict a round, and recommend one.

    Times are those of a round's slowest path, extrapolated from rounds measured here; bytes are exact. Recommended is
    the least time among the schemes that fulfil every wish. Ends with status 1 where none does.

    \b
    Examples:
      dcsfl-train plan                                    the demo's network
      dcsfl-train plan --values 1e6 --clients 16 --bandwidth 20Mbit/s
      dcsfl-train plan --values 1e6 --precision 1e-6 --security 192
      dcsfl-train plan training.task=restoration network.name=redcnn
    """
    with errors_in_a_line(), terminated_as_interrupted():
        if bits is not None:
            overrides = (*overrides, f"encryption.bits={bits}")
        config = load(configs, overrides)
        wishes = Wishes(TRUST[trust], security, _precision(precision))
        speed = units.bits_per_second(bandwidth)
        count = None if values is None else units.value_count(values)
        workload = _workload(config, count, clients, speed)
        encryption = config.encryption
        survey = Survey(
            workload,
            security_bits=security,
            given={encryption.scheme: encryption.parameters} if encryption.parameters else {},
            threads=config.run.threads,
        )
        with progress_bar(console) as report:
            candidates = survey.candidates(report)
        recommendation = recommend(candidates, wishes, workload.codec)
        if form == "json":
            click.echo(json.dumps(as_json(workload, wishes, candidates, recommendation)))
        else:
            print_plan(workload, wishes, candidates, recommendation)
        if recommendation.candidate is None:
            console.print(f"error: {recommendation.why}", markup=False, highlight=False, soft_wrap=True)
            sys.exit(FAILED)


def _workload(config: Config, count: int | None, clients: int | None, bits_per_second: float) -> Workload:
    """What was asked for on top of `config`; its network and data are looked at where `count` is None."""
    if count is None:
        # torch and MONAI take seconds to import, which a plan of so and so many values need not wait for
        from trainer.experiment import Experiment

        experiment = Experiment.prepare(config)
        if experiment.scheme is None:
            raise ConfigError(f"method.name={config.method.name} averages nothing, so there is nothing to encrypt")
        count = experiment.encrypted_values
        clients = clients or len(experiment.data.clients)
    clients = clients or config.data.clients
    codec = Codec(
        bits=config.encryption.bits,
        k_max=max(config.encryption.k_max, clients),
        lengths=(count,),
        limits=(1.0,),
        rounding=config.encryption.rounding,
        verified=config.encryption.verified is not False,
    )
    return Workload(codec, clients, bits_per_second)


def _precision(error: float | None) -> float | None:
    if error is not None and not (0 < error < math.inf):
        raise ConfigError(f"--precision={error!r}: must be above 0, such as 1e-5")
    return error

"""`dcsfl-train submit`: give a FLARE system that runs already, its sites at the hospitals, a run to carry."""

from __future__ import annotations

import time
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

import click

from trainer.config import load
from trainer.errors import ConfigError, TrainerError
from trainer.terminal import errors_in_a_line

CONNECT_SECONDS = 60.0
POLL_SECONDS = 2.0


class JobEndedError(TrainerError):
    """A job that FLARE ended before it was done."""


@click.command()
@click.argument("overrides", nargs=-1, metavar="[SECTION.KEY=VALUE]...")
@click.option(
    "--admin-kit",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The administrator's startup kit; its folder is named after the user.",
)
@click.option("--hospitals", required=True, metavar="SITE,SITE,...", help="Their FLARE site names, in client order.")
@click.option("--aggregation", required=True, metavar="SITE", help="The site that is the aggregation server.")
@click.option("--resume", metavar="NAME/TIME", help="Go on with that run, from the checkpoints that the sites keep.")
@click.option(
    "--config", "configs", multiple=True, type=click.Path(path_type=Path), help="YAML file; repeatable, later wins."
)
def submit(
    overrides: tuple[str, ...],
    admin_kit: Path,
    hospitals: str,
    aggregation: str,
    resume: str | None,
    configs: tuple[Path, ...],
) -> None:
    """Train across machines: submit a run to a FLARE system, and wait for its end.

    The sites' own files (local/dcsfl.yaml in each startup kit) say where images, keys and run folder are. Ctrl-C
    leaves the job running.

    \b
    Example:
      dcsfl-train submit --admin-kit admin@project.org --hospitals charite,ucsf --aggregation sums training.rounds=50
    """
    with errors_in_a_line("no longer waiting; the job goes on"):
        if find_spec("nvflare") is None:
            raise ConfigError("submit needs NVIDIA FLARE: pip install 'dcsfl[flare]'")
        from trainer.federation import job
        from trainer.methods import method_for
        from trainer.methods.options import check_options

        config = load(configs, overrides)
        sites = _names(hospitals, aggregation)
        check_options(method_for(config.method.name), config)
        run = resume or f"{config.run.name}/{datetime.now().strftime('%Y%m%d-%H%M%S')}"
        with job.session(admin_kit, admin_kit.resolve().name, CONNECT_SECONDS) as admin:
            job.wait_for_sites(admin, (*sites, aggregation), CONNECT_SECONDS, lambda: None)
            submitted = job.submit(admin, config, sites, aggregation, run)
            click.echo(f"job {submitted} is submitted; at the server its run folder is {run} below run.folder")
            status = ""
            while not status.startswith("FINISHED"):
                time.sleep(POLL_SECONDS)
                status = admin.get_job_meta(submitted)["status"]
        if status != "FINISHED:COMPLETED":
            raise JobEndedError(
                f"job {submitted} ended as {status}: the server's run.log says why. Go on with: --resume {run}"
            )
        click.echo(f"finished: {run}")


def _names(hospitals: str, aggregation: str) -> tuple[str, ...]:
    """The hospitals' site names. Raises ConfigError."""
    sites = tuple(name.strip() for name in hospitals.split(","))
    if "" in sites or len(set(sites)) != len(sites) or aggregation in sites:
        raise ConfigError(
            f"--hospitals={hospitals!r} --aggregation={aggregation!r}: each is a site of its own, named once"
        )
    return sites

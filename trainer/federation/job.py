"""The job that FLARE is given: who takes which part, and the configuration they share."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from nvflare.collab.recipe import CollabRecipe
from nvflare.fuel.flare_api.api_spec import NoConnection
from nvflare.fuel.flare_api.flare_api import Session, new_secure_session

from trainer.config import Config
from trainer.errors import TrainerError
from trainer.federation.flare import ComputeSite, PartySite
from trainer.participation import needed_per_round

SET_UP_SECONDS = 600  # a site loads its images meanwhile


class FlareUnreachableError(TrainerError):
    """A FLARE server that cannot be reached, or whose sites do not come."""


@contextmanager
def session(admin_kit: Path, user: str, seconds: float) -> Iterator[Session]:
    """An administrator's session with the FLARE server that `admin_kit` is for.

    seconds: how long to try. Raises FlareUnreachableError.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            with redirect_stdout(StringIO()):
                opened = new_secure_session(user, str(admin_kit), timeout=5.0)
            break
        except (NoConnection, ConnectionError) as error:
            if time.monotonic() > deadline:
                raise FlareUnreachableError(f"no FLARE server answers: {error}") from None
            time.sleep(1.0)
    try:
        yield opened
    finally:
        opened.close()


def wait_for_sites(opened: Session, sites: Sequence[str], seconds: float, check: Callable[[], None]) -> None:
    """Wait until all of `sites` are connected; `check` may raise meanwhile. Raises FlareUnreachableError."""
    deadline = time.monotonic() + seconds
    while True:
        check()
        missing = sorted(set(sites) - {client.name for client in opened.get_system_info().client_info})
        if not missing:
            return
        if time.monotonic() > deadline:
            raise FlareUnreachableError(f"sites not connected after {seconds:.0f} s: {', '.join(missing)}")
        time.sleep(0.5)


def submit(opened: Session, config: Config, hospitals: Sequence[str], aggregation: str, run: str) -> str:
    """Submit the job; returns its id. Parameters as of `export`."""
    with tempfile.TemporaryDirectory() as folder:
        exported = export(Path(folder), config, hospitals, aggregation, run)
        with redirect_stdout(StringIO()):
            return opened.submit_job(str(exported))


def export(folder: Path, config: Config, hospitals: Sequence[str], aggregation: str, run: str) -> Path:
    """Write the job of run folder NAME/TIME below `folder`; returns its own folder.

    hospitals: their site names, in client order.
    """
    parts: dict[str, Any] = {
        "config": _shared(config),
        "hospitals": list(hospitals),
        "aggregation": aggregation,
        "run": run,
    }
    recipe = CollabRecipe(
        config.run.name,
        server=ComputeSite(**parts),
        client=PartySite(**parts),
        sync_task_timeout=SET_UP_SECONDS,
        min_clients=needed_per_round(config.method, len(hospitals)) + 1,  # FLARE ends the job with fewer
    )
    with redirect_stdout(StringIO()):
        recipe.export(str(folder))
    return folder / config.run.name


def _shared(config: Config) -> str:
    """The job's configuration, without what is a site's own affair."""
    own = {"data": {"path"}, "encryption": {"key_folder"}, "run": {"folder"}, "federation": {"folder"}}
    return Config.model_validate(config.model_dump(mode="json", exclude=own)).dump()

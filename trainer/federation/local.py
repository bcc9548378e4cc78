"""A whole federation on one machine, a process per party, one command.

Everything lies in the run folder, under `federation/`: what FLARE's environment needs, anew at every start; `sites`,
what each party keeps: its keys, its checkpoints. The group's key pair is made here for all hospitals, as one machine
can; between hospitals, docs/federation.md has the ways.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import he_core
from he_core import CostLedger, keystore
from trainer import checkpoint
from trainer.checkpoint import Snapshot
from trainer.config import Config
from trainer.display import Display
from trainer.errors import TrainerError
from trainer.federation import kits
from trainer.federation.environments import ENVIRONMENTS, LocalJob
from trainer.federation.progress import Progress
from trainer.federation.senders import client_name
from trainer.methods import method_for
from trainer.parties.keys import keys_of_clients
from trainer.run_folder import METRICS, SUMMARY, RunFolder
from trainer.transport.in_process import AGGREGATION
from trainer.yaml12 import yaml_text

POLL_SECONDS = 0.5


class JobFailedError(TrainerError):
    """A federation whose job did not come to its end."""


class LocalFederation:
    """The federation of one run folder, a process for each of `hospitals`, which take their shares of the images.

    display: shows what the coordinator writes into the run folder, its log too.
    """

    def __init__(self, config: Config, hospitals: int, folder: RunFolder, display: Display) -> None:
        self._config = config
        self._folder = folder
        self._display = display
        self._workspace = folder.path.resolve() / "federation"
        self._hospitals = tuple(map(client_name, range(hospitals)))

    @property
    def finished_rounds(self) -> int:
        """Rounds finished so far."""
        return len(self._folder.rows(METRICS))

    @property
    def saved_rounds(self) -> int:
        """Rounds that the coordinator's newest checkpoint holds."""
        latest = self._folder.checkpoints / "latest"
        return checkpoint.read(latest).round + 1 if latest.exists() else 0

    def restore(self, snapshot: Snapshot) -> None:
        """The coordinator and the sites go on from their own checkpoints by themselves."""
        self._folder.remove(SUMMARY)

    def run(self) -> dict[str, Any]:
        """Train to the end, showing rounds as they finish; returns the summary.

        Raises JobFailedError, ProvisioningError, FlareUnreachableError, ProcessEndedError.
        """
        self._make_keys()
        path = self._folder.path.resolve()
        own = {site: self._own_settings(site) for site in (kits.SERVER, *self._hospitals, AGGREGATION)}
        job = LocalJob(self._config, self._hospitals, f"{path.parent.name}/{path.name}", own)
        with ENVIRONMENTS[self._config.federation.environment](self._workspace, job) as status:
            self._display.say(f"{len(own)} processes are connected; training starts")
            self._train(status)
        return self._folder.read_json(SUMMARY)

    def _train(self, status: Callable[[], str]) -> None:
        """See the job through."""
        progress = Progress(self._folder, self._display, self._config.training.rounds)
        said = ""
        # The report is the coordinator's last word. FLARE takes minutes longer where a site was lost on the way.
        while not said.startswith("FINISHED") and not self._folder.is_finished(self._config.training.rounds):
            time.sleep(POLL_SECONDS)
            progress.show()
            said = status()
        progress.show()
        if progress.last_error or not self._folder.is_finished(self._config.training.rounds):
            why = progress.last_error or f"{said}; what its processes wrote is in {self._workspace}"
            raise JobFailedError(f"the federation did not finish: {why}")

    def _make_keys(self) -> None:
        """A key folder for every site that needs one, unless an earlier start has made them."""
        config = self._config
        if not method_for(config.method.name).averages or (self._workspace / "sites").exists():
            return
        encryption = config.encryption
        scheme = he_core.create(encryption.scheme, encryption.backend, encryption.parameters)
        keys = keys_of_clients(scheme, encryption, CostLedger(), self._hospitals)
        for site, bundle in zip((*self._hospitals, AGGREGATION), (*keys, keys[0]), strict=True):
            folder = self._key_folder(site)
            folder.mkdir(parents=True)
            keystore.save_public(folder / "public.key", bundle.public)
            if site != AGGREGATION:
                keystore.save_secret(folder / "secret.key", bundle)

    def _key_folder(self, site: str) -> Path:
        return self._workspace / "sites" / site / "keys"

    def _own_settings(self, site: str) -> str:
        """What the site alone decides, as YAML: where its images, its keys and its checkpoints are."""
        own: dict[str, Any] = {"federation": {"folder": str(self._workspace / "sites" / site)}}
        if site == kits.SERVER:
            own["run"] = {"folder": str(self._folder.path.resolve().parent.parent)}
        else:
            own["encryption"] = {"key_folder": str(self._key_folder(site))}
            if site != AGGREGATION and self._config.data.path is not None:
                own["data"] = {"path": str(self._config.data.path.resolve())}
        return yaml_text(own)

"""Startup kits of a federation on one machine: FLARE's own provisioning, with certificates made on the spot."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from trainer.errors import TrainerError

PROJECT = "dcsfl"
ADMIN = "admin@dcsfl.org"
ORGANISATION = "dcsfl"
SERVER = "server"
SHARED_STORE = "/tmp/nvflare/"


class ProvisioningError(TrainerError):
    """Startup kits that could not be made."""


def provision(workspace: Path, sites: Sequence[str], port: int) -> Path:
    """Make kits for the server, `sites` and an administrator under `workspace`; returns the folder that holds them.

    The server listens on localhost:`port`. Raises ProvisioningError with what FLARE said.
    """
    workspace.mkdir(parents=True)
    project = {
        "api_version": 3,
        "name": PROJECT,
        "description": "dcsfl on one machine",
        "participants": [
            {
                "name": SERVER,
                "type": "server",
                "org": ORGANISATION,
                "default_host": "localhost",
                "fed_learn_port": port,
            },
            {"name": ADMIN, "type": "admin", "org": ORGANISATION, "role": "project_admin"},
            *({"name": site, "type": "client", "org": ORGANISATION} for site in sites),
        ],
        "builders": [
            {
                "path": "nvflare.lighter.impl.workspace.WorkspaceBuilder",
                "args": {"template_file": ["master_template.yml"]},
            },
            {"path": "nvflare.lighter.impl.static_file.StaticFileBuilder", "args": {"config_folder": "config"}},
            {"path": "nvflare.lighter.impl.cert.CertBuilder"},
            {"path": "nvflare.lighter.impl.signature.SignatureBuilder"},
        ],
    }
    file = workspace / "project.yml"
    file.write_text(yaml.safe_dump(project, sort_keys=False), encoding="utf-8")
    made = subprocess.run(
        [sys.executable, "-m", "nvflare.lighter.provision", "-p", str(file), "-w", str(workspace)],
        capture_output=True,
        text=True,
        check=False,
    )
    kits = workspace / PROJECT / "prod_00"
    if made.returncode or not (kits / SERVER / "startup").is_dir():
        raise ProvisioningError(f"FLARE made no startup kits: {(made.stderr or made.stdout).strip()[-500:]}")
    _keep_jobs_apart(kits / SERVER)
    return kits


def _keep_jobs_apart(kit: Path) -> None:
    """Have the server keep its jobs in its own kit: by default all servers of a machine share one store in /tmp,
    and one takes another's jobs."""
    for resources in (kit / "local").glob("resources.json*"):
        text = resources.read_text(encoding="utf-8")
        resources.write_text(text.replace(SHARED_STORE, str(kit / "store") + "/"), encoding="utf-8")


def free_port() -> int:
    """A port of localhost that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])

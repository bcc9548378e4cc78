"""The whole federation under NVIDIA FLARE: a process per party, mutual TLS, on this machine."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from rich.console import Console

from trainer import checkpoint, session
from trainer.config import load
from trainer.federation import environments
from trainer.federation.processes import SiteProcesses
from trainer.run_folder import METRICS, RunFolder

pytest.importorskip("nvflare", reason="the extra flare is not installed")
pytestmark = pytest.mark.slow

SMALL = (
    "run.threads=1",
    "run.examples=0",
    "data.image_size=32",
    "data.max_slices=6",
    "training.hd95=false",
    "network.features=[4, 4, 6, 6, 8, 4]",
    "training.batch_size=2",
    "training.micro_batches=2",
)


def federated(folder: Path) -> dict:
    states = dict(checkpoint.read(folder / "checkpoints" / "final").parties)
    for link in (folder / "federation" / "sites").glob("client-*/*/*/checkpoints/final"):
        states |= checkpoint.read(link).parties
    return states


def start(folder: Path, *overrides: str) -> None:
    session.start(load(overrides=(*SMALL, *overrides)), (), folder, "quiet", Console(stderr=True))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("federated") / "run"
    start(folder, "federation.backend=flare", "federation.direct_cuts=true", "training.rounds=3")
    return folder


def test_four_hospitals_and_two_servers_end_with_the_weights_of_one_process(run, tmp_path):
    start(tmp_path / "alone", "training.rounds=3")
    same_weights(federated(run), tmp_path / "alone")


def same_weights(found: dict, folder: Path, hospitals: int = 4) -> None:
    """`found` against the run in one process in `folder`, bit for bit."""
    alone = checkpoint.read(folder / "checkpoints" / "final").parties
    assert set(found) == {"compute", *(f"client-{index}" for index in range(hospitals))}
    for party, state in found.items():
        for name, tensor in state.tensors.items():
            assert torch.equal(tensor, alone[party].tensors[name]), f"{party} {name}"


def test_flares_simulator_ends_with_the_weights_of_one_process_too(tmp_path):
    small = ("training.rounds=2", "data.clients=2")
    start(tmp_path / "alone", *small)
    start(tmp_path / "run", "federation.backend=flare", "federation.environment=simulator", *small)
    same_weights(federated(tmp_path / "run"), tmp_path / "alone", hospitals=2)
    assert left_over(tmp_path) == []


def test_every_party_ran_in_a_process_of_its_own_over_mutual_tls(run):
    kits = next((run / "federation" / "kits").glob("dcsfl/prod_00"))
    sites = ("client-0", "client-1", "client-2", "client-3", "aggregation")
    for site in sites:
        kit = json.loads((kits / site / "startup" / "fed_client.json").read_bytes())
        assert kit["client"]["connection_security"] == "mtls"
        assert stat.S_IMODE((kits / site / "startup" / "client.key").stat().st_mode) & 0o077 == 0
        assert (kits / site / "console.txt").stat().st_size > 0
    keys = run / "federation" / "sites"
    assert [path.name for path in (keys / "aggregation" / "keys").iterdir()] == ["public.key"]
    assert not list(kits.glob("server/**/secret.key"))
    assert not list((run / "checkpoints").glob("*/client-*")), (
        "no weight of a hospital is in the coordinator's folder"
    )


def left_over(folder: Path) -> list[str]:
    """Command lines of processes that were started with something in `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text(errors="replace")
        except OSError:
            continue
        if str(folder) in command and int(process.name) != os.getpid():
            found.append(command)
    return found


def test_no_process_is_left(run):
    assert left_over(run) == []


def test_a_hospital_whose_process_is_killed_is_left_out_and_the_run_ends(tmp_path, monkeypatch):
    running: list[SiteProcesses] = []
    genuine = environments.started

    @contextmanager
    def watched(kits, sites):
        with genuine(kits, sites) as processes:
            running.append(processes)
            yield processes

    monkeypatch.setattr(environments, "started", watched)

    def kill_after_the_first_round():
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            if running and RunFolder(tmp_path / "run").rows(METRICS):
                running[0].kill("client-1")
                return
            time.sleep(0.1)

    killer = threading.Thread(target=kill_after_the_first_round)
    killer.start()
    start(tmp_path / "run", "federation.backend=flare", "training.rounds=6", "federation.deadline=60")
    killer.join()
    assert left_over(tmp_path) == []
    rows = RunFolder(tmp_path / "run").rows(METRICS)
    assert len(rows) == 6
    assert rows[0]["took_part"]["hospital-2"] == 1
    assert rows[-1]["took_part"] == {"hospital-1": 1, "hospital-2": 0, "hospital-3": 1, "hospital-4": 1}
    left = federated(tmp_path / "run")
    for name, tensor in left["client-0"].get("head/weights").items():
        assert torch.equal(tensor, left["client-3"].get("head/weights")[name])

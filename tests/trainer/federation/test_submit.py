"""`dcsfl-train submit`: a run for a FLARE system that runs already, whose sites have names and files of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

import he_core
from he_core import keystore
from trainer import checkpoint
from trainer.cli import main
from trainer.run_folder import METRICS, RunFolder

SMALL = (
    "run.name=joint",
    "data.image_size=32",
    "data.max_slices=6",
    "data.clients=2",
    "training.rounds=2",
    "training.hd95=false",
    "network.features=[4, 4, 6, 6, 8, 4]",
)


def submit(*arguments):
    return CliRunner().invoke(main, ["submit", *arguments])


@pytest.mark.parametrize("sites", [("a,a", "sums"), ("a,", "sums"), ("a,sums", "sums")])
def test_a_site_named_twice_or_not_at_all_is_refused_in_a_line(tmp_path, sites):
    hospitals, aggregation = sites
    found = submit("--admin-kit", str(tmp_path), "--hospitals", hospitals, "--aggregation", aggregation)
    assert found.exit_code == 1
    assert "named once" in found.output
    assert "Traceback" not in found.output


@pytest.fixture
def poc(tmp_path, monkeypatch):
    """FLARE's own proof of concept on this machine, its sites named and at work: the folder of its kits."""
    pytest.importorskip("nvflare", reason="the extra flare is not installed")
    from trainer.federation.processes import end_all_of

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NVFLARE_POC_WORKSPACE", str(tmp_path / "poc"))
    nvflare = Path(sys.executable).with_name("nvflare")
    subprocess.run([nvflare, "poc", "prepare", "-c", "north", "south", "sums"], check=True)
    kits = tmp_path / "poc" / "example_project" / "prod_00"
    write_site_files(kits, tmp_path)
    subprocess.run([nvflare, "poc", "start"], check=True)
    yield kits
    subprocess.run([nvflare, "poc", "stop"], check=True)
    end_all_of(tmp_path / "poc")


def write_site_files(kits: Path, folder: Path) -> None:
    """What each site decides for itself, its keys among it."""
    bundle = he_core.create("rlwe").generate_keys()
    for site in ("server", "north", "south", "sums"):
        keys = folder / site / "keys"
        keys.mkdir(parents=True)
        own = {"federation": {"folder": str(folder / site)}, "run": {"folder": str(folder / "runs"), "threads": 1}}
        if site != "server":
            own["encryption"] = {"key_folder": str(keys)}
            keystore.save_public(keys / "public.key", bundle.public)
        if site in ("north", "south"):
            keystore.save_secret(keys / "secret.key", bundle)
        (kits / site / "local" / "dcsfl.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")


@pytest.mark.slow
def test_a_run_is_carried_by_a_system_that_runs_already(poc, tmp_path):
    admin_kit = str(poc / "admin@nvidia.com")
    found = submit("--admin-kit", admin_kit, "--hospitals", "north,south", "--aggregation", "sums", *SMALL)
    assert found.exit_code == 0, found.output
    (folder,) = (tmp_path / "runs" / "joint").iterdir()
    assert len(RunFolder(folder).rows(METRICS)) == 2
    for index, site in enumerate(("north", "south")):
        (final,) = (tmp_path / site).glob("joint/*/checkpoints/final")
        assert set(checkpoint.read(final).parties) == {f"client-{index}"}

"""`dcsfl-train submit`: a run for a FLARE system that runs already, whose sites have names and files of their own."""

from __future__ import annotations

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


@pytest.mark.slow
def test_a_run_is_carried_by_a_system_that_runs_already(tmp_path):
    pytest.importorskip("nvflare", reason="the extra flare is not installed")
    from trainer.federation import kits
    from trainer.federation.processes import started

    sites = ("north", "south", "sums")
    prepared = kits.provision(tmp_path / "kits", sites, kits.free_port())
    bundle = he_core.create("rlwe").generate_keys()
    for site in (*sites, kits.SERVER):
        keys = tmp_path / site / "keys"
        keys.mkdir(parents=True)
        own = {
            "federation": {"folder": str(tmp_path / site)},
            "run": {"folder": str(tmp_path / "runs"), "threads": 1},
        }
        if site != kits.SERVER:
            own["encryption"] = {"key_folder": str(keys)}
            keystore.save_public(keys / "public.key", bundle.public)
        if site in ("north", "south"):
            keystore.save_secret(keys / "secret.key", bundle)
        (prepared / site / "local" / "dcsfl.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
    with started(prepared, sites):
        admin_kit = str(prepared / kits.ADMIN)
        found = submit("--admin-kit", admin_kit, "--hospitals", "north,south", "--aggregation", "sums", *SMALL)
    assert found.exit_code == 0, found.output
    (folder,) = (tmp_path / "runs" / "joint").iterdir()
    assert len(RunFolder(folder).rows(METRICS)) == 2
    for index, site in enumerate(("north", "south")):
        (final,) = (tmp_path / site).glob("joint/*/checkpoints/final")
        assert set(checkpoint.read(final).parties) == {f"client-{index}"}

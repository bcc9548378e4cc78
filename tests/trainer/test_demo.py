"""The demo as released, through the command line: encryption costs nothing but time, and the method works.

Slow: trains the default configuration four times. Whatever the figures are, they are results; the thresholds are
those the project promises for its demo.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

pytestmark = pytest.mark.slow
COMMAND = (str(Path(sys.executable).parent / "dcsfl-train"), "run", "--quiet")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """name -> run folder of the default configuration with overrides, run once each."""
    parent = tmp_path_factory.mktemp("demo")

    def run(name, *overrides):
        folder = parent / name
        if not folder.exists():
            subprocess.run([*COMMAND, "--into", str(folder), *overrides], check=True, timeout=900)
        return folder

    return run


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def final_dice(folder):
    return json.loads((folder / "summary.json").read_text())["final"]["dice"]


def test_encrypted_and_plain_end_with_the_same_dice_and_weights(demo):
    encrypted, plain = demo("encrypted"), demo("plain", "encryption.scheme=plain")
    assert "scheme: rlwe" in (encrypted / "config.yaml").read_text(), "the default must be what is tested"
    assert "scheme" not in (encrypted / "overrides.yaml").read_text()

    assert final_dice(encrypted) == pytest.approx(final_dice(plain), abs=0.002)

    allowed = sum(row["step"] for row in rows(encrypted))
    for party in ("client-0", "client-3", "compute"):
        left = load_file(encrypted / "checkpoints" / "final" / party / "state.safetensors")
        right = load_file(plain / "checkpoints" / "final" / party / "state.safetensors")
        assert left.keys() == right.keys()
        for name in (name for name in left if "/weights/" in name):
            assert float((left[name] - right[name]).abs().max()) <= allowed, f"{party} {name}"


def test_dcsfl_reaches_95_percent_of_centralised_for_the_same_image_passes(demo):
    federated, centralised = demo("encrypted"), demo("centralised", "method.name=centralised")
    assert final_dice(federated) >= 0.95 * final_dice(centralised)


def test_dcsfl_is_above_the_mean_of_local(demo):
    federated, local = demo("encrypted"), demo("local", "method.name=local")
    assert final_dice(federated) > final_dice(local)


def test_the_demo_leaves_a_report_and_says_what_encryption_cost(demo):
    folder = demo("encrypted")
    page = (folder / "report.html").read_text()
    assert "Dice" in page
    for row in rows(folder):
        assert 0 < row["encryption_seconds"] < row["wall_seconds"]
        assert row["aggregation_bytes"] > 0
    stages = {json.loads(line)["stage"] for line in (folder / "ledger.jsonl").read_text().splitlines()}
    assert stages >= {"prepare", "quantise", "pack", "encrypt", "frame", "parse", "add", "decrypt", "unpack"}

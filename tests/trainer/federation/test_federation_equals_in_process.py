"""A federation of sites that exchange bytes ends with the weights of the run in one process."""

from __future__ import annotations

import itertools
import json

import nibabel
import numpy as np
import pytest
import torch
from rich.console import Console

from trainer import checkpoint, session
from trainer.run_folder import METRICS, RunFolder

METHODS = dict.fromkeys(("dcsfl", "splitfed-v1", "splitfed-v2", "splitnn", "fedavg", "fedprox"), ())
METHODS["dcsfl"] = ("training.micro_batches=2", "training.cut_exchange=int8")  # requests overtake each other
METHODS["splitfed-v2"] = ("training.micro_batches=2",)


def in_process(config, folder):
    session.start(config, (), folder, "quiet", Console())
    return checkpoint.read(folder / "checkpoints" / "final").parties


def federated_states(fed):
    states = {}
    for folder in (*(fed.folder / f"client-{k}" for k in range(fed.hospitals)), fed.folder / "run"):
        states |= checkpoint.read(folder / "checkpoints" / "final").parties
    return states


@pytest.mark.parametrize("method", METHODS)
def test_every_method_that_federates_ends_with_the_weights_of_one_process(wired, tmp_path, method):
    fed = wired(f"method.name={method}", *METHODS[method])
    summary = fed.run()
    expected = in_process(fed.config, tmp_path / "alone")
    found = federated_states(fed)
    compared = 0
    for party, state in found.items():
        for name, tensor in state.tensors.items():
            torch.testing.assert_close(tensor, expected[party].tensors[name], rtol=0, atol=0)
            compared += 1
    assert compared > 50
    alone = json.loads((tmp_path / "alone" / "summary.json").read_bytes())
    assert summary["final"] == pytest.approx(alone["final"], abs=1e-6)
    assert bytes_at_the_cuts(fed.folder / "run") == bytes_at_the_cuts(tmp_path / "alone")


def test_hospitals_measure_their_volumes_in_mm_as_one_process_does(wired, tmp_path):
    labels = np.zeros((32, 32, 16), dtype=np.uint8)
    labels[8:20, 6:26, 3:12] = 1
    for site, case in itertools.product(("north", "south"), range(2)):
        moved = np.roll(labels, case, axis=0)
        for kind, array in (("images", moved * np.float32(2)), ("labels", moved)):
            file = tmp_path / "sites" / site / kind / f"case{case}.nii"
            file.parent.mkdir(parents=True, exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(array, np.diag([1.0, 1.5, 3.0, 1.0])), file)
    volumes = ("network.dimensions=3", "data.depth=16", "data.spacing=[1,1.5,3]", "data.clients=2")
    own = ("data.source=folder", f"data.path={tmp_path / 'sites'}", "training.hd95=true", "training.rounds=1")
    fed = wired(*volumes, *own, "encryption.scheme=plain")
    final = fed.run()["final"]
    in_process(fed.config, tmp_path / "alone")
    alone = json.loads((tmp_path / "alone" / "summary.json").read_bytes())["final"]
    assert final == pytest.approx(alone, abs=1e-6)
    assert final["hd95_mm"] > 0


def bytes_at_the_cuts(folder):
    return [row["cut_bytes"] for row in RunFolder(folder).rows(METRICS)]

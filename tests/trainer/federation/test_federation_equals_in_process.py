"""A federation of sites that exchange bytes ends with the weights of the run in one process."""

from __future__ import annotations

import json

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


def bytes_at_the_cuts(folder):
    return [row["cut_bytes"] for row in RunFolder(folder).rows(METRICS)]

"""Clients of one process that train at the same time: the same result, promptly ended by errors and Ctrl-C."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from trainer import checkpoint
from trainer.config import load
from trainer.parties.at_once import Crew, StoppedError, workers


@pytest.mark.parametrize("method", ["dcsfl", "fedavg", "splitfed-v2", "local"])
def test_weights_and_metrics_do_not_depend_on_how_many_train_at_once(
    method: str, quick_config: Any, start: Any, tmp_path: Path
) -> None:
    found = []
    for at_once in (1, 2, 4):
        folder = tmp_path / str(at_once)
        config = quick_config(f"method.name={method}", f"run.clients_at_once={at_once}", "training.rounds=2")
        summary = start(config, folder).run()
        found.append((checkpoint.read(folder / "checkpoints" / "final").parties, summary["final"]))
    parties, final = found[0]
    for others, metrics in found[1:]:
        assert metrics == final
        for name, state in parties.items():
            for key, tensor in state.tensors.items():
                assert torch.equal(tensor, others[name].tensors[key]), f"{name} {key}"


def test_work_is_at_the_same_time_and_results_are_in_order() -> None:
    together = threading.Barrier(3, timeout=20)

    def work(client: int) -> int:
        together.wait()
        return client * client

    assert list(Crew(3).each((2, 0, 1), work).items()) == [(2, 4), (0, 0), (1, 1)]


def test_one_at_a_time_stays_in_this_thread() -> None:
    assert set(Crew(1).each((0, 1), lambda client: threading.get_ident()).values()) == {threading.get_ident()}


@pytest.mark.parametrize("failing", [0, 2])
def test_an_error_ends_the_others_at_their_next_check(failing: int) -> None:
    crew = Crew(3)
    ended = []
    begun = threading.Barrier(3, timeout=20)

    def work(client: int) -> None:
        begun.wait()
        if client == failing:
            raise ValueError("diverged")
        try:
            while not ready.wait(0.001):
                crew.check()
        except StoppedError:
            ended.append(client)
            raise

    ready = threading.Event()
    timer = threading.Timer(20, ready.set)
    timer.start()
    with pytest.raises(ValueError, match="diverged"):
        crew.each((0, 1, 2), work)
    timer.cancel()
    assert sorted(ended) == sorted({0, 1, 2} - {failing})
    assert crew.each((0, 1), lambda client: crew.check()) == {0: None, 1: None}, "the crew works again"


def test_torch_computes_with_as_many_threads_as_outside() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert set(Crew(2).each((0, 1), lambda client: torch.get_num_threads()).values()) == {1}
    finally:
        torch.set_num_threads(before)


def test_as_many_as_have_cores_unless_asked_for() -> None:
    assert workers(load((), ["run.clients_at_once=3"])) == 3
    assert workers(load((), ["training.threads=64"])) == 1
    assert workers(load((), ["run.device=cuda:0"])) == 1

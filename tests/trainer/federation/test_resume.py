"""A federation that was stopped, or lost a site, goes on from the checkpoints that each site keeps for itself."""

from __future__ import annotations

import shutil

import pytest
import torch

from trainer import checkpoint
from trainer.errors import CheckpointError
from trainer.federation.commands import Restore, SealModel
from trainer.federation.vocabulary import VOCABULARY
from trainer.run_folder import METRICS, RunFolder
from trainer.transport.in_process import COMPUTE
from trainer.transport.remote import Refused


def states(fed, link="final"):
    found = {}
    for folder in (*(fed.folder / f"client-{k}" for k in range(fed.hospitals)), fed.folder / "run"):
        found |= checkpoint.read(folder / "checkpoints" / link).parties
    return found


def assert_equal(left, right):
    assert left.keys() == right.keys()
    for party in left:
        assert left[party].tensors.keys() == right[party].tensors.keys()
        for name, tensor in left[party].tensors.items():
            assert torch.equal(tensor, right[party].tensors[name]), f"{party} {name}"


def go_on(fed, rounds):
    """Start every process anew, to train on to `rounds`."""
    fed.overrides = (*fed.overrides, f"training.rounds={rounds}")
    fed.config = fed.site_config()
    fed.start()
    fed.run()


def test_a_federation_of_which_every_process_was_restarted_ends_as_if_nothing_had_happened(wired, tmp_path_factory):
    whole = wired("training.rounds=4")
    whole.run()
    stopped = type(whole)(tmp_path_factory.mktemp("stopped"), ("training.rounds=2",))
    stopped.run()
    go_on(stopped, 4)
    assert_equal(states(stopped), states(whole))


def test_sites_that_saved_a_round_more_than_their_coordinator_go_back_with_it(wired):
    fed = wired("training.rounds=2")
    fed.run()
    shutil.copytree(fed.folder / "run", fed.folder / "after two rounds", symlinks=True)
    go_on(fed, 3)
    expected = states(fed)
    # What is on the disks if the coordinator is killed when the sites have written their third round and it has not.
    shutil.rmtree(fed.folder / "run")
    (fed.folder / "after two rounds").rename(fed.folder / "run")
    go_on(fed, 3)
    assert_equal(states(fed), expected)


def test_a_site_without_the_round_says_so_and_changes_nothing(wired):
    fed = wired("training.rounds=1")
    fed.run()
    before = states(fed)
    with pytest.raises(CheckpointError):
        checkpoint.read(fed.folder / "client-0" / "checkpoints" / "round-0007")
    reply = VOCABULARY.decode(fed.wire.services["client-0"].answer(COMPUTE, VOCABULARY.encode(Restore(7))))
    assert reply.kind == "CheckpointError"
    assert "round-0007" in reply.reason
    assert_equal(states(fed), before)


class GivesNoModel:
    """A hospital that does not help others, such as one whose keys have nothing to seal a model under."""

    def __init__(self, service):
        self._service = service

    def answer(self, sender, data):
        if isinstance(VOCABULARY.decode(data), SealModel):
            return VOCABULARY.encode(Refused("ProtocolError", "it gives none"))
        return self._service.answer(sender, data)


def test_a_hospital_that_lacks_the_round_and_is_not_helped_is_left_out_of_the_resumed_run(wired):
    fed = wired("training.rounds=2", "method.min_participants=2")
    fed.run()
    shutil.rmtree(fed.folder / "client-1" / "checkpoints" / "round-0001")
    fed.overrides = (*fed.overrides, "training.rounds=3")
    fed.config = fed.site_config()
    fed.start()
    for client in (0, 2):
        fed.wire.services[f"client-{client}"] = GivesNoModel(fed.wire.services[f"client-{client}"])
    fed.run()
    rows = RunFolder(fed.folder / "run").rows(METRICS)
    assert [sum(row["took_part"].values()) for row in rows] == [3, 3, 2]
    assert rows[-1]["took_part"]["hospital-2"] == 0
    for client in (0, 2):
        assert checkpoint.read(fed.folder / f"client-{client}" / "checkpoints" / "final").round == 2

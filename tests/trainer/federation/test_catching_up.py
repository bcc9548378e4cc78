"""A hospital that has missed results is given the model by another, through servers that cannot read it."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
import torch

import he_core
from he_core.threshold_errors import SealError
from trainer import checkpoint
from trainer.errors import CheckpointError, ProtocolError
from trainer.federation.catching_up import ModelSeal
from trainer.federation.commands import Adopt, Receive, SealedModel, SealModel, TakeModel
from trainer.federation.vocabulary import VOCABULARY
from trainer.parties.state import PartyState
from trainer.run_folder import METRICS, TRANSCRIPTS, RunFolder
from trainer.transcript.audit import audit
from trainer.transcript.chain import read_chain
from trainer.transport.in_process import COMPUTE
from trainer.transport.remote import PartyUnreachableError


def final(fed, client):
    return checkpoint.read(fed.folder / f"client-{client}" / "checkpoints" / "final").parties[f"client-{client}"]


def assert_in_step(fed):
    first = final(fed, 0)
    for client in range(1, fed.hospitals):
        state = final(fed, client)
        assert state.numbers == first.numbers
        for name, tensor in first.tensors.items():
            if "/optimiser/" not in name:
                assert torch.equal(tensor, state.tensors[name]), f"client {client}: {name}"


def took_part(fed):
    return [sum(row["took_part"].values()) for row in RunFolder(fed.folder / "run").rows(METRICS)]


def findings(fed):
    found = (*fed.folder.glob(f"*/{TRANSCRIPTS}/*.jsonl"),)
    return audit([read_chain(path.stem, path.read_bytes()) for path in found]).all_findings


def lose_for_one_command(fed, client, command, round):
    """The client's network is gone from when it gets `command` of `round` until it is next looked for."""
    service = fed.wire.services[f"client-{client}"]

    class Gone:
        lost = False

        def answer(self, sender, data):
            message = VOCABULARY.decode(data)
            if type(message) is command and message.plan.round == round:
                self.lost = True
                raise PartyUnreachableError(f"client-{client}", "its network is gone")
            return service.answer(sender, data)

    fed.wire.services[f"client-{client}"] = gone = Gone()
    return gone


@pytest.mark.parametrize("command", [Receive, Adopt])
def test_a_hospital_that_missed_a_result_is_back_in_the_next_round(wired, command):
    fed = wired("training.rounds=3")
    gone = lose_for_one_command(fed, 1, command, 1)
    fed.run()
    assert gone.lost
    assert took_part(fed) == [3, 3, 3]
    assert_in_step(fed)
    assert findings(fed) == []


def test_a_hospital_whose_checkpoints_are_gone_is_back_in_the_resumed_run(wired):
    fed = wired("training.rounds=2")
    fed.run()
    shutil.rmtree(fed.folder / "client-1" / "checkpoints")
    fed.overrides = (*fed.overrides, "training.rounds=4")
    fed.config = fed.site_config()
    fed.start()
    fed.run()
    assert took_part(fed) == [3, 3, 3, 3]
    assert_in_step(fed)
    assert findings(fed) == []


def test_one_that_stays_away_does_not_come_back_and_the_others_go_on(wired):
    fed = wired("training.rounds=3")
    service = fed.wire.services["client-1"]

    class Killed:
        def answer(self, sender, data):
            if type(VOCABULARY.decode(data)) is Receive:
                fed.wire.cut.add("client-1")
                raise PartyUnreachableError("client-1", "its process was killed")
            return service.answer(sender, data)

    fed.wire.services["client-1"] = Killed()
    fed.run()
    assert took_part(fed) == [3, 2, 2]


def test_what_crosses_is_sealed(wired):
    fed = wired("training.rounds=2")
    lose_for_one_command(fed, 2, Receive, 0)
    fed.run()
    messages = [VOCABULARY.decode(data) for _, _, data in fed.wire.crossed]
    (given,) = (message for message in messages if isinstance(message, SealedModel))
    (taken,) = (message for message in messages if isinstance(message, TakeModel))
    assert taken.sealed == given.sealed
    weights = checkpoint.read(fed.folder / "client-0" / "checkpoints" / "round-0000").parties["client-0"]
    for name, tensor in weights.tensors.items():
        if tensor.nelement() >= 8:
            assert tensor.numpy().tobytes()[:32] not in given.sealed, name


# --- hostile models


@pytest.fixture(scope="module")
def keys():
    return he_core.create("rlwe").generate_keys()


def state(**changed):
    tensors = {
        "head/weights/conv": torch.ones(2, 3),
        "head/optimiser/0/exp_avg": torch.full((2, 3), 7.0),
        "correction/head/conv": torch.zeros(2, 3),
    }
    return PartyState(tensors | changed, {"correction": {"rounds": 3}, "clip_limits": [0.5, 0.25]})


def test_weights_correction_and_limits_are_given_and_the_optimiser_stays_ones_own(keys):
    seal = ModelSeal(keys, b"session")
    theirs = state()
    theirs.tensors["head/weights/conv"] = torch.arange(6.0).reshape(2, 3)
    own = state(**{"head/optimiser/0/exp_avg": torch.full((2, 3), 9.0)})
    found = seal.open(seal.seal(theirs, 4, 1), 4, 1, own)
    assert torch.equal(found.tensors["head/weights/conv"], theirs.tensors["head/weights/conv"])
    assert torch.equal(found.tensors["head/optimiser/0/exp_avg"], own.tensors["head/optimiser/0/exp_avg"])
    assert found.tensors.keys() == own.tensors.keys()
    assert found.numbers["correction"] == {"rounds": 3}
    assert list(found.numbers["clip_limits"]) == [0.5, 0.25]


def test_a_model_opens_for_the_group_alone_and_where_it_belongs(keys):
    sealed = ModelSeal(keys, b"session").seal(state(), 4, 1)
    others = he_core.create("rlwe").generate_keys()
    for seal, data, round, giver in (
        (ModelSeal(others, b"session"), sealed, 4, 1),
        (ModelSeal(keys, b"another"), sealed, 4, 1),
        (ModelSeal(keys, b"session"), sealed, 5, 1),
        (ModelSeal(keys, b"session"), sealed, 4, 2),
        (ModelSeal(keys, b"session"), sealed[:-1] + bytes([sealed[-1] ^ 1]), 4, 1),
        (ModelSeal(keys, b"session"), b"", 4, 1),
    ):
        with pytest.raises(SealError):
            seal.open(data, round, giver, state())


def test_a_model_of_another_network_is_refused(keys):
    seal = ModelSeal(keys, b"session")
    with pytest.raises(CheckpointError, match="another network"):
        seal.open(seal.seal(state(**{"head/weights/conv": torch.ones(3, 3)}), 0, 1), 0, 1, state())


def test_keys_of_before_sums_were_verified_seal_nothing(keys):
    old = dataclasses.replace(keys, verification_key=None)
    with pytest.raises(ProtocolError, match="no secret"):
        ModelSeal(old, b"session").seal(state(), 0, 1)


def test_a_hospital_that_lacks_nothing_takes_no_model_and_gives_none_of_another_round(wired):
    fed = wired("training.rounds=2")
    fed.run()
    service = fed.wire.services["client-1"]

    def answer(message):
        return VOCABULARY.decode(service.answer(COMPUTE, VOCABULARY.encode(message)))

    sealed = VOCABULARY.decode(fed.wire.services["client-0"].answer(COMPUTE, VOCABULARY.encode(SealModel(1)))).sealed
    before = fed.sites["client-1"]._state()
    assert "lacks none" in answer(TakeModel(1, 0, sealed)).reason
    assert "does not hold" in answer(SealModel(0)).reason
    assert answer(TakeModel(2, 0, sealed)).kind == "SealError"
    after = fed.sites["client-1"]._state()
    assert all(torch.equal(before.tensors[name], after.tensors[name]) for name in before.tensors)

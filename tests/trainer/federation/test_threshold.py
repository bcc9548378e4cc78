"""Decrypting together where parties are apart: any t of the hospitals, and a hospital that is gone costs nothing."""

from __future__ import annotations

import pytest
import torch

from trainer import checkpoint
from trainer.federation import commands
from trainer.federation.vocabulary import VOCABULARY
from trainer.parties.messages import SealedPartial
from trainer.run_folder import METRICS, RunFolder
from trainer.transport.in_process import AGGREGATION
from trainer.transport.remote import PartyUnreachableError

TOGETHER = ("encryption.parameters.threshold=2", "encryption.parameters.clients=3", "training.rounds=2")


def head(fed, client):
    state = checkpoint.read(fed.folder / f"client-{client}" / "checkpoints" / "final").parties[f"client-{client}"]
    return state.get("head/weights")


@pytest.fixture(scope="module")
def together(federate, tmp_path_factory):
    fed = federate(tmp_path_factory.mktemp("together"), *TOGETHER)
    fed.run()
    return fed


def test_hospitals_that_decrypt_together_end_with_the_weights_of_a_shared_key(together, federate, tmp_path_factory):
    alone = federate(tmp_path_factory.mktemp("shared"), "training.rounds=2")
    alone.run()
    for client in range(3):
        for name, tensor in head(together, client).items():
            assert torch.equal(tensor, head(alone, client)[name])


def test_the_servers_relay_parts_that_are_sealed(together):
    parts = [
        message
        for _, receiver, data in together.wire.crossed
        if receiver == AGGREGATION and isinstance(message := VOCABULARY.decode(data), SealedPartial)
    ]
    assert len(parts) == 2 * 2, "two of three hospitals, two rounds"
    assert len({part.sealed[-64:] for part in parts}) == len(parts)


def test_a_hospital_that_is_gone_costs_nothing_while_enough_remain(federate, tmp_path_factory):
    fed = federate(tmp_path_factory.mktemp("gone"), *TOGETHER)
    service = fed.wire.services["client-0"]

    class GoneInTheSecondRound:
        def answer(self, sender, data):
            message = VOCABULARY.decode(data)
            if isinstance(message, commands.Train) and message.round == 1:
                fed.wire.cut.add("client-0")
                raise PartyUnreachableError("client-0", "its process was killed")
            return service.answer(sender, data)

    fed.wire.services["client-0"] = GoneInTheSecondRound()
    fed.run()
    rows = RunFolder(fed.folder / "run").rows(METRICS)
    assert [sum(row["took_part"].values()) for row in rows] == [3, 2]
    for name, tensor in head(fed, 1).items():
        assert torch.equal(tensor, head(fed, 2)[name])

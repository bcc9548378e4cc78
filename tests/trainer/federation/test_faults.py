"""What real sites do: vanish, come late, repeat themselves, send rubbish, diverge (docs/federation.md, Faults)."""

from __future__ import annotations

import json
import random
import threading
import time

import pytest
import torch

from he_core.frame import Participant
from trainer import checkpoint
from trainer.errors import TrainerError
from trainer.federation import commands, remote_parties
from trainer.federation.vocabulary import VOCABULARY
from trainer.parties.messages import BatchPart, EncryptedContribution, HeadActivations, RoundPlan, SumRequest
from trainer.run_folder import METRICS, RunFolder
from trainer.transport.in_process import AGGREGATION, COMPUTE
from trainer.transport.remote import PartyUnreachableError, Refused


def weights(fed, client, part="head/weights"):
    snapshot = checkpoint.read(fed.folder / f"client-{client}" / "checkpoints" / "final")
    return snapshot.parties[f"client-{client}"].get(part)


def equal(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def answer(fed, recipient, sender, message):
    return VOCABULARY.decode(fed.wire.services[recipient].answer(sender, VOCABULARY.encode(message)))


class Saboteur:
    """Stands before a service; `act` sees (sender, message) and may raise, replace the bytes or let them pass."""

    def __init__(self, fed, party, act):
        self._service = fed.wire.services[party]
        self._act = act
        fed.wire.services[party] = self

    def answer(self, sender, data):
        return self._service.answer(sender, self._act(sender, VOCABULARY.decode(data), data) or data)


def lose(fed, client, command, round_index):
    """The client's process is gone as soon as it gets `command` in `round_index`."""

    def act(sender, message, data):
        at = getattr(message, "round", None)
        at = message.plan.round if at is None and hasattr(message, "plan") else at
        if type(message) is command and at == round_index:
            fed.wire.cut.add(f"client-{client}")
            raise PartyUnreachableError(f"client-{client}", "its process was killed")

    Saboteur(fed, f"client-{client}", act)


@pytest.mark.parametrize("command", [commands.Train, commands.Contribute, commands.Receive])
def test_a_client_killed_in_mid_round_is_left_out_and_the_others_go_on(wired, command):
    fed = wired("training.rounds=3", "method.min_participants=2")
    lose(fed, 1, command, 1)
    summary = fed.run()
    assert summary["finished"]
    rows = RunFolder(fed.folder / "run").rows(METRICS)
    assert [sum(row["took_part"].values()) for row in rows] == [3, 3 if command is commands.Receive else 2, 2]
    assert equal(weights(fed, 0), weights(fed, 2)), "the clients that are left hold one model"


def test_a_client_lost_before_it_contributes_leaves_the_result_of_a_round_without_it(wired, tmp_path_factory):
    """Lost in the first round's training: the others end as a federation in which it never was asked ends."""
    fed = wired("training.rounds=1")
    lose(fed, 2, commands.Train, 0)
    fed.run()
    lost_later = type(fed)(tmp_path_factory.mktemp("later"), ("training.rounds=1",))
    lose(lost_later, 2, commands.Contribute, 0)
    lost_later.run()
    assert equal(weights(fed, 0), weights(lost_later, 0))
    assert equal(weights(fed, 0, "tail/weights"), weights(lost_later, 1, "tail/weights"))


def test_a_federation_with_too_few_clients_left_says_so_and_keeps_its_checkpoint(wired):
    fed = wired("training.rounds=3", "method.min_participants=2")
    lose(fed, 0, commands.Train, 1)
    lose(fed, 1, commands.Contribute, 1)
    with pytest.raises(TrainerError, match="1 clients are left, fewer than the 2"):
        fed.run()
    assert checkpoint.read(fed.folder / "run" / "checkpoints" / "latest").round == 0


def test_a_client_whose_weights_are_not_finite_is_left_out_and_named(wired):
    fed = wired("training.rounds=2")
    client = fed.sites["client-1"]._client
    with torch.no_grad():
        next(client.head.parameters()).fill_(float("nan"))
    fed.run()
    rows = RunFolder(fed.folder / "run").rows(METRICS)
    assert rows[0]["took_part"] == {"hospital-1": 1, "hospital-2": 0, "hospital-3": 1}
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights(fed, 0).values())


def test_a_duplicate_contribution_is_refused_and_changes_nothing(wired, tmp_path_factory):
    fed = wired("training.rounds=2")
    refused = []

    def repeat(sender, message, data):
        if isinstance(message, EncryptedContribution):
            first = fed.inner.answer(sender, data)
            refused.append(VOCABULARY.decode(fed.inner.answer(sender, data)))
            return first
        return None

    fed.inner = fed.wire.services[AGGREGATION]

    class Repeating:
        def answer(self, sender, data):
            return repeat(sender, VOCABULARY.decode(data), data) or fed.inner.answer(sender, data)

    fed.wire.services[AGGREGATION] = Repeating()
    fed.run()
    assert {reply.kind for reply in refused} == {"DuplicateClientError"}
    undisturbed = type(fed)(tmp_path_factory.mktemp("undisturbed"), ("training.rounds=2",))
    undisturbed.run()
    assert equal(weights(fed, 0), weights(undisturbed, 0))


def test_a_late_frame_of_an_earlier_round_is_refused(wired):
    fed = wired("training.rounds=2")
    fed.run()
    frames = [
        message
        for sender, receiver, data in fed.wire.crossed
        if (sender, receiver) == ("client-0", AGGREGATION)
        and isinstance(message := VOCABULARY.decode(data), EncryptedContribution)
    ]
    plan = RoundPlan(2, frames_plan(fed))
    assert answer(fed, AGGREGATION, COMPUTE, commands.OpenSum(plan)) == commands.Done()
    assert answer(fed, AGGREGATION, "client-0", frames[0]).kind == "ReplayedRoundError"


def frames_plan(fed):
    return tuple(Participant(client, 1) for client in range(fed.hospitals))


def test_corrupt_and_oversized_frames_are_refused_and_the_sum_is_as_without_them(wired, tmp_path_factory):
    fed = wired("training.rounds=1")
    inner = fed.wire.services[AGGREGATION]
    source = random.Random(5)
    kinds = set()

    class Noisy:
        def answer(self, sender, data):
            message = VOCABULARY.decode(data)
            if isinstance(message, EncryptedContribution):
                for _ in range(20):
                    bad = bytearray(message.frame)
                    bad[source.randrange(len(bad))] ^= 1 << source.randrange(8)
                    for frame in (bytes(bad), message.frame + b"\0", message.frame[:-1], b""):
                        reply = inner.answer(sender, VOCABULARY.encode(EncryptedContribution(frame)))
                        kinds.add(VOCABULARY.decode(reply).kind)
            return inner.answer(sender, data)

    fed.wire.services[AGGREGATION] = Noisy()
    fed.run()
    assert {"FrameChecksumError", "TrailingBytesError", "TruncatedFrameError"} <= kinds
    undisturbed = type(fed)(tmp_path_factory.mktemp("undisturbed"), ("training.rounds=1",))
    undisturbed.run()
    assert equal(weights(fed, 0), weights(undisturbed, 0))


def test_no_site_may_speak_for_another(wired):
    fed = wired("training.rounds=1")
    fed.run()
    stolen = next(
        message
        for sender, _, data in fed.wire.crossed
        if sender == "client-0" and isinstance(message := VOCABULARY.decode(data), EncryptedContribution)
    )
    for recipient, sender, message in (
        (AGGREGATION, "client-1", stolen),
        (AGGREGATION, "client-1", SumRequest(0, 0)),
        (AGGREGATION, "client-1", commands.OpenSum(RoundPlan(5, frames_plan(fed)))),
        (COMPUTE, "client-1", HeadActivations(0, BatchPart(0, 0, 0, 1), torch.zeros(1, 4, 32, 32))),
        ("client-0", "client-1", commands.Train(0)),
        ("client-0", AGGREGATION, commands.Evaluate()),
    ):
        reply = answer(fed, recipient, sender, message)
        assert isinstance(reply, Refused)
        assert reply.kind == "ProtocolError"


def test_ten_thousand_malformed_messages_to_every_service_change_nothing(wired):
    fed = wired("training.rounds=1")
    fed.run()
    source = random.Random(3)
    genuine = [data for _, _, data in fed.wire.crossed]
    before = {party: state(fed, party) for party in ("client-0", AGGREGATION)}
    for party in before:
        refused = 0
        for _ in range(10_000):
            original = source.choice(genuine)[:4000]
            data = bytearray(original)
            while data == original:  # what was changed may be what it was before, and is the sender's to send then
                for _ in range(source.randint(1, 4)):
                    data[source.randrange(len(data))] = source.randrange(256)
            reply = VOCABULARY.decode(fed.wire.services[party].answer("client-2", bytes(data)))
            refused += type(reply) is Refused
        assert refused == 10_000
    for party, earlier in before.items():
        now = state(fed, party)
        assert equal(now.tensors, earlier.tensors)
        assert json.dumps(now.numbers) == json.dumps(earlier.numbers)


def state(fed, party):
    return fed.sites[party]._state()


def test_a_site_of_another_configuration_or_key_is_refused_before_training(wired, tmp_path_factory):
    fed = wired()
    fed.overrides = (*fed.overrides, "training.batch_size=3")
    fed.start_hospital(1)
    with pytest.raises(TrainerError, match="client-1 refused: this site's configuration"):
        fed.run()
    other = type(fed)(tmp_path_factory.mktemp("other"), ())
    strangers = type(fed)(tmp_path_factory.mktemp("strangers"), ())
    other.wire.services["client-1"] = strangers.wire.services["client-1"]
    with pytest.raises(TrainerError, match="keys of different groups"):
        other.run()


def test_the_aggregation_server_refuses_to_start_beside_a_secret_key(wired):
    fed = wired()
    secret = fed.folder / AGGREGATION / "keys" / "secret.key"
    secret.write_bytes((fed.folder / "client-0" / "keys" / "secret.key").read_bytes())
    with pytest.raises(Exception, match="must not be given a secret key"):
        fed.start()


def test_a_hospital_past_its_deadline_is_left_out_then_given_the_result_and_asked_again(wired, monkeypatch):
    """What it still sends over the cuts is refused meanwhile, and it ends with the others' model."""
    fed = wired("training.rounds=3", "federation.deadline=2", "method.min_participants=2")
    late = {"calls": 0}
    genuine = fed.sites["client-1"]._client._step

    def slow(round_index, batch, images, targets):
        if round_index == 1 and not late["calls"]:
            late["calls"] += 1
            time.sleep(3)
        return genuine(round_index, batch, images, targets)

    monkeypatch.setattr(fed.sites["client-1"]._client, "_step", slow)
    fed.wire.deadlines = True
    fed.run()
    rows = RunFolder(fed.folder / "run").rows(METRICS)
    assert [row["took_part"]["hospital-2"] for row in rows] == [1, 0, 1]
    assert equal(weights(fed, 0), weights(fed, 1))


def test_a_hospital_that_is_gone_is_noticed_while_it_trains(wired, monkeypatch):
    """Its deadline is an hour away."""
    monkeypatch.setattr(remote_parties, "PING_SECONDS", 0.5)
    fed = wired("training.rounds=2", "federation.deadline=3600")
    released = threading.Event()

    def act(sender, message, data):
        if isinstance(message, commands.Train) and message.round == 1:
            fed.wire.cut.add("client-2")
            released.wait(60)

    Saboteur(fed, "client-2", act)
    start = time.monotonic()
    fed.run()
    released.set()
    assert time.monotonic() - start < 30
    rows = RunFolder(fed.folder / "run").rows(METRICS)
    assert [row["took_part"]["hospital-3"] for row in rows] == [1, 0]


def test_a_site_that_cannot_write_its_checkpoint_says_so_and_the_run_goes_on(wired):
    fed = wired("training.rounds=2")
    (fed.folder / "client-1" / "checkpoints").write_text("a file where a folder must be")
    fed.run()
    log = (fed.folder / "run" / "run.log").read_text() if (fed.folder / "run" / "run.log").exists() else ""
    rows = RunFolder(fed.folder / "run").rows(METRICS)
    assert [sum(row["took_part"].values()) for row in rows] == [3, 3], log
    assert checkpoint.read(fed.folder / "client-0" / "checkpoints" / "final").round == 1
    reply = answer(fed, "client-1", COMPUTE, commands.Keep(1, ("latest",)))
    assert reply.kind == "CheckpointError"
    assert "cannot write checkpoint" in reply.reason


def test_clocks_that_jump_change_nothing(wired, tmp_path_factory, monkeypatch):
    fed = wired("training.rounds=2")
    source = random.Random(8)
    monkeypatch.setattr(time, "time", lambda: source.uniform(0, 4e9))
    fed.run()
    monkeypatch.undo()
    undisturbed = type(fed)(tmp_path_factory.mktemp("undisturbed"), ("training.rounds=2",))
    undisturbed.run()
    assert equal(weights(fed, 0), weights(undisturbed, 0))

"""Each site's own log: honest ones fit, a lost hospital is a note, and a restart goes on with the files."""

from __future__ import annotations

import pytest

import lying_servers
from trainer.federation import commands
from trainer.federation.vocabulary import VOCABULARY
from trainer.transcript.audit import audit
from trainer.transcript.chain import read_chain
from trainer.transport.remote import PartyUnreachableError


def chains_of(fed):
    files = sorted(fed.folder.glob("*/transcripts/*.jsonl"))
    return [read_chain(file.stem, file.read_bytes()) for file in files]


def lose(fed, client, command, round_index):
    """The client's process is gone as soon as it gets `command` in `round_index`."""
    service = fed.wire.services[f"client-{client}"]

    class Lost:
        def answer(self, sender, data):
            message = VOCABULARY.decode(data)
            if type(message) is command and message.plan.round == round_index:
                fed.wire.cut.add(f"client-{client}")
                raise PartyUnreachableError(f"client-{client}", "its process was killed")
            return service.answer(sender, data)

    fed.wire.services[f"client-{client}"] = Lost()


def test_every_party_keeps_its_own_log_and_they_fit_also_after_a_restart(wired):
    fed = wired("training.rounds=2")
    fed.run()
    found = audit(chains_of(fed))
    assert sorted(found.parties) == ["aggregation", "client-0", "client-1", "client-2", "compute"]
    assert (found.all_findings, found.notes) == ([], [])
    assert [about.outcome for about in found.rounds] == ["accepted by 3"] * 2
    again = type(fed)(fed.folder, ("training.rounds=3",))
    again.run()
    found = audit(chains_of(again))
    assert (found.all_findings, found.notes) == ([], [])
    assert [about.outcome for about in found.rounds] == ["accepted by 3"] * 3
    assert all([entry.event for entry in chain.entries].count("resumed") == 1 for chain in chains_of(again))


@pytest.mark.parametrize("command", [commands.Contribute, commands.Receive])
def test_a_hospital_that_is_lost_is_told_of_and_the_others_fit(wired, command):
    """Lost before its contribution the sum is begun anew without it; after it, its log ends where it ended."""
    fed = wired("training.rounds=3", "method.min_participants=2")
    lose(fed, 1, command, 1)
    fed.run()
    found = audit(chains_of(fed))
    if command is commands.Contribute:
        assert found.all_findings == []
    else:
        assert len(found.all_findings) == 1
        assert "round 1: client-1 tells nothing of how it ended" in found.all_findings[0]
    assert any("round 2: client-1 tells nothing" in note for note in found.notes)
    assert [about.outcome for about in found.rounds] == ["accepted by 3", "accepted by 2", "accepted by 2"]


def test_a_server_that_lies_to_sites_is_shown_by_the_logs(wired, monkeypatch):
    monkeypatch.setattr("trainer.federation.aggregation_site.AggregationServer", lying_servers.Dropping)
    fed = wired("training.rounds=3", "encryption.on_refused=continue")
    fed.run()
    found = audit(chains_of(fed))
    assert [about.outcome for about in found.rounds] == ["accepted by 3", "refused by 3", "accepted by 3"]
    assert found.all_findings
    assert all(line.startswith("sum of round 1 differ: not all saw the same sum") for line in found.all_findings)
    compute = next(chain for chain in chains_of(fed) if chain.party == "compute")
    assert [entry.event for entry in compute.entries] == ["started", "averaged", "undone", "averaged"]

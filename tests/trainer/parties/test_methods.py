"""What sets the methods apart, on small federations of real images."""

from __future__ import annotations

import pytest
import torch

from trainer.errors import ConfigError
from trainer.methods import METHODS, method_for
from trainer.parties.messages import Participant, RoundPlan

PLAIN = "encryption.scheme=plain"


def test_splitfed_v1_is_dcsfl_without_correction_bit_for_bit(federation):
    splitfed = federation(PLAIN, "method.name=splitfed-v1")
    dcsfl = federation(PLAIN, "method.name=dcsfl", "method.correction.mode=off")
    splitfed.run(3)
    dcsfl.run(3)
    assert splitfed.weights().keys() == dcsfl.weights().keys()
    assert all(torch.equal(tensor, dcsfl.weights()[name]) for name, tensor in splitfed.weights().items())


def test_the_correction_changes_head_body_and_tail_from_the_third_round_on(federation):
    corrected, plain = federation(PLAIN), federation(PLAIN, "method.correction.mode=off")
    corrected.run(2)
    plain.run(2)
    assert all(torch.equal(tensor, plain.weights()[name]) for name, tensor in corrected.weights().items())
    for fed in (corrected, plain):
        fed.experiment.method.run_round(fed.parties, fed.plan(2), lambda client, loss: None)
    for part in ("client-0/head/", "client-0/tail/", "compute/body-0/"):
        names = [name for name in plain.weights() if name.startswith(part)]
        assert any(not torch.equal(corrected.weights()[name], plain.weights()[name]) for name in names), part


def test_local_clients_drift_apart_and_send_nothing_to_be_averaged(federation):
    fed = federation("method.name=local")
    fed.run(1)
    weights = fed.weights()
    head = next(name for name in weights if name.startswith("client-0/head/"))
    assert not torch.equal(weights[head], weights[head.replace("client-0", "client-1")])
    assert fed.parties.aggregation is None
    assert fed.parties.transport.traffic.bytes_with("aggregation") == 0


def test_every_local_model_is_judged_on_every_sites_images(federation):
    fed = federation("method.name=local")
    judged = fed.experiment.method.judges(fed.parties, 2)
    assert judged == tuple(range(len(fed.parties.clients)))


def test_centralised_passes_over_all_clients_images_each_round(federation):
    fed = federation("method.name=centralised")
    (pooled,) = fed.parties.training_sets
    assert len(pooled) == sum(len(client.train) for client in fed.data.clients)
    batches = []
    plan = fed.plan(0)
    fed.experiment.method.run_round(fed.parties, plan, lambda client, loss: batches.append(client))
    assert len(batches) == -(-len(pooled) // fed.config.training.batch_size)


def test_metrics_are_means_over_judges_then_sites(federation):
    fed = federation("method.name=local")
    fed.run(1)
    evaluation = fed.experiment.method.evaluate(fed.parties, fed.data)
    by_hand = [
        sum(client.evaluate(site.test)["dice"] for client in fed.parties.clients) / 4 for site in fed.data.clients
    ]
    assert [evaluation["clients"][site.name]["dice"] for site in fed.data.clients] == pytest.approx(by_hand)
    assert evaluation["mean"]["dice"] == pytest.approx(sum(by_hand) / 4)


def test_sample_weighting_equals_weighting_by_hand(federation):
    fed = federation("encryption.scheme=none", "method.correction.mode=off")
    plan_weights = (1, 2, 3, 4)
    plan = RoundPlan(0, tuple(Participant(client, weight) for client, weight in enumerate(plan_weights)))
    start = fed.parties.clients[0].averaging._global.copy()
    locals_ = []
    for client, site in zip(fed.parties.clients, fed.data.clients, strict=True):
        client.train(0, site.train)
        locals_.append(client.averaging._layout.flatten(client.head, client.tail) - start)
    fed.parties.aggregation.open(plan)
    for client in fed.parties.clients:
        client.averaging.contribute(plan)
    fed.parties.clients[0].averaging.receive(plan)
    fed.parties.clients[0].averaging.adopt(plan)
    by_hand = start + sum(w * update for w, update in zip(plan_weights, locals_, strict=True)) / 10
    torch.testing.assert_close(
        torch.from_numpy(fed.parties.clients[0].averaging._global), torch.from_numpy(by_hand), rtol=0, atol=1e-6
    )


def test_unknown_methods_are_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match="did you mean 'centralised'"):
        method_for("centralized")
    assert set(METHODS) == {
        *("dcsfl", "splitfed-v1", "splitfed-v2", "splitnn", "fedavg", "fedprox", "local", "centralised")
    }

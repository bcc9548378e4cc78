"""What the options of the methods do, and that a method refuses those it has no use for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainer.config import MethodConfig, load
from trainer.errors import ConfigError, ProtocolError
from trainer.experiment import Experiment
from trainer.methods import METHODS, method_for
from trainer.methods.options import check_options, foreign_options

PLAIN = "encryption.scheme=plain"
EXACT = "encryption.scheme=none"
FEW = "data.max_slices=2"


def assert_bits_equal(left, right):
    assert left.keys() == right.keys()
    assert [name for name, tensor in left.items() if not torch.equal(tensor, right[name])] == []


def distance(fed, start):
    return sum(float((tensor - start[name]).square().sum()) for name, tensor in fed.weights().items())


def test_fedprox_without_its_pull_is_fedavg_bit_for_bit(federation):
    fedprox = federation(PLAIN, FEW, "method.name=fedprox", "method.proximal_mu=0")
    fedavg = federation(PLAIN, FEW, "method.name=fedavg")
    fedprox.run(3)
    fedavg.run(3)
    assert_bits_equal(fedprox.weights(), fedavg.weights())


def test_fedprox_adds_mu_times_the_drift_to_every_gradient(federation):
    fed = federation(EXACT, "method.name=fedprox", "method.proximal_mu=0.5")
    client = fed.parties.clients[0]
    client._begin_round()
    for parameter in client._network.parameters():
        parameter.data.add_(0.25)
        parameter.grad = torch.full_like(parameter, 2.0)
    client._pull(0.5)
    for parameter in client._network.parameters():
        torch.testing.assert_close(parameter.grad, torch.full_like(parameter, 2.0 + 0.5 * 0.25))


def test_a_strong_pull_keeps_fedprox_near_the_model_it_began_with(federation):
    free, pulled = (
        federation(EXACT, "method.name=fedavg"),
        federation(EXACT, "method.name=fedprox", "method.proximal_mu=1000"),
    )
    start = {name: tensor.clone() for name, tensor in free.weights().items()}
    free.run(1)
    pulled.run(1)
    assert distance(pulled, start) < 0.5 * distance(free, start)


def test_splitfed_v2_with_one_client_is_v1_with_one_client_bit_for_bit(federation):
    v1 = federation(PLAIN, "data.clients=1", "method.name=splitfed-v1")
    v2 = federation(PLAIN, "data.clients=1", "method.name=splitfed-v2")
    v1.run(3)
    v2.run(3)
    assert_bits_equal(v1.weights(), v2.weights())


def test_splitfed_v2_trains_in_another_order_every_round_and_in_the_same_of_the_same_seed(federation):
    def orders(*overrides):
        fed, seen = federation(PLAIN, "method.name=splitfed-v2", FEW, *overrides), []
        for round_index in range(4):
            order = []
            fed.experiment.method.run_round(
                fed.parties, fed.plan(round_index), lambda name, _, o=order: o.append(name)
            )
            seen.append(tuple(dict.fromkeys(order)))
        return seen, fed

    seen, fed = orders()
    assert all(sorted(order) == sorted(fed.parties.site_names) for order in seen)
    assert len(set(seen)) > 1
    assert orders()[0] == seen
    assert orders("run.seed=7")[0] != seen


def test_the_order_of_splitfed_v2_changes_the_body_and_losses_are_told_in_client_order(federation, monkeypatch):
    drawn, fixed = (federation(EXACT, FEW, "method.name=splitfed-v2") for _ in range(2))
    order = drawn.experiment.method.order(drawn.plan(0), drawn.parties.seed)
    backwards = order[::-1]
    monkeypatch.setattr(type(fixed.experiment.method), "order", lambda *_: backwards)
    outcome = fixed.experiment.method.run_round(fixed.parties, fixed.plan(0), lambda *_: None)
    monkeypatch.undo()
    drawn.run(1)
    assert list(outcome.train_loss) == list(fixed.parties.site_names)
    bodies = [name for name in drawn.weights() if name.startswith("compute/body-0/")]
    assert any(not torch.equal(drawn.weights()[name], fixed.weights()[name]) for name in bodies)
    assert not any(name.startswith("compute/body-1/") for name in drawn.weights())


def test_splitnn_leaves_every_client_with_the_last_ones_head_and_tail(federation):
    fed = federation("method.name=splitnn", "method.clients_per_round=2")
    fed.run(2)
    weights = fed.weights()
    for name in [name for name in weights if name.startswith("client-0/")]:
        assert all(torch.equal(weights[name], weights[name.replace("client-0", f"client-{k}")]) for k in (1, 2, 3))
    assert fed.parties.aggregation is None


@pytest.mark.parametrize("method", ["dcsfl", "splitfed-v1", "splitfed-v2", "fedavg", "fedprox"])
def test_who_takes_no_part_follows_and_all_stay_in_step(federation, method):
    fed = federation(PLAIN, f"method.name={method}", "method.participation=0.5")
    start = {name: tensor.clone() for name, tensor in fed.weights().items()}
    for round_index in range(3):
        plan = fed.plan(round_index)
        assert len(plan.clients) == len(plan.absent) == 2
        fed.experiment.method.run_round(fed.parties, plan, lambda client, loss: None)
        weights = fed.weights()
        for name in [name for name in weights if name.startswith("client-0/")]:
            assert all(
                torch.equal(weights[name], weights[name.replace("client-0", f"client-{k}")]) for k in (1, 2, 3)
            )
            assert fed.parties.clients[0].averaging._limits.values == fed.parties.clients[3].averaging._limits.values
    assert any(not torch.equal(tensor, start[name]) for name, tensor in fed.weights().items())


def test_who_takes_no_part_does_not_weigh_in_the_mean(federation):
    alone, both = (federation(EXACT, "method.name=fedavg", "data.clients=2", FEW) for _ in range(2))
    plan = both.plan(0)
    without = type(plan)(0, plan.participants[1:], absent=(0,))
    alone.experiment.method.run_round(alone.parties, without, lambda client, loss: None)
    trained = both.parties.clients[1]
    trained.train(0, both.parties.training_sets[1])
    for mine, theirs in zip(
        alone.parties.clients[0]._network.parameters(), trained._network.parameters(), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-7)


@pytest.mark.parametrize("method", ["fedavg", "fedprox"])
def test_an_unsplit_method_holds_everything_at_the_client_and_encrypts_all_of_it(federation, method):
    fed = federation(PLAIN, f"method.name={method}")
    parts = fed.experiment.parts()
    assert {part["party"] for part in parts["parts"]} == {"client"}
    assert parts["cuts"] == []
    assert parts["encrypted_values"] == sum(part["parameters"] for part in parts["parts"])
    assert fed.parties.compute is None
    with pytest.raises(ProtocolError, match="no compute server"):
        _ = fed.parties.compute_server


# --- Laplace noise


def test_the_noise_is_laplace_of_the_configured_scale_and_a_function_of_seed_client_and_round(federation):
    fed = federation(PLAIN, "method.laplace_scale=0.01")
    first, second = (client.averaging for client in fed.parties.clients[:2])
    noise = np.concatenate([first._laplace(round_index) for round_index in range(40)])
    error = 1 / np.sqrt(noise.size)
    assert np.abs(noise).mean() == pytest.approx(0.01, rel=5 * error)
    assert noise.mean() == pytest.approx(0, abs=0.01 * 5 * 1.5 * error)
    assert np.square(noise).mean() == pytest.approx(2 * 0.01**2, rel=5 * 2.3 * error)
    assert np.array_equal(first._laplace(3), first._laplace(3))
    assert not np.array_equal(first._laplace(3), first._laplace(4))
    assert not np.array_equal(first._laplace(3), second._laplace(3))


def test_the_noise_reaches_the_mean_and_hardly_a_value_saturates_by_it(federation):
    noisy, quiet = federation(PLAIN, FEW, "method.laplace_scale=0.01"), federation(PLAIN, FEW)
    outcome = noisy.experiment.method.run_round(noisy.parties, noisy.plan(0), lambda client, loss: None)
    quiet.run(1)
    expected = sum(client.averaging._laplace(0) for client in noisy.parties.clients) / 4
    difference = noisy.parties.clients[0].averaging._global - quiet.parties.clients[0].averaging._global
    np.testing.assert_allclose(difference, expected, rtol=0, atol=2 * outcome.step)
    assert outcome.saturated_values == 0
    bodies = [name for name in quiet.weights() if name.startswith("compute/")]
    assert all(torch.equal(noisy.weights()[name], quiet.weights()[name]) for name in bodies)


# --- refusals


@pytest.mark.parametrize(
    ("method", "override", "named"),
    [
        ("local", "method.participation=0.5", "method.participation"),
        ("centralised", "method.drop_out=0.1", "method.drop_out"),
        ("local", "method.min_participants=3", "method.min_participants"),
        ("local", "method.weighting=samples", "method.weighting"),
        ("splitnn", "method.weighting=samples", "method.weighting"),
        ("splitnn", "method.laplace_scale=0.01", "method.laplace_scale"),
        ("fedavg", "method.proximal_mu=0.1", "method.proximal_mu"),
        ("dcsfl", "method.proximal_mu=0.1", "method.proximal_mu"),
        ("splitfed-v1", "method.correction.mode=ema", "method.correction.mode"),
        ("fedavg", "method.correction.mu=1", "method.correction.mu"),
        ("fedavg", "training.micro_batches=2", "training.micro_batches"),
        ("fedprox", "training.micro_batches=4", "training.micro_batches"),
    ],
)
def test_an_option_a_method_has_no_use_for_is_refused_by_name(method, override, named):
    config = load((), (f"method.name={method}", override))
    with pytest.raises(ConfigError, match=rf"method\.name={method} has no use for {named}: leave it out"):
        check_options(method_for(method), config)


def test_all_foreign_options_are_named_at_once_and_before_any_data_is_read():
    config = load((), ("method.name=local", "method.weighting=samples", "method.drop_out=0.5", "data.source=folder"))
    with pytest.raises(
        ConfigError, match=r"no use for method\.weighting, method\.drop_out: .*options of local: none"
    ):
        Experiment.prepare(config)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_admits_the_defaults_and_a_correction_that_is_off(method):
    assert foreign_options(method_for(method), load((), (f"method.name={method}",))) == []
    off = load((), (f"method.name={method}", "method.correction.mode=off", "method.correction.mu=3"))
    assert foreign_options(method_for(method), off) == []


def test_every_option_a_method_claims_is_a_key_of_the_configuration():
    for method in METHODS.values():
        assert method.options <= set(MethodConfig.model_fields), method.name

"""Encryption changes nothing but the cost: encrypted runs equal plain, and plain the unquantised one to its step."""

from __future__ import annotations

import pytest
import torch

from he_core import registry

ROUNDS = 3
ENCRYPTED = {
    "rlwe": ("encryption.scheme=rlwe",),
    "paillier": ("encryption.scheme=paillier", "encryption.parameters.modulus_bits=2048"),
    "bfv": ("encryption.scheme=bfv",),
}
OBSTACLES = {status.scheme: status.obstacle for status in registry.default().statuses()}  # the last backend's


def here(scheme):
    """`scheme` as a parameter of a test, skipped with the reason where it cannot run."""
    obstacle = OBSTACLES[scheme]
    return pytest.param(scheme, marks=pytest.mark.skipif(obstacle is not None, reason=str(obstacle)))


def assert_same(left, right, tolerance):
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        torch.testing.assert_close(tensor, right[name], rtol=0, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("scheme", [here(scheme) for scheme in ENCRYPTED])
@pytest.mark.parametrize("weighting", ["uniform", "samples"])
def test_encrypted_and_plain_give_the_same_weights_bit_for_bit(federation, weighting, scheme):
    encrypted = federation(*ENCRYPTED[scheme], f"method.weighting={weighting}")
    plain = federation("encryption.scheme=plain", f"method.weighting={weighting}")

    encrypted.run(ROUNDS)
    plain.run(ROUNDS)

    assert_same(encrypted.weights(), plain.weights(), tolerance=0.0)


AVERAGING = {
    "splitfed-v1": (),
    "splitfed-v2": (),
    "fedavg": (),
    "fedprox": ("method.proximal_mu=0.1",),
    "dcsfl": ("method.laplace_scale=0.01",),
}


@pytest.mark.parametrize("method", AVERAGING)
def test_encrypted_equals_plain_in_every_method_that_averages_whoever_takes_part(federation, method):
    options = (
        f"method.name={method}",
        *AVERAGING[method],
        "method.participation=0.75",
        "method.weighting=samples",
        "data.max_slices=2",
    )
    encrypted, plain = federation(*ENCRYPTED["rlwe"], *options), federation("encryption.scheme=plain", *options)
    encrypted.run(ROUNDS)
    plain.run(ROUNDS)
    assert_same(encrypted.weights(), plain.weights(), tolerance=0.0)


def test_one_round_of_quantised_averaging_is_within_half_a_step_of_float_averaging(federation):
    plain, exact = federation("encryption.scheme=plain"), federation("encryption.scheme=none")
    plain.run(1)
    exact.run(1)

    step = 2 * plain.config.training.learning_rate * 3 / (2**15 - 1)  # round 0: twice the rate times 3 local steps
    heads = [name for name in plain.weights() if name.startswith("client-0/")]
    worst = max(float((plain.weights()[name] - exact.weights()[name]).abs().max()) for name in heads)
    assert 0 < worst <= step / 2 + 1e-7


@pytest.mark.parametrize("scheme", [here("ckks")])
def test_a_round_of_real_numbers_is_float_averaging_to_a_millionth(federation, scheme):
    encrypted, exact = federation(f"encryption.scheme={scheme}"), federation("encryption.scheme=none")
    encrypted.run(1)
    exact.run(1)
    assert_same(encrypted.weights(), exact.weights(), tolerance=1e-6)


def test_all_clients_hold_the_same_head_and_tail_after_a_round(federation):
    fed = federation(*ENCRYPTED["rlwe"])
    fed.run(2)
    weights = fed.weights()
    for name, tensor in weights.items():
        if name.startswith("client-0/"):
            for other in range(1, 4):
                twin = weights[name.replace("client-0", f"client-{other}")]
                assert torch.equal(tensor, twin), f"{name} differs at client {other}"

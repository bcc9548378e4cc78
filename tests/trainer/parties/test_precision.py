"""Mixed precision: near to float32, in float32 wherever a number is kept or crosses."""

from __future__ import annotations

import pytest
import torch

from trainer.parties.messages import BodyActivations, BodyInputGradient, BodyOutputGradient, HeadActivations


@pytest.mark.parametrize("method", ["dcsfl", "fedavg"])
def test_a_round_in_bfloat16_ends_near_the_one_in_float32_but_not_in_it(federation, method):
    weights = []
    for precision in ("float32", "bfloat16"):
        fed = federation(f"method.name={method}", f"training.precision={precision}")
        fed.run(2)
        weights.append(fed.weights())
    differ = 0
    for name, exact in weights[0].items():
        assert weights[1][name].dtype == torch.float32
        # Adam's first steps are about the learning rate in size whatever the gradient's: a sign may turn.
        assert (weights[1][name] - exact).abs().max() < 40 * 1.5e-3, name
        differ += not torch.equal(weights[1][name], exact)
    assert differ > 10


def test_what_crosses_the_cuts_is_float32_all_the_same(federation, record):
    fed = federation("training.precision=bfloat16")
    crossed = record(fed)
    fed.run(1)
    cuts = [message for _, _, message in crossed if isinstance(message, HeadActivations | BodyActivations)]
    gradients = [message for _, _, message in crossed if isinstance(message, BodyOutputGradient | BodyInputGradient)]
    assert cuts
    assert all(message.activations.dtype == torch.float32 for message in cuts)
    assert all(message.gradient.dtype == torch.float32 for message in gradients)

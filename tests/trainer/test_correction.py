"""Dynamic weight correction against slow implementations, its schedule, its state."""

import json

import numpy as np
import pytest
import torch

from trainer.config import CorrectionConfig
from trainer.correction import Correction, alpha
from trainer.errors import CheckpointError, ProtocolError

MODES = ["paper", "released", "closed-form", "ema", "off"]
EACH_MODE = pytest.mark.parametrize("mode", MODES)
SHAPES = {"conv.weight": (3, 2, 5, 5), "conv.bias": (3,), "norm.weight": (7,)}


def drifting(rounds, seed=0, drift=1e-3, shapes=None):
    """Fresh averages of a training run: every weight walks at random by about `drift` a round."""
    generator = torch.Generator().manual_seed(seed)

    def draw(scale):
        return {n: scale * torch.randn(s, generator=generator) for n, s in (shapes or SHAPES).items()}

    start = draw(0.1)
    walk = [start]
    for _ in range(rounds - 1):
        step = draw(drift)
        walk.append({name: walk[-1][name] + step[name] for name in start})
    return walk


def run(correction, walk, first=0):
    return [correction.correct(fresh, t) for t, fresh in enumerate(walk, start=first)]


def slow_adam_correction(walk, config, *, against_itself=False):
    """The method in float64 numpy, one scalar formula per line; returns the corrected weights of every round."""
    results = []
    anchor, m, v, steps = None, 0.0, 0.0, 0
    for t, fresh in enumerate(walk):
        w = np.concatenate([fresh[name].numpy().ravel() for name in SHAPES]).astype(np.float64)
        if t > 0:
            value = w.copy()
            reference = w if against_itself else anchor
            for _ in range(config.steps):
                steps += 1
                gradient = config.mu * (value - reference) + config.weight_decay * value
                m = 0.9 * m + 0.1 * gradient
                v = 0.999 * v + 0.001 * gradient**2
                m_hat, v_hat = m / (1 - 0.9**steps), v / (1 - 0.999**steps)
                value = value - config.learning_rate * m_hat / (np.sqrt(v_hat) + 1e-8)
            share = min(1 - 1 / t, config.alpha_max)
            w = (1 - share) * w + share * value
        anchor = w
        results.append(w)
    return results


def flat(weights):
    return np.concatenate([weights[name].numpy().ravel() for name in SHAPES])


def norm(weights):
    return float(torch.sqrt(sum((tensor.double() ** 2).sum() for tensor in weights.values())))


def minus(a, b):
    return {name: a[name] - b[name] for name in a}


def identical(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def close(a, b, atol):
    return all(torch.allclose(a[name], b[name], rtol=0, atol=atol) for name in a)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("mu", [1e-4, 1e-2])
def test_paper_mode_equals_a_slow_adam(steps, mu):
    config = CorrectionConfig(mode="paper", steps=steps, mu=mu)
    walk = drifting(20)
    for ours, slow in zip(run(Correction(config, "tail"), walk), slow_adam_correction(walk, config), strict=True):
        np.testing.assert_allclose(flat(ours), slow, rtol=0, atol=2e-7)


@pytest.mark.parametrize(("part", "against_itself"), [("head", True), ("tail", True), ("body", False)])
def test_released_mode_equals_a_slow_adam_per_part(part, against_itself):
    config = CorrectionConfig(mode="released", weight_decay=1e-6)
    walk = drifting(20)
    slow = slow_adam_correction(walk, config, against_itself=against_itself)
    for ours, expected in zip(run(Correction(config, part), walk), slow, strict=True):
        np.testing.assert_allclose(flat(ours), expected, rtol=0, atol=2e-7)


@pytest.mark.parametrize("part", ["head", "tail"])
def test_released_mode_moves_head_and_tail_by_weight_decay_alone(part):
    walk = drifting(12)
    undecayed = run(Correction(CorrectionConfig(mode="released", weight_decay=0), part), walk)
    assert all(identical(corrected, fresh) for corrected, fresh in zip(undecayed, walk, strict=True))
    decayed = run(Correction(CorrectionConfig(mode="released"), part), walk)
    # Adam's step is at most learning_rate * |gradient| / eps, the gradient weight_decay * W: 1e-4 of a weight.
    bound = 1.01e-4 * max(tensor.abs().max() for fresh in walk for tensor in fresh.values())
    assert all(close(corrected, fresh, bound) for corrected, fresh in zip(decayed, walk, strict=True))


def test_released_mode_corrects_the_body_as_the_paper_does():
    walk = drifting(8)
    released = run(Correction(CorrectionConfig(mode="released"), "body"), walk)
    paper = run(Correction(CorrectionConfig(mode="paper"), "body"), walk)
    assert all(identical(a, b) for a, b in zip(released, paper, strict=True))
    assert not identical(released[-1], walk[-1])


@pytest.mark.parametrize("steps", [1, 4])
def test_closed_form_equals_that_many_plain_sgd_steps(steps):
    config = CorrectionConfig(mode="closed-form", mu=0.5, learning_rate=0.2, steps=steps)
    walk = drifting(6, drift=0.05)
    anchor = None
    for t, (ours, fresh) in enumerate(zip(run(Correction(config, "head"), walk), walk, strict=True)):
        expected = {name: weights.double() for name, weights in fresh.items()}
        if anchor is not None:
            value = {name: weights.clone().requires_grad_() for name, weights in expected.items()}
            optimiser = torch.optim.SGD(value.values(), lr=config.learning_rate)
            for _ in range(steps):
                optimiser.zero_grad()
                loss = sum(config.mu / 2 * ((value[name] - anchor[name]) ** 2).sum() for name in value)
                loss.backward()
                optimiser.step()
            share = alpha(t, config.alpha_max)
            expected = {n: (1 - share) * expected[n] + share * value[n].detach() for n in expected}
        anchor = expected
        assert close(ours, {name: weights.float() for name, weights in expected.items()}, 1e-7)


def test_ema_is_anchored_to_the_corrected_model_from_round_one_on():
    walk = drifting(4, drift=0.1)
    results = run(Correction(CorrectionConfig(mode="ema", ema=0.25), "head"), walk)
    expected = walk[0]
    for fresh, ours in zip(walk[1:], results[1:], strict=True):
        expected = {name: 0.25 * expected[name] + 0.75 * fresh[name] for name in fresh}
        assert close(ours, expected, 1e-6)
    assert not close(results[1], walk[1], 1e-3)


def test_off_changes_nothing():
    walk = drifting(5)
    results = run(Correction(CorrectionConfig(mode="off"), "head"), walk)
    assert all(identical(a, b) for a, b in zip(results, walk, strict=True))


def test_alpha_grows_from_nothing_at_round_one_to_its_limit():
    assert [alpha(t, 0.99) for t in (1, 2, 4, 100, 5000)] == [0, 0.5, 0.75, 0.99, 0.99]


@pytest.mark.parametrize("mode", ["paper", "released", "closed-form"])
def test_rounds_zero_and_one_have_no_effect_and_round_two_has(mode):
    config = CorrectionConfig(mode=mode, mu=1e-2, learning_rate=1e-2)
    walk = drifting(3, drift=0.1)
    zero, one, two = run(Correction(config, "body"), walk)
    assert identical(zero, walk[0])
    assert identical(one, walk[1])
    assert not identical(two, walk[2])


@pytest.mark.parametrize("mode", ["paper", "closed-form", "ema"])
def test_correction_pulls_towards_the_previous_corrected_model(mode):
    config = CorrectionConfig(mode=mode, mu=0.1, learning_rate=0.1 if mode == "closed-form" else 1e-4)
    walk = drifting(6, drift=0.01)
    correction = Correction(config, "head")
    before = run(correction, walk[:5])[-1]
    after = correction.correct(walk[5], 5)
    assert norm(minus(after, before)) < norm(minus(walk[5], before))


def test_adam_correction_is_about_two_percent_of_the_drift():
    walk = drifting(120, drift=1e-3, shapes={"w": (2000,)})
    correction = Correction(CorrectionConfig(mode="paper"), "body")
    shares = []
    anchor = None
    for t, fresh in enumerate(walk):
        corrected = correction.correct(fresh, t)
        if t >= 40:
            shares.append(norm(minus(corrected, fresh)) / norm(minus(fresh, anchor)))
        anchor = corrected
    assert 0.01 < np.mean(shares) < 0.04


@EACH_MODE
def test_resumed_from_its_state_it_goes_on_bit_for_bit(mode):
    config = CorrectionConfig(mode=mode, steps=2, mu=1e-2, learning_rate=1e-3)
    walk = drifting(9)
    straight = Correction(config, "body")
    expected = run(straight, walk)
    for stop in (0, 1, 2, 5):
        stopped, resumed = Correction(config, "body"), Correction(config, "body")
        run(stopped, walk[:stop])
        tensors, numbers = stopped.state_dict()
        # As a checkpoint does: other order, JSON in between.
        resumed.load_state_dict(dict(sorted(tensors.items(), reverse=True)), json.loads(json.dumps(numbers)))
        results = run(resumed, walk[stop:], first=stop)
        assert all(identical(a, b) for a, b in zip(results, expected[stop:], strict=True))


@EACH_MODE
def test_loading_replaces_whatever_the_object_had_seen(mode):
    config = CorrectionConfig(mode=mode)
    walk = drifting(4)
    used, fresh = Correction(config, "head"), Correction(config, "head")
    run(used, drifting(6, seed=9))
    used.load_state_dict(*fresh.state_dict())
    assert all(identical(a, b) for a, b in zip(run(used, walk), run(fresh, walk), strict=True))


@EACH_MODE
def test_a_state_taken_is_not_changed_by_later_rounds(mode):
    walk = drifting(6)
    correction = Correction(CorrectionConfig(mode=mode), "head")
    run(correction, walk[:4])
    tensors, numbers = correction.state_dict()
    copies = {name: tensor.clone() for name, tensor in tensors.items()}
    run(correction, walk[4:], first=4)
    assert identical(tensors, copies)
    assert numbers["round"] == 3


@EACH_MODE
def test_two_clients_get_identical_results(mode):
    walk = drifting(8)
    config = CorrectionConfig(mode=mode)
    ours, theirs = (run(Correction(config, "head"), walk) for _ in range(2))
    assert all(identical(a, b) for a, b in zip(ours, theirs, strict=True))


@EACH_MODE
def test_tensors_corrected_together_or_apart_get_identical_results(mode):
    walk = drifting(8)
    config = CorrectionConfig(mode=mode)
    together = run(Correction(config, "head"), walk)[-1]
    for name in SHAPES:
        apart = run(Correction(config, "tail"), [{name: fresh[name]} for fresh in walk])[-1]
        assert torch.equal(apart[name], together[name])


@EACH_MODE
def test_input_is_left_alone_and_the_result_may_be_changed_freely(mode):
    walk = drifting(5)
    copies = [{name: tensor.clone() for name, tensor in fresh.items()} for fresh in walk]
    config = CorrectionConfig(mode=mode)
    expected = run(Correction(config, "head"), copies)
    correction = Correction(config, "head")
    for t, fresh in enumerate(walk):
        result = correction.correct(fresh, t)
        assert identical(result, expected[t])
        for tensor in result.values():
            tensor.fill_(99)
        assert identical(fresh, copies[t])


def test_a_round_that_is_not_later_is_refused():
    correction = Correction(CorrectionConfig(), "head")
    walk = drifting(2)
    run(correction, walk)
    with pytest.raises(ProtocolError, match="round 1 comes after round 1"):
        correction.correct(walk[1], 1)


def test_a_refused_round_may_be_left_out():
    correction = Correction(CorrectionConfig(mode="ema", ema=0.5), "head")
    walk = drifting(4)
    first = correction.correct(walk[0], 0)
    later = correction.correct(walk[3], 3)
    assert close(later, {name: 0.5 * first[name] + 0.5 * walk[3][name] for name in first}, 1e-7)


@pytest.mark.parametrize(
    "change",
    [
        lambda w: {name: t for name, t in w.items() if name != "conv.bias"},
        lambda w: w | {"conv.bias": w["conv.bias"][:2]},
        lambda w: w | {"conv.bias": w["conv.bias"].double()},
    ],
    ids=["missing", "reshaped", "float64"],
)
def test_weights_unlike_the_round_before_are_refused_by_name(change):
    correction = Correction(CorrectionConfig(), "head")
    walk = drifting(2)
    correction.correct(walk[0], 0)
    with pytest.raises(ProtocolError, match=r"conv\.bias"):
        correction.correct(change(walk[1]), 1)
    assert identical(correction.correct(walk[1], 1), walk[1])


@pytest.mark.parametrize(("mode", "part"), [("ema", "head"), ("paper", "body")])
def test_state_of_another_mode_or_part_is_refused(mode, part):
    correction = Correction(CorrectionConfig(mode="paper"), "head")
    with pytest.raises(CheckpointError, match="resume with the configuration"):
        correction.load_state_dict(*Correction(CorrectionConfig(mode=mode), part).state_dict())


@pytest.mark.parametrize("lost", ["anchor/conv.bias", "exp_avg/conv.bias", "exp_avg_sq/norm.weight"])
def test_state_with_a_tensor_lost_is_refused_and_changes_nothing(lost):
    correction = Correction(CorrectionConfig(), "head")
    walk = drifting(5)
    expected = run(Correction(CorrectionConfig(), "head"), walk)
    run(correction, walk[:3])
    tensors, numbers = correction.state_dict()
    del tensors[lost]
    with pytest.raises(CheckpointError, match="do not fit"):
        correction.load_state_dict(tensors, numbers)
    assert identical(correction.correct(walk[3], 3), expected[3])


def test_state_without_its_anchor_or_numbers_is_refused():
    correction = Correction(CorrectionConfig(mode="ema"), "head")
    run(correction, drifting(2))
    tensors, numbers = correction.state_dict()
    with pytest.raises(CheckpointError, match="round 1 but has 0 anchor"):
        correction.load_state_dict({}, numbers)
    with pytest.raises(CheckpointError, match="no usable round"):
        correction.load_state_dict(tensors, {key: value for key, value in numbers.items() if key != "round"})

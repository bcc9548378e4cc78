"""Head and tail as one vector and back."""

import numpy as np
import pytest
import torch
from torch import nn

from trainer.config import NetworkConfig
from trainer.errors import ConfigError, ProtocolError
from trainer.networks.flatten import FlatLayout
from trainer.networks.registry import build

UNET = NetworkConfig(features=(4, 6, 8, 10, 12, 5), client_levels=2)


@pytest.fixture
def network():
    return build(UNET, 1, 3, seed=0)


@pytest.fixture
def layout(network):
    return FlatLayout.of(network.head, network.tail)


def test_vector_is_head_then_tail_in_parameter_order(network, layout):
    expected = [p.detach().numpy().ravel() for part in (network.head, network.tail) for p in part.parameters()]
    vector = layout.flatten(network.head, network.tail)
    assert vector.dtype == np.float32
    assert np.array_equal(vector, np.concatenate(expected))
    assert layout.names[0].startswith("head.")
    assert layout.names[-1] == "tail.final_conv.bias"


def test_lengths_partition_the_vector(network, layout):
    assert len(layout.lengths) == len(layout.names) == len(layout.shapes)
    assert sum(layout.lengths) == layout.size == layout.flatten(network.head, network.tail).size


def test_assign_carries_all_weights_to_another_client(network, layout):
    other = build(UNET, 1, 3, seed=1)
    before = list(other.head.parameters())
    layout.assign_(other.head, other.tail, layout.flatten(network.head, network.tail))
    for ours, theirs in ((network.head, other.head), (network.tail, other.tail)):
        assert all(torch.equal(p, q) for p, q in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert all(p is q for p, q in zip(before, other.head.parameters(), strict=True))


def test_unflatten_and_flatten_state_are_inverse_and_copy(layout):
    vector = np.random.default_rng(0).standard_normal(layout.size).astype(np.float32)
    state = layout.unflatten(vector)
    assert tuple(state) == layout.names
    assert np.array_equal(layout.flatten_state(state), vector)
    before = vector.copy()
    state[layout.names[0]].zero_()
    assert np.array_equal(vector, before)


def test_flatten_is_a_copy(network, layout):
    layout.flatten(network.head, network.tail)[:] = 7
    assert not (next(network.head.parameters()) == 7).any()


def test_order_of_a_states_names_does_not_matter(layout):
    vector = np.arange(layout.size, dtype=np.float32)
    state = dict(reversed(layout.unflatten(vector).items()))
    assert np.array_equal(layout.flatten_state(state), vector)


def test_clients_of_one_network_have_equal_layouts(layout):
    other = build(UNET, 1, 3, seed=9)
    assert FlatLayout.of(other.head, other.tail) == layout
    assert hash(FlatLayout.of(other.head, other.tail)) == hash(layout)


@pytest.mark.parametrize(
    ("head", "named"),
    [
        (nn.BatchNorm2d(3), "head.num_batches_tracked"),
        (nn.InstanceNorm2d(3, affine=True, track_running_stats=True), "head.num_batches_tracked"),
        (nn.Conv2d(1, 1, 1).half(), "head.weight"),
        (nn.Conv2d(1, 1, 1).double(), "head.weight"),
    ],
    ids=["batch-norm", "running-statistics", "float16", "float64"],
)
def test_state_that_would_not_be_averaged_is_refused_by_name(head, named):
    with pytest.raises(ConfigError, match=named):
        FlatLayout.of(head, nn.Conv2d(1, 1, 1))


def test_a_buffer_left_out_of_the_state_dict_is_refused_too():
    head = nn.Conv2d(1, 1, 1)
    head.register_buffer("scale", torch.ones(1), persistent=False)
    with pytest.raises(ConfigError, match=r"head\.scale"):
        FlatLayout.of(head, nn.Conv2d(1, 1, 1))


def test_weights_under_two_names_are_refused():
    tail = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    tail[1].weight = tail[0].weight
    with pytest.raises(ConfigError, match=r"tail\.1\.weight"):
        FlatLayout.of(nn.Conv2d(1, 1, 1), tail)


def test_parts_of_another_network_are_refused(layout):
    other = build(NetworkConfig(features=UNET.features, client_levels=1), 1, 3, seed=0)
    with pytest.raises(ConfigError, match="not those of this layout"):
        layout.flatten(other.head, other.tail)


@pytest.mark.parametrize(
    "change",
    [lambda v: v[:-1], lambda v: v.astype(np.float64), lambda v: v[None]],
    ids=["short", "float64", "two-dimensional"],
)
def test_other_vectors_are_refused_and_leave_the_weights_alone(network, layout, change):
    before = layout.flatten(network.head, network.tail)
    with pytest.raises(ProtocolError, match=rf"float32\[{layout.size}\]"):
        layout.assign_(network.head, network.tail, change(before + 1))
    assert np.array_equal(layout.flatten(network.head, network.tail), before)


def test_a_state_that_lacks_adds_or_reshapes_a_tensor_is_refused_by_name(layout):
    state = layout.unflatten(np.zeros(layout.size, np.float32))
    name = layout.names[3]
    for wrong in (
        {key: tensor for key, tensor in state.items() if key != name},
        state | {name: state[name][None]},
        state | {name: state[name].double()},
    ):
        with pytest.raises(ProtocolError, match=name):
            layout.flatten_state(wrong)
    with pytest.raises(ProtocolError, match="surplus"):
        layout.flatten_state(state | {"surplus": torch.zeros(1)})

"""Building by name, from a seed."""

import pytest
import torch

from trainer.config import NetworkConfig
from trainer.errors import ConfigError
from trainer.networks.registry import NETWORKS, build, check_serves, choices
from trainer.networks.split import Unsplit

SMALL = {"features": (4, 4, 4, 4, 4, 4), "channels": 3}
EACH = pytest.mark.parametrize("name", NETWORKS)


def weights(name, seed):
    network = build(NetworkConfig(name=name, **SMALL), 1, 1, seed)
    return torch.cat([p.detach().flatten() for p in Unsplit(network).parameters()])


@EACH
def test_equal_seeds_give_equal_weights_and_others_do_not(name):
    assert torch.equal(weights(name, 7), weights(name, 7))
    assert not torch.equal(weights(name, 7), weights(name, 8))


@EACH
def test_building_leaves_the_global_generator_as_it_was(name):
    torch.manual_seed(123)
    expected = torch.rand(4)
    torch.manual_seed(123)
    weights(name, 7)
    assert torch.equal(torch.rand(4), expected)


@EACH
def test_a_built_network_carries_its_name(name):
    assert build(NetworkConfig(name=name, **SMALL), 1, 1, 0).name == name


def test_unknown_name_offers_the_nearest():
    with pytest.raises(ConfigError, match="'u-net'; did you mean 'unet'"):
        build(NetworkConfig(name="u-net"), 1, 2, 0)


def test_unknown_name_near_to_nothing_lists_the_known():
    with pytest.raises(ConfigError, match="known: unet, residual-unet, redcnn"):
        build(NetworkConfig(name="transformer"), 1, 2, 0)


def test_redcnn_is_refused_for_segmentation_and_the_message_names_unet():
    with pytest.raises(ConfigError, match=r"redcnn does not serve training.task=segmentation.*unet"):
        check_serves(NetworkConfig(name="redcnn"), "segmentation")


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("unet", "segmentation"),
        ("unet", "restoration"),
        ("residual-unet", "segmentation"),
        ("residual-unet", "restoration"),
        ("redcnn", "restoration"),
    ],
)
def test_networks_serve_the_tasks_they_declare(name, task):
    check_serves(NetworkConfig(name=name), task)


def test_choices_are_the_networks_cuts_and_each_can_be_built():
    for name in ("unet", "residual-unet"):
        cuts = choices(NetworkConfig(name=name, **SMALL))
        assert [cut.client_levels for cut in cuts] == [1, 2, 3]
        heads = [sum(p.numel() for p in build(cut, 1, 2, 0).head.parameters()) for cut in cuts]
        assert heads == sorted(set(heads))
    only = NetworkConfig(name="redcnn", **SMALL)
    assert choices(only) == (only,)

"""The U-Net against MONAI's own, and where its cuts lie."""

import pytest
import torch
from monai.networks.nets import BasicUNet

from trainer.config import NetworkConfig
from trainer.errors import ConfigError
from trainer.networks.registry import build
from trainer.networks.split import Unsplit

FEATURES = (4, 6, 8, 10, 12, 5)
LEVELS = pytest.mark.parametrize("client_levels", [1, 2, 3])


def unet(client_levels=1, features=FEATURES, in_channels=2, out_channels=3, seed=0):
    config = NetworkConfig(name="unet", features=features, client_levels=client_levels)
    return build(config, in_channels, out_channels, seed)


@LEVELS
@pytest.mark.parametrize("size", [(32, 32), (48, 33), (37, 51)])
def test_output_equals_monais_bit_for_bit(client_levels, size):
    network = unet(client_levels)
    monai = BasicUNet(2, 2, 3, FEATURES, bias=False)
    monai.load_state_dict(network.head.state_dict() | network.body.state_dict() | network.tail.state_dict())
    x = torch.rand(2, 2, *size, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        assert torch.equal(Unsplit(network)(x), monai(x))


def test_weights_do_not_depend_on_where_the_cuts_are():
    parts = [unet(levels) for levels in (1, 2, 3)]
    one, two, three = (n.head.state_dict() | n.body.state_dict() | n.tail.state_dict() for n in parts)
    assert one.keys() == two.keys() == three.keys()
    assert all(torch.equal(one[name], two[name]) and torch.equal(one[name], three[name]) for name in one)


@LEVELS
def test_both_cuts_lie_at_the_resolution_after_the_clients_levels(client_levels):
    network = unet(client_levels)
    h, kept = network.head(torch.rand(1, 2, 64, 48))
    b = network.body(h)
    edge = 64 // 2**client_levels, 48 // 2**client_levels
    assert h.shape == (1, FEATURES[client_levels - 1], *edge)
    assert b.shape == (1, FEATURES[client_levels], *edge)
    assert [k.shape[1:] for k in kept] == [(FEATURES[i], 64 >> i, 48 >> i) for i in range(client_levels)]


def test_one_client_level_is_the_first_and_last_level_of_the_unet():
    network = unet(1)
    assert {name.split(".")[0] for name in network.head.state_dict()} == {"conv_0"}
    assert {name.split(".")[0] for name in network.tail.state_dict()} == {"upcat_1", "final_conv"}


@pytest.mark.parametrize("size", [(16, 16), (31, 31), (15, 200)])
def test_too_small_images_are_refused_with_the_size_to_set(size):
    with pytest.raises(ConfigError, match=rf"{size[0]}x{size[1]} pixels.*data.image_size to 32"):
        unet().head(torch.rand(1, 2, *size))


def test_smallest_allowed_image_trains():
    network = unet()
    Unsplit(network)(torch.rand(1, 2, 32, 16)).sum().backward()


@pytest.mark.parametrize("features", [(4, 4, 4, 4, 4), (4, 4, 4, 4, 4, 4, 4), (4, 4, 4, 4, 1, 4), ()])
def test_features_that_are_not_six_usable_counts_are_refused(features):
    with pytest.raises(ConfigError, match="six channel counts"):
        unet(features=features)

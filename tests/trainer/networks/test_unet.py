"""The U-Net against MONAI's own, and where its cuts lie."""

import pytest
import torch
from monai.networks.blocks import ResidualUnit
from monai.networks.nets import BasicUNet

from trainer.config import NetworkConfig
from trainer.errors import ConfigError
from trainer.networks.registry import build
from trainer.networks.split import Unsplit

FEATURES = (4, 6, 8, 10, 12, 5)
LEVELS = pytest.mark.parametrize("client_levels", [1, 2, 3])


def unet(client_levels=1, features=FEATURES, in_channels=2, out_channels=3, name="unet", add_input=False, **settings):
    config = NetworkConfig(name=name, features=features, client_levels=client_levels, **settings)
    return build(config, in_channels, out_channels, 0, add_input)


@LEVELS
@pytest.mark.parametrize("size", [(32, 32), (48, 33), (37, 51), (16, 32, 17)])
def test_output_equals_monais_bit_for_bit(client_levels, size):
    network = unet(client_levels, dimensions=len(size))
    monai = BasicUNet(len(size), 2, 3, FEATURES, bias=False)
    monai.load_state_dict(network.head.state_dict() | network.body.state_dict() | network.tail.state_dict())
    x = torch.rand(2, 2, *size, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        assert torch.equal(Unsplit(network)(x), monai(x))


@pytest.mark.parametrize("name", ["unet", "residual-unet"])
def test_weights_do_not_depend_on_where_the_cuts_are(name):
    parts = [unet(levels, name=name) for levels in (1, 2, 3)]
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


def test_every_level_of_the_residual_unet_is_a_monai_residual_unit():
    network = unet(2, name="residual-unet")
    levels = [network.head.conv_0, network.head.down_1.convs, network.tail.upcat_1.convs, network.body.upcat_4.convs]
    assert all(isinstance(level, ResidualUnit) for level in levels)
    x = torch.rand(2, 2, 32, 32, generator=torch.Generator().manual_seed(4))
    unit = network.head.conv_0
    assert torch.equal(unit(x), unit.conv(x) + unit.residual(x))


def test_residual_and_plain_unet_have_the_same_cuts():
    plain, residual = unet(2), unet(2, name="residual-unet")
    x = torch.rand(1, 2, 64, 48)
    (h, kept), (h_residual, kept_residual) = plain.head(x), residual.head(x)
    assert h.shape == h_residual.shape
    assert [k.shape for k in kept] == [k.shape for k in kept_residual]
    assert plain.body(h).shape == residual.body(h_residual).shape


@pytest.mark.parametrize("name", ["unet", "residual-unet"])
def test_adding_the_input_adds_it_and_keeps_it_at_the_client(name):
    plain = unet(2, in_channels=1, out_channels=1, name=name)
    adding = unet(2, in_channels=1, out_channels=1, name=name, add_input=True)
    x = torch.rand(2, 1, 33, 48, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        assert torch.equal(Unsplit(adding)(x), x)  # before it has learnt anything
        adding.tail.load_state_dict(plain.tail.state_dict())
        assert torch.equal(Unsplit(adding)(x), Unsplit(plain)(x) + x)
    assert adding.head(x)[1][0] is x


@pytest.mark.parametrize("size", [(16, 16), (31, 31), (15, 200), (16, 31, 16)])
def test_too_small_images_are_refused_with_the_size_to_set(size):
    with pytest.raises(ConfigError, match=rf"{'x'.join(map(str, size))} pixels.*data.image_size to 32"):
        unet(dimensions=len(size)).head(torch.rand(1, 2, *size))


def test_too_shallow_volumes_are_refused_with_the_depth_to_set():
    with pytest.raises(ConfigError, match=r"8x32x32 pixels.*data.image_size to 32 or more, and data.depth to 16"):
        unet(dimensions=3).head(torch.rand(1, 2, 8, 32, 32))
    unet(dimensions=3).head(torch.rand(1, 2, 16, 32, 32))


def test_smallest_allowed_image_trains():
    network = unet()
    Unsplit(network)(torch.rand(1, 2, 32, 16)).sum().backward()


@pytest.mark.parametrize("features", [(4, 4, 4, 4, 4), (4, 4, 4, 4, 4, 4, 4), (4, 4, 4, 4, 1, 4), ()])
def test_features_that_are_not_six_usable_counts_are_refused(features):
    with pytest.raises(ConfigError, match="six channel counts"):
        unet(features=features)

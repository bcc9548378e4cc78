"""RED-CNN: the published weight counts, and the network written out a second time."""

import pytest
import torch
from torch.nn.functional import conv2d, conv_transpose2d, relu

from trainer.config import NetworkConfig
from trainer.errors import ConfigError
from trainer.networks.registry import build
from trainer.networks.split import Unsplit


def redcnn(channels=4, in_channels=1, out_channels=1):
    return build(NetworkConfig(name="redcnn", channels=channels), in_channels, out_channels, seed=5)


def test_weight_counts_at_96_channels_are_the_published_ones():
    network = redcnn(96)
    head, body, tail = (
        sum(p.numel() for p in part.parameters()) for part in (network.head, network.body, network.tail)
    )
    assert (head, tail, head + body + tail) == (2_496, 2_401, 1_848_865)


def test_output_equals_the_layers_written_out():
    network = redcnn()
    w = {name.rpartition("head.")[2]: p for name, p in Unsplit(network).state_dict().items()}
    w = {name.split(".", 1)[1] if name.startswith(("body", "tail")) else name: p for name, p in w.items()}
    x = torch.rand(2, 1, 30, 26, generator=torch.Generator().manual_seed(0))
    down = [x]
    for i in range(1, 6):
        down.append(relu(conv2d(down[-1], w[f"conv{i}.weight"], w[f"conv{i}.bias"])))
    y = down[5]
    residuals = {1: down[4], 3: down[2], 5: x}
    for i in range(1, 6):
        y = conv_transpose2d(y, w[f"tconv{i}.weight"], w[f"tconv{i}.bias"])
        y = relu(y + residuals.get(i, 0))
    assert torch.equal(Unsplit(network)(x), y)


def test_only_the_image_is_kept_and_both_cuts_are_four_pixels_smaller():
    network = redcnn()
    x = torch.rand(1, 1, 40, 32)
    h, kept = network.head(x)
    assert len(kept) == 1
    assert kept[0] is x
    assert h.shape == network.body(h).shape == (1, 4, 36, 28)


def test_smallest_image_passes_and_one_pixel_less_is_refused():
    network = redcnn()
    assert Unsplit(network)(torch.rand(1, 1, 21, 21)).shape == (1, 1, 21, 21)
    with pytest.raises(ConfigError, match=r"21x20 pixels.*data.image_size to 21"):
        network.head(torch.rand(1, 1, 21, 20))


def test_output_with_other_channels_than_the_input_is_refused_with_the_fix():
    with pytest.raises(ConfigError, match=r"training\.task=restoration"):
        redcnn(out_channels=4)


def test_volumes_are_refused_with_the_networks_that_take_them():
    with pytest.raises(ConfigError, match=r"network\.dimensions=2.*unet or residual-unet"):
        build(NetworkConfig(name="redcnn", dimensions=3), 1, 1, 0)

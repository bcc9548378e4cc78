"""MONAI's `BasicUNet` (2-D or 3-D, instance norm, no biases before it) cut into head, body and tail.

A `BasicUNet` is built and its blocks are handed out under their own names, so the three state dicts together
are that network's state dict, and weights do not depend on where the cuts are. `client_levels = L` leaves
the L finest encoder levels, their decoder levels and the skips between them with the client. The residual U-Net
is the same network with MONAI's `ResidualUnit` for the two convolutions of every level.

For restoration the network's output is added to the image, so that it learns the difference (Jin et al., IEEE Trans
Image Process 26(9), 2017, doi 10.1109/TIP.2017.2713099): instance norms lose the intensities the image has.

The max-pooling between level L-1 and level L has no weights, so it is done by the head, before sending: a
quarter of the values cross the first cut, and both cuts lie at the same, coarser resolution.
Instance norm without running statistics has no buffers: every value of the state is a weight and can be
averaged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from monai.networks.blocks import Convolution, ResidualUnit
from monai.networks.nets import BasicUNet
from torch import nn

from trainer.config import NetworkConfig
from trainer.errors import ConfigError
from trainer.networks.split import Body, Head, Kept, SplitNetwork, Tail

POOLINGS = 4
_SHRINK = 2**POOLINGS


class UNetHead(Head):
    """Encoder levels `conv_0`, `down_1`, .. of the client, then the pooling that leads to the body."""

    def __init__(self, levels: Mapping[str, nn.Module], pool: nn.Module, keep_input: bool) -> None:
        super().__init__()
        self._levels, self._keep_input = tuple(levels), keep_input
        _add(self, levels)
        self.pool = pool

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, Kept]:
        """`[n, C, *size]` to `[n, features[L-1], *size // 2**L]`, and the L skips, finest first.

        Before the skips the image itself, where the tail adds it to its output.
        """
        _check_size(x.shape[2:])
        skips = [x] if self._keep_input else []
        for name in self._levels:
            x = self.get_submodule(name)(x)
            skips.append(x)
        return self.pool(x), tuple(skips)


class UNetBody(Body):
    """The coarser encoder levels, the bottom, and the decoder levels back up to the resolution of the cut."""

    def __init__(self, downs: Mapping[str, nn.Module], ups: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self._downs, self._ups = tuple(downs), tuple(ups)
        _add(self, downs)
        _add(self, ups)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """`[n, features[L-1], *size]` to `[n, features[L], *size]`."""
        skips = []
        for name in self._downs:
            h = self.get_submodule(name)(h)
            skips.append(h)
        b = skips.pop()
        for name in self._ups:
            b = self.get_submodule(name)(b, skips.pop())
        return b


class UNetTail(Tail):
    """The client's decoder levels, joined with the kept skips, and the 1x1 convolution to the output."""

    def __init__(self, ups: Mapping[str, nn.Module], final_conv: nn.Module, add_input: bool) -> None:
        super().__init__()
        self._ups, self._add_input = tuple(ups), add_input
        _add(self, ups)
        self.final_conv = final_conv

    def forward(self, b: torch.Tensor, kept: Kept) -> torch.Tensor:
        """`[n, features[L], *size]` and what the head kept to `[n, C_out, *size]`; odd edges are padded."""
        skips = kept[1:] if self._add_input else kept
        for name, skip in zip(self._ups, reversed(skips), strict=True):
            b = self.get_submodule(name)(b, skip)
        y = self.final_conv(b)
        return y + kept[0] if self._add_input else y


def build(network: NetworkConfig, in_channels: int, out_channels: int, add_input: bool = False) -> SplitNetwork:
    """A U-Net of `network.features`, cut after `network.client_levels` levels; see `build_residual` for errors."""
    return _cut("unet", _whole(network, in_channels, out_channels), network.client_levels, add_input)


def build_residual(
    network: NetworkConfig, in_channels: int, out_channels: int, add_input: bool = False
) -> SplitNetwork:
    """The U-Net with a `ResidualUnit` of two convolutions in place of the two convolutions of every level.

    Raises ConfigError unless `features` is six numbers of at least 2 (decoder levels halve them).
    """
    whole = _whole(network, in_channels, out_channels)
    whole.conv_0 = _residual(whole.conv_0, network.dimensions)
    for level in range(1, POOLINGS + 1):
        for name in (f"down_{level}", f"upcat_{level}"):
            block = whole.get_submodule(name)
            block.convs = _residual(block.convs, network.dimensions)
    return _cut("residual-unet", whole, network.client_levels, add_input)


def _whole(network: NetworkConfig, in_channels: int, out_channels: int) -> BasicUNet:
    if len(network.features) != POOLINGS + 2 or min(network.features) < 2:
        raise ConfigError(
            f"network.features={list(network.features)}: the U-Net needs six channel counts of at least 2, "
            "five levels and the last layer, such as [16, 16, 32, 64, 128, 16]"
        )
    # No bias before an instance norm: the norm removes it, its gradient is rounding noise, and Adam would turn that
    # noise into full steps, which makes equal runs drift apart in weights that have no effect.
    return BasicUNet(network.dimensions, in_channels, out_channels, network.features, bias=False)


def _residual(two_convolutions: nn.Sequential, dimensions: int) -> ResidualUnit:
    """A `ResidualUnit` between the same channels, with the norm and activation of `BasicUNet`."""
    first, second = (block for block in two_convolutions if isinstance(block, Convolution))
    return ResidualUnit(
        dimensions,
        first.in_channels,
        second.out_channels,
        subunits=2,
        act=("LeakyReLU", {"negative_slope": 0.1, "inplace": True}),
        norm=("instance", {"affine": True}),
        bias=False,
    )


def _cut(name: str, whole: BasicUNet, cut: int, add_input: bool) -> SplitNetwork:
    if add_input:
        # The network then starts as the identity: what it has not learnt yet does no harm.
        nn.init.zeros_(whole.final_conv.weight)
        nn.init.zeros_(whole.final_conv.bias)
    downs = ["conv_0", *(f"down_{level}" for level in range(1, POOLINGS + 1))]
    ups = [f"upcat_{level}" for level in range(POOLINGS, 0, -1)]
    first = whole.get_submodule(downs[cut])
    pool, first.max_pooling = first.max_pooling, nn.Identity()
    return SplitNetwork(
        head=UNetHead(_take(whole, downs[:cut]), pool, add_input),
        body=UNetBody(_take(whole, downs[cut:]), _take(whole, ups[: POOLINGS - cut])),
        tail=UNetTail(_take(whole, ups[POOLINGS - cut :]), whole.final_conv, add_input),
        name=name,
    )


def _take(whole: nn.Module, names: list[str]) -> dict[str, nn.Module]:
    return {name: whole.get_submodule(name) for name in names}


def _add(part: nn.Module, blocks: Mapping[str, nn.Module]) -> None:
    for name, block in blocks.items():
        part.add_module(name, block)


def _check_size(size: Sequence[int]) -> None:
    if math.prod(edge // _SHRINK for edge in size) < 2:
        depth = f", and data.depth to {_SHRINK} or more" if len(size) == 3 else ""
        raise ConfigError(
            f"images of {'x'.join(map(str, size))} pixels are too small for the U-Net: it halves them {POOLINGS} "
            f"times and instance norm needs two pixels there; set data.image_size to {2 * _SHRINK} or more{depth}"
        )

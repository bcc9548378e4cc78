"""MONAI's `BasicUNet` (2-D, instance norm, no biases before it) cut into head, body and tail.

A `BasicUNet` is built and its blocks are handed out under their own names, so the three state dicts together
are that network's state dict, and weights do not depend on where the cuts are. `client_levels = L` leaves
the L finest encoder levels, their decoder levels and the skips between them with the client.

The max-pooling between level L-1 and level L has no weights, so it is done by the head, before sending: a
quarter of the values cross the first cut, and both cuts lie at the same, coarser resolution.
Instance norm without running statistics has no buffers: every value of the state is a weight and can be
averaged.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from monai.networks.nets import BasicUNet
from torch import nn

from trainer.config import NetworkConfig
from trainer.errors import ConfigError
from trainer.networks.split import Body, Head, Kept, SplitNetwork, Tail

POOLINGS = 4
_SHRINK = 2**POOLINGS


class UNetHead(Head):
    """Encoder levels `conv_0`, `down_1`, .. of the client, then the pooling that leads to the body."""

    def __init__(self, levels: Mapping[str, nn.Module], pool: nn.Module) -> None:
        super().__init__()
        self._levels = tuple(levels)
        _add(self, levels)
        self.pool = pool

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, Kept]:
        """`[n, C, H, W]` to `[n, features[L-1], H // 2**L, W // 2**L]`, and the L skips, finest first."""
        _check_size(*x.shape[-2:])
        skips = []
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
        """`[n, features[L-1], h, w]` to `[n, features[L], h, w]`."""
        skips = []
        for name in self._downs:
            h = self.get_submodule(name)(h)
            skips.append(h)
        b = skips.pop()
        for name in self._ups:
            b = self.get_submodule(name)(b, skips.pop())
        return b


class UNetTail(Tail):
    """The client's decoder levels, joined with the kept skips, and the 1x1 convolution to the classes."""

    def __init__(self, ups: Mapping[str, nn.Module], final_conv: nn.Module) -> None:
        super().__init__()
        self._ups = tuple(ups)
        _add(self, ups)
        self.final_conv = final_conv

    def forward(self, b: torch.Tensor, kept: Kept) -> torch.Tensor:
        """`[n, features[L], h, w]` and the head's skips to `[n, C_out, H, W]`; odd edges are padded."""
        for name, skip in zip(self._ups, reversed(kept), strict=True):
            b = self.get_submodule(name)(b, skip)
        return self.final_conv(b)


def build(network: NetworkConfig, in_channels: int, out_channels: int) -> SplitNetwork:
    """A U-Net of `network.features`, cut after `network.client_levels` levels.

    Raises ConfigError unless `features` is six numbers of at least 2 (decoder levels halve them).
    """
    if len(network.features) != POOLINGS + 2 or min(network.features) < 2:
        raise ConfigError(
            f"network.features={list(network.features)}: the U-Net needs six channel counts of at least 2, "
            "five levels and the last layer, such as [16, 16, 32, 64, 128, 16]"
        )
    # No bias before an instance norm: the norm removes it, its gradient is rounding noise, and Adam would turn that
    # noise into full steps, which makes equal runs drift apart in weights that have no effect.
    whole = BasicUNet(2, in_channels, out_channels, network.features, bias=False)
    cut = network.client_levels
    downs = ["conv_0", *(f"down_{level}" for level in range(1, POOLINGS + 1))]
    ups = [f"upcat_{level}" for level in range(POOLINGS, 0, -1)]
    first = whole.get_submodule(downs[cut])
    pool, first.max_pooling = first.max_pooling, nn.Identity()
    return SplitNetwork(
        head=UNetHead(_take(whole, downs[:cut]), pool),
        body=UNetBody(_take(whole, downs[cut:]), _take(whole, ups[: POOLINGS - cut])),
        tail=UNetTail(_take(whole, ups[POOLINGS - cut :]), whole.final_conv),
        name="unet",
    )


def _take(whole: nn.Module, names: list[str]) -> dict[str, nn.Module]:
    return {name: whole.get_submodule(name) for name in names}


def _add(part: nn.Module, blocks: Mapping[str, nn.Module]) -> None:
    for name, block in blocks.items():
        part.add_module(name, block)


def _check_size(height: int, width: int) -> None:
    if (height // _SHRINK) * (width // _SHRINK) < 2:
        raise ConfigError(
            f"images of {height}x{width} pixels are too small for the U-Net: it halves them {POOLINGS} times "
            f"and instance norm needs two pixels there; set data.image_size to {2 * _SHRINK} or more"
        )

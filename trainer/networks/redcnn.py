"""RED-CNN (Chen et al., IEEE TMI 2017, doi 10.1109/TMI.2017.2715284) in the split of DC-SFL.

Five convolutions and five transposed ones, 5x5, stride 1, no padding: each takes 4 pixels off an edge or
gives them back. The first layer is the head, the last the tail; the input image, added before the last ReLU,
never leaves the client.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import relu

from trainer.config import NetworkConfig
from trainer.errors import ConfigError
from trainer.networks.split import Body, Head, Kept, SplitNetwork, Tail

_KERNEL = 5
_CONVOLUTIONS = 5
SMALLEST_IMAGE = _CONVOLUTIONS * (_KERNEL - 1) + 1


class RedCnnHead(Head):
    """The first convolution."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, _KERNEL)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, Kept]:
        """`[n, C, H, W]` to `[n, channels, H-4, W-4]`; keeps the image itself."""
        height, width = x.shape[-2:]
        if min(height, width) < SMALLEST_IMAGE:
            raise ConfigError(
                f"images of {height}x{width} pixels are too small for RED-CNN, whose unpadded convolutions "
                f"take off {SMALLEST_IMAGE - 1}; set data.image_size to {SMALLEST_IMAGE} or more"
            )
        return relu(self.conv1(x)), (x,)


class RedCnnBody(Body):
    """Convolutions 2 to 5, transposed convolutions 1 to 4, and the skips after convolutions 2 and 4."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv2 = nn.Conv2d(channels, channels, _KERNEL)
        self.conv3 = nn.Conv2d(channels, channels, _KERNEL)
        self.conv4 = nn.Conv2d(channels, channels, _KERNEL)
        self.conv5 = nn.Conv2d(channels, channels, _KERNEL)
        self.tconv1 = nn.ConvTranspose2d(channels, channels, _KERNEL)
        self.tconv2 = nn.ConvTranspose2d(channels, channels, _KERNEL)
        self.tconv3 = nn.ConvTranspose2d(channels, channels, _KERNEL)
        self.tconv4 = nn.ConvTranspose2d(channels, channels, _KERNEL)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """`[n, channels, h, w]` to the same shape, before the ReLU that the tail begins with."""
        skip2 = relu(self.conv2(h))  # [n, channels, h-4, w-4]
        skip4 = relu(self.conv4(relu(self.conv3(skip2))))  # [n, channels, h-12, w-12]
        bottom = relu(self.conv5(skip4))  # [n, channels, h-16, w-16]
        b = relu(self.tconv1(bottom) + skip4)  # [n, channels, h-12, w-12]
        b = relu(self.tconv3(relu(self.tconv2(b))) + skip2)  # [n, channels, h-4, w-4]
        return self.tconv4(b)


class RedCnnTail(Tail):
    """The last transposed convolution and the residual to the input image."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.tconv5 = nn.ConvTranspose2d(channels, out_channels, _KERNEL)

    def forward(self, b: torch.Tensor, kept: Kept) -> torch.Tensor:
        """`[n, channels, H-4, W-4]` and the input image, to a non-negative image `[n, C, H, W]`."""
        (image,) = kept
        return relu(self.tconv5(relu(b)) + image)


def build(network: NetworkConfig, in_channels: int, out_channels: int) -> SplitNetwork:
    """RED-CNN of `network.channels`; at 96, and grey images, 4,897 of 1,848,865 weights are the client's.

    Raises ConfigError unless `in_channels == out_channels`: the input image is added to the output; and for
    volumes, for which it was not made.
    """
    if network.dimensions != 2:
        raise ConfigError(
            f"RED-CNN is a network for slices: set network.dimensions=2 (not {network.dimensions}), or network.name "
            "to unet or residual-unet"
        )
    if in_channels != out_channels:
        raise ConfigError(
            f"RED-CNN adds its input ({in_channels} channels) to its output ({out_channels} channels), which "
            "only restoration allows: set training.task=restoration, or network.name=unet"
        )
    return SplitNetwork(
        head=RedCnnHead(in_channels, network.channels),
        body=RedCnnBody(network.channels),
        tail=RedCnnTail(network.channels, out_channels),
        name="redcnn",
    )

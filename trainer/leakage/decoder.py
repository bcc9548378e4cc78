"""Activations back to the image, by a network trained on pairs of the two.

After Dosovitskiy and Brox, "Inverting visual representations with convolutional networks", CVPR 2016, and its use as
an attack by He, Zhang and Lee, "Model inversion attacks against collaborative inference", ACSAC 2019.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from monai.networks.layers.factories import Conv
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, mse_loss, pad

from trainer.networks.split import Head

WIDTH = 32
BATCH = 8
LEARNING_RATE = 4e-3
SHIFT = 4  # pixels an image is moved by, at most, before the attacker learns from it


class Decoder(nn.Module):
    """Convolutions, and as many doublings as lead from the activations' size to the image's."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, activations: Tensor, size: Sequence[int]) -> None:
        """activations: float32 [n, c, ...], such as will come: their channels' means and deviations are taken off."""
        super().__init__()
        spatial = activations.shape[2:]
        self._size = tuple(size)
        axes = [axis for axis in range(activations.ndim) if axis != 1]
        self.register_buffer("mean", activations.mean(axes, keepdim=True))
        self.register_buffer("deviation", activations.std(axes, keepdim=True).clamp(min=1e-6))
        doublings = 0
        while all(edge * 2 ** (doublings + 1) <= full for edge, full in zip(spatial, size, strict=True)):
            doublings += 1
        convolution = Conv[Conv.CONV, len(spatial)]
        self.first = nn.ModuleList(
            [convolution(activations.shape[1], WIDTH, 3, padding=1), convolution(WIDTH, WIDTH, 3, padding=1)]
        )
        self.ups = nn.ModuleList(
            convolution(WIDTH >> level, WIDTH >> (level + 1), 3, padding=1) for level in range(doublings)
        )
        self.refine = convolution(WIDTH >> doublings, WIDTH >> doublings, 3, padding=1)
        self.last = convolution(WIDTH >> doublings, 1, 3, padding=1)

    def forward(self, h: Tensor) -> Tensor:
        """[n, c, ...] to images [n, 1, *size]."""
        x = (h - self.mean) / self.deviation
        for convolution in self.first:
            x = leaky_relu(convolution(x), 0.1)
        for convolution in self.ups:
            x = leaky_relu(convolution(interpolate(x, scale_factor=2)), 0.1)
        x = _padded(x, self._size)
        return self.last(x + leaky_relu(self.refine(x), 0.1))


def train_decoder(
    head: Head,
    images: Tensor,
    sent: Callable[[Tensor], Tensor],
    *,
    steps: int,
    generator: torch.Generator,
) -> Decoder:
    """A decoder for what `head` makes of an image, learnt on `images`, float32 [n, 1, *size].

    sent: activations as the server gets them. generator: of batches and weights.
    """
    frozen = copy.deepcopy(head).eval().requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        with torch.no_grad():
            decoder = Decoder(sent(frozen(images)[0]), images.shape[2:])
    optimiser = torch.optim.Adam(decoder.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps + 1)
    for _ in range(steps):
        (batch,) = varied(generator, images[drawn(len(images), generator)])
        with torch.no_grad():
            h = sent(frozen(batch)[0])
        loss = mse_loss(decoder(h), batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return decoder.eval()


def drawn(images: int, generator: torch.Generator) -> Tensor:
    """The next batch: int64 [BATCH], or of all images if they are fewer."""
    return torch.randperm(images, generator=generator)[:BATCH]


def varied(generator: torch.Generator, *batches: Tensor) -> tuple[Tensor, ...]:
    """Images, and what belongs to them, [n, ..., H, W] each: mirrored and moved by up to SHIFT pixels, all alike."""
    flips = [axis for axis in (-1, -2) if bool(torch.rand((), generator=generator) < 0.5)]
    shifts = tuple(torch.randint(-SHIFT, SHIFT + 1, (2,), generator=generator).tolist())
    return tuple(batch.flip(flips).roll(shifts, (-2, -1)) for batch in batches)


def _padded(x: Tensor, size: Sequence[int]) -> Tensor:
    """[n, c, ...] with its edges repeated up to `size`, half of what is missing on each side."""
    missing = [full - edge for edge, full in zip(x.shape[2:], size, strict=True)]
    sides = [side for gap in reversed(missing) for side in (gap // 2, gap - gap // 2)]
    return pad(x, sides, mode="replicate") if any(missing) else x

"""Simulated scanners: how one hospital's images differ from another's.

A scanner changes orientation, contrast (gamma), coil sensitivity (a smooth bias field), receiver gain,
resolution (blur, then down- and up-sampling) and noise. The noise is Rician, as in magnitude images of a
single coil (Gudbjartsson and Patz, Magn Reson Med 34(6), 1995, doi 10.1002/mrm.1910340618).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from trainer.data.slices import Image

Array = TypeVar("Array", bound=npt.NDArray[Any])

# Full strength (heterogeneity 1) of each property; chosen so that a model of one client fails at another's.
GAMMA_LOG2 = 1.5  # gamma within [1 / 2.8, 2.8]
BIAS = 0.8  # half the range of the natural logarithm of the coil sensitivity
GAIN_LOSS = 0.4  # receiver gain within [0.6, 1]
BLUR_PIXELS = 0.6  # standard deviation of the Gaussian blur
COARSENING = 0.5  # pixel size before up-sampling, 1 to 1.5 times
NOISE = 0.04  # standard deviation in each of the two channels, of a full scale of 1

# Steps from one client to the next, modulo 1: contrast, bias strength, bias direction, gain, resolution, noise.
_STEPS = np.sqrt([2.0, 3.0, 5.0, 7.0, 11.0, 13.0])
_ORIENTATIONS = ("upright", "upside down", "turned left", "turned right")


@dataclass(frozen=True)
class Scanner:
    """One client's scanner. The defaults change nothing; `apply` is then exactly the identity.

    `orientation`: index into upright, upside down, turned left, turned right. `bias`: amplitude of the natural
    logarithm of the coil sensitivity, highest towards `bias_direction_rad`. `blur_pixels` and `coarsening`
    in pixels of the image it is applied to. `noise`: standard deviation per channel, full scale 1.
    """

    orientation: int = 0
    gamma: float = 1.0
    bias: float = 0.0
    bias_direction_rad: float = 0.0
    gain: float = 1.0
    blur_pixels: float = 0.0
    coarsening: float = 1.0
    noise: float = 0.0

    def describe(self) -> str:
        """One line for people."""
        return (
            f"{_ORIENTATIONS[self.orientation]}, gamma {self.gamma:.2f}, bias field +-{self.bias:.2f}, "
            f"gain {self.gain:.2f}, blur {self.blur_pixels:.2f} px, "
            f"pixels x{self.coarsening:.2f}, noise {self.noise:.3f}"
        )

    def orient(self, array: Array) -> Array:
        """`array` [n, n] (an image or its mask) as this scanner's table position shows it."""
        turned: tuple[Array, ...] = (array, array[::-1], np.rot90(array, 1), np.rot90(array, 3))  # type: ignore[assignment]
        return np.ascontiguousarray(turned[self.orientation])  # type: ignore[return-value]

    def expose(self, image: Image) -> Image:
        """`image` float32[n, n] in [0, 1] with this scanner's contrast, coil and gain: in [0, 1], no noise yet."""
        exposed = image.astype(np.float64)
        if self.gamma != 1.0:
            exposed = exposed**self.gamma
        if self.bias:
            exposed = exposed * np.exp(self.bias * (self._coil(len(image)) - 1.0))
        return (exposed * self.gain).astype(np.float32)

    def acquire(self, image: Image, rng: np.random.Generator) -> Image:
        """`image` float32[n, n] in [0, 1], blurred and with noise from `rng`: float32[n, n], >= 0."""
        acquired = image.astype(np.float64)
        if self.blur_pixels:
            acquired = ndimage.gaussian_filter(acquired, self.blur_pixels, mode="nearest")
        if self.coarsening > 1.0:
            acquired = _coarsened(acquired, self.coarsening)
        if self.noise:
            real, imaginary = rng.normal(scale=self.noise, size=(2, *image.shape))
            acquired = np.hypot(acquired + real, imaginary)
        return acquired.astype(np.float32)

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """The whole chain for an `image` float32[n, n] in [0, 1]: orientation, exposure, acquisition."""
        return self.acquire(self.expose(self.orient(image)), rng)

    def _coil(self, pixels: int) -> npt.NDArray[np.float64]:
        """A smooth field in [-1, 1], float64[pixels, pixels]: half a cosine across the image."""
        axis = np.linspace(-1.0, 1.0, pixels)
        rows, columns = np.meshgrid(axis, axis, indexing="ij")
        across = (rows * math.sin(self.bias_direction_rad) + columns * math.cos(self.bias_direction_rad)) / math.sqrt(
            2
        )
        return np.sin(across * math.pi / 2)


def draw_scanner(seed: int, client: int, heterogeneity: float) -> Scanner:
    """The scanner of client number `client` (from 0): a function of the arguments alone.

    `heterogeneity` (0 to 2) scales every difference; at 0 no scanner changes anything.
    The seed fixes where client 0 stands. The others follow in steps of square roots of primes, modulo 1 (a
    Kronecker sequence), which spreads any number of clients evenly over the ranges, where independent draws
    could land together; so the clients of every seed differ.
    """
    starts = np.random.default_rng([seed, 0]).random(len(_STEPS))
    contrast, bias, direction, gain, resolution, noise = ((starts + client * _STEPS) % 1.0).tolist()
    first = int(np.random.default_rng([seed, 1]).integers(len(_ORIENTATIONS)))
    # Orientation cannot be scaled, only kept: it takes part from half strength on.
    orientation = (first + client) % len(_ORIENTATIONS) if heterogeneity >= 0.5 else 0
    return Scanner(
        orientation=orientation,
        gamma=2.0 ** (heterogeneity * GAMMA_LOG2 * (2 * contrast - 1)),
        bias=heterogeneity * BIAS * bias,
        bias_direction_rad=2 * math.pi * direction,
        gain=1.0 - heterogeneity * GAIN_LOSS * gain,
        blur_pixels=heterogeneity * BLUR_PIXELS * resolution,
        coarsening=1.0 + heterogeneity * COARSENING * resolution,
        noise=heterogeneity * NOISE * noise,
    )


def noise_generator(seed: int, client: int, slice_index: int) -> np.random.Generator:
    """The noise of one slice of one client, independent of which other slices are made, and in what order."""
    return np.random.default_rng([seed, 2, client, slice_index])


def _coarsened(image: npt.NDArray[np.float64], factor: float) -> npt.NDArray[np.float64]:
    coarse = [max(1, round(side / factor)) for side in image.shape]
    down = ndimage.zoom(
        image,
        [small / side for small, side in zip(coarse, image.shape, strict=True)],
        order=1,
        grid_mode=True,
        mode="nearest",
    )
    up = [side / small for small, side in zip(down.shape, image.shape, strict=True)]
    return ndimage.zoom(down, up, order=1, grid_mode=True, mode="nearest")

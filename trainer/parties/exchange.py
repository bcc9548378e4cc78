"""In how many bits tensors cross a cut: float32, bfloat16, or 8-bit codes with a scale per channel.

Both ends of a cut hold an exchange of the same kind. What is sent is rounded; gradients pass through the rounding as
if it were not there (straight-through). No error is fed back: it would be that of other images.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

from trainer.errors import NonFiniteCutError, ProtocolError
from trainer.parties.messages import BatchPart, Carried, QuantisedTensor

LARGEST_CODE = 127


class CutExchange(ABC):
    """One end of one client's cuts.

    seed: numbers that no other end shares.
    """

    def __init__(self, *seed: int) -> None:
        self._seed = seed

    @abstractmethod
    def pack(self, tensor: Tensor, which: Sequence[int] | None = None) -> Carried:
        """float32 [n, c, ...] as it is sent.

        which: numbers of this tensor alone; where rounding is coarse it is rounded at random, right on average, as a
        function of the end's seed and these: a resumed run repeats it, and so do requests in another order. To
        nearest if None.

        Raises NonFiniteCutError where a value that is not finite cannot be sent.
        """

    @abstractmethod
    def unpack(self, carried: Carried) -> Tensor:
        """What came, as float32. Raises ProtocolError where it is not of this kind."""

    @staticmethod
    @abstractmethod
    def bytes_of(shape: Sequence[int]) -> int:
        """Of a tensor [n, c, ...] on the way."""


class Float32Exchange(CutExchange):
    """As it is."""

    def pack(self, tensor: Tensor, which: Sequence[int] | None = None) -> Tensor:
        return tensor

    def unpack(self, carried: Carried) -> Tensor:
        return _of_type(carried, torch.float32)

    @staticmethod
    def bytes_of(shape: Sequence[int]) -> int:
        return 4 * prod(shape)


class BFloat16Exchange(CutExchange):
    """The upper half of a float32, rounded to nearest: 8 bits of precision over the whole range."""

    def pack(self, tensor: Tensor, which: Sequence[int] | None = None) -> Tensor:
        return tensor.to(torch.bfloat16)

    def unpack(self, carried: Carried) -> Tensor:
        return _of_type(carried, torch.bfloat16).to(torch.float32)

    @staticmethod
    def bytes_of(shape: Sequence[int]) -> int:
        return 2 * prod(shape)


class Int8Exchange(CutExchange):
    """Codes in [-127, 127] times a float32 scale per channel: the channel's largest magnitude, over 127."""

    def pack(self, tensor: Tensor, which: Sequence[int] | None = None) -> QuantisedTensor:
        across = [axis for axis in range(tensor.ndim) if axis != 1]
        largest = tensor.abs().amax(dim=across)  # [c]
        if not bool(torch.isfinite(largest).all()):
            raise NonFiniteCutError(int(torch.isfinite(tensor).logical_not().sum()))
        scales = torch.where(largest > 0, largest / LARGEST_CODE, torch.ones_like(largest))
        scaled = tensor / _along_channels(scales, tensor.ndim)
        if which is None:
            codes = torch.round(scaled)
        else:
            random = self._random(which, tensor.device)
            codes = torch.floor(scaled + torch.rand(tensor.shape, generator=random, device=tensor.device))
        return QuantisedTensor(codes.clamp_(-LARGEST_CODE, LARGEST_CODE).to(torch.int8), scales)

    def unpack(self, carried: Carried) -> Tensor:
        if not isinstance(carried, QuantisedTensor):
            raise ProtocolError(f"{_described(carried)} came over a cut where 8-bit codes are due")
        codes, scales = carried.codes, carried.scales
        if codes.dtype != torch.int8 or codes.ndim < 2 or scales.shape != codes.shape[1:2]:
            raise ProtocolError(f"{_described(codes)} with scales {_described(scales)} came over a cut")
        if not bool(torch.isfinite(scales).all()):
            raise ProtocolError("scales that are not finite came over a cut")
        return codes.to(torch.float32) * _along_channels(scales, codes.ndim)

    @staticmethod
    def bytes_of(shape: Sequence[int]) -> int:
        return prod(shape) + 4 * shape[1]

    def _random(self, which: Sequence[int], device: torch.device) -> torch.Generator:
        entropy = np.random.SeedSequence([*self._seed, *which])
        seed = int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1))
        return torch.Generator(device).manual_seed(seed)


CLIENT_END, SERVER_END = 0, 1
"""The last number of an end's seed."""


def activations_of(place: BatchPart) -> tuple[int, ...]:
    """`which` of the activations that an end sends of a part."""
    return (*place.number, place.part, 0)


def gradient_of(place: BatchPart) -> tuple[int, ...]:
    """`which` of the gradient that an end sends of a part."""
    return (*place.number, place.part, 1)


EXCHANGES: dict[str, type[CutExchange]] = {
    "float32": Float32Exchange,
    "bfloat16": BFloat16Exchange,
    "int8": Int8Exchange,
}
"""`training.cut_exchange` -> its class, made from the numbers that seed its rounding."""


def _along_channels(scales: Tensor, dimensions: int) -> Tensor:
    return scales.reshape(1, -1, *([1] * (dimensions - 2)))


def _of_type(carried: Carried, dtype: torch.dtype) -> Tensor:
    if not isinstance(carried, Tensor) or carried.dtype != dtype:
        raise ProtocolError(f"{_described(carried)} came over a cut where {dtype} is due")
    return carried


def _described(carried: Carried) -> str:
    return f"{carried.dtype}{list(carried.shape)}" if isinstance(carried, Tensor) else "8-bit codes"

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
from trainer.parties.messages import Carried, QuantisedTensor

LARGEST_CODE = 127


class CutExchange(ABC):
    """One end of one client's cuts.

    seed: numbers that no other end shares.
    """

    def __init__(self, *seed: int) -> None:
        self._seed = seed

    @abstractmethod
    def pack(self, tensor: Tensor, *, unbiased: bool = True) -> Carried:
        """float32 [n, c, ...] as it is sent. unbiased: round at random where rounding is coarse, right on average.

        Raises NonFiniteCutError where a value that is not finite cannot be sent.
        """

    @abstractmethod
    def unpack(self, carried: Carried) -> Tensor:
        """What came, as float32. Raises ProtocolError where it is not of this kind."""

    @staticmethod
    @abstractmethod
    def bytes_of(shape: Sequence[int]) -> int:
        """Of a tensor [n, c, ...] on the way."""

    def start_round(self, round: int) -> None:
        """Rounding at random begins anew, as a function of seed, end and round alone: a resumed run repeats it."""
        return


class Float32Exchange(CutExchange):
    """As it is."""

    def pack(self, tensor: Tensor, *, unbiased: bool = True) -> Tensor:
        return tensor

    def unpack(self, carried: Carried) -> Tensor:
        return _of_type(carried, torch.float32)

    @staticmethod
    def bytes_of(shape: Sequence[int]) -> int:
        return 4 * prod(shape)


class BFloat16Exchange(CutExchange):
    """The upper half of a float32, rounded to nearest: 8 bits of precision over the whole range."""

    def pack(self, tensor: Tensor, *, unbiased: bool = True) -> Tensor:
        return tensor.to(torch.bfloat16)

    def unpack(self, carried: Carried) -> Tensor:
        return _of_type(carried, torch.bfloat16).to(torch.float32)

    @staticmethod
    def bytes_of(shape: Sequence[int]) -> int:
        return 2 * prod(shape)


class Int8Exchange(CutExchange):
    """Codes in [-127, 127] times a float32 scale per channel: the channel's largest magnitude, over 127."""

    def __init__(self, *seed: int) -> None:
        super().__init__(*seed)
        self._round = -1
        self._generator: torch.Generator | None = None

    def start_round(self, round: int) -> None:
        if round != self._round:
            self._round, self._generator = round, None

    def pack(self, tensor: Tensor, *, unbiased: bool = True) -> QuantisedTensor:
        across = [axis for axis in range(tensor.ndim) if axis != 1]
        largest = tensor.abs().amax(dim=across)  # [c]
        if not bool(torch.isfinite(largest).all()):
            raise NonFiniteCutError(int(torch.isfinite(tensor).logical_not().sum()))
        scales = torch.where(largest > 0, largest / LARGEST_CODE, torch.ones_like(largest))
        scaled = tensor / _along_channels(scales, tensor.ndim)
        if unbiased:
            noise = torch.rand(tensor.shape, generator=self._random(tensor.device), device=tensor.device)
            codes = torch.floor(scaled + noise)
        else:
            codes = torch.round(scaled)
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

    def _random(self, device: torch.device) -> torch.Generator:
        if self._generator is None:
            self._generator = torch.Generator(device)
            entropy = np.random.SeedSequence([*self._seed, self._round + 1])
            self._generator.manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1)))
        return self._generator


CLIENT_END, SERVER_END = 0, 1


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

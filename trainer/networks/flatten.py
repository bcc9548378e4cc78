"""A client's parts as one float32 vector: what is encrypted and summed, in an order all clients share."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from trainer.errors import ConfigError, ProtocolError

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class FlatLayout:
    """Names and shapes of head, tail and perhaps body parameters, in the order in which they lie in a vector of
    `size` values.

    `FlatLayout.of` makes one; clients with the same network have equal layouts. Names are `head.`, `tail.` or `body.`
    followed by the part's own parameter name. The body is given where the client holds it, and only there.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, head: nn.Module, tail: nn.Module, body: nn.Module | None = None) -> FlatLayout:
        """The layout of these parts.

        Raises ConfigError, by name, for state that is not a float32 parameter (batch-norm statistics, integer
        counters, half precision, shared weights): it would be left out of the average without a word.
        """
        parameters = _parameters(head, tail, body)
        return cls(tuple(parameters), tuple(tuple(p.shape) for p in parameters.values()))

    @property
    def lengths(self) -> tuple[int, ...]:
        """Values per tensor, in order."""
        return tuple(math.prod(shape) for shape in self.shapes)

    @property
    def size(self) -> int:
        """Values in all, P."""
        return sum(self.lengths)

    def flatten(self, head: nn.Module, tail: nn.Module, body: nn.Module | None = None) -> Vector:
        """A copy of the parameters as float32 `[P]`. Raises ConfigError for parts of another layout."""
        return self.flatten_state(self._own(head, tail, body))

    def flatten_state(self, state: Mapping[str, torch.Tensor]) -> Vector:
        """The inverse of `unflatten`: float32 `[P]`. Raises ProtocolError for a state that differs."""
        self._check_state(state)
        pieces = [state[name].detach().cpu().numpy().reshape(-1) for name in self.names]
        return np.concatenate(pieces, dtype=np.float32)

    def unflatten(self, vector: Vector) -> dict[str, torch.Tensor]:
        """A copy of float32 `[P]` as named tensors on the CPU. Raises ProtocolError for any other array."""
        if vector.dtype != np.float32 or vector.shape != (self.size,):
            raise ProtocolError(
                f"a vector of a client's weights is float32[{self.size}], "
                f"not {vector.dtype}{list(vector.shape)}: do all clients run the same network section?"
            )
        ends = list(itertools.accumulate(self.lengths))
        pieces = np.split(vector, ends[:-1])
        return {
            name: torch.from_numpy(piece.reshape(shape).copy())
            for name, shape, piece in zip(self.names, self.shapes, pieces, strict=True)
        }

    def assign_(self, head: nn.Module, tail: nn.Module, vector: Vector, body: nn.Module | None = None) -> None:
        """Overwrite the parameters in place, so that optimisers keep them. Raises as the other two."""
        state = self.unflatten(vector)
        with torch.no_grad():
            for name, parameter in self._own(head, tail, body).items():
                parameter.copy_(state[name])

    def _own(self, head: nn.Module, tail: nn.Module, body: nn.Module | None) -> dict[str, nn.Parameter]:
        other = FlatLayout.of(head, tail, body)
        if other != self:
            raise ConfigError(
                f"these parts ({other.size} weights in {len(other.names)} tensors) are not those of "
                f"this layout ({self.size} in {len(self.names)}): build both from the same network section"
            )
        return _parameters(head, tail, body)

    def _check_state(self, state: Mapping[str, torch.Tensor]) -> None:
        expected = {name: (shape, torch.float32) for name, shape in zip(self.names, self.shapes, strict=True)}
        found = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in state.items()}
        for name in (*self.names, *state):
            if found.get(name) != expected.get(name):
                raise ProtocolError(
                    f"weights {name!r}: found {found.get(name)}, where the layout has {expected.get(name)}: "
                    "use one network section for all"
                )


def _parameters(head: nn.Module, tail: nn.Module, body: nn.Module | None) -> dict[str, nn.Parameter]:
    parts = {"head": head, "tail": tail} | ({} if body is None else {"body": body})
    parameters = {f"{part}.{name}": p for part, module in parts.items() for name, p in module.named_parameters()}
    state = {f"{part}.{name}" for part, module in parts.items() for name in module.state_dict()}
    hidden = {f"{part}.{name}" for part, module in parts.items() for name, _ in module.named_buffers()}
    for name in sorted((state | hidden) - set(parameters)):
        raise ConfigError(
            f"{name!r} is state but not a parameter of its own, so it would not be averaged: use layers "
            "without buffers (instance or group norm in place of batch norm)"
        )
    for name, parameter in parameters.items():
        if parameter.dtype != torch.float32:
            raise ConfigError(f"parameter {name!r} is {parameter.dtype}; only float32 is averaged: call .float()")
    return parameters

"""What a party must keep to go on exactly: tensors by name, and numbers JSON can hold. Never a key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from trainer.errors import CheckpointError


@dataclass
class PartyState:
    """One party's checkpoint. Tensor names are paths, such as `head/weights/conv.weight`."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    numbers: dict[str, Any] = field(default_factory=dict)

    def put(self, prefix: str, tensors: Mapping[str, Tensor]) -> None:
        """Add copies of `tensors` under `prefix/`."""
        for name, tensor in tensors.items():
            self.tensors[f"{prefix}/{name}"] = tensor.detach().cpu().contiguous().clone()

    def get(self, prefix: str) -> dict[str, Tensor]:
        """The tensors under `prefix/`, by their names there."""
        start = prefix + "/"
        return {name.removeprefix(start): t for name, t in self.tensors.items() if name.startswith(start)}

    def number(self, name: str) -> Any:
        """A number put earlier. Raises CheckpointError where it is missing."""
        if name not in self.numbers:
            raise CheckpointError(f"the checkpoint lacks {name!r}: it was written by another version or is damaged")
        return self.numbers[name]


def put_part(state: PartyState, part: str, module: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Add a part's weights and its optimiser's moments."""
    state.put(f"{part}/weights", module.state_dict())
    for index, moments in optimiser.state_dict()["state"].items():
        state.put(f"{part}/optimiser/{index}", moments)


def load_part(state: PartyState, part: str, module: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Restore what `put_part` added. Raises CheckpointError where it does not fit the module."""
    try:
        module.load_state_dict(state.get(f"{part}/weights"))
    except RuntimeError as error:
        raise CheckpointError(f"the checkpoint's {part} does not fit this network: {error}") from None
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in state.get(f"{part}/optimiser").items():
        index, _, key = name.partition("/")
        # A copy: the optimiser works in it from now on, and the state may be loaded once more.
        moments.setdefault(int(index), {})[key] = tensor.clone()
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})

"""What a split costs: weights per part, and the tensor that crosses each cut."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

from trainer.networks.split import SplitNetwork

_FLOAT32_BYTES = 4


def describe(network: SplitNetwork, input_shape: tuple[int, int, int]) -> dict[str, Any]:
    """Parameters per part and, per cut, the shape and bytes of one image in one direction.

    `input_shape` is `(C, H, W)`. In training each cut is crossed twice per image: activations one way, their
    gradient, of the same size, the other. Nothing is computed: shapes are traced on torch's meta device.
    Raises ConfigError for images smaller than the network can take.
    """
    head, body, tail = (_shapes_only(part) for part in (network.head, network.body, network.tail))
    with torch.no_grad():
        h, kept = head(torch.empty(1, *input_shape, device="meta"))
        b = body(h)
        y = tail(b, kept)
    return {
        "network": network.name,
        "input_shape": list(input_shape),
        "output_shape": list(y.shape[1:]),
        "parts": [
            _part("head", "client", network.head),
            _part("body", "compute server", network.body),
            _part("tail", "client", network.tail),
        ],
        "cuts": [_cut("head to body", h), _cut("body to tail", b)],
    }


def _shapes_only(part: nn.Module) -> nn.Module:
    return copy.deepcopy(part).to("meta")


def _part(name: str, party: str, part: nn.Module) -> dict[str, Any]:
    return {"part": name, "party": party, "parameters": sum(p.numel() for p in part.parameters())}


def _cut(name: str, activations: torch.Tensor) -> dict[str, Any]:
    shape = list(activations.shape[1:])
    return {"cut": name, "shape": shape, "bytes_per_image": math.prod(shape) * _FLOAT32_BYTES}

"""What a split costs: weights and arithmetic per part and party, and the tensor that crosses each cut."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from trainer.config import NetworkConfig
from trainer.networks.registry import build, choices
from trainer.networks.split import SplitNetwork

_FLOAT32_BYTES = 4


def describe(network: SplitNetwork, input_shape: Sequence[int]) -> dict[str, Any]:
    """The table of a split network for images of `input_shape`, `(C, *size)`.

    `parts`: party, blocks, weights and FLOPs of each. `parties`: what each holds in all; the aggregation server is
    not among them, as it holds no part. `cuts`: shape and bytes of one image, in one direction; in training each
    cut is crossed twice per image, by activations one way and by their gradient, of the same size, the other.
    `kept`: the same of what stays at the client from head to tail.

    FLOPs are per image, two per multiply-add, of convolutions alone, as torch counts them: `flops` forward,
    `training_flops` forward and backward. Nothing is computed: shapes are traced on torch's meta device.
    Raises ConfigError for images smaller than the network can take.
    """
    head, body, tail = (_shapes_only(part) for part in (network.head, network.body, network.tail))
    x = torch.empty(1, *input_shape, device="meta")
    (h, kept), *head_flops = _counted(lambda: head(x))
    h = h.detach().requires_grad_()
    b, *body_flops = _counted(lambda: body(h))
    b = b.detach().requires_grad_()
    kept = tuple(tensor.detach().requires_grad_(tensor.requires_grad) for tensor in kept)
    y, *tail_flops = _counted(lambda: tail(b, kept))
    parts = [
        _part("head", "client", network.head, head_flops),
        _part("body", "compute server", network.body, body_flops),
        _part("tail", "client", network.tail, tail_flops),
    ]
    return {
        "network": network.name,
        "input_shape": list(input_shape),
        "output_shape": list(y.shape[1:]),
        "parts": parts,
        "parties": [_party(party, parts) for party in ("client", "compute server")],
        "cuts": [{"cut": "head to body", **_tensor(h)}, {"cut": "body to tail", **_tensor(b)}],
        "kept": [_tensor(tensor) for tensor in kept],
    }


def held_whole(table: dict[str, Any]) -> dict[str, Any]:
    """`table` of a network that clients hold unsplit: nothing crosses a cut and nothing is kept beside one."""
    parts = [part | {"party": "client"} for part in table["parts"]]
    return table | {"parts": parts, "parties": [_party("client", parts)], "cuts": [], "kept": []}


def compare_cuts(
    network: NetworkConfig, in_channels: int, out_channels: int, size: Sequence[int], add_input: bool
) -> list[dict[str, Any]]:
    """What each cut that the configured network can have would cost; [] where there is but one.

    Per cut `client_levels`, whether it is the `chosen` one, the client's `parameters` and `training_flops` with
    their shares of the whole, and `cut_bytes_per_image`, both cuts in one direction.
    """
    possible = choices(network)
    rows = []
    for choice in possible if len(possible) > 1 else ():
        with torch.device("meta"):
            whole = build(choice, in_channels, out_channels, 0, add_input)
        table = describe(whole, (in_channels, *size))
        client, server = table["parties"]
        row = {"client_levels": choice.client_levels, "chosen": choice.client_levels == network.client_levels}
        for figure in ("parameters", "training_flops"):
            row[figure] = client[figure]
            row[f"{figure}_share"] = client[figure] / (client[figure] + server[figure])
        rows.append(row | {"cut_bytes_per_image": sum(cut["bytes_per_image"] for cut in table["cuts"])})
    return rows


def _shapes_only(part: nn.Module) -> nn.Module:
    return copy.deepcopy(part).to("meta")


def _counted(forward: Callable[[], Any]) -> tuple[Any, int, int]:
    """What `forward` returns, its FLOPs, and those of forward and backward."""
    with FlopCounterMode(display=False) as counter:
        outputs = forward()
        flops = counter.get_total_flops()
        first, others = outputs if isinstance(outputs, tuple) else (outputs, ())
        ways = [first, *(tensor for tensor in others if tensor.requires_grad)]
        torch.autograd.backward(ways, [torch.empty_like(way) for way in ways])
    return outputs, flops, counter.get_total_flops()


def _part(name: str, party: str, part: nn.Module, flops: Sequence[int]) -> dict[str, Any]:
    return {
        "part": name,
        "party": party,
        "blocks": [block for block, _ in part.named_children()],
        "parameters": sum(p.numel() for p in part.parameters()),
        "flops": flops[0],
        "training_flops": flops[1],
    }


def _party(party: str, parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    held = [part for part in parts if part["party"] == party]
    sums = {figure: sum(part[figure] for part in held) for figure in ("parameters", "flops", "training_flops")}
    return {"party": party, "holds": [part["part"] for part in held], **sums}


def _tensor(one: torch.Tensor) -> dict[str, Any]:
    shape = list(one.shape[1:])
    return {"shape": shape, "bytes_per_image": math.prod(shape) * _FLOAT32_BYTES}

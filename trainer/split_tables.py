"""`--dry-run`: the split network as tables, from what parts.json records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table

_AGGREGATION_HOLDS = "the sum of the clients' updates of head and tail; no part of the network"


def split_tables(parts: dict[str, Any]) -> Iterator[Table]:
    """Parts, parties, cuts, and the cuts that could be chosen; `parts` is what `Experiment.parts` gives."""
    weights, flops = (sum(part[figure] for part in parts["parts"]) for figure in ("parameters", "training_flops"))
    table = Table("part", "at", "blocks", "weights", "share", "MFLOPs", title=f"{parts['network']}: three parts")
    for part in parts["parts"]:
        row = (part["part"], part["party"], ", ".join(part["blocks"]), f"{part['parameters']:,}")
        table.add_row(*row, f"{part['parameters'] / weights:.1%}", _mega(part["flops"]))
    yield table

    size = "x".join(map(str, parts["input_shape"][1:]))
    table = Table(
        "party", "holds", "weights", "MFLOPs, training", "share", title=f"who holds what, an image of {size}"
    )
    kept = sum(tensor["bytes_per_image"] for tensor in parts["kept"])
    for party in parts["parties"]:
        holds = " and ".join(party["holds"])
        if party["party"] == "client":
            holds += f"; {len(parts['kept'])} tensors from head to tail, {kept:,} bytes an image" if kept else ""
        share = f"{party['training_flops'] / flops:.1%}"
        table.add_row(party["party"], holds, f"{party['parameters']:,}", _mega(party["training_flops"]), share)
    if parts["ciphertext_bytes"]:
        table.add_row("aggregation server", _AGGREGATION_HOLDS, "0", "0", "")
    yield table

    table = Table("cut", "shape", "bytes per image", "bytes per batch and step", title="the cuts, in training")
    for cut in parts["cuts"]:
        table.add_row(cut["cut"], str(cut["shape"]), f"{cut['bytes_per_image']:,}", f"{cut['bytes_per_step']:,}")
    if parts["cuts"]:
        yield table

    if parts["choices"]:
        columns = (
            "network.client_levels",
            "client's weights",
            "client's MFLOPs, training",
            "bytes per image, both cuts, float32",
        )
        table = Table(*columns, "this run", title="the cuts to choose from")
        for choice in parts["choices"]:
            table.add_row(
                str(choice["client_levels"]),
                f"{choice['parameters']:,} ({choice['parameters_share']:.1%})",
                f"{_mega(choice['training_flops'])} ({choice['training_flops_share']:.1%})",
                f"{choice['cut_bytes_per_image']:,}",
                "chosen" if choice["chosen"] else "",
            )
        yield table


def _mega(flops: int) -> str:
    return f"{flops / 1e6:,.1f}"

"""Where a method wants the body, and what its clients do beside training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Arrangement:
    """What a method asks of the parties.

    body: "copies", one per client at the compute server; "shared", one at the compute server for all clients; or
        "clients": every client holds the whole network, and there is no compute server.
    hands_over: clients pass head and tail on to each other.
    proximal_mu: see `WholeClient`.
    """

    body: Literal["copies", "shared", "clients"] = "copies"
    hands_over: bool = False
    proximal_mu: float | None = None


COPIES = Arrangement()
"""A body copy per client: what most methods ask for."""

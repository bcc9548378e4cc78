"""What a three-part network is: head and tail stay with a client, the body with the compute server.

    h, kept = head(x)        client
    b = body(h)              compute server: sees h and b, never x, kept or y
    y = tail(b, kept)        client

Where `h` and `b` cross between parties they are detached, and so are the `kept` tensors the client holds
back: gradients reach the head on both ways, so a client backpropagates `h` and those of `kept` that require
a gradient together, in one `torch.autograd.backward`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import nn

Kept = tuple[torch.Tensor, ...]


class Head(nn.Module, ABC):
    """The client's first part."""

    @abstractmethod
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, Kept]:
        """Images float32 `[n, C, H, W]` to the cut activations `h` and the tensors the tail will need.

        `kept` holds the skip connections that would cross the cuts, outermost first, or the input image.
        Raises ConfigError for images smaller than the network can take.
        """


class Body(nn.Module, ABC):
    """The compute server's part; skips within it stay within it."""

    @abstractmethod
    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """The activations of the first cut to those of the second."""


class Tail(nn.Module, ABC):
    """The client's last part."""

    @abstractmethod
    def forward(self, b: torch.Tensor, kept: Kept) -> torch.Tensor:
        """The second cut's activations and what the head kept, to logits or an image `[n, C_out, H, W]`."""


@dataclass(frozen=True)
class SplitNetwork:
    """One head, one body and one tail that fit together; `name` is the registry's."""

    head: Head
    body: Body
    tail: Tail
    name: str = "unnamed"


class Unsplit(nn.Module):
    """The composition of the three parts (shared with `network`, not copied), trained in one place."""

    def __init__(self, network: SplitNetwork) -> None:
        super().__init__()
        self.head = network.head
        self.body = network.body
        self.tail = network.tail

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images float32 `[n, C, H, W]` to logits or images `[n, C_out, H, W]`."""
        h, kept = self.head(x)
        return self.tail(self.body(h), kept)

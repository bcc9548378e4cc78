"""A client's batch at the compute server: parts that come in any order, one gradient of the body's weights.

The parts' gradients are added in the order of the parts, so that the sum does not depend, to the last bit, on which
message was faster.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from trainer.errors import ProtocolError
from trainer.parties.messages import BatchPart

Gradients = Sequence[Tensor | None]
"""One per weight tensor of the body; None where the output does not depend on it."""


class OpenBatch:
    """From the first part's activations to the last part's gradient."""

    def __init__(self, place: BatchPart) -> None:
        self.number, self.parts = place.number, place.parts
        self._waiting: dict[int, tuple[Tensor, Tensor]] = {}  # part -> (h, b) until its gradient comes
        self._came: set[int] = set()
        self._ahead: dict[int, Gradients] = {}  # of parts that an earlier one is missing before
        self._sum: list[Tensor | None] = []
        self._added = 0

    def check_new(self, client: int, place: BatchPart) -> None:
        """Raise ProtocolError where this batch has no such part, or has had it."""
        if place.parts != self.parts:
            raise ProtocolError(
                f"client {client} sent a batch in {self.parts} parts, and then one of its parts as of {place.parts}"
            )
        if place.part in self._came:
            raise ProtocolError(f"client {client} sent part {place.part} of a batch twice, or after it was closed")

    def begin(self, part: int, h: Tensor, b: Tensor) -> None:
        """Keep what the part's gradient will need."""
        self._came.add(part)
        self._waiting[part] = h, b

    def waiting(self, client: int, place: BatchPart) -> tuple[Tensor, Tensor]:
        """(h, b) of the part. Raises ProtocolError where no gradient of it is due."""
        if (place.number, place.parts) != (self.number, self.parts) or place.part not in self._waiting:
            raise ProtocolError(f"client {client} sent a gradient with no batch waiting for it")
        return self._waiting[place.part]

    def take(self, part: int) -> None:
        """Its gradient has come: no other is due."""
        del self._waiting[part]

    def add(self, part: int, gradients: Gradients) -> Gradients | None:
        """Add the gradients that go back through the part; the whole batch's once all are there."""
        self._ahead[part] = gradients
        while self._added in self._ahead:
            due = self._ahead.pop(self._added)
            self._sum = [*map(_added, self._sum, due)] if self._added else list(due)
            self._added += 1
        return self._sum if self._added == self.parts else None

    def close(self) -> None:
        """No part of it is taken any more."""
        self._waiting.clear()
        self._ahead.clear()
        self._sum.clear()
        self._came.update(range(self.parts))


def _added(left: Tensor | None, right: Tensor | None) -> Tensor | None:
    return left if right is None else right if left is None else left + right

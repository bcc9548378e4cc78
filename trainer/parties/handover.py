"""Head and tail handed from client to client, in the clear and past both servers: split learning in turn."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from trainer.errors import ProtocolError
from trainer.networks.flatten import FlatLayout
from trainer.parties.messages import HandoverAccepted, Message, PartsHandover
from trainer.transport.in_process import Transport


class Handover:
    """One client's way of passing on its head and tail, and of taking up another's.

    Weights alone are handed over; optimisers, whose moments are made of gradients on a client's own images, stay.
    """

    def __init__(self, client: int, head: nn.Module, tail: nn.Module, transport: Transport) -> None:
        self._client = client
        self._head, self._tail = head, tail
        self._layout = FlatLayout.of(head, tail)
        self._transport = transport

    def give(self, round: int, clients: Iterable[int]) -> None:
        """Send this client's head and tail to `clients`. Raises ProtocolError."""
        weights = torch.from_numpy(self._layout.flatten(self._head, self._tail))
        for client in clients:
            message = PartsHandover(self._client, round, weights)
            reply = self._transport.request(f"client-{self._client}", f"client-{client}", message)
            if reply != HandoverAccepted(client, round):
                raise ProtocolError(f"client {self._client} expected client {client}'s receipt, got {reply}")

    def handle(self, message: Message) -> HandoverAccepted:
        """Take up what another client hands over. Raises ProtocolError; head and tail are unchanged then."""
        if not isinstance(message, PartsHandover):
            raise ProtocolError(f"client {self._client} takes no {type(message).__name__}")
        self._layout.assign_(self._head, self._tail, message.weights.numpy())
        return HandoverAccepted(self._client, message.round)

"""What a hospital that missed results is given by one that did not: the group's model, sealed from the servers.

Head and tail are at the hospitals alone, so it takes a hospital to help another. The seal names round and session:
neither an older model nor that of another run can be put in its place.
"""

from __future__ import annotations

from dataclasses import dataclass

from he_core import SecretBundle
from he_core.sealing import seal, unseal
from trainer.errors import CheckpointError, ProtocolError
from trainer.parties.state import PartyState
from trainer.transport.wire import Vocabulary

PURPOSE = b"dcsfl models 1\0"
MODELS = Vocabulary({1: PartyState})
OWN = "optimiser"
"""The part of a client's state that is its own affair."""


@dataclass(frozen=True)
class ModelSeal:
    """Seals and opens models between the clients of one session. session: as `session_of` makes it."""

    keys: SecretBundle
    session: bytes

    def seal(self, state: PartyState, round: int, client: int) -> bytes:
        """What of `state`, a client's after `round`, all clients hold alike. Raises ProtocolError."""
        alike = {name: tensor for name, tensor in state.tensors.items() if not _is_own(name)}
        numbers = {name: tuple(value) if isinstance(value, list) else value for name, value in state.numbers.items()}
        content = MODELS.encode(PartyState(alike, numbers))
        return seal(content, self._secret, purpose=self._purpose, key_id=self._key_id, round=round, sender=client)

    def open(self, sealed: bytes, round: int, giver: int, own: PartyState) -> PartyState:
        """`own`, with what all clients hold alike as `giver` had it after `round`.

        Raises SealError, ProtocolError, and CheckpointError for a model of another network.
        """
        content = unseal(sealed, self._secret, purpose=self._purpose, key_id=self._key_id, round=round, sender=giver)
        given: PartyState = MODELS.decode(content)
        alike = {name: tensor.shape for name, tensor in own.tensors.items() if _is_weight(name)}
        if {name: tensor.shape for name, tensor in given.tensors.items() if _is_weight(name)} != alike:
            raise CheckpointError(f"client {giver} gave a model of another network")
        kept = {name: tensor for name, tensor in own.tensors.items() if _is_own(name)}
        numbers = {name: list(value) if isinstance(value, tuple) else value for name, value in given.numbers.items()}
        return PartyState(kept | given.tensors, numbers)

    @property
    def _secret(self) -> bytes:
        if self.keys.verification_key is None:
            raise ProtocolError("this group's key files hold no secret that models could be sealed under")
        return self.keys.verification_key

    @property
    def _purpose(self) -> bytes:
        return PURPOSE + self.session

    @property
    def _key_id(self) -> bytes:
        return self.keys.public.key_id


def _is_own(name: str) -> bool:
    return name.split("/")[1] == OWN


def _is_weight(name: str) -> bool:
    return name.split("/")[1] == "weights"

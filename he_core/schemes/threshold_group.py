"""What threshold groups of every scheme have alike: a key that a ceremony of its clients makes, and their shares."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

from he_core.arith.residue_ring import ResidueRing
from he_core.codec import CodecShape
from he_core.errors import ParameterError
from he_core.keys import PublicBundle, SecretBundle, SecretKey
from he_core.packing import Words
from he_core.scheme import ThresholdScheme
from he_core.schemes.sharing import Sharing, stored
from he_core.threshold_errors import KeyUsedUpError, TooFewPartialsError


class Flooding(Protocol):
    """What partial decryptions hide."""

    @property
    def decryptions(self) -> int:
        """How many rounds a key serves."""
        ...


class ThresholdGroup(ThresholdScheme):
    """Stands before the scheme with a shared key among a class' bases; parameters: with `threshold` and `clients`."""

    parameters: Any

    @property
    @abstractmethod
    def _ring(self) -> ResidueRing:
        """Where keys are shared."""

    @abstractmethod
    def flooding(self, shape: CodecShape) -> Flooding:
        """Of sums of `shape`."""

    @cached_property
    def _sharing(self) -> Sharing:
        return Sharing(self._ring, self.threshold, self.holders)

    @property
    def threshold(self) -> int:
        return int(self.parameters.threshold)

    @property
    def holders(self) -> int:
        return int(self.parameters.clients)

    def generate_keys(self) -> SecretBundle:
        raise ParameterError(
            "threshold", self.threshold, "nobody makes a threshold group's key alone; hold a ceremony of its clients"
        )

    def joint_key(self, public_seed: bytes, parts: Sequence[bytes]) -> PublicBundle:
        material = {"a_seed": public_seed, "b": stored(self._sharing.sum(parts, "public part"))}
        return PublicBundle(self.name, self.parameters.as_dict(), material)

    def joint_share(self, holder: int, shares: Sequence[bytes]) -> Mapping[str, bytes]:
        return self._sharing.material(holder, shares)

    def decrypt(self, key: SecretKey, ciphertext: object, round: int) -> Words:
        raise TooFewPartialsError(self.threshold, 1)

    def check_serves(self, shape: CodecShape, round: int) -> None:
        most = self.flooding(shape).decryptions
        if round >= most:
            raise KeyUsedUpError(round, most)

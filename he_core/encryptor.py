"""The client's role: a float32 update in, a frame out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from he_core import frame
from he_core.codec import Codec
from he_core.cost import CostLedger
from he_core.errors import ParameterError
from he_core.frame import FrameHeader, Kind, Participant
from he_core.keys import PublicKey, SecretKey
from he_core.scheme import Scheme
from he_core.verification import Verifier, check_verifier

MAX_CLIENT_ID = (1 << 32) - 1
MAX_ROUND = (1 << 64) - 1


class Encryptor:
    """Encrypts updates under one key.

    key: the group's public key, or its secret key where the client holds one (some schemes then encrypt faster).
    verifier: the group's, for codecs whose sums are verified. Raises UnverifiableSchemeError.
    """

    def __init__(
        self,
        scheme: Scheme,
        key: PublicKey | SecretKey,
        *,
        verifier: Verifier | None = None,
        ledger: CostLedger | None = None,
        party: str = "client",
    ) -> None:
        if verifier is not None:
            scheme.check_exact()
        self._scheme = scheme
        self._verifier = verifier
        self._key = key
        self._public = key.public if isinstance(key, SecretKey) else key
        self._ledger = ledger or CostLedger()
        self._party = party
        self.saturated_values = 0
        """Values that exceeded their segment's limit in the latest call to `encrypt`."""

    def encrypt(
        self,
        update: NDArray[np.float32],
        codec: Codec,
        *,
        round: int,
        client: int,
        weight: int = 1,
        noise: np.random.Generator | None = None,
    ) -> bytes:
        """One contribution frame.

        update: float32[codec.value_count]. client: in [0, 2^32). weight: public sample count.
        noise: drives stochastic rounding only, for repeatable runs.
        Raises NonFiniteUpdateError, ValueCountError, WeightError, ParameterError.
        """
        if not 0 <= client <= MAX_CLIENT_ID:
            raise ParameterError("client", client, "must be in [0, 2^32)")
        if not 0 <= round <= MAX_ROUND:
            raise ParameterError("round", round, "must be in [0, 2^64)")
        check_verifier(self._verifier, codec)
        participant = Participant(client, weight)
        plaintext = self._scheme.plaintext(codec.shape)
        stage = self._ledger.stage
        values = codec.value_count
        with stage("prepare", round=round, party=self._party) as meter:
            self._scheme.prepare(self._key, codec.shape, round)
            meter.count(values=values)
        with stage("quantise", round=round, party=self._party) as meter:
            numbers, saturated = plaintext.quantise(codec, update, weight, noise)
            meter.count(bytes=numbers.nbytes, values=values)
        if self._verifier is not None:
            with stage("verify", round=round, party=self._party) as meter:
                self._verifier.tag(numbers, codec, round=round, key_id=self._public.key_id, participant=participant)
                meter.count(bytes=4 * codec.tag_count, values=values)
        with stage("pack", round=round, party=self._party) as meter:
            words = plaintext.pack(numbers)
            meter.count(bytes=words.nbytes, values=values)
        with stage("encrypt", round=round, party=self._party) as meter:
            before_ns = self._scheme.conversion_ns
            ciphertext = self._scheme.encrypt(self._key, words, codec.shape, round)
            meter.move("convert", self._scheme.conversion_ns - before_ns)
            meter.count(bytes=self._scheme.payload_bytes(codec.shape), values=values)
        with stage("frame", round=round, party=self._party) as meter:
            header = FrameHeader(
                Kind.CONTRIBUTION,
                self._scheme.name,
                self._scheme.parameters.digest,
                self._public.key_id,
                round,
                codec.shape,
                codec.digest,
                (participant,),
            )
            data = frame.encode(header, self._scheme.serialise(self._public, ciphertext))
            meter.count(bytes=len(data), values=values)
        self.saturated_values = saturated
        return data

"""The key holder's role: a sum's frame in, the weighted mean update out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from he_core import frame
from he_core.codec import Codec
from he_core.cost import CostLedger
from he_core.errors import FrameFieldError
from he_core.frame import Expectation, Kind
from he_core.keys import SecretKey
from he_core.scheme import Scheme


class Decryptor:
    """Decrypts sums under one secret key."""

    def __init__(
        self, scheme: Scheme, key: SecretKey, *, ledger: CostLedger | None = None, party: str = "client"
    ) -> None:
        self._scheme = scheme
        self._key = key
        self._ledger = ledger or CostLedger()
        self._party = party

    def decrypt(self, data: bytes, codec: Codec, *, round: int) -> NDArray[np.float32]:
        """The weighted mean of the updates in a sum frame: float32[codec.value_count].

        Raises a FrameError subclass for anything but the sum of `round` under this key and codec.
        """
        scheme, public = self._scheme, self._key.public
        plaintext = scheme.plaintext(codec.shape)
        words = plaintext.word_count(codec.value_count)
        with self._ledger.stage("parse", round=round, party=self._party) as meter:
            parsed = frame.parse(data)
            expectation = Expectation(
                Kind.SUM,
                scheme.name,
                scheme.parameters.digest,
                public.key_id,
                round,
                codec.shape,
                codec.digest,
            )
            expectation.check(parsed.header)
            expected_bytes = scheme.payload_bytes(words)
            if len(parsed.payload) != expected_bytes:
                raise FrameFieldError("payload_bytes", len(parsed.payload), f"must be {expected_bytes}")
            ciphertext = scheme.parse(public, parsed.payload, words)
            meter.count(bytes=len(data), values=codec.value_count)
        with self._ledger.stage("decrypt", round=round, party=self._party) as meter:
            sums = scheme.decrypt(self._key, ciphertext, round)
            meter.count(bytes=sums.nbytes, values=codec.value_count)
        with self._ledger.stage("unpack", round=round, party=self._party) as meter:
            numbers = plaintext.unpack(sums, codec.value_count)
            header = parsed.header
            mean = plaintext.dequantise(codec, numbers, len(header.participants), header.total_weight)
            meter.count(bytes=mean.nbytes, values=codec.value_count)
        return mean

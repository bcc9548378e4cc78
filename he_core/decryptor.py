"""The key holder's role: a sum's frame in, the weighted mean update out."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from he_core import frame
from he_core.codec import Codec
from he_core.cost import CostLedger
from he_core.errors import WrongParticipantsError
from he_core.frame import Kind, Participant
from he_core.keys import SecretKey
from he_core.scheme import Scheme, threshold_scheme
from he_core.threshold import expectation, open_partials
from he_core.verification import Verifier, check_verifier


class Decryptor:
    """Decrypts sums under one secret key.

    verifier: the group's, for codecs whose sums are verified. Raises UnverifiableSchemeError.
    """

    def __init__(
        self,
        scheme: Scheme,
        key: SecretKey,
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
        self._ledger = ledger or CostLedger()
        self._party = party

    def decrypt(
        self,
        data: bytes,
        codec: Codec,
        *,
        round: int,
        participants: Collection[Participant] | None = None,
        partials: Sequence[bytes] = (),
    ) -> NDArray[np.float32]:
        """The weighted mean of the updates in a sum frame: float32[codec.value_count].

        participants: who must be in the sum, with which weight; whoever its frame names if None. partials: where the
        key is a threshold group's, the frames of t holders' partial decryptions of this sum. Raises a FrameError
        subclass for anything but that sum of `round` under this key and codec, a ThresholdError where partial
        decryptions are missing or do not fit, and a VerificationError where sums are verified and this one does not
        hold each contribution once, unchanged.
        """
        check_verifier(self._verifier, codec)
        scheme, public = self._scheme, self._key.public
        plaintext = scheme.plaintext(codec.shape)
        with self._ledger.stage("parse", round=round, party=self._party) as meter:
            parsed = frame.parse(data)
            expectation(scheme, public, Kind.SUM, codec, round).check(parsed.header)
            summed = parsed.header.participants
            if participants is not None and set(summed) != set(participants):
                raise WrongParticipantsError(sorted(participants, key=lambda entry: entry.client), list(summed))
            scheme.check_payload_bytes(parsed.payload, codec.shape)
            ciphertext = scheme.parse(public, parsed.payload, codec.shape)
            parts = None
            if partials:
                parts = open_partials(threshold_scheme(scheme), public, data, partials, codec, round)
            meter.count(bytes=len(data), values=codec.value_count)
        with self._ledger.stage("prepare", round=round, party=self._party) as meter:
            scheme.prepare(self._key, codec.shape, round)
            meter.count(values=codec.value_count)
        with self._ledger.stage("decrypt", round=round, party=self._party) as meter:
            before_ns = scheme.conversion_ns
            if parts is None:
                sums = scheme.decrypt(self._key, ciphertext, round)
            else:
                sums = threshold_scheme(scheme).combine(public, ciphertext, round, parts, codec.shape)
            meter.move("convert", scheme.conversion_ns - before_ns)
            meter.count(bytes=sums.nbytes, values=codec.value_count)
        with self._ledger.stage("unpack", round=round, party=self._party) as meter:
            numbers = plaintext.unpack(sums, codec.shape.value_count)
            mean = plaintext.dequantise(codec, numbers, len(summed), parsed.header.total_weight)
            meter.count(bytes=mean.nbytes, values=codec.value_count)
        if self._verifier is not None:
            with self._ledger.stage("verify", round=round, party=self._party) as meter:
                self._verifier.check(numbers, codec, round=round, key_id=public.key_id, participants=summed)
                meter.count(values=codec.value_count)
        return mean

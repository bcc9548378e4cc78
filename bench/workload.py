"""Updates at one engine, and what each party does with them: what the benchmarks time and check."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from he_core import Aggregator, Codec, CostLedger, Decryptor, Encryptor, Scheme, SecretBundle, frame, registry
from he_core.frame import FrameHeader, Kind, Participant
from he_core.packing import Plaintext, Words
from values import LIMIT, mean_of, uniform

BITS, K_MAX = 16, 8
INEXACT = 1e-6  # what a scheme without exact sums may add to the error of a mean
FLOAT32_STEP = 2.0**-24  # relative: a mean is rounded to float32
DISTINCT = 4  # updates of many clients: as many different ones


@dataclass
class Workload:
    """Updates of `value_count` values at one engine. Results of stages are made once, when asked for.

    Round numbers are used once, but for `SAME_ROUND`: a scheme may keep what it derives from a round's number.
    """

    scheme: Scheme
    keys: SecretBundle
    value_count: int
    bits: int = BITS
    k_max: int = K_MAX
    rounds: itertools.count = field(default_factory=lambda: itertools.count(2))
    _same_round: list[bytes] = field(default_factory=list)

    SAME_ROUND = 1

    @property
    def who(self) -> str:
        return f"{self.scheme.name}, {self.scheme.backend}"

    @cached_property
    def codec(self) -> Codec:
        return Codec(bits=self.bits, k_max=self.k_max, lengths=(self.value_count,), limits=(LIMIT,))

    @cached_property
    def updates(self) -> list[NDArray[np.float32]]:
        return [uniform(self.value_count, seed) for seed in range(1, DISTINCT + 1)]

    @property
    def update(self) -> NDArray[np.float32]:
        return self.updates[0]

    @cached_property
    def public(self) -> Any:
        return self.scheme.public_key(self.keys.public)

    @cached_property
    def secret(self) -> Any:
        return self.scheme.secret_key(self.keys)

    # --- the stages, one by one

    @cached_property
    def plaintext(self) -> Plaintext:
        return self.scheme.plaintext(self.codec.shape)

    @cached_property
    def numbers(self) -> NDArray:
        return self.plaintext.quantise(self.codec, self.update, 1, None)[0]

    @cached_property
    def words(self) -> Words:
        return self.plaintext.pack(self.numbers)

    @cached_property
    def ciphertext(self) -> Any:
        return self.scheme.encrypt(self.secret, self.words, self.codec.shape, 0)

    @cached_property
    def payload(self) -> bytes:
        return bytes(self.scheme.serialise(self.public, self.ciphertext))

    @cached_property
    def header(self) -> FrameHeader:
        return FrameHeader(
            Kind.CONTRIBUTION,
            self.scheme.name,
            self.scheme.parameters.digest,
            self.public.key_id,
            0,
            self.codec.shape,
            self.codec.digest,
            (Participant(0, 1),),
        )

    @cached_property
    def contribution(self) -> bytes:
        return frame.encode(self.header, self.payload)

    # --- the parties

    @cached_property
    def others(self) -> Encryptor:
        """A client in a process of its own: nothing that it keeps helps the scheme object under measurement."""
        scheme = registry.create(self.scheme.name, self.scheme.backend, threads=1)
        return Encryptor(scheme, scheme.secret_key(self.keys))

    def contributions(self, round: int, clients: int = 2) -> list[bytes]:
        """A frame of each client. Beyond the first few they hold the same updates again, each encrypted anew: the
        noise of equal ciphertexts would not add up as that of different ones does.
        """
        if round != self.SAME_ROUND:
            return [self._contribution(round, client) for client in range(clients)]
        while len(self._same_round) < clients:
            self._same_round.append(self._contribution(round, len(self._same_round)))
        return self._same_round[:clients]

    def _contribution(self, round: int, client: int) -> bytes:
        return self.others.encrypt(self.updates[client % DISTINCT], self.codec, round=round, client=client)

    def mean_update(self, clients: int = 2) -> NDArray[np.float64]:
        """The mean of what `contributions` holds."""
        return mean_of([self.updates[client % DISTINCT] for client in range(clients)])

    def opened(self, round: int, ledger: CostLedger | None = None) -> Aggregator:
        aggregator = Aggregator(self.scheme, self.public, ledger=ledger)
        aggregator.open(round, self.codec.shape)
        return aggregator

    def sum_of(self, contributions: list[bytes], round: int) -> bytes:
        aggregator = self.opened(round)
        for data in contributions:
            aggregator.add(data)
        return aggregator.result()

    def decrypt(self, total: bytes, round: int) -> NDArray[np.float32]:
        return Decryptor(self.scheme, self.secret).decrypt(total, self.codec, round=round)

    def whole_pass(self, round: int) -> NDArray[np.float32]:
        """One client's part of a round, alone: array to frame, into a sum, and back to the mean."""
        data = Encryptor(self.scheme, self.public).encrypt(self.update, self.codec, round=round, client=0)
        return self.decrypt(self.sum_of([data], round), round)

    # --- checks

    @property
    def tolerance(self) -> float:
        """The largest error of a mean: half a quantisation step, float32 rounding, and what a scheme may add."""
        inexact = 0.0 if self.scheme.capabilities.exact else INEXACT
        return 0.51 * self.codec.steps[0] + LIMIT * FLOAT32_STEP + inexact

    def error(self, mean: NDArray[np.float32], expected: NDArray) -> float:
        """The largest error of a mean. Raises AssertionError where it is above the tolerance."""
        assert mean.dtype == np.float32
        np.testing.assert_allclose(mean, expected, rtol=0, atol=self.tolerance)
        return float(np.abs(mean.astype(np.float64) - expected).max())

    def assert_holds(self, words: Words, addends: int = 1) -> None:
        """The words of a sum hold `addends` times the update: exactly where the scheme says so, else within the
        tolerance of its mean.
        """
        sums = self.plaintext.unpack(words, self.value_count)
        if self.scheme.capabilities.exact:
            np.testing.assert_array_equal(sums, addends * self.numbers)
        self.error(self.plaintext.dequantise(self.codec, sums, addends, addends), self.update.astype(np.float64))

    def assert_decrypts_to(self, ciphertext: Any, addends: int) -> None:
        """The ciphertext holds `addends` times the update."""
        self.assert_holds(self.scheme.decrypt(self.secret, ciphertext, 0), addends)

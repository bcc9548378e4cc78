"""The engines under test: every (scheme, backend) of the registry that runs here, with small keys made once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import google_crc32c
import numpy as np
import pytest
from numpy.typing import NDArray

import he_core
from he_core import (
    Aggregator,
    Codec,
    CodecShape,
    Decryptor,
    Encryptor,
    Scheme,
    SecretBundle,
    ShareHolder,
    frame,
    registry,
)
from he_core.packing import Reals
from he_core.schemes.rlwe_threshold import ThresholdCiphertext, ThresholdRlwe

QUICK_PARAMETERS: dict[str, dict[str, Any]] = {"paillier": {"modulus_bits": 2048}}
"""Parameters that keep a scheme's tests short; schemes not named here run with their defaults."""

HERE = [(status.scheme, status.backend) for status in registry.default().statuses() if status.obstacle is None]


@dataclass(frozen=True)
class Engine:
    """A scheme object with two key pairs, and the roles around it."""

    scheme: Scheme
    keys: SecretBundle
    other_keys: SecretBundle

    @property
    def public(self) -> he_core.keys.PublicKey:
        return self.scheme.public_key(self.keys.public)

    @property
    def secret(self) -> he_core.keys.SecretKey:
        return self.scheme.secret_key(self.keys)

    @property
    def clips(self) -> bool:
        """Whether values over the clip limit saturate: real numbers may be sent as they are."""
        return not isinstance(self.scheme.plaintext(CodecShape(16, 2, 1)), Reals)

    def values_per_word(self, codec: Codec) -> int:
        """Values that fill exactly one plaintext word."""
        plaintext = self.scheme.plaintext(codec.shape)
        return next(count for count in range(1, 1 << 16) if plaintext.word_count(count + 1) == 2)

    def contribution(
        self, update: NDArray[np.float32], codec: Codec, *, client: int = 0, weight: int = 1, round: int = 0
    ) -> bytes:
        return Encryptor(self.scheme, self.public).encrypt(update, codec, round=round, client=client, weight=weight)

    def sum(
        self,
        updates: Sequence[NDArray[np.float32]],
        codec: Codec,
        *,
        weights: Sequence[int] | None = None,
        order: Sequence[int] | None = None,
        round: int = 0,
    ) -> bytes:
        """The sum frame of clients 0, 1, ..., added in `order`."""
        aggregator = Aggregator(self.scheme, self.public)
        aggregator.open(round, codec.shape)
        for client in order if order is not None else range(len(updates)):
            weight = weights[client] if weights is not None else 1
            aggregator.add(self.contribution(updates[client], codec, client=client, weight=weight, round=round))
        return aggregator.result()

    def decrypt(self, total: bytes, codec: Codec, *, round: int = 0) -> NDArray[np.float32]:
        return Decryptor(self.scheme, self.secret).decrypt(total, codec, round=round)

    def assert_mean(
        self,
        got: NDArray[np.float32],
        updates: Sequence[NDArray[np.float32]],
        codec: Codec,
        weights: Sequence[int] | None = None,
    ) -> None:
        """`got` is the quantised weighted mean; for a scheme that is not exact, the mean to one step."""
        chosen = list(weights) if weights is not None else [1] * len(updates)
        total = sum(chosen)
        steps = np.repeat(np.array(codec.limits) / codec.max_code, codec.lengths)
        assert got.dtype == np.float32
        if self.scheme.capabilities.exact:
            codes = [
                np.clip(np.rint(update * (weight / codec.weight_reference) / steps), -codec.max_code, codec.max_code)
                for update, weight in zip(updates, chosen, strict=True)
            ]
            expected = np.sum(codes, axis=0) * steps * codec.weight_reference / total
            # A code too much or too little would show as 1 / (k_max * max_code) or more, 10 times this.
            np.testing.assert_allclose(got, expected, rtol=3e-7, atol=0)
        else:
            expected = np.average(np.stack(updates).astype(np.float64), axis=0, weights=chosen)
            step_of_mean = steps * codec.weight_reference / total
            assert np.all(np.abs(got - expected) <= step_of_mean)


class ThresholdGroup:
    """Keys of one ceremony, and sums under them."""

    def __init__(self, threshold: int, holders: int, **parameters: int) -> None:
        wanted = {"threshold": threshold, "clients": holders, **parameters}
        self.scheme = cast(ThresholdRlwe, he_core.create("rlwe", parameters=wanted, threads=1))
        seed = os.urandom(32)
        self.deals = [self.scheme.deal(seed) for _ in range(holders)]
        self.public = self.scheme.joint_key(seed, [deal.public for deal in self.deals])
        self.bundles = [
            SecretBundle(self.public, self.scheme.joint_share(j, [deal.shares[j] for deal in self.deals]))
            for j in range(holders)
        ]
        self.keys = [self.scheme.secret_key(bundle) for bundle in self.bundles]

    def sum(self, updates: list[np.ndarray], codec: Codec, *, round: int = 0) -> bytes:
        key = self.scheme.public_key(self.public)
        aggregator = Aggregator(self.scheme, key)
        aggregator.open(round, codec.shape)
        for client, update in enumerate(updates):
            aggregator.add(Encryptor(self.scheme, key).encrypt(update, codec, round=round, client=client))
        return aggregator.result()

    def partials(self, total: bytes, holders: tuple[int, ...], codec: Codec, *, round: int = 0) -> list[bytes]:
        entries = frame.parse(total).header.participants
        return [
            ShareHolder(self.scheme, self.keys[j]).partial(
                total, codec, round=round, holders=holders, participants=entries, least_participants=1
            )
            for j in holders
        ]

    def ciphertext(self, total: bytes, codec: Codec) -> ThresholdCiphertext:
        return self.scheme.parse(self.keys[0].public, frame.parse(total).payload, codec.shape)


@pytest.fixture(scope="session")
def threshold_group() -> type[ThresholdGroup]:
    """`threshold_group(t, n)`: the keys of a new group."""
    return ThresholdGroup


@pytest.fixture(scope="session")
def group() -> ThresholdGroup:
    """Any 3 of 5."""
    return ThresholdGroup(3, 5)


def _make(scheme: str, backend: str) -> Engine:
    engine = registry.create(scheme, backend, QUICK_PARAMETERS.get(scheme), threads=1)
    return Engine(engine, engine.generate_keys(), engine.generate_keys())


class Engines(Mapping[tuple[str, str], Engine]):
    """Every engine that runs here, by (scheme, backend), made when first asked for: numba compiles for a while."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], Engine] = {}

    def __getitem__(self, name: tuple[str, str]) -> Engine:
        if name not in HERE:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = _make(*name)
        return self._made[name]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(HERE)

    def __len__(self) -> int:
        return len(HERE)


@pytest.fixture(scope="session")
def engines() -> Engines:
    return Engines()


@pytest.fixture(scope="session", params=HERE, ids="-".join)
def engine(request: pytest.FixtureRequest, engines: Engines) -> Engine:
    return engines[request.param]


@pytest.fixture(
    scope="session", params=[next("-".join(name) for name in HERE if name[0] == "paillier"), "plain-numpy"]
)
def quantising_engine(request: pytest.FixtureRequest, engines: Engines) -> Engine:
    """One engine that encrypts and one that does not, where more would only cost time."""
    scheme, _, backend = request.param.partition("-")
    return engines[scheme, backend]


@pytest.fixture(scope="session")
def quick_parameters() -> Callable[[str], dict[str, Any] | None]:
    return QUICK_PARAMETERS.get


@pytest.fixture(scope="session")
def rewrite() -> Callable[..., bytes]:
    """rewrite(frame, payload=..., **header changes): a sound frame that says something else."""

    def change(data: bytes, *, payload: bytes | None = None, **changes: Any) -> bytes:
        parsed = frame.parse(data)
        return frame.encode(replace(parsed.header, **changes), bytes(parsed.payload) if payload is None else payload)

    return change


@pytest.fixture(scope="session")
def reseal() -> Callable[[bytes], bytes]:
    """reseal(frame): the same bytes under a checksum that fits them."""

    def change(data: bytes) -> bytes:
        return bytes(data[:-4]) + google_crc32c.value(bytes(data[:-4])).to_bytes(4, "little")

    return change

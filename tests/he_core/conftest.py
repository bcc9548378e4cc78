"""The engines under test: every (scheme, backend) of the registry that runs here, with small keys made once.

Schemes that can be set to a threshold are there a second time, with a key that any 2 of 3 open together.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

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
    Verifier,
    frame,
    registry,
)
from he_core.frame import Participant
from he_core.keys import SecretKey
from he_core.packing import Reals
from he_core.scheme import Deal, ThresholdScheme, threshold_scheme

QUICK_PARAMETERS: dict[str, dict[str, Any]] = {"paillier": {"modulus_bits": 2048}}
"""Parameters that keep a scheme's tests short; schemes not named here run with their defaults."""

Reader = Callable[..., object]

THRESHOLD, HOLDERS = 2, 3
TOGETHER = f"{THRESHOLD}-of-{HOLDERS}"
"""Marks engines of a threshold key: (scheme, backend, TOGETHER)."""

_FOUND = {
    (status.scheme, status.backend): status.capabilities
    for status in registry.default().statuses()
    if status.capabilities is not None
}
SHARED = list(_FOUND)
SPLIT = [(*name, TOGETHER) for name in SHARED if name[0] in ("rlwe", "bfv")]
HERE: list[tuple[str, ...]] = [*SHARED, *SPLIT]
EXACT = [name for name in HERE if _FOUND[name[0], name[1]].exact]


@dataclass(frozen=True)
class Engine:
    """A scheme object with two key pairs, and the roles around it."""

    name: tuple[str, ...]
    scheme: Scheme
    keys: SecretBundle
    other_keys: SecretBundle

    @property
    def bundles(self) -> tuple[SecretBundle, ...]:
        """What it takes to decrypt."""
        return (self.keys,)

    @property
    def secrets(self) -> list[bytes]:
        """All secret material of both keys; whose share one is, is none."""
        made = [*self.bundles, self.other_keys]
        return [value for bundle in made for name, value in bundle.material.items() if name != "holder"]

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

    def decrypt(
        self,
        total: bytes,
        codec: Codec,
        *,
        round: int = 0,
        scheme: Scheme | None = None,
        bundles: Sequence[SecretBundle] | None = None,
        verifier: Verifier | None = None,
        participants: Collection[Participant] | None = None,
    ) -> NDArray[np.float32]:
        """The mean, by this scheme and key or by others that must read the same."""
        using, held = scheme or self.scheme, bundles or self.bundles
        decryptor = Decryptor(using, using.secret_key(held[0]), verifier=verifier)
        return decryptor.decrypt(total, codec, round=round, participants=participants)

    def readers(self, honest: bytes, codec: Codec, round: int) -> list[Reader]:
        """Everybody who reads a sum frame: reader(data, codec, participants=...). honest: such a sum, to be read."""

        def whole(data: bytes, codec: Codec, participants: Collection[Participant] | None = None) -> object:
            return self.decrypt(data, codec, round=round, participants=participants)

        return [whole]

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


@dataclass(frozen=True)
class ThresholdEngine(Engine):
    """One whose key is split: the first two of three decrypt, the third holds the key of nothing alone."""

    shares: tuple[SecretBundle, ...]

    @property
    def bundles(self) -> tuple[SecretBundle, ...]:
        return self.shares[:THRESHOLD]

    def decrypt(
        self,
        total: bytes,
        codec: Codec,
        *,
        round: int = 0,
        scheme: Scheme | None = None,
        bundles: Sequence[SecretBundle] | None = None,
        verifier: Verifier | None = None,
        participants: Collection[Participant] | None = None,
    ) -> NDArray[np.float32]:
        using = scheme or self.scheme
        keys = [using.secret_key(bundle) for bundle in bundles or self.bundles]
        parts = parts_of(using, keys, total, codec, round)
        decryptor = Decryptor(using, keys[0], verifier=verifier)
        return decryptor.decrypt(total, codec, round=round, participants=participants, partials=parts)

    def readers(self, honest: bytes, codec: Codec, round: int) -> list[Reader]:
        """Who makes a part, and who has the parts."""
        keys = [self.scheme.secret_key(bundle) for bundle in self.bundles]
        parts, inside = parts_of(self.scheme, keys, honest, codec, round), frame.parse(honest).header.participants

        def part(data: bytes, codec: Codec, participants: Collection[Participant] | None = None) -> object:
            entries = inside if participants is None else participants
            return part_of(self.scheme, keys[1], data, codec, round, range(THRESHOLD), entries)

        def whole(data: bytes, codec: Codec, participants: Collection[Participant] | None = None) -> object:
            decryptor = Decryptor(self.scheme, keys[0])
            return decryptor.decrypt(data, codec, round=round, participants=participants, partials=parts)

        return [part, whole]


def parts_of(scheme: Scheme, keys: Sequence[SecretKey], total: bytes, codec: Codec, round: int) -> list[bytes]:
    """Of those who hold `keys`, for whoever is in the sum; by new holders, who have answered nothing yet."""
    together = threshold_scheme(scheme)
    holders = [together.holder_of(key) for key in keys]
    entries = frame.parse(total).header.participants
    return [part_of(scheme, key, total, codec, round, holders, entries) for key in keys]


def part_of(
    scheme: Scheme,
    key: SecretKey,
    total: bytes,
    codec: Codec,
    round: int,
    holders: Collection[int],
    participants: Collection[Participant],
) -> bytes:
    return ShareHolder(scheme, key).partial(
        total, codec, round=round, holders=holders, participants=participants, least_participants=1
    )


def dealt(scheme: ThresholdScheme) -> tuple[list[Deal], tuple[SecretBundle, ...]]:
    """What everybody dealt, and everybody's share of one new key."""
    seed = os.urandom(32)
    deals = [scheme.deal(seed) for _ in range(scheme.holders)]
    public = scheme.joint_key(seed, [deal.public for deal in deals])
    shares = [scheme.joint_share(j, [deal.shares[j] for deal in deals]) for j in range(scheme.holders)]
    verification_key = os.urandom(32)
    return deals, tuple(SecretBundle(public, share, verification_key) for share in shares)


class ThresholdGroup:
    """Keys of one ceremony, and sums under them."""

    def __init__(self, threshold: int, holders: int, scheme: str = "rlwe", **parameters: int) -> None:
        wanted = {"threshold": threshold, "clients": holders, **parameters}
        self.scheme: Any = threshold_scheme(he_core.create(scheme, parameters=wanted, threads=1))
        self.deals, self.bundles = dealt(self.scheme)
        self.public = self.bundles[0].public
        self.keys = [self.scheme.secret_key(bundle) for bundle in self.bundles]

    def sum(self, updates: list[np.ndarray], codec: Codec, *, round: int = 0) -> bytes:
        key = self.scheme.public_key(self.public)
        aggregator = Aggregator(self.scheme, key)
        aggregator.open(round, codec.shape)
        for client, update in enumerate(updates):
            aggregator.add(Encryptor(self.scheme, key).encrypt(update, codec, round=round, client=client))
        return aggregator.result()

    def partials(self, total: bytes, holders: tuple[int, ...], codec: Codec, *, round: int = 0) -> list[bytes]:
        return parts_of(self.scheme, [self.keys[j] for j in holders], total, codec, round)

    def ciphertext(self, total: bytes, codec: Codec) -> Any:
        return self.scheme.parse(self.keys[0].public, frame.parse(total).payload, codec.shape)


@pytest.fixture(scope="session")
def threshold_group() -> type[ThresholdGroup]:
    """`threshold_group(t, n)`: the keys of a new group."""
    return ThresholdGroup


@pytest.fixture(scope="session")
def group() -> ThresholdGroup:
    """Any 3 of 5."""
    return ThresholdGroup(3, 5)


def _make(scheme: str, backend: str, *together: str) -> Engine:
    name, parameters = (scheme, backend, *together), QUICK_PARAMETERS.get(scheme, {})
    if together:
        parameters = {**parameters, "threshold": THRESHOLD, "clients": HOLDERS}
        made = threshold_scheme(registry.create(scheme, backend, parameters, threads=1))
        (_, shares), (_, others) = dealt(made), dealt(made)
        return ThresholdEngine(name, made, shares[0], others[0], shares)
    engine = registry.create(scheme, backend, parameters, threads=1)
    return Engine(name, engine, engine.generate_keys(), engine.generate_keys())


class Engines(Mapping[tuple[str, ...], Engine]):
    """Every engine that runs here, by its name, made when first asked for: numba compiles for a while.

    A name is (scheme, backend), with TOGETHER after them where the key is split.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[str, ...], Engine] = {}

    def __getitem__(self, name: tuple[str, ...]) -> Engine:
        if name not in HERE:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = _make(*name)
        return self._made[name]

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return iter(HERE)

    def __len__(self) -> int:
        return len(HERE)


@pytest.fixture(scope="session")
def engines() -> Engines:
    return Engines()


@pytest.fixture(scope="session", params=HERE, ids="-".join)
def engine(request: pytest.FixtureRequest, engines: Engines) -> Engine:
    return engines[request.param]


@pytest.fixture(params=EXACT, ids="-".join)
def exact(request: pytest.FixtureRequest, engines: Engines) -> Engine:
    """One whose sums come back exactly, so that they can be verified."""
    return engines[request.param]


@pytest.fixture(params=[name for name in HERE if name not in EXACT], ids="-".join)
def inexact(request: pytest.FixtureRequest, engines: Engines) -> Engine:
    return engines[request.param]


@pytest.fixture(
    scope="session", params=[next("-".join(name) for name in HERE if name[0] == "paillier"), "plain-numpy"]
)
def quantising_engine(request: pytest.FixtureRequest, engines: Engines) -> Engine:
    """One engine that encrypts and one that does not, where more would only cost time."""
    scheme, _, backend = request.param.partition("-")
    return engines[scheme, backend]


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

"""A threshold group's costs beside a shared key's: encrypt, add, a part, and what a client does to decrypt.

`bfv` where OpenFHE runs here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

from he_core import Aggregator, Codec, Decryptor, Encryptor, SecretBundle, create, frame
from he_core.errors import BackendUnavailableError
from he_core.frame import Participant
from he_core.scheme import Scheme, ThresholdScheme
from he_core.threshold import ShareHolder

CLIENTS, THRESHOLD = 4, 3
COUNTS = (37_000, 1_000_000)
ENTRIES = [Participant(client, 1) for client in range(CLIENTS)]


def _group(name: str, threshold: int) -> tuple[Scheme, list[Any]]:
    """A scheme on one thread, and every client's key."""
    if not threshold:
        scheme = create(name, threads=1)
        return scheme, [scheme.secret_key(scheme.generate_keys())] * CLIENTS
    scheme = create(name, parameters={"threshold": threshold, "clients": CLIENTS}, threads=1)
    together, seed = cast(ThresholdScheme, scheme), os.urandom(32)
    deals = [together.deal(seed) for _ in range(CLIENTS)]
    public = together.joint_key(seed, [deal.public for deal in deals])
    shares = [together.joint_share(j, [deal.shares[j] for deal in deals]) for j in range(CLIENTS)]
    return scheme, [scheme.secret_key(SecretBundle(public, share)) for share in shares]


@pytest.fixture(
    scope="module",
    params=[(name, threshold) for name in ("rlwe", "bfv") for threshold in (0, THRESHOLD)],
    ids=lambda chosen: f"{chosen[0]}-{'threshold-3-of-4' if chosen[1] else 'shared-key'}",
)
def group(request: pytest.FixtureRequest) -> tuple[Scheme, list[Any]]:
    try:
        return _group(*request.param)
    except BackendUnavailableError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("step", ["encrypt", "add", "part", "decrypt"])
def test_steps_of_a_round(
    group: tuple[Scheme, list[Any]], repeat: Callable[..., Any], record: Callable[..., None], count: int, step: str
) -> None:
    scheme, keys = group
    codec = Codec(bits=16, k_max=8, lengths=(count,), limits=(1.0,))
    update = np.random.default_rng(1).uniform(-1, 1, count).astype(np.float32)
    encryptor = Encryptor(scheme, keys[0])
    frames = [encryptor.encrypt(update, codec, round=0, client=client) for client in range(CLIENTS)]

    aggregator = Aggregator(scheme, keys[0].public)
    aggregator.open(0, codec.shape)
    for each in frames:
        aggregator.add(each)
    total = aggregator.result()
    parts: list[bytes] = []
    if isinstance(scheme, ThresholdScheme):
        parts = [_part(scheme, keys[j], total, codec) for j in range(THRESHOLD)]
    elif step == "part":
        pytest.skip("a shared key decrypts alone")
    decryptor = Decryptor(scheme, keys[0])
    sent = len(frames[0])
    if step == "encrypt":
        assert len(repeat(lambda: encryptor.encrypt(update, codec, round=0, client=0))) == sent
    elif step == "add":
        parsed = [scheme.parse(keys[0].public, frame.parse(each).payload, codec.shape) for each in frames[:2]]
        repeat(lambda: scheme.add(keys[0].public, parsed[0], parsed[1]))
    elif step == "part":
        sent = len(repeat(lambda: _part(scheme, keys[0], total, codec)))
        assert sent == len(parts[0])
    else:
        mean = repeat(lambda: decryptor.decrypt(total, codec, round=0, partials=parts))
        np.testing.assert_allclose(mean, update, atol=2e-5)
    held = f"{THRESHOLD} of {CLIENTS}" if parts else "a shared key"
    who = f"{scheme.name}, {scheme.backend}, {held}"
    record(count, group="threshold", who=who, what=step, bytes=sent, bits=codec.bits, clients=CLIENTS)


def _part(scheme: Scheme, key: Any, total: bytes, codec: Codec) -> bytes:
    """By a new holder each time: one that has answered a round gives the same bytes again."""
    holder = ShareHolder(scheme, key)
    return holder.partial(total, codec, round=0, holders=range(THRESHOLD), participants=ENTRIES)

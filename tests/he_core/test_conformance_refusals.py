"""What every engine refuses: each lie has its own error, and the running sum is the same afterwards.

That it is the same is proved by finishing the round: the mean is the one of the clients that were accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from he_core import Aggregator, Codec, Encryptor, errors, frame

if TYPE_CHECKING:
    from tests.he_core.conftest import Engine

ROUND = 5
CODEC = Codec(bits=16, k_max=3, lengths=(100, 30), limits=(0.05, 2.0), weight_reference=10)
WEIGHTS = (10, 3, 7)
Rewrite = Callable[..., bytes]


def updates() -> list[np.ndarray]:
    generator = np.random.default_rng(8)
    return [generator.uniform(-0.04, 0.04, CODEC.value_count).astype(np.float32) for _ in WEIGHTS]


@dataclass(frozen=True)
class Bench:
    """What a lie is made from."""

    engine: Engine
    rewrite: Rewrite

    def honest(self, client: int = 2, round: int = ROUND) -> bytes:
        update, weight = updates()[client], WEIGHTS[client]
        return self.engine.contribution(update, CODEC, client=client, weight=weight, round=round)

    def under(self, codec: Codec) -> bytes:
        update = np.zeros(codec.value_count, np.float32)
        return self.engine.contribution(update, codec, client=2, round=ROUND)

    def wrong_key(self) -> bytes:
        key = self.engine.scheme.public_key(self.engine.other_keys.public)
        return Encryptor(self.engine.scheme, key).encrypt(updates()[2], CODEC, round=ROUND, client=2)

    def sum(self) -> bytes:
        return self.engine.sum(updates(), CODEC, weights=WEIGHTS, round=ROUND)


def _flip(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


CONTRIBUTION_LIES: dict[str, tuple[Callable[[Bench], bytes], type[errors.HeCoreError]]] = {
    "another-key": (Bench.wrong_key, errors.WrongKeyError),
    "another-scheme": (lambda b: b.rewrite(b.honest(), scheme="elsewhere"), errors.WrongSchemeError),
    "other-parameters": (
        lambda b: b.rewrite(b.honest(), parameters_digest=bytes(32)),
        errors.WrongParametersError,
    ),
    "a-later-round": (lambda b: b.honest(round=ROUND + 1), errors.WrongRoundError),
    "an-earlier-round": (lambda b: b.honest(round=ROUND - 1), errors.ReplayedRoundError),
    "other-bits": (lambda b: b.under(replace(CODEC, bits=12)), errors.WrongCodecError),
    "another-k-max": (lambda b: b.under(replace(CODEC, k_max=4)), errors.WrongCodecError),
    "another-weight-reference": (lambda b: b.under(replace(CODEC, weight_reference=11)), errors.WrongCodecError),
    "other-limits": (lambda b: b.under(replace(CODEC, limits=(0.05, 2.1))), errors.WrongCodecError),
    "other-segments": (lambda b: b.under(replace(CODEC, lengths=(99, 31))), errors.WrongCodecError),
    "another-length": (lambda b: b.under(replace(CODEC, lengths=(100, 31))), errors.WrongCodecError),
    "a-sum": (Bench.sum, errors.WrongKindError),
    "nothing": (lambda b: b"", errors.TruncatedFrameError),
    "half-a-header": (lambda b: b.honest()[:90], errors.TruncatedFrameError),
    "half-a-frame": (lambda b: b.honest()[: len(b.honest()) // 2], errors.TruncatedFrameError),
    "all-but-a-byte": (lambda b: b.honest()[:-1], errors.TruncatedFrameError),
    "a-trailing-byte": (lambda b: b.honest() + b"\0", errors.TrailingBytesError),
    "two-frames-at-once": (lambda b: b.honest() * 2, errors.TrailingBytesError),
    "no-frame": (lambda b: b"GET / HTTP/1.1\r\n" * 30, errors.BadMagicError),
    "a-future-version": (lambda b: _flip(b.honest(), 9), errors.UnsupportedVersionError),
    "a-damaged-payload": (lambda b: _flip(b.honest(), -20 % len(b.honest())), errors.FrameChecksumError),
    "a-payload-too-short": (
        lambda b: b.rewrite(b.honest(), payload=bytes(frame.parse(b.honest()).payload[:-8])),
        errors.FrameFieldError,
    ),
    "a-payload-too-long": (
        lambda b: b.rewrite(b.honest(), payload=bytes(frame.parse(b.honest()).payload) + bytes(8)),
        errors.FrameFieldError,
    ),
    "a-client-twice": (lambda b: b.honest(client=0), errors.DuplicateClientError),
    "an-unexpected-client": (
        lambda b: b.rewrite(b.honest(), participants=(frame.Participant(9, 1),)),
        errors.UnexpectedClientError,
    ),
}


@pytest.mark.parametrize("lie", CONTRIBUTION_LIES)
def test_a_lie_is_refused_by_name_and_changes_nothing(engine: Engine, rewrite: Rewrite, lie: str) -> None:
    make, error = CONTRIBUTION_LIES[lie]
    bench = Bench(engine, rewrite)
    aggregator = Aggregator(engine.scheme, engine.public)
    aggregator.open(ROUND, CODEC.shape, clients=[0, 1, 2])
    for client in (0, 1):
        aggregator.add(bench.honest(client))
        with pytest.raises(errors.HeCoreError) as refusal:
            aggregator.add(make(bench))
        assert type(refusal.value) is error
    aggregator.add(bench.honest(2))
    total = aggregator.result()
    assert frame.parse(total).header.participants == tuple(
        frame.Participant(client, weight) for client, weight in enumerate(WEIGHTS)
    )
    engine.assert_mean(engine.decrypt(total, CODEC, round=ROUND), updates(), CODEC, WEIGHTS)


def test_a_refused_first_contribution_pins_nothing(engine: Engine, rewrite: Rewrite) -> None:
    """The codec's digest is fixed by the first contribution *accepted*."""
    bench = Bench(engine, rewrite)
    aggregator = Aggregator(engine.scheme, engine.public)
    aggregator.open(ROUND, CODEC.shape, clients=[0, 1, 2])
    stranger = rewrite(bench.under(replace(CODEC, limits=(0.05, 2.1))), participants=(frame.Participant(9, 1),))
    with pytest.raises(errors.UnexpectedClientError):
        aggregator.add(stranger)
    for client in range(3):
        aggregator.add(bench.honest(client))
    mean = engine.decrypt(aggregator.result(), CODEC, round=ROUND)
    engine.assert_mean(mean, updates(), CODEC, WEIGHTS)


def test_a_client_over_k_max_is_refused_and_changes_nothing(engine: Engine, rewrite: Rewrite) -> None:
    bench = Bench(engine, rewrite)
    aggregator = Aggregator(engine.scheme, engine.public)
    aggregator.open(ROUND, CODEC.shape)
    for client in range(3):
        aggregator.add(bench.honest(client))
    with pytest.raises(errors.TooManyClientsError, match="K_max=3"):
        aggregator.add(rewrite(bench.honest(), participants=(frame.Participant(3, 1),)))
    mean = engine.decrypt(aggregator.result(), CODEC, round=ROUND)
    engine.assert_mean(mean, updates(), CODEC, WEIGHTS)


def test_a_round_once_closed_cannot_be_replayed(engine: Engine, rewrite: Rewrite) -> None:
    bench = Bench(engine, rewrite)
    aggregator = Aggregator(engine.scheme, engine.public)
    aggregator.open(ROUND, CODEC.shape)
    aggregator.add(bench.honest(0))
    aggregator.result()
    with pytest.raises(errors.ReplayedRoundError):
        aggregator.open(ROUND, CODEC.shape)
    aggregator.open(ROUND + 1, CODEC.shape)
    with pytest.raises(errors.ReplayedRoundError):
        aggregator.add(bench.honest(1))
    aggregator.add(bench.honest(1, round=ROUND + 1))
    mean = engine.decrypt(aggregator.result(), CODEC, round=ROUND + 1)
    engine.assert_mean(mean, [updates()[1]], CODEC, WEIGHTS[1:2])


def test_a_reused_receive_buffer_does_not_change_the_sum(engine: Engine, rewrite: Rewrite) -> None:
    bench = Bench(engine, rewrite)
    aggregator = Aggregator(engine.scheme, engine.public)
    aggregator.open(ROUND, CODEC.shape)
    for client in range(3):
        buffer = bytearray(bench.honest(client))
        aggregator.add(buffer)
        buffer[:] = bytes(len(buffer))
    mean = engine.decrypt(aggregator.result(), CODEC, round=ROUND)
    engine.assert_mean(mean, updates(), CODEC, WEIGHTS)


CLIENT_LIES: dict[str, tuple[Callable[[Encryptor, np.ndarray], bytes], type[errors.HeCoreError]]] = {}


def _client_lie(name: str, error: type[errors.HeCoreError], **changes: object) -> None:
    """One refused call of `Encryptor.encrypt`; `at` puts a value into the update, `update` replaces it."""

    def call(encryptor: Encryptor, update: np.ndarray) -> bytes:
        arguments = {"update": update, "codec": CODEC, "round": ROUND, "client": 2} | changes
        if "at" in arguments:
            update[101] = arguments.pop("at")
        return encryptor.encrypt(**arguments)  # type: ignore[arg-type]

    CLIENT_LIES[name] = (call, error)


_client_lie("nan", errors.NonFiniteUpdateError, at=np.nan)
_client_lie("infinity", errors.NonFiniteUpdateError, at=np.inf)
_client_lie("minus-infinity", errors.NonFiniteUpdateError, at=-np.inf)
_client_lie("float64", errors.ParameterError, update=np.zeros(130, np.float64))
_client_lie("float16", errors.ParameterError, update=np.zeros(130, np.float16))
_client_lie("too-short", errors.ValueCountError, update=np.zeros(129, np.float32))
_client_lie("too-long", errors.ValueCountError, update=np.zeros(131, np.float32))
_client_lie("two-dimensions", errors.ValueCountError, update=np.zeros((13, 10), np.float32))
_client_lie("weight-zero", errors.WeightError, weight=0)
_client_lie("weight-negative", errors.WeightError, weight=-1)
_client_lie("weight-over-reference", errors.WeightError, weight=11)
_client_lie("client-negative", errors.ParameterError, client=-1)
_client_lie("client-too-large", errors.ParameterError, client=1 << 32)
_client_lie("round-negative", errors.ParameterError, round=-1)
_client_lie("round-too-large", errors.ParameterError, round=1 << 64)


@pytest.mark.parametrize("lie", CLIENT_LIES)
def test_an_update_that_cannot_be_encrypted_is_refused_at_the_client(engine: Engine, lie: str) -> None:
    call, error = CLIENT_LIES[lie]
    encryptor = Encryptor(engine.scheme, engine.public)
    with pytest.raises(errors.HeCoreError) as refusal:
        call(encryptor, updates()[2])
    assert type(refusal.value) is error


def test_a_non_finite_update_is_named_by_count_index_and_segment(engine: Engine) -> None:
    update = updates()[0]
    update[[101, 120]] = np.nan, np.inf
    with pytest.raises(errors.NonFiniteUpdateError, match="2 value") as refusal:
        engine.contribution(update, CODEC)
    assert (refusal.value.count, refusal.value.index, refusal.value.segment) == (2, 101, 1)


SUM_LIES: dict[str, tuple[Callable[[Bench], bytes], Codec, type[errors.HeCoreError]]] = {
    "a-contribution": (Bench.honest, CODEC, errors.WrongKindError),
    "another-scheme": (lambda b: b.rewrite(b.sum(), scheme="elsewhere"), CODEC, errors.WrongSchemeError),
    "other-parameters": (
        lambda b: b.rewrite(b.sum(), parameters_digest=bytes(32)),
        CODEC,
        errors.WrongParametersError,
    ),
    "another-key": (lambda b: b.rewrite(b.sum(), key_id=bytes(32)), CODEC, errors.WrongKeyError),
    "an-earlier-round": (lambda b: b.rewrite(b.sum(), round=ROUND - 1), CODEC, errors.ReplayedRoundError),
    "a-later-round": (lambda b: b.rewrite(b.sum(), round=ROUND + 1), CODEC, errors.WrongRoundError),
    "other-limits": (Bench.sum, replace(CODEC, limits=(0.05, 2.1)), errors.WrongCodecError),
    "other-bits": (Bench.sum, replace(CODEC, bits=15), errors.WrongCodecError),
    "truncated": (lambda b: b.sum()[:-1], CODEC, errors.TruncatedFrameError),
    "a-trailing-byte": (lambda b: b.sum() + b"\0", CODEC, errors.TrailingBytesError),
    "a-payload-too-short": (
        lambda b: b.rewrite(b.sum(), payload=bytes(frame.parse(b.sum()).payload[:-8])),
        CODEC,
        errors.FrameFieldError,
    ),
}


@pytest.mark.parametrize("lie", SUM_LIES)
def test_a_key_holder_decrypts_nothing_but_the_sum_it_expects(engine: Engine, rewrite: Rewrite, lie: str) -> None:
    make, codec, error = SUM_LIES[lie]
    bench = Bench(engine, rewrite)
    honest = bench.sum()
    for reader in engine.readers(honest, CODEC, ROUND):
        with pytest.raises(errors.HeCoreError) as refusal:
            reader(make(bench), codec)
        assert type(refusal.value) is error
    engine.assert_mean(engine.decrypt(honest, CODEC, round=ROUND), updates(), CODEC, WEIGHTS)


def test_a_key_holder_refuses_a_sum_of_others_or_of_other_weights_than_it_expects(
    engine: Engine, rewrite: Rewrite
) -> None:
    total = Bench(engine, rewrite).sum()
    inside = frame.parse(total).header.participants
    first, *rest = inside
    heavier = frame.Participant(first.client, first.weight + 1)
    for expected in (rest, [*inside, frame.Participant(9_999, 1)], [heavier, *rest], []):
        for reader in engine.readers(total, CODEC, ROUND):
            with pytest.raises(errors.WrongParticipantsError, match="participants of the sum"):
                reader(total, CODEC, participants=expected)
    mean = engine.decrypt(total, CODEC, round=ROUND, participants=[*rest, first])
    engine.assert_mean(mean, updates(), CODEC, WEIGHTS)


# --- the aggregator's own state


def test_calls_out_of_turn_are_refused(engine: Engine, rewrite: Rewrite) -> None:
    bench = Bench(engine, rewrite)
    aggregator = Aggregator(engine.scheme, engine.public)
    with pytest.raises(errors.RoundStateError):
        aggregator.add(bench.honest())
    with pytest.raises(errors.RoundStateError):
        aggregator.result()
    aggregator.open(ROUND, CODEC.shape)
    with pytest.raises(errors.EmptySumError):
        aggregator.result()
    aggregator.add(bench.honest())
    aggregator.result()
    with pytest.raises(errors.RoundStateError):
        aggregator.result()


def test_more_expected_clients_than_k_max_are_refused(engine: Engine) -> None:
    with pytest.raises(errors.TooManyClientsError):
        Aggregator(engine.scheme, engine.public).open(0, CODEC.shape, clients=range(4))


def test_an_aggregator_restarted_with_its_last_round_refuses_replays(engine: Engine) -> None:
    aggregator = Aggregator(engine.scheme, engine.public, last_round=ROUND)
    with pytest.raises(errors.ReplayedRoundError):
        aggregator.open(ROUND, CODEC.shape)
    aggregator.open(ROUND + 1, CODEC.shape)


def test_opening_the_next_round_drops_an_unfinished_one(engine: Engine, rewrite: Rewrite) -> None:
    bench = Bench(engine, rewrite)
    aggregator = Aggregator(engine.scheme, engine.public)
    aggregator.open(ROUND - 1, CODEC.shape)
    aggregator.add(bench.honest(0, round=ROUND - 1))
    aggregator.open(ROUND, CODEC.shape)
    for client in (1, 2):
        aggregator.add(bench.honest(client))
    mean = engine.decrypt(aggregator.result(), CODEC, round=ROUND)
    engine.assert_mean(mean, updates()[1:], CODEC, WEIGHTS[1:])

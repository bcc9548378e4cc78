"""What is particular to rlwe: its keys, lengths around a polynomial, a round's polynomials, hostile payloads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from he_core import Aggregator, Codec, Decryptor, Encryptor, SecretBundle, frame, registry
from he_core.errors import CiphertextRangeError, ParameterError
from he_core.params import RlweParameters
from he_core.planner import coefficient_width, part_bytes

if TYPE_CHECKING:
    from tests.he_core.conftest import Engine, Engines

Q = RlweParameters.MODULUS
BACKENDS = [
    status.backend for status in registry.default().statuses() if status.scheme == "rlwe" and status.obstacle is None
]


@pytest.fixture(params=BACKENDS)
def rlwe(request: pytest.FixtureRequest, engines: Engines) -> Engine:
    return engines["rlwe", request.param]


def codec_of(value_count: int, bits: int = 16, k_max: int = 8) -> Codec:
    return Codec(bits=bits, k_max=k_max, lengths=(value_count,), limits=(1.0,))


def updates_for(codec: Codec, clients: int) -> list[np.ndarray]:
    generator = np.random.default_rng(codec.value_count)
    return [generator.uniform(-1, 1, codec.value_count).astype(np.float32) for _ in range(clients)]


# --- keys


def test_a_secret_of_another_key_is_refused(rlwe: Engine) -> None:
    wrong = SecretBundle(rlwe.keys.public, {"s": rlwe.other_keys.material["s"]})
    with pytest.raises(ParameterError, match="not the secret of this public key"):
        rlwe.scheme.secret_key(wrong)


def test_a_secret_with_one_coefficient_changed_is_refused(rlwe: Engine) -> None:
    secret = bytearray(rlwe.keys.material["s"])
    secret[700] ^= 1
    with pytest.raises(ParameterError, match="not the secret of this public key"):
        rlwe.scheme.secret_key(SecretBundle(rlwe.keys.public, {"s": bytes(secret)}))


@pytest.mark.parametrize(("name", "change"), [("a_seed", -1), ("a_seed", 1), ("b", -1), ("b", 1)])
def test_key_material_of_another_length_is_refused(rlwe: Engine, name: str, change: int) -> None:
    material = dict(rlwe.keys.public.material)
    material[name] = material[name][:-1] if change < 0 else material[name] + b"\0"
    with pytest.raises(ParameterError, match=f"key {name}"):
        rlwe.scheme.public_key(dataclasses.replace(rlwe.keys.public, material=material))


def test_a_public_key_with_a_coefficient_of_q_is_refused(rlwe: Engine) -> None:
    packed = int.from_bytes(rlwe.keys.public.material["b"], "little")
    index = 1234
    packed |= (2**50 - 1) << (50 * index)
    material = {**rlwe.keys.public.material, "b": packed.to_bytes(12_800, "little")}
    with pytest.raises(ParameterError, match=f"coefficient {index}"):
        rlwe.scheme.public_key(dataclasses.replace(rlwe.keys.public, material=material))


def test_a_key_of_another_strength_is_refused(rlwe: Engine) -> None:
    stronger = registry.create("rlwe", rlwe.scheme.backend, {"security_bits": 192}, threads=1)
    with pytest.raises(ParameterError, match="key parameters"):
        stronger.public_key(rlwe.keys.public)
    with pytest.raises(ParameterError, match="key parameters"):
        rlwe.scheme.secret_key(stronger.generate_keys())


# --- vectors


@pytest.mark.parametrize("security_bits", [128, 256])
def test_lengths_around_a_polynomial_decrypt(rlwe: Engine, security_bits: int) -> None:
    scheme = registry.create("rlwe", rlwe.scheme.backend, {"security_bits": security_bits}, threads=1)
    keys = scheme.generate_keys()
    public, secret = scheme.public_key(keys.public), scheme.secret_key(keys)
    values = 2 * scheme.parameters.degree  # type: ignore[attr-defined]
    for value_count in (values - 2, values - 1, values, values + 1, values + 2, 2 * values, 3 * values + 17):
        codec = codec_of(value_count)
        updates = updates_for(codec, 2)
        aggregator = Aggregator(scheme, public)
        aggregator.open(0, codec.shape)
        for client, update in enumerate(updates):
            aggregator.add(Encryptor(scheme, public).encrypt(update, codec, round=0, client=client))
        mean = Decryptor(scheme, secret).decrypt(aggregator.result(), codec, round=0)
        rlwe.assert_mean(mean, updates, codec)


def test_a_longer_vector_later_in_a_round_uses_the_same_first_polynomials(rlwe: Engine) -> None:
    short, long = codec_of(5_000), codec_of(50_000)
    first = rlwe.contribution(updates_for(short, 1)[0], short, round=9)
    _ = rlwe.contribution(updates_for(long, 1)[0], long, round=9)
    aggregator = Aggregator(rlwe.scheme, rlwe.public)
    aggregator.open(9, short.shape)
    aggregator.add(first)
    fresh = registry.create("rlwe", rlwe.scheme.backend, threads=1)  # has seen neither
    mean = Decryptor(fresh, fresh.secret_key(rlwe.keys)).decrypt(aggregator.result(), short, round=9)
    rlwe.assert_mean(mean, updates_for(short, 1), short)


def test_the_sum_of_another_rounds_polynomials_is_noise(rlwe: Engine) -> None:
    """The round is part of the polynomials' seed: a frame moved to another round decrypts to nothing."""
    codec = codec_of(4_000)
    update = updates_for(codec, 1)[0]
    aggregator = Aggregator(rlwe.scheme, rlwe.public)
    aggregator.open(3, codec.shape)
    aggregator.add(rlwe.contribution(update, codec, round=3))
    parsed = frame.parse(aggregator.result())
    moved = frame.encode(dataclasses.replace(parsed.header, round=4), bytes(parsed.payload))
    mean = rlwe.decrypt(moved, codec, round=4)
    assert abs(np.corrcoef(mean, update)[0, 1]) < 0.1


def test_as_many_additions_as_k_max_allows_stay_exact(rlwe: Engine) -> None:
    codec = codec_of(10, bits=8, k_max=300)
    update = np.full(10, 1.0, np.float32)
    mean = rlwe.decrypt(rlwe.sum([update] * 300, codec), codec)
    np.testing.assert_array_equal(mean, update)


# --- hostile payloads


def _with_coefficient(payload: bytes, part_start: int, width: int, index: int, value: int) -> bytes:
    bits = int.from_bytes(payload, "little")
    shift = 8 * part_start + index * width
    bits = bits & ~(((1 << width) - 1) << shift) | value << shift
    return bits.to_bytes(len(payload), "little")


@pytest.mark.parametrize("part", [0, 1, 2], ids=["key-u", "key-v", "values"])
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_coefficient_at_its_modulus_is_refused_where_it_lies(
    rlwe: Engine, part: int, place: str, rewrite: Callable[..., bytes]
) -> None:
    codec = codec_of(9_001)
    data = rlwe.contribution(updates_for(codec, 1)[0], codec)
    layout = rlwe.scheme.plan(codec.shape)  # type: ignore[attr-defined]
    starts = np.cumsum([0] + [part_bytes(count, dropped) for count, dropped in layout.parts])
    count, dropped = layout.parts[part]
    index = 0 if place == "first" else count - 1
    payload = bytes(frame.parse(data).payload)
    for value, refused in (
        ((Q >> dropped) - 1, False),
        (Q >> dropped, True),
        (2 ** coefficient_width(dropped) - 1, True),
    ):
        changed = _with_coefficient(payload, int(starts[part]), coefficient_width(dropped), index, value)
        aggregator = Aggregator(rlwe.scheme, rlwe.public)
        aggregator.open(0, codec.shape)
        if not refused:
            aggregator.add(rewrite(data, payload=changed))
            continue
        with pytest.raises(CiphertextRangeError) as caught:
            aggregator.add(rewrite(data, payload=changed))
        assert caught.value.index == sum(count for count, _ in layout.parts[:part]) + index
        aggregator.add(data)  # the sum is as it was


def test_bits_after_the_last_coefficient_are_refused(rlwe: Engine, rewrite: Callable[..., bytes]) -> None:
    codec = codec_of(6)  # three coefficients of 44 bits: half a byte is left over
    data = rlwe.contribution(updates_for(codec, 1)[0], codec)
    layout = rlwe.scheme.plan(codec.shape)  # type: ignore[attr-defined]
    count, dropped = layout.parts[2]
    assert count * coefficient_width(dropped) % 8 == 4
    payload = bytearray(frame.parse(data).payload)
    payload[-1] |= 0x80
    aggregator = Aggregator(rlwe.scheme, rlwe.public)
    aggregator.open(0, codec.shape)
    with pytest.raises(CiphertextRangeError, match="after the last"):
        aggregator.add(rewrite(data, payload=bytes(payload)))


def test_the_words_of_the_paper_network_take_a_small_frame(rlwe: Engine) -> None:
    """RED-CNN's head and tail: 4,897 values; the encrypted key is most of the frame that the values are not."""
    layout = rlwe.scheme.plan(codec_of(4_897).shape)  # type: ignore[attr-defined]
    assert layout.payload_bytes < 4_897 * 4 * 1.25

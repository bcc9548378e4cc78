"""What every scheme on every backend does: whoever registers one, passes this. The refusals are next door."""

from __future__ import annotations

import base64
import dataclasses
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gmpy2 import mpz

from he_core import (
    Aggregator,
    Codec,
    Encryptor,
    HeCoreError,
    PublicBundle,
    SecretBundle,
    Trust,
    frame,
    keystore,
    registry,
)
from he_core.errors import ParameterError, RingTooSmallError, SecretKeyRefusedError

if TYPE_CHECKING:
    from tests.he_core.conftest import Engine, Engines

K_MAX = 8
LIMITS = (0.05, 2.0, 1e-4)
CODEC = Codec(bits=16, k_max=K_MAX, lengths=(40, 3, 90), limits=LIMITS)
WEIGHTED = Codec(bits=16, k_max=K_MAX, lengths=(40, 3, 90), limits=LIMITS, weight_reference=500)
WEIGHTS = (500, 1, 250, 499, 37, 500, 120, 3)


def updates_for(codec: Codec, clients: int, seed: int = 1) -> list[np.ndarray]:
    """Uniform over 0.9 of each segment's limit, so that nothing saturates."""
    generator = np.random.default_rng(seed)
    spread = np.repeat(codec.limits, codec.lengths)
    return [(generator.uniform(-0.9, 0.9, codec.value_count) * spread).astype(np.float32) for _ in range(clients)]


# --- keys


def test_keys_work_after_a_round_trip_through_the_key_store(engine: Engine, tmp_path: Path) -> None:
    keystore.save_public(tmp_path / "public", engine.keys.public)
    public = engine.scheme.public_key(keystore.load_public(tmp_path / "public"))
    paths = [tmp_path / f"secret-{index}" for index in range(len(engine.bundles))]
    for path, bundle in zip(paths, engine.bundles, strict=True):
        keystore.save_secret(path, bundle)
    updates = updates_for(CODEC, 1)
    aggregator = Aggregator(engine.scheme, public)
    aggregator.open(0, CODEC.shape)
    aggregator.add(Encryptor(engine.scheme, public).encrypt(updates[0], CODEC, round=0, client=0))
    mean = engine.decrypt(aggregator.result(), CODEC, bundles=[keystore.load_secret(path) for path in paths])
    engine.assert_mean(mean, updates, CODEC)


def test_every_key_pair_is_fresh(engine: Engine) -> None:
    assert engine.keys.public.key_id != engine.other_keys.public.key_id


def test_a_bundle_of_another_scheme_or_other_parameters_is_no_key(engine: Engine) -> None:
    bundle = engine.keys.public
    for changed in (
        dataclasses.replace(bundle, scheme="elsewhere"),
        dataclasses.replace(bundle, parameters={**bundle.parameters, "modulus_bits": 1}),
        dataclasses.replace(bundle, material={}),
    ):
        with pytest.raises(ParameterError):
            engine.scheme.public_key(changed)


def test_the_aggregator_refuses_secret_keys(engine: Engine) -> None:
    for secret in (engine.secret, engine.keys):
        with pytest.raises(SecretKeyRefusedError, match="public bundle"):
            Aggregator(engine.scheme, secret)  # type: ignore[arg-type]


def _renderings(value: bytes) -> list[str]:
    """The ways a secret could find its way into text, cut to a length no accident produces."""
    whole = [
        value.hex(),
        value[::-1].hex(),
        str(mpz(int.from_bytes(value, "little"))),  # Python itself writes no numbers this long
        repr(value)[2:-1],
        base64.b64encode(value).decode(),
    ]
    return [text[:24] for text in whole]


def test_no_text_about_keys_holds_secret_material(engine: Engine) -> None:
    secrets = engine.keys.material
    texts = [
        f"{rendered} {rendered!r}" for rendered in (engine.keys, engine.secret, engine.public, engine.keys.public)
    ]
    damaged: list[dict[str, Any]] = [{}]
    if engine.scheme.capabilities.trust is not Trust.THRESHOLD:  # whose key a share is of, decrypting alone shows
        damaged.append(dict(engine.other_keys.material))
    damaged += [{**secrets, name: value[:-1]} for name, value in secrets.items()]
    for material in damaged if secrets else []:
        with pytest.raises(HeCoreError) as refusal:
            engine.scheme.secret_key(SecretBundle(engine.keys.public, material))
        texts += traceback.format_exception(refusal.value)
        texts.append(repr(vars(refusal.value)))
    for value in engine.secrets:
        assert not [text for text in texts for needle in _renderings(value) if needle in text]


# --- sums


@pytest.mark.parametrize("clients", [1, 2, K_MAX])
@pytest.mark.parametrize(("codec", "weights"), [(CODEC, None), (WEIGHTED, WEIGHTS)], ids=["uniform", "weighted"])
def test_the_sum_decrypts_to_the_quantised_mean(
    engine: Engine, clients: int, codec: Codec, weights: tuple[int, ...] | None
) -> None:
    updates = updates_for(codec, clients)
    chosen = weights[:clients] if weights else None
    mean = engine.decrypt(engine.sum(updates, codec, weights=chosen), codec)
    engine.assert_mean(mean, updates, codec, chosen)


def test_any_order_of_addition_gives_the_same_mean(engine: Engine) -> None:
    updates = updates_for(WEIGHTED, 4)
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
        total = engine.sum(updates, WEIGHTED, weights=WEIGHTS[:4], order=order)
        engine.assert_mean(engine.decrypt(total, WEIGHTED), updates, WEIGHTED, WEIGHTS[:4])
        assert [entry.client for entry in frame.parse(total).header.participants] == [0, 1, 2, 3]


def test_a_drop_out_leaves_the_mean_of_the_rest(engine: Engine) -> None:
    updates = updates_for(WEIGHTED, 4)
    aggregator = Aggregator(engine.scheme, engine.public)
    aggregator.open(3, WEIGHTED.shape, clients=[0, 1, 2, 3])
    for client in (0, 1, 3):
        aggregator.add(engine.contribution(updates[client], WEIGHTED, client=client, weight=WEIGHTS[client], round=3))
    rest, weights = [updates[0], updates[1], updates[3]], [WEIGHTS[0], WEIGHTS[1], WEIGHTS[3]]
    engine.assert_mean(engine.decrypt(aggregator.result(), WEIGHTED, round=3), rest, WEIGHTED, weights)


def test_rounds_follow_each_other_in_one_aggregator(engine: Engine) -> None:
    aggregator = Aggregator(engine.scheme, engine.public)
    for round_index in (0, 1, 7):
        updates = updates_for(CODEC, 2, seed=round_index)
        aggregator.open(round_index, CODEC.shape)
        for client, update in enumerate(updates):
            aggregator.add(engine.contribution(update, CODEC, client=client, round=round_index))
        mean = engine.decrypt(aggregator.result(), CODEC, round=round_index)
        engine.assert_mean(mean, updates, CODEC)
    assert aggregator.last_round == 7


@pytest.mark.parametrize("offset", ["one", "word-1", "word", "word+1", "words"])
def test_every_length_around_a_word_works(engine: Engine, offset: str) -> None:
    word = engine.values_per_word(CODEC)
    length = {"one": 1, "word-1": max(1, word - 1), "word": word, "word+1": word + 1, "words": 3 * word + 2}[offset]
    codec = Codec(bits=16, k_max=K_MAX, lengths=(length,), limits=(0.5,))
    updates = updates_for(codec, 2)
    engine.assert_mean(engine.decrypt(engine.sum(updates, codec), codec), updates, codec)


def test_many_segments_keep_their_own_limits(engine: Engine) -> None:
    lengths = tuple(1 + index % 5 for index in range(120))
    codec = Codec(bits=12, k_max=3, lengths=lengths, limits=tuple(10.0 ** (index % 7 - 4) for index in range(120)))
    updates = updates_for(codec, 3)
    engine.assert_mean(engine.decrypt(engine.sum(updates, codec), codec), updates, codec)


@pytest.mark.parametrize("encrypt_with", ["public", "secret"])
def test_both_keys_encrypt_to_the_same_mean(engine: Engine, encrypt_with: str) -> None:
    updates = updates_for(CODEC, 2)
    aggregator = Aggregator(engine.scheme, engine.public)
    aggregator.open(0, CODEC.shape)
    aggregator.add(engine.contribution(updates[0], CODEC, client=0))
    key = engine.public if encrypt_with == "public" else engine.secret
    aggregator.add(Encryptor(engine.scheme, key).encrypt(updates[1], CODEC, round=0, client=1))
    engine.assert_mean(engine.decrypt(aggregator.result(), CODEC), updates, CODEC)


def test_backends_of_one_scheme_read_each_other(engine: Engine, engines: Engines) -> None:
    updates = updates_for(CODEC, 2)
    for name in engines:
        if (name[0], name[2:]) != (engine.name[0], engine.name[2:]):
            continue
        other = engines[name]
        aggregator = Aggregator(other.scheme, other.scheme.public_key(engine.keys.public))
        aggregator.open(0, CODEC.shape)
        for client, update in enumerate(updates):
            aggregator.add(engine.contribution(update, CODEC, client=client))
        total = aggregator.result()
        mean = engine.decrypt(total, CODEC, scheme=other.scheme)
        engine.assert_mean(mean, updates, CODEC)
        engine.assert_mean(engine.decrypt(total, CODEC), updates, CODEC)


def test_threads_do_not_change_the_result(engine: Engine) -> None:
    codec = Codec(bits=16, k_max=2, lengths=(5 * engine.values_per_word(CODEC) + 1,), limits=(1.0,))
    updates = updates_for(codec, 2)
    scheme = engine.scheme
    for threads in (1, 3):
        threaded = registry.create(scheme.name, scheme.backend, scheme.parameters.as_dict(), threads=threads)
        public, secret = threaded.public_key(engine.keys.public), threaded.secret_key(engine.keys)
        aggregator = Aggregator(threaded, public)
        aggregator.open(0, codec.shape)
        for client, key in enumerate((public, secret)):
            aggregator.add(Encryptor(threaded, key).encrypt(updates[client], codec, round=0, client=client))
        mean = engine.decrypt(aggregator.result(), codec, scheme=threaded)
        engine.assert_mean(mean, updates, codec)


# --- values


def test_zero_limits_and_tiny_values_come_back(engine: Engine) -> None:
    step = 0.5 / 32767
    codec = Codec(bits=16, k_max=K_MAX, lengths=(7,), limits=(0.5,))
    update = np.array([0.0, -0.0, 0.5, -0.5, 1e-45, step, -step], np.float32)
    mean = engine.decrypt(engine.sum([update] * 3, codec), codec)
    engine.assert_mean(mean, [update] * 3, codec)
    np.testing.assert_allclose(mean[[2, 3]], [0.5, -0.5], rtol=3e-7)


def test_values_over_the_limit_are_clipped_and_counted_or_kept_whole(engine: Engine) -> None:
    codec = Codec(bits=16, k_max=2, lengths=(4, 2), limits=(0.5, 8.0))
    update = np.array([0.6, -3e38, 0.1, 0.5, 7.9, 9.0], np.float32)
    encryptor = Encryptor(engine.scheme, engine.public)
    aggregator = Aggregator(engine.scheme, engine.public)
    aggregator.open(0, codec.shape)
    aggregator.add(encryptor.encrypt(update, codec, round=0, client=0))
    mean = engine.decrypt(aggregator.result(), codec)
    limits = np.repeat(np.array(codec.limits, np.float32), codec.lengths)
    engine.assert_mean(mean, [np.clip(update, -limits, limits) if engine.clips else update], codec)
    changed = int(np.count_nonzero(np.abs(mean - update) > 1e-3 * np.abs(update)))
    assert encryptor.saturated_values == changed
    assert changed == (3 if engine.clips else 0)


@pytest.mark.parametrize(("bits", "k_max"), [(2, 1), (2, 5), (9, 8), (16, 1), (16, 7), (16, 8), (24, 8), (24, 256)])
def test_extreme_sums_do_not_carry_into_their_neighbours(engine: Engine, bits: int, k_max: int) -> None:
    """Widths that divide a word's bits are among them: there a scheme is tempted to fill it to the brim."""
    codec = Codec(bits=bits, k_max=k_max, lengths=(2 * engine.values_per_word(CODEC) + 1,), limits=(1.0,))
    clients = min(k_max, 8)
    try:
        engine.scheme.plaintext(codec.shape)
    except RingTooSmallError as refusal:
        assert bits == 24  # only what hardly any scheme has room for may be refused
        assert str(bits) in str(refusal)  # noqa: PT017
        return
    pattern = np.resize(np.array([1, -1, 1, 1, -1, -1, 0], np.float32), codec.value_count)
    for update in (pattern, -pattern):
        mean = engine.decrypt(engine.sum([update] * clients, codec), codec)
        np.testing.assert_allclose(mean, update, rtol=3e-7, atol=0)


def test_a_full_round_of_largest_codes_fills_every_field_and_no_more(engine: Engine) -> None:
    """All k_max clients at the largest code: the largest sum the layout promises to hold."""
    codec = Codec(bits=3, k_max=32, lengths=(engine.values_per_word(CODEC) + 1,), limits=(1.0,))
    update = np.ones(codec.value_count, np.float32)
    mean = engine.decrypt(engine.sum([update] * 32, codec), codec)
    np.testing.assert_allclose(mean, update, rtol=3e-7)


def test_stochastic_rounding_is_unbiased_and_rounding_to_nearest_is_not(engine: Engine) -> None:
    count, part = 4000, 0.3
    step = 1.0 / 127
    update = np.full(count, part * step, np.float32)
    means = {}
    for rounding in ("nearest", "stochastic"):
        codec = Codec(bits=8, k_max=2, lengths=(count,), limits=(1.0,), rounding=rounding)  # type: ignore[arg-type]
        encryptor = Encryptor(engine.scheme, engine.public)
        aggregator = Aggregator(engine.scheme, engine.public)
        aggregator.open(0, codec.shape)
        aggregator.add(encryptor.encrypt(update, codec, round=0, client=0, noise=np.random.default_rng(5)))
        means[rounding] = float(engine.decrypt(aggregator.result(), codec).mean() / step)
    five_sigma = 5 * np.sqrt(part * (1 - part) / count)
    assert abs(means["stochastic"] - part) < five_sigma < part
    assert means["nearest"] == (0.0 if engine.scheme.capabilities.exact else pytest.approx(part))


# --- what a frame shows


def test_two_encryptions_of_the_same_values_differ(engine: Engine) -> None:
    update = updates_for(CODEC, 1)[0]
    for key in (engine.public, engine.secret):
        encryptor = Encryptor(engine.scheme, key)
        payloads = [bytes(frame.parse(encryptor.encrypt(update, CODEC, round=0, client=0)).payload) for _ in range(2)]
        assert (payloads[0] != payloads[1]) == engine.scheme.capabilities.encrypts


def test_a_frame_shows_plaintext_only_where_the_scheme_says_it_does_not_encrypt(engine: Engine) -> None:
    update = updates_for(CODEC, 1)[0]
    plaintext = engine.scheme.plaintext(CODEC.shape)
    numbers, _ = plaintext.quantise(CODEC, update, 1, None)
    words = plaintext.pack(numbers).tobytes()
    data = engine.contribution(update, CODEC)
    windows = {words[start : start + 8] for start in range(len(words) - 8)} - {bytes(8)}
    seen = [window for window in windows if window in data]
    assert bool(seen) == (not engine.scheme.capabilities.encrypts)


def test_frames_hold_no_secret_material(engine: Engine) -> None:
    total = engine.sum(updates_for(CODEC, 2), CODEC)
    for value in engine.secrets:
        assert value[:16] not in total
        assert value[-16:] not in total


def test_payload_bytes_is_the_length_of_every_payload(engine: Engine) -> None:
    total = engine.sum(updates_for(CODEC, 2), CODEC)
    for data in (total, engine.contribution(updates_for(CODEC, 1)[0], CODEC)):
        assert len(frame.parse(data).payload) == engine.scheme.payload_bytes(CODEC.shape)


def test_public_and_secret_bundles_share_no_material(engine: Engine) -> None:
    assert isinstance(engine.keys.public, PublicBundle)
    assert not set(engine.keys.material.values()) & set(engine.keys.public.material.values())

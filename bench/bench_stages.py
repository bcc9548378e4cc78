"""Every stage of the pipeline in isolation, per scheme, on one thread: a million values where they are affordable.

Each benchmark proves its result after timing it. Paillier's fixed-base tables belong to the first encryption under a
key; `test_first_encryption` has them in, the others do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from affordable import FEW, MILLION
from he_core import Scheme, Verifier, frame, registry
from he_core.errors import VerificationError
from he_core.frame import Participant
from workload import BITS, Workload

pytestmark = pytest.mark.slow  # the short version has a round's stages from the ledger
Put = Callable[..., None]
Repeat = Callable[..., Any]


@pytest.fixture
def put(record: Callable[..., None], workload: Workload) -> Put:
    """`put("quantise", bytes=...)`: the stage's figure, into the record."""

    def stage(name: str, what: str = "alone", **extra: Any) -> None:
        about = {"who": workload.who, "what": what, "bits": BITS}
        record(workload.value_count, group=f"stage: {name}", **about, **extra)

    return stage


def test_prepare(workload: Workload, repeat: Repeat, put: Put) -> None:
    """What the encryptions and decryptions of a round share: for `rlwe`, the expansion of its public polynomials."""
    w = workload
    repeat(lambda: w.scheme.prepare(w.public, w.codec.shape, next(w.rounds)))
    last = next(w.rounds)
    w.assert_holds(w.scheme.decrypt(w.secret, w.scheme.encrypt(w.public, w.words, w.codec.shape, last), last))
    put("prepare")


def test_quantise(workload: Workload, repeat: Repeat, put: Put) -> None:
    w = workload
    numbers, saturated = repeat(lambda: w.plaintext.quantise(w.codec, w.update, 1, None))
    assert saturated == 0
    put("quantise", error=w.error(w.plaintext.dequantise(w.codec, numbers, 1, 1), w.update))


@pytest.mark.parametrize("what", ["a tag", "a sum's check"])
def test_verify(workload: Workload, repeat: Repeat, put: Put, what: str) -> None:
    """What verified sums add: a contribution's tag, and a key holder's check of a sum (of one)."""
    w = workload
    if not w.scheme.capabilities.exact:
        pytest.skip("sums of this scheme are not exact: there is nothing to verify them by")
    codec, key_id = replace(w.codec, verified=True), w.public.key_id
    verifier, participant = Verifier(bytes(range(32)), bytes(16)), Participant(0, 1)
    fields, _ = w.plaintext.quantise(codec, w.update, 1, None)

    def tag() -> None:
        verifier.tag(fields, codec, round=0, key_id=key_id, participant=participant)

    def check() -> None:
        verifier.check(fields, codec, round=0, key_id=key_id, participants=(participant,))

    tag()
    repeat(tag if what == "a tag" else check)
    check()
    fields[0] += 1
    with pytest.raises(VerificationError):
        check()
    put("verify", what)


def test_pack(workload: Workload, repeat: Repeat, put: Put) -> None:
    w = workload
    numbers = w.numbers
    words = repeat(lambda: w.plaintext.pack(numbers))
    np.testing.assert_array_equal(w.plaintext.unpack(words, w.value_count), numbers)
    put("pack", bytes=words.nbytes)


@pytest.mark.parametrize("key", ["public", "secret"])
def test_encrypt(workload: Workload, repeat: Repeat, put: Put, key: str) -> None:
    """Under the public key alone, and for a key holder, who may work with the factors."""
    w = workload
    chosen, words = getattr(w, key), w.words
    w.scheme.encrypt(chosen, words, w.codec.shape, 0)  # tables, which a key keeps
    ciphertext = repeat(lambda: w.scheme.encrypt(chosen, words, w.codec.shape, 0))
    w.assert_decrypts_to(ciphertext, 1)
    put("encrypt", f"{key} key", bytes=w.scheme.payload_bytes(w.codec.shape))


@pytest.mark.parametrize("key", ["public", "secret"])
def test_first_encryption(workload: Workload, repeat: Repeat, put: Put, key: str) -> None:
    """A fresh scheme object, as in a process just started: tables and all."""
    w = workload
    words = w.words

    def fresh() -> tuple[tuple[Scheme, Any], dict[str, Any]]:
        scheme = registry.create(w.scheme.name, w.scheme.backend, threads=1)
        holder = scheme.public_key(w.keys.public) if key == "public" else scheme.secret_key(w.keys)
        return (scheme, holder), {}

    ciphertext = repeat(lambda scheme, holder: scheme.encrypt(holder, words, w.codec.shape, 0), fresh)
    w.assert_decrypts_to(ciphertext, 1)
    put("encrypt", f"{key} key, the process's first")


def test_frame(workload: Workload, repeat: Repeat, put: Put) -> None:
    w = workload
    ciphertext = w.ciphertext
    data = repeat(lambda: frame.encode(w.header, w.scheme.serialise(w.public, ciphertext)))
    assert data == w.contribution
    put("frame", bytes=len(data))


def test_parse(workload: Workload, repeat: Repeat, put: Put) -> None:
    w = workload
    data = w.contribution
    parsed = repeat(lambda: w.scheme.parse(w.public, frame.parse(data).payload, w.codec.shape))
    w.assert_decrypts_to(parsed, 1)
    put("parse", bytes=len(data))


def test_add(workload: Workload, repeat: Repeat, put: Put) -> None:
    """Both addends as they come off the wire; a scheme may overwrite the first, so each addition gets its own."""
    w = workload

    def addends() -> tuple[tuple[Any, Any], dict[str, Any]]:
        payload = memoryview(w.payload)
        return tuple(w.scheme.parse(w.public, payload, w.codec.shape) for _ in range(2)), {}

    total = repeat(lambda left, right: w.scheme.add(w.public, left, right), addends)
    w.assert_decrypts_to(total, 2)
    put("add")


def test_add_words_in_numpy(repeat: Repeat, record: Callable[..., None], timed: bool) -> None:
    """The floor under any `add`: as many 64-bit words as carry the values at two a word, added in place."""
    values = MILLION if timed else FEW
    left, right = (np.random.default_rng(seed).integers(0, 1 << 50, values // 2, np.uint64) for seed in (2, 3))
    total = repeat(lambda accumulator: np.add(accumulator, right, out=accumulator), lambda: ((left.copy(),), {}))
    np.testing.assert_array_equal(total, left + right)
    record(values, group="stage: add", who="numpy", what="a 64-bit word per two values", bytes=total.nbytes)


def test_decrypt(workload: Workload, repeat: Repeat, put: Put) -> None:
    w = workload
    ciphertext = w.ciphertext
    words = repeat(lambda: w.scheme.decrypt(w.secret, ciphertext, 0))
    w.assert_holds(words)
    put("decrypt")


def test_unpack(workload: Workload, repeat: Repeat, put: Put) -> None:
    """Words to the mean: unpack and dequantise."""
    w = workload
    words = w.words
    mean = repeat(lambda: w.plaintext.dequantise(w.codec, w.plaintext.unpack(words, w.value_count), 1, 1))
    put("unpack", error=w.error(mean, w.update))

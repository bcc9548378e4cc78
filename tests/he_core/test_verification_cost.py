"""What verified sums cost beside what they protect, on the machine at hand."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from he_core import Codec, Verifier, create
from he_core.frame import Participant

pytest.importorskip("he_core._native", reason="installed without a C compiler", exc_type=ImportError)

MILLION = 1_000_000
MOST_SHARE = 0.4


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


@pytest.mark.slow
def test_tag_and_check_of_a_million_values_take_less_than_40_percent_of_their_encryption_by_rlwe() -> None:
    """One thread each, taken in turn, the least of many: what else the machine does touches both alike."""
    scheme = create("rlwe", "native", threads=1)
    keys = scheme.generate_keys()
    secret, verifier = scheme.secret_key(keys), Verifier(bytes(32), bytes(16))
    codec = Codec(16, 8, (MILLION,), (0.05,), verified=True)
    plaintext, key_id, participant = scheme.plaintext(codec.shape), keys.public.key_id, Participant(0, 1)
    update = np.random.default_rng(1).uniform(-0.05, 0.05, MILLION).astype(np.float32)
    fields, _ = codec.quantise(update, 1)
    verifier.tag(fields, codec, round=0, key_id=key_id, participant=participant)
    words = plaintext.pack(fields)
    scheme.prepare(secret, codec.shape, 0)
    encryption, tag, check = [], [], []
    for _ in range(25):
        encryption.append(seconds(lambda: scheme.encrypt(secret, words, codec.shape, 0)))
        tag.append(seconds(lambda: verifier.tag(fields, codec, round=0, key_id=key_id, participant=participant)))
        check.append(
            seconds(lambda: verifier.check(fields, codec, round=0, key_id=key_id, participants=(participant,)))
        )
    share = (min(tag) + min(check)) / min(encryption)
    figures = {"encryption": min(encryption), "tag": min(tag), "check": min(check)}
    print({name: f"{1e3 * least:.2f} ms" for name, least in figures.items()}, f"{share:.0%}")
    assert share < MOST_SHARE

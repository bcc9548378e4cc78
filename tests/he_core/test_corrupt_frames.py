"""Each file in `tests/fixtures/corrupt` tells one lie and is refused by the error for it; the sum stays as it was."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from he_core import Aggregator, Codec, create, errors, frame, keystore

FIXTURES = Path(__file__).parents[1] / "fixtures"
CORRUPT, FROZEN = FIXTURES / "corrupt", FIXTURES / "v1"
DOCUMENT: dict[str, Any] = json.loads((FROZEN / "frames.json").read_text(encoding="ascii"))

PARSER_LIES: dict[str, tuple[type[errors.FrameError], str | None]] = {
    "empty": (errors.TruncatedFrameError, None),
    "magic-alone": (errors.TruncatedFrameError, None),
    "header-cut-short": (errors.TruncatedFrameError, None),
    "participants-cut-short": (errors.TruncatedFrameError, None),
    "payload-cut-short": (errors.TruncatedFrameError, None),
    "last-byte-missing": (errors.TruncatedFrameError, None),
    "payload-shorter-than-announced": (errors.TruncatedFrameError, None),
    "payload-longer-than-announced": (errors.TrailingBytesError, None),
    "payload-announced-as-everything": (errors.FrameTooLargeError, None),
    "trailing-byte": (errors.TrailingBytesError, None),
    "two-frames": (errors.TrailingBytesError, None),
    "png-magic": (errors.BadMagicError, None),
    "magic-through-text-mode": (errors.BadMagicError, None),
    "text": (errors.BadMagicError, None),
    "version-zero": (errors.UnsupportedVersionError, None),
    "future-version": (errors.UnsupportedVersionError, None),
    "kind-zero": (errors.FrameFieldError, "kind"),
    "kind-unknown": (errors.FrameFieldError, "kind"),
    "bits-too-few": (errors.FrameFieldError, "bits"),
    "bits-too-many": (errors.FrameFieldError, "bits"),
    "k-max-zero": (errors.FrameFieldError, "k_max"),
    "k-max-too-large": (errors.FrameFieldError, "k_max"),
    "field-wider-than-32-bits": (errors.FrameFieldError, "k_max"),
    "no-values": (errors.FrameFieldError, "value_count"),
    "too-many-values": (errors.FrameFieldError, "value_count"),
    "weight-reference-zero": (errors.FrameFieldError, "weight_reference"),
    "weight-reference-too-large": (errors.FrameFieldError, "weight_reference"),
    "reserved-used": (errors.FrameFieldError, "reserved"),
    "participants-none": (errors.FrameFieldError, "participants"),
    "participants-over-k-max": (errors.FrameFieldError, "participants"),
    "participants-beyond-the-frame": (errors.TruncatedFrameError, None),
    "participants-over-their-limit": (errors.FrameFieldError, "participants"),
    "contribution-of-two": (errors.FrameFieldError, "participants"),
    "participants-descending": (errors.FrameFieldError, "participants"),
    "participant-twice": (errors.FrameFieldError, "participants"),
    "weight-zero": (errors.FrameFieldError, "weight"),
    "weight-over-its-reference": (errors.FrameFieldError, "weight"),
    "second-weight-over-its-reference": (errors.FrameFieldError, "weight"),
    "scheme-empty": (errors.FrameFieldError, "scheme"),
    "scheme-with-a-gap": (errors.FrameFieldError, "scheme"),
    "scheme-with-a-space": (errors.FrameFieldError, "scheme"),
    "scheme-not-ascii": (errors.FrameFieldError, "scheme"),
    "checksum-wrong": (errors.FrameChecksumError, None),
    "payload-bit-flipped": (errors.FrameChecksumError, None),
    "round-changed-under-the-checksum": (errors.FrameChecksumError, None),
    "client-changed-under-the-checksum": (errors.FrameChecksumError, None),
}
"""file -> (error class, the field that a FrameFieldError names)"""

RECEIVER_LIES: dict[str, tuple[str, type[errors.HeCoreError]]] = {
    "for-the-receiver-sum-sent-as-contribution": ("plain", errors.WrongKindError),
    "for-the-receiver-another-scheme": ("plain", errors.WrongSchemeError),
    "for-the-receiver-other-parameters": ("plain", errors.WrongParametersError),
    "for-the-receiver-another-key": ("plain", errors.WrongKeyError),
    "for-the-receiver-earlier-round": ("plain", errors.ReplayedRoundError),
    "for-the-receiver-later-round": ("plain", errors.WrongRoundError),
    "for-the-receiver-largest-round": ("plain", errors.WrongRoundError),
    "for-the-receiver-other-bits": ("plain", errors.WrongCodecError),
    "for-the-receiver-another-k-max": ("plain", errors.WrongCodecError),
    "for-the-receiver-another-value-count": ("plain", errors.WrongCodecError),
    "for-the-receiver-another-weight-reference": ("plain", errors.WrongCodecError),
    "for-the-receiver-unexpected-client": ("plain", errors.UnexpectedClientError),
    "for-the-receiver-payload-empty": ("plain", errors.FrameFieldError),
    "for-the-receiver-payload-a-word-short": ("plain", errors.FrameFieldError),
    "for-the-receiver-payload-a-byte-long": ("plain", errors.FrameFieldError),
    "paillier-ciphertext-zero": ("paillier", errors.CiphertextRangeError),
    "paillier-ciphertext-n-squared": ("paillier", errors.CiphertextRangeError),
    "paillier-ciphertext-all-ones": ("paillier", errors.CiphertextRangeError),
    "rlwe-key-u-coefficient-at-its-modulus": ("rlwe", errors.CiphertextRangeError),
    "rlwe-key-v-coefficient-all-ones": ("rlwe", errors.CiphertextRangeError),
    "rlwe-first-value-coefficient-at-its-modulus": ("rlwe", errors.CiphertextRangeError),
    "rlwe-last-value-coefficient-all-ones": ("rlwe", errors.CiphertextRangeError),
    "rlwe-bits-after-the-last-coefficient": ("rlwe", errors.CiphertextRangeError),
    "bfv-first-residue-at-its-modulus": ("bfv", errors.CiphertextRangeError),
    "bfv-last-residue-all-ones": ("bfv", errors.CiphertextRangeError),
    "none-not-a-number": ("none", errors.CiphertextRangeError),
    "none-infinite": ("none", errors.CiphertextRangeError),
}
"""file -> (scheme of the receiver, error class)"""


def read(name: str) -> bytes:
    return (CORRUPT / f"{name}.frame").read_bytes()


def test_the_files_are_what_their_generator_makes_and_each_is_in_a_table() -> None:
    specification = importlib.util.spec_from_file_location("generate_corrupt", CORRUPT / "generate.py")
    assert specification is not None
    assert specification.loader is not None
    generator = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(generator)
    stored = {path.name: path.read_bytes() for path in CORRUPT.glob("*.frame")}
    assert stored == generator.files()
    assert {name.removesuffix(".frame") for name in stored} == PARSER_LIES.keys() | RECEIVER_LIES.keys()


@pytest.mark.parametrize("lie", PARSER_LIES)
def test_the_parser_refuses_it_by_its_own_error(lie: str) -> None:
    error, field = PARSER_LIES[lie]
    with pytest.raises(errors.HeCoreError) as refusal:
        frame.parse(read(lie))
    assert type(refusal.value) is error
    assert getattr(refusal.value, "field", None) == field


@pytest.mark.parametrize("lie", [*PARSER_LIES, *RECEIVER_LIES])
def test_the_aggregator_refuses_it_and_its_sum_stays_the_frozen_one(lie: str) -> None:
    name, error = RECEIVER_LIES[lie] if lie in RECEIVER_LIES else ("plain", PARSER_LIES[lie][0])
    bundle = keystore.load_public(FROZEN / f"TEST-ONLY-{name}.public.json")
    try:
        scheme = create(name, parameters=bundle.parameters, threads=1)
    except errors.BackendUnavailableError as error:
        pytest.skip(str(error))
    codec = DOCUMENT["codec"]
    shape = Codec(
        codec["bits"], codec["k_max"], tuple(codec["lengths"]), tuple(codec["limits"]), codec["weight_reference"]
    ).shape
    aggregator = Aggregator(scheme, scheme.public_key(bundle))
    aggregator.open(DOCUMENT["round"], shape, clients=DOCUMENT["clients"])
    for client in reversed(DOCUMENT["clients"]):
        with pytest.raises(errors.HeCoreError) as refusal:
            aggregator.add(read(lie))
        assert type(refusal.value) is error
        aggregator.add((FROZEN / f"{name}-contribution-of-client-{client}.frame").read_bytes())
    assert aggregator.result() == (FROZEN / f"{name}-sum.frame").read_bytes()


def test_every_frame_error_has_a_lie_that_shows_it() -> None:
    shown = {error for error, _ in PARSER_LIES.values()} | {error for _, error in RECEIVER_LIES.values()}
    abstract = {errors.FrameError, errors.FrameMismatchError}
    abstract |= {errors.WrongParticipantsError}  # a client's alone: test_conformance_refusals.py
    known = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.FrameError) and value not in abstract
    }
    assert known <= shown

"""The frozen frames of bfv and ckks, read by an implementation that shares nothing with OpenFHE or this engine."""

from __future__ import annotations

import base64
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lattice_oracle as oracle

V1 = Path(__file__).parents[1] / "fixtures" / "v1"
DOCUMENT: dict[str, Any] = json.loads((V1 / "frames.json").read_text(encoding="ascii"))
DEGREE, VALUES = 2048, 130
FIELD_BITS, OFFSET, MAX_CODE = 19, 1 << 15, (1 << 15) - 1  # 16 bits, 8 clients
CKKS_SCALE_BITS = 45  # 48 - log2(8)
LIMITS = np.repeat(DOCUMENT["codec"]["limits"], DOCUMENT["codec"]["lengths"])
FRAMES = [(f"contribution-of-client-{client}", 1) for client in DOCUMENT["clients"]] + [("sum", 2)]


@cache
def ring() -> oracle.Ring:
    return oracle.Ring(DEGREE)


def material(scheme: str, half: str) -> dict[str, list[int]]:
    """Evaluated polynomials of a key file."""
    stored = json.loads((V1 / f"TEST-ONLY-{scheme}.{half}.json").read_text(encoding="ascii"))
    return {name: oracle.unpacked(base64.b64decode(text), DEGREE) for name, text in stored["material"].items()}


def ciphertext(scheme: str, frame: str, participants: int) -> list[int]:
    data = (V1 / f"{scheme}-{frame}.frame").read_bytes()
    return oracle.unpacked(data[168 + 12 * participants : -4], 2 * DEGREE)


def weighted(frame: str) -> np.ndarray:
    """What a frame holds, clipped, over the limits."""
    scales = np.array(DOCUMENT["weights"])[:, None] / DOCUMENT["codec"]["weight_reference"]
    each = np.clip(np.array(DOCUMENT["updates"]) * scales / LIMITS, -1, 1)
    names = [name for name, _ in FRAMES]
    return each.sum(axis=0) if frame == "sum" else each[names.index(frame)]


@pytest.mark.parametrize("scheme", ["bfv", "ckks"])
def test_the_secret_is_ternary_and_the_public_key_its_own(scheme: str) -> None:
    secret, public = material(scheme, "secret")["s"], material(scheme, "public")
    assert {oracle.centred(value) for value in ring().coefficients(secret)} == {-1, 0, 1}
    errors = oracle.phase(ring(), public["b"] + public["a"], secret)  # b + a s = e
    assert 0 < max(map(abs, errors)) < 40


@pytest.mark.parametrize(("frame", "participants"), FRAMES)
def test_bfv_frames_hold_the_quantised_updates(frame: str, participants: int) -> None:
    secret = material("bfv", "secret")["s"]
    numbers, noise = oracle.bfv_decrypt(ring(), ciphertext("bfv", frame, participants), secret, FIELD_BITS)
    codes = np.array(numbers[:VALUES]) - participants * OFFSET
    assert np.abs(codes - weighted(frame) * MAX_CODE).max() <= participants / 2 + 1e-6
    assert set(numbers[VALUES:]) == {0}
    assert 0 < noise < 10_000  # a good deal less than q / 2t, 2^30


@pytest.mark.parametrize(("frame", "participants"), FRAMES)
def test_ckks_frames_hold_the_updates(frame: str, participants: int) -> None:
    secret = material("ckks", "secret")["s"]
    numbers = oracle.ckks_decrypt(
        ring(), ciphertext("ckks", frame, participants), secret, CKKS_SCALE_BITS, VALUES // 2 + 4
    )
    np.testing.assert_allclose(numbers[:VALUES], weighted(frame), rtol=0, atol=1e-8)
    np.testing.assert_allclose(numbers[VALUES:], 0, atol=1e-8)


def test_evaluation_and_interpolation_undo_each_other() -> None:
    polynomial = [pow(3, j, oracle.Q) for j in range(DEGREE)]
    evaluated = ring().evaluated(polynomial)
    assert ring().coefficients(evaluated) == polynomial
    assert evaluated[0] == sum(c * pow(ring().psi, j, oracle.Q) for j, c in enumerate(polynomial)) % oracle.Q

"""Makes rlwe.json: keys, contributions and their sum under fixed seeds, by `rlwe_oracle` and docs/rlwe.md alone.

Nothing of the engine is used; the Gaussian tables are read from the C source that states their values. Takes about a
minute: products are schoolbook. Run from the repository's root: python tests/vectors/generate_rlwe.py
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import rlwe_oracle as oracle

OUTPUT = Path(__file__).with_name("rlwe.json")
DEGREE = 2048
KEY_ID = hashlib.sha256(b"vectors").digest()
PARAMETERS = {"failure_bits": 64, "security_bits": 128}
ROUND = 5
# A layout as the planner gives it for 16-bit values and 8 clients; test_rlwe_vectors.py compares.
LAYOUT = {
    "plaintext_bits": 38,
    "dropped_bits": 6,
    "key_plaintext_bits": 10,
    "key_u_dropped_bits": 27,
    "key_v_dropped_bits": 34,
}
WORDS = [
    [0, 1, 2**38 // 8 - 1, 123_456_789, 31_415_926_535],
    [2**38 // 8 - 1, 0, 1, 27_182_818_284, 5],
]
SEEDS = [bytes(range(index, index + 32)) for index in (1, 101)]
KEY_SEED, A_SEED = bytes(range(200, 232)), bytes(range(50, 82))


def gaussian(seed: bytes, domain: int, index: int = 0, width: str = "narrow") -> list[int]:
    return oracle.sample_gaussian(seed, domain, index, DEGREE, oracle.gaussian_table(width))


def product(transformed: list[int], small: list[int]) -> list[int]:
    """Coefficients of the product of a transformed polynomial and a small one."""
    return oracle.negacyclic_product(oracle.inverse_transform(transformed), [value % oracle.Q for value in small])


def round_polynomial(index: int) -> list[int]:
    parameters = json.dumps(["rlwe", PARAMETERS], sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(b"dcsfl parameters 1\0" + parameters.encode()).digest()
    seed = hashlib.sha256(b"dcsfl rlwe polynomials 1\0" + digest + KEY_ID + ROUND.to_bytes(8, "little")).digest()
    return oracle.expand_uniform(seed, 8, index, DEGREE)


def parts(a: list[int], b: list[int], words: list[int], seed: bytes) -> list[list[int]]:
    """The coefficients of a message: key u, key v, values."""
    key, randomiser = gaussian(seed, 3), gaussian(seed, 4)
    key_words = [value % 2 ** LAYOUT["key_plaintext_bits"] for value in key]
    count = len(words)
    mask = product(round_polynomial(0), key)[:count]
    errors = gaussian(seed, 7, 0, "wide")[:count]
    return [
        oracle.cover(product(a, randomiser), gaussian(seed, 5), [0] * DEGREE, 0, LAYOUT["key_u_dropped_bits"]),
        oracle.cover(
            product(b, randomiser),
            gaussian(seed, 6),
            key_words,
            LAYOUT["key_plaintext_bits"],
            LAYOUT["key_v_dropped_bits"],
        ),
        oracle.cover(mask, errors, words, LAYOUT["plaintext_bits"], LAYOUT["dropped_bits"]),
    ]


DROPPED = [LAYOUT[name] for name in ("key_u_dropped_bits", "key_v_dropped_bits", "dropped_bits")]


def payload(coefficients: list[list[int]]) -> bytes:
    packed = zip(coefficients, DROPPED, strict=True)
    return b"".join(oracle.pack_bits(oracle.reduce(part, dropped), 50 - dropped) for part, dropped in packed)


def make() -> dict[str, Any]:
    a = oracle.expand_uniform(A_SEED, 9, 0, DEGREE)
    secret, errors = gaussian(KEY_SEED, 1), gaussian(KEY_SEED, 2)
    b = [(value + error) % oracle.Q for value, error in zip(product(a, secret), errors, strict=True)]
    transformed_b = oracle.transform(b)
    messages = [parts(a, transformed_b, words, seed) for words, seed in zip(WORDS, SEEDS, strict=True)]
    total = [[left + right for left, right in zip(*part, strict=True)] for part in zip(*messages, strict=True)]
    return {
        "source": "tests/vectors/generate_rlwe.py",
        "parameters": PARAMETERS,
        "layout": LAYOUT,
        "key_id": KEY_ID.hex(),
        "round": ROUND,
        "key": {
            "seed": KEY_SEED.hex(),
            "a_seed": A_SEED.hex(),
            "s": bytes(value % 256 for value in secret).hex(),
            "b": oracle.pack_bits(b, 50).hex(),
        },
        "messages": [
            {"seed": seed.hex(), "words": words, "payload": payload(message).hex()}
            for seed, words, message in zip(SEEDS, WORDS, messages, strict=True)
        ],
        "sum": {"words": [sum(column) for column in zip(*WORDS, strict=True)], "payload": payload(total).hex()},
    }


if __name__ == "__main__":
    OUTPUT.write_text(json.dumps(make(), indent=1) + "\n", encoding="ascii")

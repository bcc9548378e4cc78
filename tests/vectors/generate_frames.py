"""Known answers for the codec, the packing and the frames, from exact fractions; nothing of the engine is imported.

Sources:
- the bytes of a frame, the digests and the payload of `plain`: `docs/wire-format.md`, version 1.
- CRC-32C: polynomial 0x1EDC6F41, bit-reflected 0x82F63B78 (RFC 3720, appendix B.4), computed bit by bit; its check
  value over "123456789" is 0xE3069283.
- quantisation: code = round(value * weight / (weight_reference * step)), ties to even, with
  step = limit / (2^(bits-1) - 1), clipped to +-(2^(bits-1) - 1); field = code + 2^(bits-1). Values are float32, read
  as the fractions they are.
- packing: field i of a word at bits [i w, (i+1) w) of a little-endian integer, w = bits + ceil(log2 K_max).
Limits are chosen so that some steps are powers of two, where ties are real ties.

Run `python tests/vectors/generate_frames.py` to write `frames.json`; a test compares the two.
"""

from __future__ import annotations

import hashlib
import json
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).with_name("frames.json")
NONCE = bytes(range(16))

CASES: list[dict[str, Any]] = [
    {
        "name": "ties-and-limits",
        "bits": 8,
        "k_max": 8,
        "weight_reference": 1,
        "lengths": [9, 3],
        "limits": [127 * 2.0**-6, 127.0],
        "clients": [
            {
                "client": 3,
                "weight": 1,
                "values": [
                    2.0**-7,
                    3 * 2.0**-7,
                    -(2.0**-7),
                    -3 * 2.0**-7,
                    0.0,
                    1.984375,
                    -1.984375,
                    2.5,
                    -9.0,
                    126.5,
                    0.5,
                    -1.5,
                ],
            },
            {
                "client": 4_000_000_000,
                "weight": 1,
                "values": [1.0, -1.0, 0.25, 0.125, 0.0625, 0.03125, 1e-30, -1e-30, 1e30, 127.0, -127.0, 64.25],
            },
        ],
    },
    {
        "name": "weights-and-a-width-of-19",
        "bits": 16,
        "k_max": 5,
        "weight_reference": 640,
        "lengths": [1, 4, 2],
        "limits": [0.05, 1.5, 1e-4],
        "clients": [
            {"client": 0, "weight": 640, "values": [0.0317, -1.25, 0.7001, 1.5, -0.0003, 7.7e-5, -1e-4]},
            {"client": 1, "weight": 37, "values": [-0.05, 0.333, 0.1, -0.9, 0.02, 0.0, 9.99e-5]},
            {"client": 2, "weight": 201, "values": [0.001, -0.01, 0.5, 1.1, 2.5, -3.3e-5, 1.2e-5]},
        ],
    },
    {
        "name": "one-value-of-two-bits",
        "bits": 2,
        "k_max": 1,
        "weight_reference": 1,
        "lengths": [1],
        "limits": [1.0],
        "clients": [{"client": 7, "weight": 1, "values": [-0.75]}],
    },
]


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), a bit at a time."""
    remainder = 0xFFFFFFFF
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder = remainder >> 1 ^ (0x82F63B78 if remainder & 1 else 0)
    return remainder ^ 0xFFFFFFFF


def little(value: int, size: int) -> bytes:
    return value.to_bytes(size, "little")


def float32(value: float) -> Fraction:
    """The float32 nearest to `value`, exactly."""
    (nearest,) = struct.unpack("<f", struct.pack("<f", value))
    return Fraction(nearest)


def fields_of(case: dict[str, Any], client: dict[str, Any]) -> tuple[list[int], int]:
    """Fields of one client, and how many values saturated."""
    top = 2 ** (case["bits"] - 1) - 1
    fields, saturated = [], 0
    limits = [limit for length, limit in zip(case["lengths"], case["limits"], strict=True) for _ in range(length)]
    for value, limit in zip(client["values"], limits, strict=True):
        step = Fraction(limit) / top
        code = round(float32(value) * client["weight"] / (case["weight_reference"] * step))
        saturated += abs(code) > top
        fields.append(max(-top, min(top, code)) + 2 ** (case["bits"] - 1))
    return fields, saturated


def words_of(fields: list[int], field_bits: int, word_bytes: int, fields_per_word: int) -> bytes:
    """Fields as rows of little-endian words."""
    packed = b""
    for start in range(0, len(fields), fields_per_word):
        word = 0
        for position, field in enumerate(fields[start : start + fields_per_word]):
            word |= field << position * field_bits
        packed += little(word, word_bytes)
    return packed


def codec_digest(case: dict[str, Any]) -> bytes:
    body = little(case["bits"], 1) + little(case["k_max"], 4) + little(case["weight_reference"], 8)
    body += little(len(case["lengths"]), 8) + b"".join(little(length, 8) for length in case["lengths"])
    body += b"".join(struct.pack("<d", limit) for limit in case["limits"])
    return hashlib.sha256(b"dcsfl codec 1\0" + body).digest()


def plain_frame(
    case: dict[str, Any], kind: int, payload: bytes, participants: list[dict[str, Any]], round_index: int
) -> bytes:
    """A whole frame of scheme `plain`."""
    parameters = hashlib.sha256(b'dcsfl parameters 1\0["plain",{}]').digest()
    key = hashlib.sha256(b'dcsfl public key 1\0["plain",{},{"nonce":"' + NONCE.hex().encode() + b'"}]').digest()
    head = b"\x89DCSFL\r\n" + little(1, 2) + little(kind, 1) + little(case["bits"], 1) + little(case["k_max"], 4)
    head += b"plain".ljust(16, b"\0") + parameters + key + codec_digest(case) + little(round_index, 8)
    head += little(sum(case["lengths"]), 8) + little(case["weight_reference"], 8) + little(len(payload), 8)
    head += little(len(participants), 4) + little(0, 4)
    for entry in participants:
        head += little(entry["client"], 4) + little(entry["weight"], 8)
    return head + payload + little(crc32c(head + payload), 4)


def vectors(case: dict[str, Any], round_index: int) -> dict[str, Any]:
    """Fields, words, frames, their sum and the mean of one case."""
    field_bits = case["bits"] + (case["k_max"] - 1).bit_length()
    per_word = 64 // field_bits
    results, sums = [], [0] * sum(case["lengths"])
    for client in case["clients"]:
        fields, saturated = fields_of(case, client)
        words = words_of(fields, field_bits, 8, per_word)
        sums = [total + field for total, field in zip(sums, fields, strict=True)]
        results.append(
            {
                "client": client["client"],
                "weight": client["weight"],
                "values": client["values"],
                "fields": fields,
                "saturated": saturated,
                "words_in_64_bits": words.hex(),
                "words_of_2047_bits": words_of(fields, field_bits, 256, 2047 // field_bits).hex(),
                "frame": plain_frame(case, 1, words, [client], round_index).hex(),
            }
        )
    total_weight = sum(client["weight"] for client in case["clients"])
    top, offset = 2 ** (case["bits"] - 1) - 1, 2 ** (case["bits"] - 1)
    limits = [limit for length, limit in zip(case["lengths"], case["limits"], strict=True) for _ in range(length)]
    mean = [
        float((total - len(results) * offset) * Fraction(limit) / top * case["weight_reference"] / total_weight)
        for total, limit in zip(sums, limits, strict=True)
    ]
    return {
        **{name: case[name] for name in ("name", "bits", "k_max", "weight_reference", "lengths", "limits")},
        "round": round_index,
        "field_bits": field_bits,
        "codec_digest": codec_digest(case).hex(),
        "clients": results,
        "sum_frame": plain_frame(
            case, 2, words_of(sums, field_bits, 8, per_word), case["clients"], round_index
        ).hex(),
        "mean": mean,
    }


def document() -> str:
    """The whole file."""
    cases = [vectors(case, round_index) for round_index, case in enumerate(CASES, start=2**40)]
    found = {"source": "tests/vectors/generate_frames.py", "nonce": NONCE.hex(), "cases": cases}
    return json.dumps(found, indent=1) + "\n"


if __name__ == "__main__":
    OUTPUT.write_text(document(), encoding="ascii")

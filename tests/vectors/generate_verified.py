"""Known answers for verified sums, from Python integers and the standard library; nothing of the engine is imported.

Sources: `docs/wire-format.md`, Verified sums; HMAC is RFC 2104's over SHA-256 (FIPS 180-4), written out here from its
definition; frames, codes and words are those of `generate_frames.py`.

Run `python tests/vectors/generate_verified.py` to write `verified.json`; a test compares the two.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import generate_frames as frames
from generate_frames import little

OUTPUT = Path(__file__).with_name("verified.json")
KEY = bytes(range(64, 96))
SESSION = bytes(range(200, 216))
P = 2**61 - 1
WIDE = {
    "name": "fields-of-30-bits-one-to-a-coefficient",
    "bits": 24,
    "k_max": 64,
    "weight_reference": 3,
    "lengths": [3],
    "limits": [1.0],
    "clients": [
        {"client": 5, "weight": 3, "values": [0.25, -1.0, 0.1]},
        {"client": 9, "weight": 1, "values": [1.0, 0.999, -0.3]},
    ],
}
CASES: list[dict[str, Any]] = [*frames.CASES, WIDE]


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """RFC 2104 for a key no longer than a block."""
    padded = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded) + message).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in padded) + inner).digest()


def tag_count(bits: int) -> int:
    return next(count for count in range(1, 62) if count * bits >= 61)


def codec_digest(case: dict[str, Any]) -> bytes:
    body = little(case["bits"], 1) + little(case["k_max"], 4) + little(case["weight_reference"], 8)
    body += little(len(case["lengths"]), 8) + b"".join(little(length, 8) for length in case["lengths"])
    body += b"".join(frames.struct.pack("<d", limit) for limit in case["limits"])
    return hashlib.sha256(b"dcsfl codec 1\0" + body + little(tag_count(case["bits"]), 1)).digest()


def key_id() -> bytes:
    text = b'["plain",{},{"nonce":"' + frames.NONCE.hex().encode() + b'"}]'
    return hashlib.sha256(b"dcsfl public key 1\0" + text).digest()


def number(purpose: bytes, body: bytes) -> int:
    digest = hmac_sha256(KEY, b"dcsfl verification " + purpose + b" 1\0" + body)
    return int.from_bytes(digest[:16], "little") % P


def polynomial(fields: list[int], point: int, field_bits: int) -> int:
    """Horner's rule from the last coefficient on, so that the first is multiplied by the point once."""
    together = 2 if field_bits <= 29 else 1
    total = 0
    for start in reversed(range(0, len(fields), together)):
        coefficient = 0
        for field in reversed(fields[start : start + together]):
            coefficient = coefficient * 2**32 + field
        total = (total + coefficient) * point % P
    return total


def frame(case: dict[str, Any], kind: int, payload: bytes, entries: list[dict[str, Any]], round_index: int) -> bytes:
    """As `generate_frames.plain_frame`, of the verified codec: its digest, and the tag among the values."""
    bare = frames.plain_frame(case, kind, payload, entries, round_index)
    count = sum(case["lengths"]) + tag_count(case["bits"])
    changed = bare[:96] + codec_digest(case) + bare[128:136] + little(count, 8) + bare[144:-4]
    return changed + little(frames.crc32c(changed), 4)


def vectors(case: dict[str, Any], round_index: int) -> dict[str, Any]:
    """Point, masks, tags, frames and their sum of one case."""
    bits = case["bits"]
    field_bits = bits + (case["k_max"] - 1).bit_length()
    per_word, count = 64 // field_bits, tag_count(bits)
    context = SESSION + key_id() + codec_digest(case) + little(round_index, 8)
    point = number(b"point", context)
    clients, sums = [], [0] * (sum(case["lengths"]) + count)
    for client in case["clients"]:
        fields, _ = frames.fields_of(case, client)
        mask = number(b"mask", context + little(client["client"], 4) + little(client["weight"], 8))
        checksum = (polynomial(fields, point, field_bits) + mask) % P
        tag = [checksum >> bits * place & 2**bits - 1 for place in range(count)]
        sums = [total + field for total, field in zip(sums, fields + tag, strict=True)]
        payload = frames.words_of(fields + tag, field_bits, 8, per_word)
        clients.append(
            {
                **{name: client[name] for name in ("client", "weight", "values")},
                "mask": mask,
                "tag": tag,
                "frame": frame(case, 1, payload, [client], round_index).hex(),
            }
        )
    payload = frames.words_of(sums, field_bits, 8, per_word)
    return {
        **{name: case[name] for name in ("name", "bits", "k_max", "weight_reference", "lengths", "limits")},
        "round": round_index,
        "codec_digest": codec_digest(case).hex(),
        "point": point,
        "clients": clients,
        "sums": sums,
        "sum_frame": frame(case, 2, payload, case["clients"], round_index).hex(),
    }


def document() -> str:
    """The whole file."""
    found = {
        "source": "tests/vectors/generate_verified.py",
        "nonce": frames.NONCE.hex(),
        "key": KEY.hex(),
        "session": SESSION.hex(),
        "cases": [vectors(case, round_index) for round_index, case in enumerate(CASES, start=2**33)],
    }
    return json.dumps(found, indent=1) + "\n"


if __name__ == "__main__":
    OUTPUT.write_text(document(), encoding="ascii")

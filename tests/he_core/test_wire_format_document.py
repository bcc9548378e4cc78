"""`docs/wire-format.md` says what the engine does: its tables are read and held against frames and errors."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from he_core import CodecShape, create, errors, frame
from he_core.frame import FrameHeader, Kind, Participant

DOCUMENT = (Path(__file__).parents[2] / "docs" / "wire-format.md").read_text(encoding="utf-8")
CODES = {("u8", 1): "B", ("u16", 2): "H", ("u32", 4): "I", ("u64", 8): "Q"}


def tables(title: str) -> list[list[list[str]]]:
    """The tables under a heading, each a list of rows of cells, their heads left out."""
    section = re.split(r"^## ", DOCUMENT.split(f"## {title}\n", 1)[1], flags=re.MULTILINE)[0]
    blocks = re.findall(r"(?:^\|.*\n)+", section, flags=re.MULTILINE)
    return [[[cell.strip() for cell in line.strip("|").split("|")] for line in b.splitlines()[2:]] for b in blocks]


HEADER_TABLE, PARTICIPANT_TABLE = tables("Bytes of a frame")
HEADER = FrameHeader(
    Kind.SUM,
    "plain",
    bytes(range(32)),
    bytes(range(50, 82)),
    0x1122334455667788,
    CodecShape(13, 0x0102, 0x99887766, 0x123456789ABCDEF0),
    bytes(range(100, 132)),
    (Participant(0x11121314, 0x0A0B0C0D0E0F1011), Participant(0x21222324, 0x1122334455667700)),
)
PAYLOAD = b"payload!" * 3


def extracted(table: list[list[str]], data: bytes) -> dict[str, int | bytes]:
    """The fields of `data` where the table says they are."""
    fields: dict[str, int | bytes] = {}
    for offset, size, kind, name, _ in table:
        part = data[int(offset) : int(offset) + int(size)]
        fields[name] = part if kind in ("bytes", "ascii") else int.from_bytes(part, "little")
    return fields


def test_the_offset_table_is_the_engines_struct() -> None:
    codes = [CODES.get((kind, int(size)), f"{size}s") for _, size, kind, _, _ in HEADER_TABLE]
    assert "<" + "".join(codes) == frame._HEADER.format
    offsets = [struct.calcsize("<" + "".join(codes[:count])) for count in range(len(codes))]
    assert [int(offset) for offset, *_ in HEADER_TABLE] == offsets
    assert "<" + "".join(CODES[kind, int(size)] for _, size, kind, _, _ in PARTICIPANT_TABLE) == (
        frame._PARTICIPANT.format
    )


def test_the_fields_of_a_frame_lie_where_the_page_says() -> None:
    data = frame.encode(HEADER, PAYLOAD)
    assert extracted(HEADER_TABLE, data) == {
        "magic": frame.MAGIC,
        "version": frame.VERSION,
        "kind": 2,
        "bits": 13,
        "k_max": 0x0102,
        "scheme": b"plain".ljust(16, b"\0"),
        "parameters": HEADER.parameters_digest,
        "key_id": HEADER.key_id,
        "codec": HEADER.codec_digest,
        "round": HEADER.round,
        "value_count": 0x99887766,
        "weight_reference": 0x123456789ABCDEF0,
        "payload_bytes": len(PAYLOAD),
        "participants": 2,
        "reserved": 0,
    }
    for number, entry in enumerate(HEADER.participants):
        start = 168 + 12 * number
        assert extracted(PARTICIPANT_TABLE, data[start:]) == {"client": entry.client, "weight": entry.weight}
    assert data[168 + 24 : -4] == PAYLOAD


def test_the_sizes_in_the_text_are_the_engines() -> None:
    assert frame.frame_bytes(1000, 3) == 168 + 12 * 3 + 1000 + 4
    assert "168 + 12 participants + payload_bytes + 4 bytes" in DOCUMENT.replace("\n", " ")
    assert frame.MAX_FRAME_BYTES == 2**40
    assert "2^40 bytes" in DOCUMENT
    assert frame.MAX_PARTICIPANTS == 65_536
    magic = next(content for *_, name, content in HEADER_TABLE if name == "magic")
    assert bytes.fromhex(magic.split("`")[1]) == frame.MAGIC


def test_every_refusal_of_a_frame_is_on_the_page_and_every_name_there_exists() -> None:
    (rows,) = tables("What is refused")
    named = {error.strip("`") for _, error in rows}
    bases = {"FrameError", "FrameMismatchError", "AggregationError"}
    states = {"EmptySumError", "RoundStateError"}  # about a call, not about a frame
    known = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.FrameError | errors.AggregationError)
    }
    assert named == known - bases - states


@pytest.mark.parametrize(
    ("scheme", "per_word", "payload_bytes_per_word"),
    [("plain", 64 // 19, 8), ("paillier", 3071 // 19, 3072 // 4), ("none", 1, 4)],
)
def test_payloads_are_as_long_as_the_page_says(scheme: str, per_word: int, payload_bytes_per_word: int) -> None:
    engine = create(scheme, threads=1)
    count = 1_000
    shape = CodecShape(16, 8, count)
    words = engine.plaintext(shape).word_count(count)
    assert words == -(-count // per_word)
    assert engine.payload_bytes(shape) == words * payload_bytes_per_word

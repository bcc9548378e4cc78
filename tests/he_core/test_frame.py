"""Frames over random headers: what is encoded is what is parsed, and sizes are what is announced."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_core import CodecShape
from he_core.errors import FrameTooLargeError, TrailingBytesError, TruncatedFrameError
from he_core.frame import FrameHeader, Kind, Participant, encode, frame_bytes, parse

DIGESTS = st.binary(min_size=32, max_size=32)


@st.composite
def headers(draw: st.DrawFn) -> FrameHeader:
    k_max = draw(st.integers(1, 256))
    weight_reference = draw(st.integers(1, (1 << 63) - 1))
    kind = draw(st.sampled_from(Kind))
    count = 1 if kind is Kind.CONTRIBUTION else draw(st.integers(1, min(k_max, 8)))
    clients = draw(st.lists(st.integers(0, (1 << 32) - 1), min_size=count, max_size=count, unique=True))
    return FrameHeader(
        kind,
        draw(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=16)),
        draw(DIGESTS),
        draw(DIGESTS),
        draw(st.integers(0, (1 << 64) - 1)),
        CodecShape(draw(st.integers(2, 24)), k_max, draw(st.integers(1, 1 << 32)), weight_reference),
        draw(DIGESTS),
        tuple(Participant(client, draw(st.integers(1, weight_reference))) for client in sorted(clients)),
    )


@given(headers(), st.binary(max_size=300))
def test_what_is_encoded_is_what_is_parsed(header: FrameHeader, payload: bytes) -> None:
    data = encode(header, payload)
    parsed = parse(data)
    assert parsed.header == header
    assert bytes(parsed.payload) == payload
    assert len(data) == frame_bytes(len(payload), len(header.participants))
    assert header.total_weight == sum(entry.weight for entry in header.participants)


@given(headers(), st.binary(max_size=60), st.data())
def test_no_shorter_or_longer_bytes_are_a_frame(header: FrameHeader, payload: bytes, data: st.DataObject) -> None:
    sound = encode(header, payload)
    with pytest.raises(TruncatedFrameError):
        parse(sound[: data.draw(st.integers(0, len(sound) - 1))])
    with pytest.raises(TrailingBytesError):
        parse(sound + data.draw(st.binary(min_size=1, max_size=20)))


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_any_buffer_can_be_parsed_and_the_payload_is_a_view_into_it(wrap: Any) -> None:
    header = FrameHeader(
        Kind.SUM, "plain", bytes(32), bytes(32), 1, CodecShape(8, 2, 3), bytes(32), (Participant(0, 1),)
    )
    data = wrap(encode(header, b"payload!"))
    payload = parse(data).payload
    assert bytes(payload) == b"payload!"
    assert payload.obj is (data.obj if isinstance(data, memoryview) else data)


def test_a_frame_over_the_receivers_limit_is_refused_before_it_is_read() -> None:
    header = FrameHeader(
        Kind.SUM, "plain", bytes(32), bytes(32), 1, CodecShape(8, 2, 3), bytes(32), (Participant(0, 1),)
    )
    data = encode(header, bytes(100))
    assert parse(data, max_bytes=len(data)).header == header
    with pytest.raises(FrameTooLargeError) as refusal:
        parse(data, max_bytes=len(data) - 1)
    assert (refusal.value.announced, refusal.value.limit) == (len(data), len(data) - 1)

"""The wire format, version 1: one binary frame per contribution or sum. Exact bytes in docs/wire-format.md.

The parser trusts nothing: every length is checked against the bytes at hand before anything is read or
allocated, every rejection has its own error class, and a rejected frame changes no state.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

import google_crc32c

from he_core.codec import MAX_VALUES, Codec
from he_core.errors import (
    BadMagicError,
    FrameChecksumError,
    FrameFieldError,
    FrameTooLargeError,
    ReplayedRoundError,
    TrailingBytesError,
    TruncatedFrameError,
    UnsupportedVersionError,
    WrongCodecError,
    WrongKeyError,
    WrongKindError,
    WrongParametersError,
    WrongRoundError,
    WrongSchemeError,
)

MAGIC = b"\x89DCSFL\r\n"
VERSION = 1
MAX_FRAME_BYTES = 1 << 40
MAX_PARTICIPANTS = 1 << 16

# magic, version, kind, bits, K_max, scheme, parameters, key id, codec, round, values, weight reference, payload
# bytes, participants, reserved
_HEADER = struct.Struct("<8sHBBI16s32s32s32sQQQQII")
_PARTICIPANT = struct.Struct("<IQ")
_CHECKSUM = struct.Struct("<I")


class Kind(enum.IntEnum):
    """What a frame carries."""

    CONTRIBUTION = 1
    SUM = 2


@dataclass(frozen=True)
class Participant:
    """A client in a sum and its public weight."""

    client: int
    weight: int


@dataclass(frozen=True)
class FrameHeader:
    """Everything a frame says about its payload; all of it public."""

    kind: Kind
    scheme: str
    parameters_digest: bytes
    key_id: bytes
    codec_digest: bytes
    bits: int
    k_max: int
    weight_reference: int
    value_count: int
    round: int
    participants: tuple[Participant, ...]

    @property
    def total_weight(self) -> int:
        """Sum of the participants' weights."""
        return sum(participant.weight for participant in self.participants)


@dataclass(frozen=True)
class Expectation:
    """What a receiver knows a frame must be."""

    kind: Kind
    scheme: str
    parameters_digest: bytes
    key_id: bytes
    codec: Codec
    round: int

    def header(self, participants: tuple[Participant, ...]) -> FrameHeader:
        """The header of a frame of our own that meets this expectation."""
        return FrameHeader(
            self.kind,
            self.scheme,
            self.parameters_digest,
            self.key_id,
            self.codec.digest,
            self.codec.bits,
            self.codec.k_max,
            self.codec.weight_reference,
            self.codec.value_count,
            self.round,
            participants,
        )

    def check(self, header: FrameHeader) -> None:
        """Raise the `FrameMismatchError` subclass of the first difference."""
        if header.kind != self.kind:
            raise WrongKindError(self.kind.name, header.kind.name)
        if header.scheme != self.scheme:
            raise WrongSchemeError(self.scheme, header.scheme)
        if header.parameters_digest != self.parameters_digest:
            raise WrongParametersError(self.parameters_digest, header.parameters_digest)
        if header.key_id != self.key_id:
            raise WrongKeyError(self.key_id, header.key_id)
        if header.round < self.round:
            raise ReplayedRoundError(self.round, header.round)
        if header.round > self.round:
            raise WrongRoundError(self.round, header.round)
        ours = self.header(header.participants)
        for name in ("bits", "k_max", "weight_reference", "value_count", "codec_digest"):
            if getattr(header, name) != getattr(ours, name):
                raise WrongCodecError(getattr(ours, name), getattr(header, name))


@dataclass(frozen=True)
class Frame:
    """A parsed frame; `payload` is a view into the received bytes."""

    header: FrameHeader
    payload: memoryview


def encode(header: FrameHeader, payload: bytes) -> bytes:
    """The bytes of a frame."""
    head = _HEADER.pack(
        MAGIC,
        VERSION,
        header.kind,
        header.bits,
        header.k_max,
        header.scheme.encode("ascii"),
        header.parameters_digest,
        header.key_id,
        header.codec_digest,
        header.round,
        header.value_count,
        header.weight_reference,
        len(payload),
        len(header.participants),
        0,
    ) + b"".join(_PARTICIPANT.pack(entry.client, entry.weight) for entry in header.participants)
    checksum = google_crc32c.extend(google_crc32c.value(head), payload)
    return b"".join((head, payload, _CHECKSUM.pack(checksum)))


def parse(data: bytes | memoryview, max_bytes: int = MAX_FRAME_BYTES) -> Frame:
    """Parse hostile bytes. Raises a FrameError subclass; allocates nothing but the header.

    max_bytes: refuse frames over this size, in bytes.
    """
    view = memoryview(data).cast("B")
    if len(view) > max_bytes:
        raise FrameTooLargeError(len(view), max_bytes)
    if bytes(view[: len(MAGIC)]) != MAGIC[: len(view)]:
        raise BadMagicError(bytes(view[: len(MAGIC)]))
    if len(view) < _HEADER.size:
        raise TruncatedFrameError(_HEADER.size, len(view))
    (
        _,
        version,
        kind,
        bits,
        k_max,
        scheme,
        parameters_digest,
        key_id,
        codec_digest,
        round_index,
        value_count,
        weight_reference,
        payload_bytes,
        participant_count,
        reserved,
    ) = _HEADER.unpack_from(view)
    if version != VERSION:
        raise UnsupportedVersionError(version, VERSION)
    if kind not in tuple(Kind):
        raise FrameFieldError("kind", kind, "must be 1 (contribution) or 2 (sum)")
    if reserved != 0:
        raise FrameFieldError("reserved", reserved, "must be 0")
    if not 2 <= bits <= 24:
        raise FrameFieldError("bits", bits, "must be in [2, 24]")
    if not 1 <= k_max <= 1 << 24:
        raise FrameFieldError("k_max", k_max, "must be in [1, 2^24]")
    if not 1 <= value_count <= MAX_VALUES:
        raise FrameFieldError("value_count", value_count, f"must be in [1, {MAX_VALUES}]")
    if not 1 <= weight_reference < 1 << 63:
        raise FrameFieldError("weight_reference", weight_reference, "must be in [1, 2^63)")
    if not 1 <= participant_count <= min(k_max, MAX_PARTICIPANTS):
        raise FrameFieldError("participants", participant_count, f"must be in [1, K_max={k_max}]")
    if kind == Kind.CONTRIBUTION and participant_count != 1:
        raise FrameFieldError("participants", participant_count, "a contribution has exactly one")
    payload_start = _HEADER.size + participant_count * _PARTICIPANT.size
    frame_bytes = payload_start + payload_bytes + _CHECKSUM.size
    if frame_bytes > max_bytes:
        raise FrameTooLargeError(frame_bytes, max_bytes)
    if len(view) < frame_bytes:
        raise TruncatedFrameError(frame_bytes, len(view))
    if len(view) > frame_bytes:
        raise TrailingBytesError(frame_bytes, len(view))
    (announced,) = _CHECKSUM.unpack_from(view, frame_bytes - _CHECKSUM.size)
    computed = google_crc32c.value(bytes(view[: -_CHECKSUM.size]))
    if announced != computed:
        raise FrameChecksumError(computed, announced)
    header = FrameHeader(
        Kind(kind),
        _scheme_name(scheme),
        parameters_digest,
        key_id,
        codec_digest,
        bits,
        k_max,
        weight_reference,
        value_count,
        round_index,
        _participants(view, participant_count, weight_reference),
    )
    return Frame(header, view[payload_start : payload_start + payload_bytes])


def _scheme_name(padded: bytes) -> str:
    name = padded.rstrip(b"\0")
    if not name or not all(0x21 <= byte <= 0x7E for byte in name):
        raise FrameFieldError("scheme", padded, "must be 1 to 16 printable ASCII characters, padded with zeros")
    return name.decode("ascii")


def _participants(view: memoryview, count: int, weight_reference: int) -> tuple[Participant, ...]:
    table = view[_HEADER.size : _HEADER.size + count * _PARTICIPANT.size]
    participants = tuple(Participant(*entry) for entry in _PARTICIPANT.iter_unpack(table))
    for before, after in zip(participants, participants[1:], strict=False):
        if after.client <= before.client:
            raise FrameFieldError("participants", after.client, "client ids must be strictly ascending")
    for participant in participants:
        if not 1 <= participant.weight <= weight_reference:
            raise FrameFieldError("weight", participant.weight, f"must be in [1, {weight_reference}]")
    return participants

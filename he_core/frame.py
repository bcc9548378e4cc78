"""The wire format, version 1: one binary frame per contribution, sum or partial decryption (docs/wire-format.md).

The parser trusts nothing: every length is checked against the bytes at hand before anything is read or
allocated, every rejection has its own error class, and a rejected frame changes no state.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from itertools import pairwise

import google_crc32c
import numpy as np

from he_core.codec import CodecShape
from he_core.errors import (
    BadMagicError,
    FrameChecksumError,
    FrameFieldError,
    FrameTooLargeError,
    ParameterError,
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
from he_core.packing import Payload

MAGIC = b"\x89DCSFL\r\n"
VERSION = 1
MAX_FRAME_BYTES = 1 << 40
MAX_PARTICIPANTS = 1 << 16

# magic, version, kind, bits, K_max, scheme, parameters, key id, codec, round, values, weight reference, payload
# bytes, participants, reserved
_HEADER = struct.Struct("<8sHBBI16s32s32s32sQQQQII")
_PARTICIPANT = struct.Struct("<IQ")
_VERSION = struct.Struct("<H")
_CHECKSUM = struct.Struct("<I")


class Kind(enum.IntEnum):
    """What a frame carries."""

    CONTRIBUTION = 1
    SUM = 2
    PARTIAL = 3


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
    round: int
    shape: CodecShape
    codec_digest: bytes
    participants: tuple[Participant, ...]

    @property
    def total_weight(self) -> int:
        """Sum of the participants' weights."""
        return sum(participant.weight for participant in self.participants)


@dataclass(frozen=True)
class Expectation:
    """What a receiver knows a frame must be.

    codec_digest: None where it is not known yet, as for the first contribution at the aggregation server.
    """

    kind: Kind
    scheme: str
    parameters_digest: bytes
    key_id: bytes
    round: int
    shape: CodecShape
    codec_digest: bytes | None

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
        if header.shape != self.shape:
            raise WrongCodecError(self.shape, header.shape)
        if self.codec_digest is not None and header.codec_digest != self.codec_digest:
            raise WrongCodecError(self.codec_digest, header.codec_digest)


@dataclass(frozen=True)
class Frame:
    """A parsed frame; `payload` is a view into the received bytes."""

    header: FrameHeader
    payload: memoryview


def frame_bytes(payload_bytes: int, participants: int = 1) -> int:
    """Length of a frame with that payload."""
    return _HEADER.size + participants * _PARTICIPANT.size + payload_bytes + _CHECKSUM.size


def encode(header: FrameHeader, payload: Payload) -> bytes:
    """The bytes of a frame. The one copy of the payload is made here."""
    head = _HEADER.pack(
        MAGIC,
        VERSION,
        header.kind,
        header.shape.bits,
        header.shape.k_max,
        header.scheme.encode("ascii"),
        header.parameters_digest,
        header.key_id,
        header.codec_digest,
        header.round,
        header.shape.value_count,
        header.shape.weight_reference,
        len(payload),
        len(header.participants),
        0,
    ) + b"".join(_PARTICIPANT.pack(entry.client, entry.weight) for entry in header.participants)
    checksum = google_crc32c.extend(google_crc32c.value(head), payload)
    return b"".join((head, payload, _CHECKSUM.pack(checksum)))


def parse(data: bytes | memoryview, max_bytes: int = MAX_FRAME_BYTES) -> Frame:
    """Parse hostile bytes. Raises a FrameError subclass; allocates no more than the header.

    max_bytes: refuse frames over this size, in bytes.
    """
    view = memoryview(data).cast("B")
    _check_prefix(view, max_bytes)
    (
        _,
        _,
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
    if kind not in tuple(Kind):
        raise FrameFieldError("kind", kind, "must be 1 (contribution), 2 (sum) or 3 (partial decryption)")
    if reserved != 0:
        raise FrameFieldError("reserved", reserved, "must be 0")
    try:
        shape = CodecShape(bits, k_max, value_count, weight_reference)
    except ParameterError as error:
        raise FrameFieldError(error.name, error.value, error.reason) from None
    if not 1 <= participant_count <= min(k_max, MAX_PARTICIPANTS):
        raise FrameFieldError("participants", participant_count, f"must be in [1, K_max={k_max}]")
    if kind == Kind.CONTRIBUTION and participant_count != 1:
        raise FrameFieldError("participants", participant_count, "a contribution has exactly one")
    payload_start = _HEADER.size + participant_count * _PARTICIPANT.size
    payload_end = payload_start + payload_bytes
    _check_extent(view, frame_bytes(payload_bytes, participant_count), max_bytes)
    header = FrameHeader(
        Kind(kind),
        _scheme_name(scheme),
        parameters_digest,
        key_id,
        round_index,
        shape,
        codec_digest,
        _participants(view, participant_count, weight_reference),
    )
    return Frame(header, view[payload_start:payload_end])


def _check_prefix(view: memoryview, max_bytes: int) -> None:
    if len(view) > max_bytes:
        raise FrameTooLargeError(len(view), max_bytes)
    start = bytes(view[: len(MAGIC)])
    if start != MAGIC[: len(start)]:
        raise BadMagicError(start)
    if len(view) < _HEADER.size:
        raise TruncatedFrameError(_HEADER.size, len(view))
    (version,) = _VERSION.unpack_from(view, len(MAGIC))
    if version != VERSION:
        raise UnsupportedVersionError(version, VERSION)


def _check_extent(view: memoryview, announced_bytes: int, max_bytes: int) -> None:
    if announced_bytes > max_bytes:
        raise FrameTooLargeError(announced_bytes, max_bytes)
    if len(view) < announced_bytes:
        raise TruncatedFrameError(announced_bytes, len(view))
    if len(view) > announced_bytes:
        raise TrailingBytesError(announced_bytes, len(view))
    (announced,) = _CHECKSUM.unpack_from(view, announced_bytes - _CHECKSUM.size)
    computed = _checksum(view[: -_CHECKSUM.size])
    if announced != computed:
        raise FrameChecksumError(computed, announced)


def _checksum(view: memoryview) -> int:
    """CRC-32C (RFC 9260, appendix A). The library takes no memoryview, but an array over the same memory."""
    return google_crc32c.value(np.frombuffer(view, np.uint8))


def _scheme_name(padded: bytes) -> str:
    name = padded.rstrip(b"\0")
    if not name or not all(0x21 <= byte <= 0x7E for byte in name):
        raise FrameFieldError("scheme", padded, "must be 1 to 16 printable ASCII characters, padded with zeros")
    return name.decode("ascii")


def _participants(view: memoryview, count: int, weight_reference: int) -> tuple[Participant, ...]:
    table = view[_HEADER.size : _HEADER.size + count * _PARTICIPANT.size]
    participants = tuple(Participant(*entry) for entry in _PARTICIPANT.iter_unpack(table))
    for before, after in pairwise(participants):
        if after.client <= before.client:
            raise FrameFieldError("participants", after.client, "client ids must be strictly ascending")
    for participant in participants:
        if not 1 <= participant.weight <= weight_reference:
            raise FrameFieldError("weight", participant.weight, f"must be in [1, {weight_reference}]")
    return participants

"""One tree of errors, each carrying the data it is about.

Every refusal of the engine is a `HeCoreError`; nothing it refuses has changed any state. Messages name the
offending value and, where there is one, the fix. No message ever holds key material or update values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches


class HeCoreError(Exception):
    """Base of every error the engine raises on purpose."""


# --- parameters and registry ---------------------------------------------------------------------------


class ParameterError(HeCoreError):
    """A parameter outside its allowed range; no object was made from it."""

    def __init__(self, name: str, value: object, reason: str) -> None:
        super().__init__(f"{name}={value!r}: {reason}")
        self.name, self.value, self.reason = name, value, reason


class UnknownNameError(HeCoreError):
    """A scheme, backend or parameter name nobody registered; offers the nearest known one."""

    def __init__(self, kind: str, name: str, known: Sequence[str]) -> None:
        close = get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        super().__init__(f"unknown {kind} {name!r}{hint} (known: {', '.join(sorted(known)) or 'none'})")
        self.kind, self.name, self.known = kind, name, tuple(known)


class BackendUnavailableError(HeCoreError):
    """A registered backend that cannot run here."""

    def __init__(self, scheme: str, backend: str, reason: str) -> None:
        super().__init__(f"scheme {scheme!r} cannot use backend {backend!r} here: {reason}")
        self.scheme, self.backend, self.reason = scheme, backend, reason


class RingTooSmallError(ParameterError):
    """A codec whose sums do not fit what one coefficient of a ring may hold."""


class LibraryError(HeCoreError):
    """What a foreign library said when a call failed. Never holds keys or values."""

    def __init__(self, call: str, message: str) -> None:
        super().__init__(f"OpenFHE could not {call.replace('_', ' ')}: {message}")
        self.call, self.message = call, message


class WorkerError(HeCoreError):
    """The process that runs a foreign library is not there."""


class WorkerStartError(WorkerError):
    """It could not be started; nothing was sent to it."""

    def __init__(self, python: str, reason: str) -> None:
        super().__init__(f"the OpenFHE worker under {python} cannot start: {reason}")
        self.python, self.reason = python, reason


class WorkerDiedError(WorkerError):
    """It ended in a call, of which nothing was kept."""

    def __init__(self, call: str, how: str) -> None:
        super().__init__(f"the OpenFHE worker {how} in a call to {call.replace('_', ' ')}; nothing of it was kept")
        self.call, self.how = call, how


# --- codec and packing ---------------------------------------------------------------------------------


class CodecError(HeCoreError):
    """An update the codec refuses."""


class NonFiniteUpdateError(CodecError):
    """An update with NaN or infinity in it."""

    def __init__(self, count: int, index: int, segment: int) -> None:
        super().__init__(
            f"the update holds {count} value(s) that are NaN or infinite, the first at index {index} "
            f"(segment {segment}); it was not encrypted. Lower the learning rate or inspect that client's data"
        )
        self.count, self.index, self.segment = count, index, segment


class ValueCountError(CodecError):
    """A vector whose length or type is not the layout's."""

    def __init__(self, expected: int, got: int, what: str = "values") -> None:
        super().__init__(f"the layout holds {expected} {what}, got {got}")
        self.expected, self.got = expected, got


class FieldRangeError(CodecError):
    """A field that does not fit its width. Names the field, not its value: fields hold the update."""

    def __init__(self, index: int, field_bits: int) -> None:
        super().__init__(f"field {index} is outside [0, 2^{field_bits})")
        self.index, self.field_bits = index, field_bits


class WeightError(CodecError):
    """A client weight outside [1, weight reference]."""

    def __init__(self, weight: int, reference: int) -> None:
        super().__init__(f"weight {weight} is outside [1, {reference}], the codec's weight reference")
        self.weight, self.reference = weight, reference


# --- frames --------------------------------------------------------------------------------------------


class FrameError(HeCoreError):
    """Bytes that are not a frame this receiver accepts."""


class TruncatedFrameError(FrameError):
    def __init__(self, expected: int, got: int) -> None:
        super().__init__(f"frame is truncated: {expected} bytes announced, {got} received")
        self.expected, self.got = expected, got


class TrailingBytesError(FrameError):
    def __init__(self, expected: int, got: int) -> None:
        super().__init__(f"frame is {expected} bytes long but {got} were received")
        self.expected, self.got = expected, got


class BadMagicError(FrameError):
    def __init__(self, got: bytes) -> None:
        super().__init__(f"not a dcsfl frame: it starts with {got.hex() or 'nothing'}")
        self.got = got


class UnsupportedVersionError(FrameError):
    def __init__(self, got: int, supported: int) -> None:
        super().__init__(f"frame version {got} is not supported; this engine reads version {supported}")
        self.got, self.supported = got, supported


class FrameTooLargeError(FrameError):
    def __init__(self, announced: int, limit: int) -> None:
        super().__init__(f"frame announces {announced} bytes, over the limit of {limit}")
        self.announced, self.limit = announced, limit


class FrameFieldError(FrameError):
    """A header field outside its range or against another field."""

    def __init__(self, field: str, value: object, reason: str) -> None:
        super().__init__(f"frame field {field}={value!r}: {reason}")
        self.field, self.value, self.reason = field, value, reason


class FrameChecksumError(FrameError):
    def __init__(self, expected: int, got: int) -> None:
        super().__init__(f"frame checksum is {got:08x}, its bytes give {expected:08x}: damaged on the way")
        self.expected, self.got = expected, got


class FrameMismatchError(FrameError):
    """A sound frame that was not made for this receiver; base of the `Wrong...` errors."""

    what = "frame"

    def __init__(self, expected: object, got: object) -> None:
        super().__init__(f"wrong {self.what}: expected {_brief(expected)}, the frame has {_brief(got)}")
        self.expected, self.got = expected, got


class WrongKindError(FrameMismatchError):
    what = "kind of frame"


class WrongSchemeError(FrameMismatchError):
    what = "scheme"


class WrongParametersError(FrameMismatchError):
    what = "scheme parameters (digest)"


class WrongKeyError(FrameMismatchError):
    what = "key"


class WrongRoundError(FrameMismatchError):
    what = "round"


class ReplayedRoundError(WrongRoundError):
    what = "round, already closed (a replay?)"


class WrongCodecError(FrameMismatchError):
    what = "codec (bits, K_max, weight reference, values or clip limits)"


class WrongParticipantsError(FrameMismatchError):
    what = "participants of the sum"


class CiphertextRangeError(FrameError):
    """A ciphertext element outside the scheme's range."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"ciphertext {index}: {reason}")
        self.index, self.reason = index, reason


# --- aggregation ---------------------------------------------------------------------------------------


class AggregationError(HeCoreError):
    """A contribution the running sum refuses; the sum stays as it was."""


class DuplicateClientError(AggregationError):
    def __init__(self, client: int, round_index: int) -> None:
        super().__init__(f"client {client} is already in the sum of round {round_index}")
        self.client, self.round_index = client, round_index


class TooManyClientsError(AggregationError):
    def __init__(self, clients: int, k_max: int) -> None:
        super().__init__(
            f"{clients} clients in one sum, but the fields have room for K_max={k_max}; raise encryption.k_max"
        )
        self.clients, self.k_max = clients, k_max


class UnexpectedClientError(AggregationError):
    def __init__(self, client: int, expected: Sequence[int]) -> None:
        super().__init__(f"client {client} is not among this round's participants {list(expected)}")
        self.client, self.expected = client, tuple(expected)


class EmptySumError(AggregationError):
    def __init__(self, round_index: int) -> None:
        super().__init__(f"no contribution has been added in round {round_index}")
        self.round_index = round_index


class RoundStateError(AggregationError):
    """A call that does not fit the aggregator's state (no round open, or one open already)."""


# --- verified sums -------------------------------------------------------------------------------------


class UnverifiableSchemeError(ParameterError):
    """A scheme whose sums cannot be verified, because they do not come back exactly."""

    def __init__(self, scheme: str) -> None:
        super().__init__(
            "scheme",
            scheme,
            "its sums are not exact, so no checksum over them can hold; choose an exact scheme (dcsfl-train schemes "
            "lists them) or leave verification out",
        )
        self.scheme = scheme


class VerificationError(HeCoreError):
    """A sum that is not that of its participants' contributions, each once and unchanged; nothing of it was used."""

    def __init__(self, round_index: int, seen: str) -> None:
        super().__init__(f"the sum of round {round_index} (counted from 0) is refused: {seen}")
        self.round_index, self.seen = round_index, seen


class WrongContributionsError(VerificationError):
    """Unchanged contributions, but not each participant's once. times: how often, by client, where not once."""

    def __init__(self, round_index: int, times: Mapping[int, int]) -> None:
        found = [f"client {client} is in it {_times(count)}" for client, count in sorted(times.items())]
        super().__init__(round_index, "; ".join(found))
        self.times = dict(times)

    @property
    def missing(self) -> tuple[int, ...]:
        """Clients that were left out."""
        return tuple(sorted(client for client, count in self.times.items() if count == 0))

    @property
    def repeated(self) -> tuple[int, ...]:
        """Clients that were added more than once."""
        return tuple(sorted(client for client, count in self.times.items() if count > 1))


class AlteredSumError(VerificationError):
    """Values or tag are not what the participants sent in this round."""

    def __init__(self, round_index: int) -> None:
        super().__init__(
            round_index,
            "it was altered, or holds contributions of another round, of other weights or of nobody in the round",
        )


# --- keys ----------------------------------------------------------------------------------------------


class KeyStoreError(HeCoreError):
    """A key file that cannot be used."""


class KeyFileError(KeyStoreError):
    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"key file {path}: {reason}")
        self.path, self.reason = path, reason


class WrongKeyFormatError(KeyFileError):
    """A file of another kind, such as a public key's where a secret one's is due."""


class PassphraseError(KeyFileError):
    """The passphrase is missing or wrong."""


class SecretKeyRefusedError(KeyStoreError):
    """Secret material offered to a party that must not hold it."""

    def __init__(self, party: str) -> None:
        super().__init__(f"{party} must not be given a secret key; give it the public bundle")
        self.party = party


def _times(count: int) -> str:
    return {0: "not at all", 2: "twice"}.get(count, f"{count} times")


def _brief(value: object) -> str:
    return value.hex()[:16] + "…" if isinstance(value, bytes) else repr(value)

"""The branch of the tree of errors (`he_core.errors`) that decrypting together adds."""

from __future__ import annotations

from collections.abc import Sequence

from he_core.errors import HeCoreError, ParameterError


class NoThresholdError(ParameterError):
    """A scheme that is not set to a threshold."""

    def __init__(self, scheme: str) -> None:
        super().__init__(
            "scheme",
            scheme,
            "its key is shared, not split; use rlwe or bfv with parameters threshold and clients set",
        )
        self.scheme = scheme


class NoFloodingError(ParameterError):
    """A threshold for a scheme whose partial decryptions would tell about the key."""

    def __init__(self, scheme: str, threshold: object) -> None:
        super().__init__(
            "threshold",
            threshold,
            f"OpenFHE floods partial decryptions of {scheme} with Gaussian noise of 2^20 alone, which does not hide "
            "their key's noise to 2^-40 (docs/openfhe.md); use bfv or rlwe, or leave threshold and clients out for a "
            "shared key",
        )
        self.scheme = scheme


class ThresholdError(HeCoreError):
    """Partial decryptions that do not make a decryption; nothing was decrypted."""


class TooFewPartialsError(ThresholdError):
    """Fewer than the threshold."""

    def __init__(self, needed: int, got: int) -> None:
        super().__init__(f"{got} partial decryption(s), but the threshold is {needed}: wait for {needed - got} more")
        self.needed, self.got = needed, got


class WrongHoldersError(ThresholdError):
    """A set of holders that is none, or not the one these partial decryptions are made for."""

    def __init__(self, holders: Sequence[int], reason: str) -> None:
        super().__init__(f"holders {list(holders)}: {reason}")
        self.holders = tuple(holders)


class WrongSumError(ThresholdError):
    """A partial decryption of another sum than the one at hand."""

    def __init__(self, holder: int) -> None:
        super().__init__(f"the partial decryption of holder {holder} is of another sum than this one")
        self.holder = holder


class SecondSumError(ThresholdError):
    """A second sum of a round, or a second set of holders, offered to a share: one answer a round is all it gives."""

    def __init__(self, round_index: int) -> None:
        super().__init__(
            f"this share has already served round {round_index} for another sum or other holders: one server that "
            "hands out several could have single contributions decrypted"
        )
        self.round_index = round_index


class KeyUsedUpError(ThresholdError):
    """A round past those that the flooding of partial decryptions covers."""

    def __init__(self, round_index: int, decryptions: int) -> None:
        super().__init__(
            f"round {round_index} is past the {decryptions:,} that noise flooding covers for one key: "
            "make a new one with a ceremony"
        )
        self.round_index, self.decryptions = round_index, decryptions


class SealError(ThresholdError):
    """Sealed bytes that do not open: damaged, altered, moved from elsewhere, or of another group."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the seal of the {what} does not hold: damaged, altered, or not of this group")
        self.what = what


class PartialsDoNotFitError(ThresholdError):
    """Partial decryptions that together give no sum of keys; which of them is wrong cannot be told."""

    def __init__(self, holders: Sequence[int]) -> None:
        super().__init__(
            f"the partial decryptions of holders {list(holders)} do not fit the sum: one of them, or the sum, is "
            "damaged or of another key. Ask other holders"
        )
        self.holders = tuple(holders)


class CeremonyError(HeCoreError):
    """A message that does not belong to this ceremony, or a member that did not keep to it; no key was made."""

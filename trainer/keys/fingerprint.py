"""Fingerprints as people read them out: eight groups of five digits, as in messengers' safety numbers."""

from __future__ import annotations

GROUPS, DIGITS = 8, 5


def spoken(digest: bytes) -> str:
    """32 bytes of a hash in 40 decimal digits: two different ones agree with a chance of 10^-40."""
    number = int.from_bytes(digest, "big") % 10 ** (GROUPS * DIGITS)
    digits = f"{number:0{GROUPS * DIGITS}d}"
    return " ".join(digits[start : start + DIGITS] for start in range(0, len(digits), DIGITS))


def heard(text: str) -> str:
    """What somebody typed, in the form of `spoken`: gaps and hyphens do not matter."""
    digits = "".join(letter for letter in text if letter.isdigit())
    return " ".join(digits[start : start + DIGITS] for start in range(0, len(digits), DIGITS))

"""The error of a comparison."""

from __future__ import annotations

from trainer.errors import TrainerError


class ComparisonError(TrainerError):
    """A comparison that cannot start, go on or be evaluated; the message names the value and the fix."""

"""The error of the report."""

from __future__ import annotations

from trainer.errors import TrainerError


class ReportError(TrainerError):
    """A run folder that cannot be reported on: the message names the file and what is wrong with it."""

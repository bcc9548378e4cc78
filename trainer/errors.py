"""Errors of the trainer: each names the value and the fix. The engine has its own tree in `he_core.errors`."""

from __future__ import annotations

from collections.abc import Mapping


class TrainerError(Exception):
    """Base of every error the trainer raises on purpose; the command line prints its message, no traceback."""


class ConfigError(TrainerError):
    """A configuration that cannot be run as written."""


class DataError(TrainerError):
    """Images, masks or folders that cannot be used."""


class RunFolderError(TrainerError):
    """A run folder that exists, is missing, or does not fit the configuration."""


class CheckpointError(TrainerError):
    """A checkpoint that cannot be written or read."""


class NonFiniteCutError(TrainerError):
    """Activations or gradients that no 8-bit code can stand for."""

    def __init__(self, count: int) -> None:
        super().__init__(
            f"{count} value(s) that should cross a cut are NaN or infinite: training has diverged; "
            "lower training.learning_rate"
        )
        self.count = count


class TooFewClientsError(TrainerError):
    """A round that lost so many clients that it was given up; the model stays as it was before."""

    def __init__(self, round: int, left: int, needed: int) -> None:
        super().__init__(f"round {round + 1} was given up: {left} clients are left, fewer than the {needed} it needs")
        self.round, self.left, self.needed = round, left, needed


class SumRefusedError(TrainerError):
    """A client's refusal of a round's sum, of which it has taken nothing."""


class RoundRefusedError(TrainerError):
    """A sum that clients refused; nobody has taken anything of it. reasons: by client."""

    def __init__(self, round_index: int, reasons: Mapping[str, str], receivers: int) -> None:
        said: dict[str, list[str]] = {}
        for client, reason in reasons.items():
            said.setdefault(reason, []).append(client)
        told = "; ".join(f"{', '.join(clients)}: {reason}" for reason, clients in said.items())
        super().__init__(f"round {round_index + 1} is refused by {len(reasons)} of {receivers} clients. {told}")
        self.round_index, self.reasons = round_index, dict(reasons)


class ProtocolError(TrainerError):
    """A message that does not fit the state of the party that received it."""

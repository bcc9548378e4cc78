"""Who takes part in a round: a seeded choice of clients, of which some drop out.

Both are functions of seed and round alone, so a resumed run meets the same clients. A drop-out is simulated before
training: a client that drops out does nothing in that round, and gets the round's result when it is back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

import numpy as np

from he_core.frame import Participant
from trainer.config import MethodConfig
from trainer.errors import ConfigError
from trainer.parties.messages import RoundPlan
from trainer.seeds import CHOICE, DROP_OUT


@dataclass(frozen=True)
class Attendance:
    """Clients of one round, ascending: those that were asked and are there, and those that dropped out.

    needed: with fewer present than this the round is skipped.
    """

    present: tuple[int, ...]
    dropped_out: tuple[int, ...]
    needed: int

    @property
    def enough(self) -> bool:
        """Whether the round can take place."""
        return len(self.present) >= self.needed


def asked_per_round(config: MethodConfig, clients: int) -> int:
    """How many of `clients` are asked in every round, 1 or more."""
    if config.clients_per_round is not None:
        return config.clients_per_round
    return max(1, floor(config.participation * clients + 0.5))


def needed_per_round(config: MethodConfig, clients: int) -> int:
    """How many must be there for a round to take place; a single client is enough for itself."""
    return 1 if clients == 1 else config.min_participants


def check(config: MethodConfig, clients: int) -> None:
    """Raise ConfigError where `clients` are too few for what is asked of them."""
    asked, needed = asked_per_round(config, clients), needed_per_round(config, clients)
    if asked > clients:
        raise ConfigError(f"method.clients_per_round={asked}, but there are {clients} clients; ask for fewer")
    if needed > asked:
        raise ConfigError(
            f"{asked} of {clients} clients are asked in a round, fewer than method.min_participants={needed}: every "
            f"round would be skipped. Ask for more, or set method.min_participants={asked}"
            + (" (the sum of one client's update is that update, to all who decrypt it)" if asked == 1 else "")
        )


def attendance(config: MethodConfig, clients: int, *, seed: int, round: int) -> Attendance:
    """Draw who is there in 0-based `round`."""
    asked = np.arange(clients)
    count = asked_per_round(config, clients)
    if count < clients:
        asked = np.sort(np.random.default_rng([seed, CHOICE, round]).choice(clients, count, replace=False))
    # One draw per client, asked or not: the drop-outs of a client do not depend on who else is asked.
    absent = np.random.default_rng([seed, DROP_OUT, round]).random(clients) < config.drop_out
    return Attendance(
        tuple(int(client) for client in asked if not absent[client]),
        tuple(int(client) for client in asked if absent[client]),
        needed_per_round(config, clients),
    )


def plan(present: Sequence[int], weights: Sequence[int], round: int, needed: int = 1) -> RoundPlan:
    """The plan of a round in which `present` take part; weights: one per client of the federation."""
    return RoundPlan(
        round,
        tuple(Participant(client, weights[client]) for client in present),
        tuple(client for client in range(len(weights)) if client not in present),
        needed,
    )

"""What methods and the loop ask of the parties, wherever those are: in this process, or in processes of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from he_core import CostLedger
from trainer.parties.messages import RoundPlan
from trainer.parties.state import PartyState
from trainer.transport.traffic import Traffic

Result = TypeVar("Result")
OnBatch = Callable[[float], None]


class Parties(ABC):
    """Clients by index, the compute server and the aggregation server, as far as the method has them.

    site_names, training_images (how many each client trains on): by client index. seed: the run's.
    """

    site_names: tuple[str, ...]
    training_images: tuple[int, ...]
    seed: int

    @property
    @abstractmethod
    def traffic(self) -> Traffic:
        """Bytes that crossed so far."""

    # --- a round

    @abstractmethod
    def each(self, clients: Sequence[int], work: Callable[[int], Result]) -> dict[int, Result]:
        """`work` for each of `clients`, at the same time where that is possible; results in the order of `clients`.

        Clients that could not be reached, or had to refuse, are not among the results.
        """

    def at_once(self, clients: Sequence[int], work: Callable[[int], Result]) -> dict[int, Result]:
        """As `each`, for work that training or predicting is most of, and that records nothing in a ledger."""
        return self.each(clients, work)

    @abstractmethod
    def train(self, client: int, round: int, on_batch: OnBatch) -> float:
        """The client's local epochs; its mean loss."""

    @abstractmethod
    def open_sum(self, plan: RoundPlan) -> None:
        """Have the aggregation server start the sum of a round."""

    @abstractmethod
    def contribute(self, client: int, plan: RoundPlan) -> int:
        """Have the client encrypt its update and send it; how many values saturated."""

    @abstractmethod
    def share(self, client: int, plan: RoundPlan) -> None:
        """Where it takes several clients to decrypt: have the client send its part of the sum, if it is one of them.

        Raises SumRefusedError.
        """

    @abstractmethod
    def receive(self, client: int, plan: RoundPlan) -> float:
        """Have the client fetch the sum, decrypt and verify it; the mean's quantisation step.

        Raises SumRefusedError.
        """

    @abstractmethod
    def adopt(self, client: int, plan: RoundPlan) -> None:
        """Have the client take up the mean that it has received."""

    @abstractmethod
    def give_up(self, client: int, plan: RoundPlan, reason: str) -> None:
        """Have the client leave the round's sum: it, or another one, has refused it."""

    @abstractmethod
    def undo(self, plan: RoundPlan, reason: str) -> None:
        """Have the compute server note that the round was refused."""

    @abstractmethod
    def average_bodies(self, plan: RoundPlan) -> None:
        """Have the compute server average the participants' bodies."""

    @abstractmethod
    def hand_over(self, client: int, round: int, clients: Iterable[int]) -> None:
        """Have the client pass its head and tail on to `clients`."""

    # --- judging

    @abstractmethod
    def evaluate(self, client: int, site: int) -> dict[str, float]:
        """The metrics of the client's model on the test images of `site`."""

    @abstractmethod
    def predict(self, client: int, images: Tensor) -> Tensor:
        """The client's prediction for float32 [n, c, *size]."""

    # --- going on later

    @abstractmethod
    def open_transcripts(self, folder: Path, next_round: int) -> None:
        """Have every party write its transcript from now on: into `folder`, or where it keeps its own things.

        Raises TranscriptError, RunFolderError.
        """

    @abstractmethod
    def sync_transcripts(self) -> None:
        """See to it that transcripts written here are on the disk."""

    @abstractmethod
    def collect_costs(self, round: int, ledger: CostLedger) -> None:
        """Add to `ledger` what the round cost parties that keep a ledger of their own."""

    @abstractmethod
    def remember(self, round: int) -> dict[str, PartyState]:
        """Every party remembers its state as good, that after `round`; returns `states()`."""

    @abstractmethod
    def go_back(self) -> None:
        """Every party returns to what it last remembered: weights, optimisers, correction, clip limits.

        But for the aggregation server: a round that it closed stays closed.
        """

    @abstractmethod
    def states(self) -> dict[str, PartyState]:
        """The state of every party whose checkpoint is the run's affair, by party name."""

    @abstractmethod
    def load_states(self, states: dict[str, PartyState]) -> None:
        """Restore them. Raises CheckpointError."""

    @abstractmethod
    def save(self, round: int, links: tuple[str, ...]) -> None:
        """Have the parties that keep checkpoints of their own write those of `round`, pointing `links` to them."""

    @abstractmethod
    def restore(self, round: int) -> None:
        """Have them go back to `round`. Raises CheckpointError."""

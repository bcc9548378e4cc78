"""The data of a federation as its coordinator knows it: who there is and how much, and not an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.data.federated import Task
from trainer.errors import DataError


@dataclass(frozen=True)
class ImagesElsewhere:
    """Images that stay where they are; they can be counted."""

    count: int

    def __len__(self) -> int:
        return self.count


@dataclass(frozen=True)
class RemoteSite:
    """One hospital, as it introduced itself. image_shape: channels, then pixels per dimension."""

    name: str
    description: str
    train: ImagesElsewhere
    test: ImagesElsewhere
    image_shape: tuple[int, ...]
    class_names: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class RemoteSites:
    """All of them, in client order. Raises DataError where their images cannot train one network."""

    task: Task
    clients: tuple[RemoteSite, ...]

    def __post_init__(self) -> None:
        _refuse_different("image shapes", [(site.name, site.image_shape) for site in self.clients])
        _refuse_different("classes", [(site.name, site.class_names) for site in self.clients])
        names = [site.name for site in self.clients]
        if len(set(names)) != len(names):
            raise DataError(f"two sites of the federation have one name: {', '.join(sorted(names))}")

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Channels, then pixels per dimension, of every image."""
        return self.clients[0].image_shape

    @property
    def class_names(self) -> tuple[str, ...]:
        """As in `FederatedData`."""
        return self.clients[0].class_names

    @property
    def provenance(self) -> str:
        """For the report."""
        return f"images of {len(self.clients)} sites, each of which keeps its own"

    @property
    def notes(self) -> tuple[str, ...]:
        """What the sites said of their images, each once."""
        return tuple(dict.fromkeys(note for site in self.clients for note in site.notes))


def _refuse_different(what: str, values: Sequence[tuple[str, object]]) -> None:
    if len({value for _, value in values}) > 1:
        listed = ", ".join(f"{name} has {value}" for name, value in values)
        raise DataError(f"the sites' {what} differ: {listed}. All must be alike to train one network")

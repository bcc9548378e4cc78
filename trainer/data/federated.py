"""What every data source delivers: image tensors per client, already split into training and test sets.

An object that exists is valid: shapes, dtypes, value ranges and names are checked on construction, so that no
party, loss or metric rechecks them. Tensors are shared, not copied; treat them as read-only.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch

from trainer.errors import DataError

Task = Literal["segmentation", "restoration"]


@dataclass(frozen=True, eq=False)
class SampleSet:
    """Images with their targets, in one fixed order.

    `images`: float32[n, 1, *size], finite, n >= 1; size is H, W of slices or D, H, W of volumes. `targets`: class
    indices int64[n, *size], >= 0 (segmentation), or images float32[n, 1, *size], finite (restoration).
    `identifiers`: n names, unique within a client, such as "slice-083" or "patient7/slice-012". Raises DataError
    where any of this does not hold.
    """

    images: torch.Tensor
    targets: torch.Tensor
    identifiers: tuple[str, ...]

    def __post_init__(self) -> None:
        shape = tuple(self.images.shape)
        if len(shape) not in (4, 5) or shape[1] != 1 or 0 in shape:
            raise DataError(
                f"images must have shape [n, 1, H, W] or [n, 1, D, H, W], every side >= 1, not {list(shape)}"
            )
        count = shape[0]
        if self.images.dtype != torch.float32:
            raise DataError(f"images must be float32, not {self.images.dtype}")
        if not bool(torch.isfinite(self.images).all()):
            raise DataError("images hold NaN or infinite values")
        allowed = {torch.int64: (count, *shape[2:]), torch.float32: shape}
        if self.targets.dtype not in allowed:
            raise DataError(f"targets must be int64 (class indices) or float32 (images), not {self.targets.dtype}")
        if tuple(self.targets.shape) != allowed[self.targets.dtype]:
            raise DataError(
                f"{self.targets.dtype} targets of images {list(shape)} must have shape "
                f"{list(allowed[self.targets.dtype])}, not {list(self.targets.shape)}"
            )
        if self.targets.dtype == torch.float32 and not bool(torch.isfinite(self.targets).all()):
            raise DataError("targets hold NaN or infinite values")
        if self.targets.dtype == torch.int64 and int(self.targets.min()) < 0:
            raise DataError(f"class indices must be >= 0, not {int(self.targets.min())}")
        if len(self.identifiers) != count:
            raise DataError(f"{count} images need {count} identifiers, not {len(self.identifiers)}")
        if len(set(self.identifiers)) != count:
            raise DataError(f"identifiers repeat: {_repeated(self.identifiers)}")

    def __len__(self) -> int:
        return len(self.identifiers)

    @classmethod
    def pooled(cls, sets: Iterable[SampleSet]) -> SampleSet:
        """All samples of `sets` (same H, W and kind of target) in order, for centralised training.

        Identifiers get the position of their set in front ("0/slice-083"), because two clients may use the
        same name. Raises DataError if there is no set or the sets do not fit together.
        """
        parts = list(sets)
        kinds = {(tuple(part.images.shape[2:]), part.targets.dtype) for part in parts}
        if len(kinds) != 1:
            raise DataError(
                f"only sets of one image size and one kind of target can be pooled, not {len(kinds)} kinds"
            )
        return cls(
            images=torch.cat([part.images for part in parts]),
            targets=torch.cat([part.targets for part in parts]),
            identifiers=tuple(f"{index}/{name}" for index, part in enumerate(parts) for name in part.identifiers),
        )


@dataclass(frozen=True, eq=False)
class ClientData:
    """One client's images. `description` is one printed line: its simulated scanner, or its folder.

    Raises DataError if training and test set share an identifier or differ in image size or kind of target.
    """

    name: str
    description: str
    train: SampleSet
    test: SampleSet

    def __post_init__(self) -> None:
        if not self.name or "\n" in self.description:
            raise DataError(f"client {self.name!r} needs a name, and a description of one line")
        shared = set(self.train.identifiers) & set(self.test.identifiers)
        if shared:
            raise DataError(f"client {self.name!r} trains on its own test images: {', '.join(sorted(shared)[:3])}")
        if _kind(self.train) != _kind(self.test):
            raise DataError(
                f"client {self.name!r}: training and test set differ in image size or kind of target: "
                f"{_kind(self.train)} and {_kind(self.test)}"
            )


@dataclass(frozen=True, eq=False)
class FederatedData:
    """The data of a whole federation.

    `class_names`: index 0 is the background; () for restoration. `provenance`: source, licence and caveats, a
    few lines to print and to put into the report. `notes`: what was left out or decided on the way, and why.
    Raises DataError if there is no client, names repeat, clients differ in image size, targets do not fit the
    task, or a class index has no name.
    """

    task: Task
    class_names: tuple[str, ...]
    clients: tuple[ClientData, ...]
    provenance: str
    notes: tuple[str, ...]

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Channels, then pixels per dimension, of every image."""
        return tuple(self.clients[0].train.images.shape[1:])

    def __post_init__(self) -> None:
        names = [client.name for client in self.clients]
        if not names:
            raise DataError("a federation needs at least one client")
        if len(set(names)) != len(names):
            raise DataError(f"client names repeat: {_repeated(names)}")
        kinds = {_kind(client.train) for client in self.clients}
        if len(kinds) != 1:
            raise DataError(f"all clients must have one image size and kind of target, not {sorted(map(str, kinds))}")
        expected = torch.int64 if self.task == "segmentation" else torch.float32
        if self.clients[0].train.targets.dtype != expected:
            raise DataError(f"{self.task} needs {expected} targets, not {self.clients[0].train.targets.dtype}")
        self._check_classes()

    def sha256(self) -> str:
        """A digest of every image, target and name, in order: equal where two runs see the same data."""
        digest = hashlib.sha256(json.dumps([self.task, self.class_names]).encode())
        for client in self.clients:
            for part in (client.train, client.test):
                described = [client.name, part.identifiers, list(part.images.shape), str(part.targets.dtype)]
                digest.update(json.dumps(described).encode())
                digest.update(part.images.contiguous().numpy())
                digest.update(part.targets.contiguous().numpy())
        return digest.hexdigest()

    def _check_classes(self) -> None:
        if self.task == "restoration":
            if self.class_names:
                raise DataError(f"restoration has no classes, but {self.class_names} were given")
            return
        if len(self.class_names) < 2 or len(set(self.class_names)) != len(self.class_names):
            raise DataError(f"segmentation needs at least two different class names, not {self.class_names}")
        for client in self.clients:
            largest = max(int(client.train.targets.max()), int(client.test.targets.max()))
            if largest >= len(self.class_names):
                raise DataError(
                    f"client {client.name!r} holds class {largest}, but there are {len(self.class_names)} names"
                )


def _kind(samples: SampleSet) -> tuple[tuple[int, ...], torch.dtype]:
    return tuple(samples.images.shape[2:]), samples.targets.dtype


def _repeated(names: Iterable[str]) -> str:
    return ", ".join(name for name, count in Counter(names).most_common(3) if count > 1)

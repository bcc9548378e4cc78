"""The table of data sources: `data.source` -> loader."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from trainer.config import DataConfig
from trainer.data import brain_mri, folder
from trainer.data.federated import FederatedData, Task
from trainer.data.pair import printable
from trainer.errors import DataError

Loader = Callable[[DataConfig, Task, int], FederatedData]

SOURCES: Mapping[str, Loader] = MappingProxyType({"brain-mri": brain_mri.load, "folder": folder.load})


def load(data: DataConfig, task: Task, seed: int) -> FederatedData:
    """The images of `data.source`, split over clients and into training and test sets.

    `seed`: int >= 0; decides simulated scanners (brain-mri) and which subjects are held out (folder). Equal
    arguments and equal files give equal tensors, whatever the state of any global random generator.
    Raises DataError, with every problem found, where the files cannot be used.
    """
    if data.path is not None and data.source == "brain-mri":
        raise DataError(
            f"data.path={printable(data.path)} is given, but data.source=brain-mri reads the demo set: add "
            "data.source=folder"
        )
    return SOURCES[data.source](data, task, seed)

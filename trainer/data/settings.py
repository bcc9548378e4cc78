"""How images are read and prepared: the part of the configuration that a reader sees."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.config import DataConfig
from trainer.data.federated import Task
from trainer.data.intensity import Intensity


@dataclass(frozen=True)
class Settings:
    """`size`: pixels of a square slice. `spacing_mm`: voxel size (right, anterior, superior) that volumes are
    resampled to, or None for theirs. `channel`: which channel of an image that has several.
    `structures`: the contours of a DICOM structure set to learn, or None for the only one. `depth`: slices of
    volumes that are learnt whole, which then have a `spacing_mm`; None where slices are learnt one by one.
    """

    task: Task
    size: int
    intensity: Intensity
    spacing_mm: tuple[float, float, float] | None = None
    channel: int = 0
    structures: tuple[str, ...] | None = None
    depth: int | None = None

    @classmethod
    def of(cls, data: DataConfig, task: Task) -> Settings:
        """The settings of `data`; raises DataError where they do not serve `task`."""
        intensity = Intensity.of(data, task)
        return cls(task, data.image_size, intensity, data.spacing, data.channel, data.structures, data.depth)

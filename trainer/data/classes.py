"""From the values in mask files to class indices, one map for all sites."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainer.errors import DataError

MAX_FOUND = 16
PADDING = -1  # stands for "outside the picture" in resampled masks; becomes the background


@dataclass(frozen=True)
class ClassMap:
    """`names`: class names, the background first. `indices`: mask value -> position in `names`."""

    names: tuple[str, ...]
    indices: Mapping[int, int]

    def background(self) -> frozenset[int]:
        """The mask values that mean background."""
        return frozenset(value for value, index in self.indices.items() if index == 0)

    def apply(self, values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """`values` int64 of any shape, each a known mask value or PADDING, as class indices int64."""
        known = np.array(sorted(self.indices))
        as_index = np.array([self.indices[value] for value in known.tolist()])
        return np.where(values == PADDING, 0, as_index[np.searchsorted(known, np.maximum(values, known[0]))])


def given_classes(classes: Mapping[int, str]) -> ClassMap:
    """The map a user wrote. Values with the same name are one class.

    The class called "background" comes first, or else that of the smallest value; the rest follow by value.
    Raises DataError if there are fewer than two names, or a value is negative.
    """
    values = sorted(classes)
    if values and values[0] < 0:
        raise DataError(f"data.classes names the mask value {values[0]}; mask values are 0 or larger")
    names = list(dict.fromkeys(classes[value] for value in values))
    if len(names) < 2:
        raise DataError(
            f"data.classes must name at least two classes, such as {{0: background, 255: lesion}}, not {names}"
        )
    named = next((name for name in names if name.lower() == "background"), names[0])
    names.sort(key=lambda name: name != named)
    return ClassMap(tuple(names), {value: names.index(classes[value]) for value in values})


def found_classes(values: Iterable[int]) -> ClassMap:
    """The map for `values` found in masks: sorted, the smallest is the background.

    Two values are background and foreground. Raises DataError for fewer than 2 or more than 16.
    """
    found = sorted(set(values))
    if len(found) < 2:
        raise DataError(f"the masks hold a single value ({found[0]}): there is nothing to segment")
    if len(found) > MAX_FOUND:
        shown = ", ".join(map(str, found[:8]))
        raise DataError(
            f"the masks hold {len(found)} different values ({shown}, ...), more than {MAX_FOUND}: JPEG compression "
            "and smoothing invent values, so save masks as PNG; or name each value in data.classes"
        )
    others = ["foreground"] if len(found) == 2 else [f"value {value}" for value in found[1:]]
    return ClassMap(("background", *others), {value: index for index, value in enumerate(found)})

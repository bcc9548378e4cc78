"""One map from mask values to classes for all sites, and what does not fit it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trainer.data.classes import ClassMap, found_classes, given_classes
from trainer.data.pair import Found, printable
from trainer.data.problems import Problems
from trainer.data.site import Site
from trainer.data.subject import Prepared
from trainer.errors import DataError

_GREY_STEP = 0x010101  # a grey colour 0xVVVVVV is V times this


def own_classes(found: Sequence[tuple[str, Found]], problems: Problems) -> ClassMap | None:
    """The classes that the data sets themselves name (site's name, what was found there), one map for all.

    None where none does. Sites that contradict each other go to `problems`.
    """
    merged: dict[int, str] = {}
    said_by: dict[int, str] = {}
    for name, site in found:
        for value, label in (site.classes or {}).items():
            if merged.setdefault(value, label) != label:
                problems.add(
                    f"{name}: calls the mask value {value} {label}, {said_by[value]} calls it {merged[value]}; "
                    "write data.classes"
                )
            said_by.setdefault(value, name)
    try:
        return given_classes(merged) if len(merged) > 1 else None
    except DataError as error:
        problems.add(str(error).replace("data.classes", "the data set's own list"))
        return None


def labelled(
    sites: list[Site], given: ClassMap | None, source: str, problems: Problems
) -> tuple[list[Site], ClassMap, list[str]]:
    """`sites` with class indices for targets, the class map, and notes. `source`: who named the `given` classes.

    Values that no class stands for go to `problems`. Raises DataError where there is no map: masks in colour among
    grey ones, a single value, or too many.
    """
    sites = _with_uniform_values(sites)
    class_map = given or found_classes(value for site in sites for scan in site.scans for value in scan.values)
    known = len(problems)
    _check_values(sites, class_map, source, problems)
    if len(problems) == known:
        sites = [_with_classes(site, class_map) for site in sites]
    return sites, class_map, _found_note(class_map) if given is None else []


def absent_classes(sites: list[Site], class_map: ClassMap) -> list[str]:
    """Notes on sites that never show a class."""
    notes = []
    for site in sites:
        present = {class_map.indices[value] for scan in site.scans for value in scan.values}
        absent = [name for index, name in enumerate(class_map.names) if index and index not in present]
        if absent:
            notes.append(f"{site.name}: no slice holds {', '.join(absent)}")
    return notes


def _found_note(class_map: ClassMap) -> list[str]:
    pairs = ", ".join(f"{value} -> {class_map.names[index]}" for value, index in class_map.indices.items())
    return [f"classes found in the masks, the smallest value taken as background: {pairs}"]


def _with_uniform_values(sites: list[Site]) -> list[Site]:
    """Grey masks stored as RGB as grey levels; raises DataError if real colours and grey levels are mixed."""
    scans = [scan for site in sites for scan in site.scans]
    coloured = [scan for scan in scans if scan.colour_target]
    if any(value != (value & 0xFF) * _GREY_STEP for scan in coloured for value in scan.values):
        if len(coloured) < len(scans):
            plain = next(scan for scan in scans if not scan.colour_target)
            raise DataError(
                f"some masks are in colour ({printable(coloured[0].pair.target)}), others are not "
                f"({printable(plain.pair.target)}): one map from values to classes cannot hold for both"
            )
        return sites
    return [replace(site, scans=tuple(_as_grey(scan) for scan in site.scans)) for site in sites]


def _as_grey(scan: Prepared) -> Prepared:
    if not scan.colour_target:
        return scan
    targets = np.where(scan.targets < 0, scan.targets, scan.targets // _GREY_STEP)
    return replace(scan, targets=targets, values=frozenset(value // _GREY_STEP for value in scan.values))


def _check_values(sites: list[Site], class_map: ClassMap, source: str, problems: Problems) -> None:
    for site in sites:
        for scan in site.scans:
            strange = sorted(scan.values - class_map.indices.keys())
            if strange:
                problems.add(
                    f"{printable(scan.pair.target)}: holds {_listed(strange)}, which {source} does not name "
                    f"(it names {_listed(sorted(class_map.indices))})"
                )


def _with_classes(site: Site, class_map: ClassMap) -> Site:
    return replace(site, scans=tuple(replace(scan, targets=class_map.apply(scan.targets)) for scan in site.scans))


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")

"""A site: the scans of one hospital, read and prepared."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from trainer.data.subject import Prepared


@dataclass(frozen=True)
class Site:
    """`name`: unique in a federation. `scans`: those with at least one slice."""

    name: str
    scans: tuple[Prepared, ...]

    @property
    def subjects(self) -> list[str]:
        """Who is shown, in the order of their names."""
        return sorted({scan.pair.subject for scan in self.scans})

    @property
    def slices(self) -> int:
        """How many slices all scans have, as they reach the network."""
        return sum(math.prod(scan.images.shape[:-2]) for scan in self.scans)


def pooled(sites: list[Site]) -> list[Prepared]:
    """The scans of all `sites`; of several, each scan's and subject's name gets the site's in front: sites number
    their patients alike.
    """
    if len(sites) == 1:
        return list(sites[0].scans)
    return [_called(scan, site.name) for site in sites for scan in site.scans]


def _called(scan: Prepared, site: str) -> Prepared:
    pair = replace(scan.pair, name=f"{site}/{scan.pair.name}", subject=f"{site}/{scan.pair.subject}")
    return replace(scan, pair=pair, identifiers=tuple(f"{site}/{name}" for name in scan.identifiers))

"""What cropping volumes to one size takes from them."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.data.settings import Settings
from trainer.data.subject import Prepared
from trainer.data.volumes import times
from trainer.errors import DataError


def crop_notes(site: str, scans: Sequence[Prepared], settings: Settings) -> list[str]:
    """Notes on the volumes among `scans` that are larger than `settings` allow, and on labels that are lost to that;
    none where slices are learnt one by one. Raises DataError where no label is left, or there was none.
    """
    if settings.depth is None or not scans:
        return []
    if settings.task == "segmentation" and not any(scan.facts.labelled for scan in scans):
        raise DataError(f"{site}: no volume holds a label")
    box = (settings.size, settings.size, settings.depth)
    facts = [scan.facts for scan in scans]
    larger = [fact for fact in facts if any(side > limit for side, limit in zip(fact.at_spacing, box, strict=True))]
    if not larger:
        return []
    width, height, depth = (max(sides) for sides in zip(*(fact.at_spacing for fact in facts), strict=True))
    notes = [
        f"{site}: {len(larger)} of {len(scans)} volume(s) cropped around the centre to {times(box)} voxels; "
        f"data.image_size={max(width, height)} data.depth={depth} would hold them all"
    ]
    robbed = [scan for scan in scans if scan.facts.labelled_lost]
    if robbed:
        labelled, lost = (sum(counts) for counts in zip(*((f.labelled, f.labelled_lost) for f in facts), strict=True))
        fix = "a larger data.image_size, data.depth or data.spacing would keep them"
        if lost == labelled:
            raise DataError(f"{site}: the crop to {times(box)} voxels takes all labels; {fix}")
        most = max(robbed, key=_share_lost)
        notes.append(
            f"{site}: the crop takes {lost / labelled:.1%} of the labelled voxels, out of {len(robbed)} volume(s), "
            f"most out of {most.pair.name} ({_share_lost(most):.1%}); {fix}"
        )
    return notes


def _share_lost(scan: Prepared) -> float:
    """Of the labelled voxels of `scan`, which has some."""
    return scan.facts.labelled_lost / scan.facts.labelled

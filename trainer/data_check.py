"""`dcsfl-train data`: what a folder holds, before anything is trained on it.

Everything is read and prepared as a run would do it, so that what is reported here is what a run would get.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trainer.config import Config
from trainer.data import FederatedData, load
from trainer.data.folder import Inspection, inspect
from trainer.data.pair import printable
from trainer.data.site import Site
from trainer.data.sites import SiteFolder
from trainer.errors import DataError
from trainer.report.contact_sheet import Row, write_contact_sheet
from trainer.report.planes import pixel_aspect, plane

_SHOWN = 3  # different sizes or spacings that are told one by one


@dataclass(frozen=True)
class Check:
    """`report`: what `--format json` prints. `rows`: what the contact sheet shows, one a client or site."""

    report: dict[str, Any]
    rows: list[Row]

    @property
    def is_usable(self) -> bool:
        """Whether a run can start on these data."""
        return not self.report["problems"]


def check(config: Config) -> Check:
    """Look at the images of `config.data`. Raises DataError where there is nothing to look at."""
    task = config.training.task
    if config.data.source == "folder":
        found = inspect(config.data, task, config.run.seed)
    else:
        found = Inspection([], data=load(config.data, task, config.run.seed))
    report = {
        "source": config.data.source,
        "path": None if config.data.path is None else printable(config.data.path),
        "task": task,
        "volumes": config.data.depth is not None,
        "usable": not found.problems,
        "problems": list(found.problems.lines),
        "sites": [_site(folder, site) for folder, site in zip(found.folders, found.sites, strict=True)],
        "class_names": list(found.data.class_names) if found.data else [],
        "clients": _clients(found.data) if found.data else [],
        "notes": list(found.data.notes) if found.data else found.notes,
        "provenance": found.data.provenance if found.data else "",
        "contact_sheet": None,
    }
    return Check(report, _rows(found, pixel_aspect(config.data.voxel_mm)))


def write_sheet(checked: Check, config: Config, file: Path | None) -> None:
    """Draw the contact sheet into `file`, or under the folder of all runs, and note its path in the report.

    Nothing is drawn where no image could be read. Raises DataError if the file cannot be written.
    """
    if not checked.rows:
        return
    path = file or config.run.folder / f"contact-sheet-{config.run.name}.png"
    try:
        write_contact_sheet(checked.rows, checked.report["class_names"], path)
    except OSError as error:
        raise DataError(f"contact sheet {printable(path)} cannot be written: {error.strerror}") from None
    checked.report["contact_sheet"] = str(path)


def print_check(checked: Check, out: Console) -> None:
    """The report as tables and lines, for people."""
    report = checked.report
    if report["sites"]:
        whole = any(site["sizes_at_spacing"] for site in report["sites"])
        columns = ["site", "layout", "subjects", "images", "slices", "size", "voxel, mm", "values", "mask values"]
        if whole:
            columns.insert(columns.index("values"), "size at data.spacing")
        table = Table(*columns, title=f"{escape(report['path'])}: what was found")
        for site in report["sites"]:
            values = site["values"]
            cells = [site["name"], site["layout"], site["subjects"], site["images"], site["slices"]]
            cells += [_several(site["sizes"]), _several(site["spacings_mm"]) or "not known"]
            cells += [_several(site["sizes_at_spacing"])] if whole else []
            cells += [
                f"{values[0]:.4g} to {values[1]:.4g}, mean {values[2]:.4g}" if values else "",
                _listed(site["labels"]),
            ]
            table.add_row(*(escape(str(cell)) for cell in cells))
        out.print(table)
    if report["clients"]:
        table = Table(
            "client",
            "training",
            "test",
            f"share of training {'voxels' if report['volumes'] else 'pixels'}",
            "from",
            title="the clients of a run",
        )
        for client in report["clients"]:
            shares = ", ".join(f"{name} {share:.1%}" for name, share in client["class_shares"].items())
            cells = [client["name"], client["train"], client["test"], shares, client["description"]]
            table.add_row(*(escape(str(cell)) for cell in cells))
        out.print(table)
    lines = [*(f"note: {note}" for note in report["notes"])]
    if report["problems"]:
        lines += [f"{len(report['problems'])} problem(s); a run would refuse these data:"]
        lines += [f"  - {problem}" for problem in report["problems"]]
    else:
        lines += [f"usable for {report['task']}"]
    if report["contact_sheet"]:
        lines += [f"contact sheet: {report['contact_sheet']}"]
    for line in lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)


def _site(folder: SiteFolder, site: Site) -> dict[str, Any]:
    facts = [scan.facts for scan in site.scans]
    sizes = Counter(fact.shape for fact in facts)
    spacings = Counter(tuple(round(side, 3) for side in fact.spacing_mm) for fact in facts if fact.spacing_mm)
    weights = [fact.slices for fact in facts]
    return {
        "name": site.name,
        "layout": folder.layout.name,
        "subjects": len(site.subjects),
        "images": len(site.scans),
        "slices": site.slices,
        "sizes": _counted(sizes),
        "spacings_mm": _counted(spacings),
        "sizes_at_spacing": _counted(Counter(fact.at_spacing for fact in facts if fact.at_spacing)),
        "values": [
            min(fact.low for fact in facts),
            max(fact.high for fact in facts),
            float(np.average([fact.mean for fact in facts], weights=weights)),
        ]
        if facts
        else [],
        "labels": sorted({value for scan in site.scans for value in scan.values}),
    }


def _clients(data: FederatedData) -> list[dict[str, Any]]:
    clients = []
    for client in data.clients:
        shares = {}
        if data.class_names:
            counts = np.bincount(client.train.targets.numpy().ravel(), minlength=len(data.class_names))
            shares = dict(zip(data.class_names, (counts / counts.sum()).tolist(), strict=True))
        clients.append(
            {
                "name": client.name,
                "description": client.description,
                "train": len(client.train),
                "test": len(client.test),
                "class_shares": shares,
            }
        )
    return clients


def _rows(found: Inspection, aspect: float) -> list[Row]:
    """By client; by site, as far as it could be read, where there are none."""
    if found.data is not None:
        whole = len(found.data.image_shape) == 4 and bool(found.data.class_names)
        return [
            _row(
                f"{client.name}: {client.description}{'; of each, the slice with most label' if whole else ''}",
                [image for part in (client.train, client.test) for image in part.images[:, 0].numpy()],
                [target.squeeze(0).numpy() for part in (client.train, client.test) for target in part.targets],
                aspect,
            )
            for client in found.data.clients
        ]
    rows = []
    for site in found.sites:
        if site.scans:
            targets = np.concatenate([scan.targets for scan in site.scans])
            if targets.dtype.kind == "i":  # mask values, which no class stands for yet: numbered by size
                _, positions = np.unique(np.maximum(targets, 0), return_inverse=True)
                targets = positions.reshape(targets.shape)
            images = [image for scan in site.scans for image in scan.images]
            rows.append(_row(site.name, images, list(targets), aspect))
    return rows


def _row(label: str, images: Sequence[np.ndarray], targets: Sequence[np.ndarray], aspect: float) -> Row:
    """Slices as they are; of volumes the slice that tells most of each."""
    pairs = list(zip(images, targets, strict=True))
    return Row(
        label,
        np.stack([plane(image, target) for image, target in pairs]),
        np.stack([plane(t, t) for t in targets]),
        aspect,
    )


def _counted(kinds: Counter[tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [{"sides": list(sides), "images": count} for sides, count in kinds.most_common()]


def _several(kinds: Sequence[dict[str, Any]]) -> str:
    shown = [f"{' x '.join(f'{side:g}' for side in kind['sides'])} ({kind['images']})" for kind in kinds[:_SHOWN]]
    more = [f"and {len(kinds) - _SHOWN} more"] if len(kinds) > _SHOWN else []
    return "\n".join([*shown, *more])


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:12])) + (", ..." if len(values) > 12 else "")

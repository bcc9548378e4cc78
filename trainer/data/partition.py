"""Simulated hospitals: the subjects of one pool dealt out to clients, evenly or skewed, each subject to one client.

dirichlet: for each class, shares drawn from a symmetric Dirichlet distribution (Yurochkin et al., ICML 2019; Hsu,
Qi and Brown, arXiv:1909.06335), so that clients differ in what they see. quantity: one such draw of how many subjects
each client has. A small concentration is uneven, a large one even.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.config import DataConfig
from trainer.data.site import Site, pooled
from trainer.data.subject import Prepared
from trainer.errors import DataError

SIZE_GROUPS = 3  # of subjects by labelled area, where there is one class beside the background
_STREAM = 3  # of the seed; scanners and noise have 0 to 2


@dataclass(frozen=True)
class Dealt:
    """`clients`: positions of subjects, ascending, for each client. `moved`: how many were moved to those who would
    have had too few.
    """

    clients: tuple[tuple[int, ...], ...]
    moved: int


def simulated(sites: list[Site], data: DataConfig, class_count: int, seed: int) -> tuple[list[Site], list[str]]:
    """The subjects of all `sites` dealt to `data.clients` simulated hospitals, and the statement of how.

    `class_count`: of the class map that the scans' targets follow; 0 for restoration. Raises DataError if there are
    too few subjects, or dirichlet has no classes to go by.
    """
    scans = pooled(sites)
    subjects = sorted({scan.pair.subject for scan in scans})
    groups, by = [0] * len(subjects), ""
    if data.partition == "dirichlet":
        if not class_count:
            raise DataError("data.partition=dirichlet goes by classes, which restoration has not; use quantity")
        groups, by = class_groups(_class_counts(scans, subjects, class_count))
    dealt = deal(groups, data, seed)
    hospitals = []
    for number, positions in enumerate(dealt.clients, start=1):
        own = {subjects[position] for position in positions}
        hospitals.append(Site(f"hospital-{number}", tuple(scan for scan in scans if scan.pair.subject in own)))
    return hospitals, [_statement(data, len(subjects), len(sites), by, dealt, seed)]


def deal(groups: Sequence[int], data: DataConfig, seed: int) -> Dealt:
    """Positions of `groups` (a subject's group each) dealt to `data.clients`, as `data.partition` says.

    A function of the arguments alone. Every position goes to one client; every client gets at least
    `data.min_subjects`. Raises DataError if there are not enough for that.
    """
    count, clients, least = len(groups), data.clients, data.min_subjects
    if count < clients * least:
        raise DataError(
            f"{count} subject(s) are too few for data.clients={clients} with data.min_subjects={least} each: "
            "lower data.clients"
        )
    generator = np.random.default_rng([seed, _STREAM])
    dealt: list[list[int]] = [[] for _ in range(clients)]
    for group in sorted(set(groups)) if data.partition == "dirichlet" else [None]:
        members = [position for position in range(count) if group is None or groups[position] == group]
        order = generator.permutation(members)
        shares = (
            np.full(clients, 1 / clients)
            if data.partition == "even"
            else generator.dirichlet(np.full(clients, data.concentration))
        )
        ends = np.rint(np.cumsum(shares) * len(members)).astype(int)
        ends[-1] = len(members)
        for client, part in enumerate(np.split(order, ends[:-1])):
            dealt[client] += part.tolist()
    moved = 0
    while min(map(len, dealt)) < least:
        poorest = min(range(clients), key=lambda client: len(dealt[client]))
        richest = max(range(clients), key=lambda client: len(dealt[client]))
        dealt[poorest].append(dealt[richest].pop())
        moved += 1
    return Dealt(tuple(tuple(sorted(positions)) for positions in dealt), moved)


def class_groups(counts: npt.NDArray[np.int64]) -> tuple[list[int], str]:
    """`counts` int64[subjects, classes] of pixels -> a group for each subject, and what the groups are.

    With several classes beside the background, the class of which a subject holds the largest share of the pool's
    pixels, so that small classes count as much as large ones; with one, the third of the subjects, by labelled area,
    that it belongs to.
    """
    foreground = counts[:, 1:].astype(np.float64)
    if foreground.shape[1] > 1:
        shares = foreground / np.maximum(foreground.sum(axis=0), 1.0)
        return shares.argmax(axis=1).tolist(), "the class a subject shows most of, relative to the pool"
    ranks = foreground[:, 0].argsort(kind="stable").argsort(kind="stable")
    return (ranks * SIZE_GROUPS // len(counts)).tolist(), "thirds of the subjects by labelled area"


def _class_counts(scans: list[Prepared], subjects: list[str], classes: int) -> npt.NDArray[np.int64]:
    where = {subject: position for position, subject in enumerate(subjects)}
    counts = np.zeros((len(subjects), classes), dtype=np.int64)
    for scan in scans:
        counts[where[scan.pair.subject]] += np.bincount(_labels(scan.targets), minlength=classes)
    return counts


def _labels(targets: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    return targets.ravel().astype(np.int64)


def _statement(data: DataConfig, subjects: int, sites: int, by: str, dealt: Dealt, seed: int) -> str:
    origin = "one site" if sites == 1 else f"{sites} sites pooled"
    how = {
        "even": "evenly",
        "quantity": f"in quantities drawn with concentration {data.concentration:g}",
        "dirichlet": f"by {by}, with concentration {data.concentration:g}",
    }[data.partition]
    sizes = ", ".join(str(len(positions)) for positions in dealt.clients)
    moved = f", {dealt.moved} moved for that" if dealt.moved else ""
    return (
        f"simulated hospitals: {subjects} subjects of {origin} dealt out {how} (data.partition={data.partition}, "
        f"seed {seed}); each subject to one hospital, at least {data.min_subjects} each{moved}: {sizes}"
    )

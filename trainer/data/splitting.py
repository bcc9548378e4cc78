"""Which slices and subjects train and which test, so that nothing tested was seen next door.

Neighbouring slices of one volume are nearly the same image: testing between two training slices measures
memory. Slices of one volume are therefore held out in contiguous blocks with a gap on both sides.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from trainer.errors import DataError

TEST_BLOCKS = 3  # low, middle and high slices

Item = TypeVar("Item")


@dataclass(frozen=True)
class Split:
    """Positions that train and positions that test, ascending."""

    train: tuple[int, ...]
    test: tuple[int, ...]


def split_slices(count: int, clients: int, test_fraction: float, gap: int) -> tuple[Split, ...]:
    """Deal `count` neighbouring slices of one volume to `clients`; every client gets training and test slices.

    The volume is cut into alternating runs, training first and last, with `gap` slices dropped between two
    runs: every test slice of any client is more than `gap` slices away from every training slice of any client.
    Each run is cut into one contiguous piece per client; who comes first rotates, and all clients' totals
    differ by at most one. There are three test runs, or fewer if that leaves somebody without slices.
    Raises DataError if even one test run is too many.
    """
    for blocks in range(TEST_BLOCKS, 0, -1):
        usable = count - 2 * gap * blocks
        held_out = max(clients, round(test_fraction * usable))
        training = usable - held_out
        if training >= max(clients, blocks + 1) and held_out >= blocks:
            return _deal(_runs(training, held_out, blocks, gap), clients)
    raise DataError(
        f"{count} slices cannot be split into training and test blocks for {clients} client(s) with a gap of {gap}: "
        "lower data.clients or data.gap"
    )


def _runs(training: int, held_out: int, blocks: int, gap: int) -> list[tuple[bool, range]]:
    """The alternating runs (is it a test run, its slices) from the first slice to the last."""
    train_sizes, test_sizes = _parts(training, blocks + 1), _parts(held_out, blocks)
    runs, start = [], 0
    for index in range(2 * blocks + 1):
        is_test = index % 2 == 1
        size = (test_sizes if is_test else train_sizes)[index // 2]
        runs.append((is_test, range(start, start + size)))
        start += size + gap
    return runs


def _parts(total: int, parts: int) -> list[int]:
    return [total // parts + (index < total % parts) for index in range(parts)]


def _deal(runs: list[tuple[bool, range]], clients: int) -> tuple[Split, ...]:
    dealt: list[dict[bool, list[int]]] = [{False: [], True: []} for _ in range(clients)]
    richer = {False: 0, True: 0}  # the next client to get one slice more, so that totals stay within one
    for turn, (is_test, run) in enumerate(runs):
        sizes = [len(run) // clients] * clients
        for extra in range(len(run) % clients):
            sizes[(richer[is_test] + extra) % clients] += 1
        richer[is_test] = (richer[is_test] + len(run)) % clients
        start = run.start
        for place in range(clients):
            client = (turn // 2 + place) % clients
            dealt[client][is_test] += range(start, start + sizes[client])
            start += sizes[client]
    return tuple(Split(tuple(part[False]), tuple(part[True])) for part in dealt)


def split_subjects(subjects: Sequence[str], site: str, test_fraction: float, seed: int) -> Split:
    """Hold out a share of `subjects` (two or more), at least one and not all; as drawn from (seed, site).

    One site's draw does not depend on any other site. Positions refer to `subjects` in sorted order.
    """
    generator = np.random.default_rng([seed, zlib.crc32(site.encode())])
    order = generator.permutation(len(subjects))
    held_out = min(max(1, round(test_fraction * len(subjects))), len(subjects) - 1)
    return Split(tuple(sorted(order[held_out:].tolist())), tuple(sorted(order[:held_out].tolist())))


def limited(split: Split, max_slices: int | None) -> Split:
    """`split` with at most `max_slices` training positions, evenly spread, and the test set cut in proportion."""
    if max_slices is None or len(split.train) <= max_slices:
        return split
    kept_tests = max(1, round(len(split.test) * max_slices / len(split.train)))
    return Split(evenly(split.train, max_slices), evenly(split.test, kept_tests))


def evenly(items: Sequence[Item], count: int) -> tuple[Item, ...]:
    """`count` of `items`, evenly spread; all of them if there are no more than that."""
    if len(items) <= count:
        return tuple(items)
    return tuple(items[(2 * index + 1) * len(items) // (2 * count)] for index in range(count))

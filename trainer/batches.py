"""Batch order and the parts of a batch.

The order is a function of seed, client, round and epoch alone: a resumed run sees the same batches.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor


def epoch_batches(
    samples: int, batch_size: int, *, seed: int, client: int, round: int, epoch: int
) -> Iterator[Tensor]:
    """Index tensors (int64[<= batch_size]) covering 0..samples-1 once, shuffled."""
    order = np.random.default_rng([seed, client, round, epoch]).permutation(samples)
    yield from torch.from_numpy(order).split(batch_size)


def part_sizes(images: int, micro_batches: int) -> list[int]:
    """Images of each part of a batch cut into `micro_batches`, at least one in each: sizes differ by one at most."""
    parts = min(images, micro_batches)
    return [images * (part + 1) // parts - images * part // parts for part in range(parts)]

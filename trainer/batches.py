"""Batch order, a function of seed, client, round and epoch alone: a resumed run sees the same batches."""

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

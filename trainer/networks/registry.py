"""Which networks there are, and which tasks each serves."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

import torch

from trainer.config import NetworkConfig
from trainer.errors import ConfigError
from trainer.networks import redcnn, unet
from trainer.networks.split import SplitNetwork


@dataclass(frozen=True)
class Entry:
    """A network: `make(config, in_channels, out_channels)` draws from torch's global CPU generator."""

    make: Callable[[NetworkConfig, int, int], SplitNetwork]
    tasks: tuple[str, ...]


NETWORKS = {
    "unet": Entry(unet.build, ("segmentation", "restoration")),
    "redcnn": Entry(redcnn.build, ("restoration",)),
}


def build(network: NetworkConfig, in_channels: int, out_channels: int, seed: int) -> SplitNetwork:
    """The configured network on the CPU, its weights a function of `seed` alone (0 to 2^63-1).

    The global random generators are left as they were.
    Raises ConfigError for an unknown name, or sizes the network cannot have.
    """
    entry = _entry(network.name)
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would also reseed the generators of the accelerators.
        torch.default_generator.manual_seed(seed)
        return entry.make(network, in_channels, out_channels)


def check_serves(network: NetworkConfig, task: str) -> None:
    """Raise ConfigError, naming the networks that would do, unless the configured one serves `task`."""
    if task in _entry(network.name).tasks:
        return
    fitting = ", ".join(name for name, entry in NETWORKS.items() if task in entry.tasks)
    raise ConfigError(
        f"network.name={network.name} does not serve training.task={task}: set network.name to one of "
        f"{fitting}, or training.task to one of {', '.join(_entry(network.name).tasks)}"
    )


def _entry(name: str) -> Entry:
    if name in NETWORKS:
        return NETWORKS[name]
    close = difflib.get_close_matches(name, NETWORKS, n=1)
    raise ConfigError(
        f"unknown network.name={name!r}"
        + (f"; did you mean {close[0]!r}?" if close else "")
        + f" (known: {', '.join(NETWORKS)})"
    )

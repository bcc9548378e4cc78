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
    """A network: `make(config, in_channels, out_channels, add_input)` draws from torch's global CPU generator.

    `client_levels`: the cuts it can have, by what `network.client_levels` may be; () where there is one cut only.
    """

    make: Callable[[NetworkConfig, int, int, bool], SplitNetwork]
    tasks: tuple[str, ...]
    client_levels: tuple[int, ...] = ()


_U_NET_CUTS = tuple(range(1, unet.POOLINGS))
NETWORKS = {
    "unet": Entry(unet.build, ("segmentation", "restoration"), _U_NET_CUTS),
    "residual-unet": Entry(unet.build_residual, ("segmentation", "restoration"), _U_NET_CUTS),
    "redcnn": Entry(lambda network, inputs, outputs, _: redcnn.build(network, inputs, outputs), ("restoration",)),
}


def build(
    network: NetworkConfig, in_channels: int, out_channels: int, seed: int, add_input: bool = False
) -> SplitNetwork:
    """The configured network on the CPU, its weights a function of `seed` alone (0 to 2^63-1).

    `add_input`: whether the image is added to the output, which then must have as many channels; RED-CNN does so in
    any case. The global random generators are left as they were.
    Raises ConfigError for an unknown name, or sizes the network cannot have.
    """
    entry = _entry(network.name)
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would also reseed the generators of the accelerators.
        torch.default_generator.manual_seed(seed)
        return entry.make(network, in_channels, out_channels, add_input)


def choices(network: NetworkConfig) -> tuple[NetworkConfig, ...]:
    """The configuration at every cut that its network can have, the one nearest to the image first."""
    levels = _entry(network.name).client_levels
    return tuple(network.model_copy(update={"client_levels": level}) for level in levels) or (network,)


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

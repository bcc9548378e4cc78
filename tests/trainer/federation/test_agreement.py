"""What parties must be configured alike in."""

from __future__ import annotations

import pytest

from trainer.config import load
from trainer.errors import ConfigError
from trainer.federation.agreement import agreement, check_agreement

VOLUMES = ("network.dimensions=3", "data.depth=16", "data.spacing=[1,1,3]")


@pytest.mark.parametrize("change", ["data.depth=32", "data.spacing=[1,1,2]", "data.image_size=64"])
def test_volumes_of_another_size_or_voxel_are_no_agreement(change: str) -> None:
    with pytest.raises(ConfigError, match=r"differs from .* of volumes, data\.depth and data\.spacing"):
        check_agreement(load((), [*VOLUMES, change]), agreement(load((), VOLUMES)))


@pytest.mark.parametrize(
    "own", ["data.source=folder", "data.path=/here", "data.intensity=window", "data.max_slices=4"]
)
def test_a_sites_own_images_and_how_they_are_read_are_its_affair(own: str) -> None:
    check_agreement(load((), [*VOLUMES, own]), agreement(load((), VOLUMES)))


def test_the_voxels_of_slices_are_each_sites_affair() -> None:
    check_agreement(load((), ["data.spacing=[1,1,3]"]), agreement(load()))

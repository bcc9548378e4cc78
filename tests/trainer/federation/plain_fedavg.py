"""The examples' training averaged in the clear, computed apart from them, and the material of their keys."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from he_core import SecretBundle

# Two rounds of two clients, 60 examples where each could have 100: a mean is off by half a step per client, times
# 100 / 60. Steps of 16 bits: limits are 2 in the first round and at most 4 times a mean below 3 in the second.
TOLERANCE = 2 * 0.5 * (100 / 60) * (2 + 12) / (2**15 - 1)


def trained(slope: NDArray, offset: NDArray, site: int) -> tuple[NDArray, NDArray, int]:
    """A site's weights after a round, and its number of examples."""
    examples = 20 * (site + 1)
    x = np.random.default_rng(site).normal(size=(examples, 3)).astype(np.float32)
    y = x @ np.array([1, -2, 3], np.float32) + site
    for _ in range(10):
        error = x @ slope + offset - y
        slope, offset = slope - 0.1 * x.T @ error / examples, offset - 0.1 * error.mean(keepdims=True)
    return slope, offset, examples


def average(rounds: int, sites: int = 2) -> dict[str, NDArray]:
    """The global weights after `rounds`."""
    slope, offset = np.zeros(3), np.zeros(1)
    for _ in range(rounds):
        results = [trained(slope, offset, site) for site in range(sites)]
        counts = [result[2] for result in results]
        slope = np.average([result[0] for result in results], axis=0, weights=counts)
        offset = np.average([result[1] for result in results], axis=0, weights=counts)
    return {"slope": slope, "offset": offset}


def forms_of(secret: SecretBundle) -> Iterator[bytes]:
    """Every secret byte string, raw, in hex and as in a key file."""
    assert secret.verification_key is not None
    for material in (*secret.material.values(), secret.verification_key):
        yield from (material, material.hex().encode(), base64.b64encode(material))


def files_with(folder: Path, secret: SecretBundle) -> list[Path]:
    """Files under `folder` in which secret material is found."""
    forms = list(forms_of(secret))
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files, f"nothing is in {folder}: there is nothing to search"
    return [path for path in files if any(form in path.read_bytes() for form in forms)]

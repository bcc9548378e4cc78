"""A made-up result, of two targets and a peer, and records as pytest-benchmark makes them, for tests of readers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import resultfile

STEPS = ("encrypt", "add", "decrypt")


def benchmark(median_s: float, *, values: int = 1_000_000, **extra: Any) -> dict[str, Any]:
    """A benchmark of ours."""
    row = {
        "group": "encrypt",
        "values": values,
        "who": "ours, native",
        "what": "array to frame",
        "bytes": round(2.75 * values),
        "error": 4e-7,
        "clients": None,
        "bits": 16,
        "seconds": None,
        "parts": None,
        "note": "",
        "encrypts": True,
        "is_peer": False,
        "is_headline": True,
    }
    return {
        "extra_info": row | extra,
        "stats": {"rounds": 5, "median": median_s, "min": median_s / 2, "max": 2 * median_s},
    }


def peer(median_s: float, **extra: Any) -> dict[str, Any]:
    """A benchmark of a peer's."""
    return benchmark(median_s, **({"who": "Peer 1.0", "is_peer": True, "note": "128 bits"} | extra))


def result(targets: Sequence[str] = ("avx2",), seconds: float = 0.01) -> resultfile.Result:
    """Every step of ours under every target, a peer's, and a growth of each kind."""
    rows = []
    for step in STEPS:
        for target in targets:
            rows += resultfile.rows_of(benchmark(seconds, group=step), target)
        rows += resultfile.rows_of(peer(1.0, group=step), targets[0])
    for clients in (4, 16):
        about = {"clients": clients, "what": "server: sum", "is_headline": False}
        about["group"] = "growth with clients, 100,000 values"
        rows += resultfile.rows_of(benchmark(seconds * clients, values=100_000, **about), targets[0])
    for values in (4_897, 1_000_000):
        about = {"group": "growth with values", "clients": 2, "what": "client: all", "is_headline": False}
        rows += resultfile.rows_of(benchmark(seconds * values / 1e6, values=values, **about), targets[0])
    parts = {"client encrypt": [seconds], "client decrypt": [seconds / 2], "server add": [seconds / 9]}
    about = {"group": "stages of a round", "what": "stages", "is_headline": False, "parts": parts}
    rows += resultfile.rows_of(benchmark(seconds * 2, **about), targets[0])
    return {
        "format": resultfile.FORMAT,
        "version": "short",
        "dcsfl": "1.0",
        "machine": {
            "system": "Linux 6",
            "python": "3.11",
            "cpu": {"model": "Model 1", "cache": "1 KB", "telling_flags": ["avx2"]},
            "cores": 2,
            "gmp": "6",
            "versions": {"numpy": "2"},
        },
        "commit": {"id": "abc", "time": "2026-01-01T00:00:00", "dirty": True},
        "date": "2026-01-01T00:00:00",
        "targets": list(targets),
        "schemes": {"ours, native": {"encrypts": True, "security_bits": 128, "exact": True, "summary": "lattices"}},
        "parameters": {"threads": "one"},
        "left_out": ["nobody: too slow"],
        "rows": rows,
    }

"""What a figure depends on: processor, instruction sets, kernels, versions."""

from __future__ import annotations

import importlib
import json
import os
import platform
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from he_core import registry

# The sets that choose a kernel here or in GMP; the full list is in pytest-benchmark's own record.
TELLING_FLAGS = ("avx2", "adx", "bmi2", "avx512f", "avx512ifma", "avx512_vbmi2", "vaes")
PACKAGES = (
    "gmpy2",
    "numpy",
    "numba",
    "google-crc32c",
    "torch",
    "phe",
    "tenseal",
    "sf_heu",
    "seal-python",
    "desilofhe",
    "pypaillier",
)


def facts() -> dict[str, Any]:
    """JSON-able; goes into every record."""
    import gmpy2

    return {
        "cpu": cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "kernels": kernels(),
        "gmp": gmpy2.mp_version(),
        "versions": versions(),
        "schemes": schemes(),
    }


def file_name(facts: dict[str, Any]) -> str:
    """What records of this machine are called, without an ending: its processor's model."""
    return re.sub(r"[^a-z0-9]+", "-", facts["cpu"]["model"].lower()).strip("-")


def write_record(folder: Path, measured: dict[str, Any]) -> Path:
    """Write `measured`, and where it was, to the machine's file in `folder`; returns that."""
    found = facts()
    target = folder / f"{file_name(found)}.json"
    record = measured | {"machine": {key: found[key] for key in ("cpu", "cores", "versions")}}
    folder.mkdir(exist_ok=True)
    target.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return target


def measured_apart(script: str, *arguments: object) -> Any:
    """What `script`, run with `arguments` in a process of its own, prints as its last line, in JSON."""
    command = [sys.executable, script, *map(str, arguments)]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(said.stdout.splitlines()[-1])


def schemes() -> dict[str, Any]:
    """What can run here, by the name that rows carry: whether it encrypts, at which security, in a line."""
    able = [status for status in registry.default().statuses() if status.capabilities is not None]
    return {
        f"{status.scheme}, {status.backend}": {
            name: getattr(status.capabilities, name) for name in ("encrypts", "security_bits", "exact", "summary")
        }
        for status in able
    }


def cpu() -> dict[str, Any]:
    """Model and flags of the first processor, as Linux tells them."""
    text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").partition("\n\n")[0]
    lines = (line.partition(":") for line in text.splitlines())
    found = {name.strip(): value.strip() for name, _, value in lines}
    flags = found.get("flags", "").split()
    return {
        "model": found.get("model name", platform.machine()),
        "cache": found.get("cache size", "unknown"),
        "telling_flags": [flag for flag in TELLING_FLAGS if flag in flags],
    }


def kernels() -> dict[str, Any]:
    """The target in use and all that run here; numba where no compiler built the extension."""
    try:
        native = importlib.import_module("he_core._native")
    except ModuleNotFoundError:
        return {"target": "numba", "targets": ["numba"]}
    return {"target": native.target(), "targets": list(native.targets())}


def versions() -> dict[str, str]:
    """Of the packages that are installed here."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

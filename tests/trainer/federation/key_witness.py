"""Says which secrets a process holds: run inside the parties of an example, servers and, for comparison, clients."""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path

from he_core import Decryptor, SecretBundle, Verifier
from he_core.keys import SecretKey

SECRETS = (SecretBundle, SecretKey, Verifier, Decryptor)


def report(folder: Path, role: str) -> None:
    """Write the names of the classes of all secrets alive in this process to a file that names the role."""
    held = sorted({type(thing).__name__ for thing in gc.get_objects() if isinstance(thing, SECRETS)})
    text = json.dumps({"pid": os.getpid(), "held": held, "torch": "torch" in sys.modules})
    (folder / f"{role}-{os.getpid()}.json").write_text(text, encoding="utf-8")


def reports(folder: Path, role: str) -> list[dict]:
    """What processes of a role have reported."""
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob(f"{role}-*.json"))]

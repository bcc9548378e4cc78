"""What all parties of a federation must be configured alike in, and the check that they are."""

from __future__ import annotations

import hashlib
import json

from trainer.config import Config
from trainer.errors import ConfigError

SECTIONS = ("network", "training", "method", "encryption")
LOCAL_KEYS = frozenset({"encryption.key_folder", "encryption.backend", "training.threads", "training.rounds"})
"""Keys of those sections that are each party's own affair; rounds are the coordinator's."""


def agreement(config: Config) -> str:
    """SHA-256, in hexadecimal, of what must be alike: how to train, how to encrypt, the seed."""
    tree = config.model_dump(mode="json")
    common = {
        f"{section}.{key}": value
        for section in SECTIONS
        for key, value in tree[section].items()
        if f"{section}.{key}" not in LOCAL_KEYS
    }
    common |= {"run.seed": config.run.seed, "data.image_size": config.data.image_size}
    if config.data.depth is not None:
        common |= {"data.depth": config.data.depth, "data.spacing": config.data.spacing}
    canonical = json.dumps(common, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(b"dcsfl agreement 1\0" + canonical.encode()).hexdigest()


def check_agreement(config: Config, theirs: str) -> None:
    """Raise ConfigError where the coordinator's configuration is another than this site's."""
    ours = agreement(config)
    if ours != theirs:
        raise ConfigError(
            f"this site's configuration (agreement {ours[:16]}…) differs from the coordinator's ({theirs[:16]}…) in "
            f"one of the sections {', '.join(SECTIONS)}, in run.seed, data.image_size or, of volumes, data.depth and "
            f"data.spacing: a site's own file may set the rest of data, run.device, run.threads, "
            f"{', '.join(sorted(LOCAL_KEYS))}, and nothing else that they must share"
        )

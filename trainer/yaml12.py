"""YAML as 1.2 has it: `off`, `on`, `yes`, `no` and dates are text, and 1e-4 is a number."""

from __future__ import annotations

import math
import re
from typing import Any, ClassVar

import yaml

_YAML_1_1_ONLY = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("bool", "float", "timestamp"))


class _Yaml12Loader(yaml.SafeLoader):
    """YAML 1.2's scalars: `off`, `on`, `yes`, `no` and 2026-01-31 are text, and 1e-4 is a number."""

    yaml_implicit_resolvers: ClassVar = {  # type: ignore[misc]  # the stubs have it as an instance's
        first: [entry for entry in entries if entry[0] not in _YAML_1_1_ONLY]
        for first, entries in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class _Yaml12Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.1 or 1.2 would take for something else, so that either kind of reader agrees."""


for _yaml in (_Yaml12Loader, _Yaml12Dumper):
    _yaml.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$", re.IGNORECASE), "tTfF")
    _yaml.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.inf|\.nan)$"),
        "-+.0123456789",
    )


def yaml_text(content: Any, *, flow: bool = False) -> str:
    """`content`, of what JSON can hold, as YAML; all in one line of braces and brackets if `flow`."""
    return yaml.dump(
        content, Dumper=_Yaml12Dumper, sort_keys=False, allow_unicode=True, default_flow_style=flow, width=math.inf
    )


def load_yaml(text: str) -> Any:
    """What `text` says, plain values alone. Raises yaml.YAMLError."""
    return yaml.load(text, _Yaml12Loader)

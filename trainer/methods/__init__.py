"""The methods users compare, small, over the same parties. `METHODS` is the table; `method_for` looks one up."""

from __future__ import annotations

from difflib import get_close_matches

from trainer.errors import ConfigError
from trainer.methods.base import Method
from trainer.methods.centralised import Centralised
from trainer.methods.local import Local
from trainer.methods.split_federated import DcSfl, SplitFedV1

METHODS: dict[str, type[Method]] = {method.name: method for method in (DcSfl, SplitFedV1, Local, Centralised)}


def method_for(name: str) -> Method:
    """The method called `name`. Raises ConfigError offering the nearest name."""
    if name not in METHODS:
        close = get_close_matches(name, METHODS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"unknown method.name={name!r}{hint} (known: {', '.join(METHODS)})")
    return METHODS[name]()

"""The methods users compare, small, over the same parties. `METHODS` is the table; `method_for` looks one up."""

from __future__ import annotations

from difflib import get_close_matches

from trainer.errors import ConfigError
from trainer.methods.base import Method
from trainer.methods.centralised import Centralised
from trainer.methods.fedavg import FedAvg
from trainer.methods.fedprox import FedProx
from trainer.methods.local import Local
from trainer.methods.split_federated import DcSfl, SplitFedV1
from trainer.methods.splitfed_v2 import SplitFedV2
from trainer.methods.splitnn import SplitNN

METHODS: dict[str, type[Method]] = {
    method.name: method for method in (DcSfl, SplitFedV1, SplitFedV2, SplitNN, FedAvg, FedProx, Local, Centralised)
}


def method_for(name: str) -> Method:
    """The method called `name`. Raises ConfigError offering the nearest name."""
    if name not in METHODS:
        close = get_close_matches(name, METHODS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"unknown method.name={name!r}{hint} (known: {', '.join(METHODS)})")
    return METHODS[name]()

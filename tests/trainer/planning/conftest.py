"""Schemes made to be planned with: slow ones, broken ones, and ones that state no error."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from he_core import Codec, HeCoreError, Scheme, registry
from he_core.errors import ParameterError
from he_core.params import PlainParameters, UnquantisedParameters
from he_core.registry import Registration, Registry
from he_core.schemes.uncovered import Plain, Unquantised


class Slow(Plain):
    """Encryption takes a fifth of a millisecond a value."""

    def encrypt(self, *arguments: Any) -> np.ndarray:
        time.sleep(2e-4 * arguments[2].value_count)
        return super().encrypt(*arguments)


class Broken(Plain):
    """Breaks when it is used."""

    def encrypt(self, *arguments: Any) -> np.ndarray:
        raise HeCoreError("the worker has ended")


class Narrow(Plain):
    """Has no room for anything."""

    def plaintext(self, shape: Any) -> Any:
        raise ParameterError("bits", shape.bits, "does not fit the ring; lower it to 3")


class Unstated(Unquantised):
    """Says nothing of its error."""

    def mean_error(self, codec: Codec) -> None:  # type: ignore[override]
        return None


def _registration(made: type[Plain] | type[Unquantised], name: str, obstacle: str | None = None) -> Registration:
    base = PlainParameters if issubclass(made, Plain) else UnquantisedParameters
    parameters = type("Parameters", (base,), {"scheme": name})
    return Registration(parameters, "here", lambda parameters, threads: made(parameters), lambda: obstacle)


@pytest.fixture
def slow() -> Scheme:
    """See `Slow`."""
    return Slow(PlainParameters())


@pytest.fixture
def odd_registry() -> Registry:
    """`plain`, `broken`, `narrow`, `unstated`, and `vax`, which cannot run here."""
    odd = Registry()
    for made, name in ((Plain, "plain"), (Broken, "broken"), (Narrow, "narrow"), (Unstated, "unstated")):
        odd.register(_registration(made, name))
    odd.register(_registration(Plain, "vax", "needs a VAX; buy one"))
    return odd


@pytest.fixture
def quick_registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """`rlwe` on its first backend here, `plain` and `none`: in place of all, for commands that take no second."""
    everything = registry.default()
    quick = Registry()
    for name in ("rlwe", "plain", "none"):
        made = everything.create(name)
        status = next(s for s in everything.statuses() if (s.scheme, s.backend) == (name, made.backend))
        quick.register(
            Registration(
                status.parameters,
                status.backend,
                lambda parameters, threads, status=status: everything.create(
                    status.scheme, status.backend, parameters.as_dict(), threads=threads
                ),
            )
        )
    monkeypatch.setattr(registry, "default", lambda: quick)
    return quick

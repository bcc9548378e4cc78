"""(scheme, backend) -> a scheme object. The only place that knows which combinations exist.

Others add schemes through the entry-point group `dcsfl.schemes`: each entry loads a callable that takes the
`Registry` and calls `register` on it.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from he_core.arith.kernels import RlweKernels
from he_core.errors import BackendUnavailableError, ParameterError, UnknownNameError
from he_core.params import (
    BfvParameters,
    CkksParameters,
    PaillierParameters,
    PlainParameters,
    RlweParameters,
    SchemeParameters,
    UnquantisedParameters,
)
from he_core.scheme import Capabilities, Scheme

ENTRY_POINT_GROUP = "dcsfl.schemes"
SCHEME_NAME = re.compile(r"[!-~]{1,16}")  # as frames carry it


@dataclass(frozen=True)
class Registration:
    """How to make one scheme with one backend.

    build: (validated parameters, threads) -> Scheme; imports what it needs.
    obstacle: None where the backend can run here, else the reason with what to install.
    """

    parameters: type[SchemeParameters]
    backend: str
    build: Callable[[Any, int], Scheme]
    obstacle: Callable[[], str | None] = lambda: None

    @property
    def scheme(self) -> str:
        return self.parameters.scheme


@dataclass(frozen=True)
class Status:
    """One row of `dcsfl-train schemes`."""

    scheme: str
    backend: str
    obstacle: str | None
    capabilities: Capabilities | None  # with default parameters; None where the backend cannot run here
    parameters: type[SchemeParameters]

    @property
    def can_be_split(self) -> bool:
        """Whether parameters `threshold` and `clients` make its key a threshold group's."""
        return "threshold" in {field.name for field in fields(self.parameters)}


class Registry:
    """Registrations by scheme, in order of preference."""

    def __init__(self) -> None:
        self._registrations: dict[str, dict[str, Registration]] = {}

    def register(self, registration: Registration) -> None:
        """Add a combination.

        Raises ParameterError where it is taken, or where the scheme's name does not fit a frame's header.
        """
        if not SCHEME_NAME.fullmatch(registration.scheme):
            raise ParameterError("scheme", registration.scheme, "must be 1 to 16 printable ASCII characters")
        backends = self._registrations.setdefault(registration.scheme, {})
        if registration.backend in backends:
            raise ParameterError("backend", registration.backend, f"already registered for {registration.scheme}")
        backends[registration.backend] = registration

    def create(
        self,
        scheme: str,
        backend: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        *,
        threads: int = 0,
    ) -> Scheme:
        """A scheme object from config values.

        backend: the first one available here if None. threads: 0 means every core this process may use.
        Raises UnknownNameError, BackendUnavailableError, ParameterError.
        """
        if scheme not in self._registrations:
            raise UnknownNameError("scheme", scheme, list(self._registrations))
        if threads < 0:
            raise ParameterError("threads", threads, "must be 0 (every core) or more")
        registration = self._choose(scheme, backend)
        literal = registration.parameters.from_literal(parameters or {})
        return registration.build(literal, threads or len(os.sched_getaffinity(0)))

    def statuses(self) -> list[Status]:
        """Every combination, and why it cannot run here where it cannot."""
        found = []
        for backends in self._registrations.values():
            for registration in backends.values():
                obstacle = registration.obstacle()
                capabilities = (
                    registration.build(registration.parameters(), 1).capabilities if obstacle is None else None
                )
                row = Status(
                    registration.scheme, registration.backend, obstacle, capabilities, registration.parameters
                )
                found.append(row)
        return found

    def _choose(self, scheme: str, backend: str | None) -> Registration:
        backends = self._registrations[scheme]
        if backend is not None:
            if backend not in backends:
                raise UnknownNameError(f"backend of scheme {scheme!r}:", backend, list(backends))
            registration = backends[backend]
            obstacle = registration.obstacle()
            if obstacle is not None:
                raise BackendUnavailableError(scheme, backend, obstacle)
            return registration
        obstacles = {}
        for name, registration in backends.items():
            obstacle = registration.obstacle()
            if obstacle is None:
                return registration
            obstacles[name] = obstacle
        raise BackendUnavailableError(scheme, ", ".join(obstacles), "; ".join(obstacles.values()))


@cache
def default() -> Registry:
    """The registry with everything this installation offers."""
    registry = Registry()
    for registration in _own():
        registry.register(registration)
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        entry.load()(registry)
    return registry


def create(
    scheme: str, backend: str | None = None, parameters: Mapping[str, Any] | None = None, *, threads: int = 0
) -> Scheme:
    """`default().create(...)`."""
    return default().create(scheme, backend, parameters, threads=threads)


def _own() -> list[Registration]:
    def paillier_on_native(parameters: PaillierParameters, threads: int) -> Scheme:
        from he_core.arith.paillier_native import NativePaillierArithmetic
        from he_core.schemes.paillier import Paillier

        return Paillier(parameters, NativePaillierArithmetic(threads))

    def paillier_on_gmpy2(parameters: PaillierParameters, threads: int) -> Scheme:
        from he_core.arith.paillier_gmpy2 import Gmpy2PaillierArithmetic
        from he_core.schemes.paillier import Paillier

        return Paillier(parameters, Gmpy2PaillierArithmetic(threads))

    def plain(parameters: PlainParameters, threads: int) -> Scheme:
        from he_core.schemes.uncovered import Plain

        return Plain(parameters)

    def unquantised(parameters: UnquantisedParameters, threads: int) -> Scheme:
        from he_core.schemes.uncovered import Unquantised

        return Unquantised(parameters)

    def rlwe(parameters: RlweParameters, backend: str, kernels: RlweKernels, threads: int) -> Scheme:
        from he_core.arith.ring import RingArithmetic

        arithmetic = RingArithmetic(backend, kernels, threads)
        if parameters.threshold:
            from he_core.schemes.rlwe_threshold import ThresholdRlwe

            return ThresholdRlwe(parameters, arithmetic)
        from he_core.schemes.rlwe import Rlwe

        return Rlwe(parameters, arithmetic)

    def rlwe_on_native(parameters: RlweParameters, threads: int) -> Scheme:
        from he_core.arith import kernels

        return rlwe(parameters, "native", kernels.native().rlwe, threads)

    def rlwe_on_numba(parameters: RlweParameters, threads: int) -> Scheme:
        from he_core.arith import kernels

        return rlwe(parameters, "numba", kernels.portable().rlwe, threads)

    def bfv_on_openfhe(parameters: BfvParameters, threads: int) -> Scheme:
        from he_core.arith.openfhe_backend.lattice import lattice

        arithmetic = lattice(parameters.moduli, threads)
        if parameters.threshold:
            from he_core.schemes.bfv_threshold import ThresholdBfv

            return ThresholdBfv(parameters, arithmetic)
        from he_core.schemes.bfv import Bfv

        return Bfv(parameters, arithmetic)

    def ckks_on_openfhe(parameters: CkksParameters, threads: int) -> Scheme:
        from he_core.arith.openfhe_backend.lattice import lattice
        from he_core.schemes.ckks import Ckks

        return Ckks(parameters, lattice(parameters.moduli, threads))

    return [
        Registration(RlweParameters, "native", rlwe_on_native, _not_built),
        Registration(RlweParameters, "numba", rlwe_on_numba, lambda: _missing("numba")),
        Registration(PaillierParameters, "native", paillier_on_native, _not_built),
        Registration(PaillierParameters, "gmpy2", paillier_on_gmpy2, lambda: _missing("gmpy2")),
        Registration(BfvParameters, "openfhe", bfv_on_openfhe, _no_openfhe),
        Registration(CkksParameters, "openfhe", ckks_on_openfhe, _no_openfhe),
        Registration(PlainParameters, "numpy", plain),
        Registration(UnquantisedParameters, "numpy", unquantised),
    ]


def _not_built() -> str | None:
    if importlib.util.find_spec("he_core._native") is None:
        return "the C extension was not built; reinstall dcsfl with a C compiler and Python's headers"
    return None


def _no_openfhe() -> str | None:
    from he_core.arith.openfhe_backend.lattice import obstacle

    return obstacle()


def _missing(module: str) -> str | None:
    if importlib.util.find_spec(module) is None:
        return f"the package {module} is not installed; pip install {module}"
    return None

"""Every scheme and backend of the registry, calibrated here and predicted for a workload."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from he_core import HeCoreError, registry
from he_core.errors import ParameterError, UnknownNameError
from he_core.registry import Registry, Status
from trainer.planning.calibration import BUDGET_SECONDS, LARGEST, calibrate
from trainer.planning.prediction import Workload, predict
from trainer.planning.recommendation import Candidate

Progress = Callable[[str, float], None]


class Survey:
    """How candidates are found and measured.

    given: scheme -> parameters that the user set; others get their defaults, strengthened to `security_bits`.
    budget_seconds, largest: see `calibrate`.
    """

    def __init__(
        self,
        workload: Workload,
        *,
        security_bits: int = 0,
        given: Mapping[str, Mapping[str, Any]] | None = None,
        threads: int = 0,
        budget_seconds: float = BUDGET_SECONDS,
        largest: int = LARGEST,
        schemes: Registry | None = None,
    ) -> None:
        self._workload = workload
        self._security_bits = security_bits
        self._given = given or {}
        self._threads = threads
        self._budget_seconds = budget_seconds
        self._largest = largest
        self._registry = schemes or registry.default()

    def candidates(self, progress: Progress = lambda name, share: None) -> list[Candidate]:
        """One for every combination, in the registry's order.

        progress: told who is measured and which share of the whole is done.
        Raises UnknownNameError or ParameterError for parameters that the user set and no scheme takes.
        """
        statuses = self._registry.statuses()
        known = list(dict.fromkeys(status.scheme for status in statuses))
        for name in self._given:
            if name not in known:
                raise UnknownNameError("scheme", name, known)
        found = []
        for index, status in enumerate(statuses):

            def tell(share: float, index: int = index, status: Status = status) -> None:
                progress(f"{status.scheme} on {status.backend}", (index + share) / len(statuses))

            tell(0.0)
            found.append(self._candidate(status, tell))
        return found

    def _candidate(self, status: Status, tell: Callable[[float], None]) -> Candidate:
        if status.scheme in self._given:
            parameters = status.parameters.from_literal(self._given[status.scheme])
        else:
            parameters = status.parameters.at_strength(self._security_bits)
        defaults = status.parameters().as_dict()
        literal = {name: value for name, value in parameters.as_dict().items() if value != defaults.get(name)}
        known: dict[str, Any] = {"scheme": status.scheme, "backend": status.backend, "parameters": literal}
        if status.obstacle is not None:
            return Candidate(**known, obstacle=f"cannot run here: {status.obstacle}")
        scheme = self._registry.create(status.scheme, status.backend, literal, threads=self._threads)
        workload = self._workload.under(scheme)
        known |= {"capabilities": scheme.capabilities, "mean_error": scheme.mean_error(workload.codec)}
        known["can_be_split"] = status.can_be_split
        try:
            scheme.payload_bytes(workload.codec.shape)
            calibration = calibrate(
                scheme,
                workload.codec,
                budget_seconds=self._budget_seconds,
                largest=self._largest,
                progress=tell,
            )
            known["prediction"] = predict(workload, scheme, calibration)
        except ParameterError as error:
            return Candidate(**known, obstacle=f"cannot serve this: {error}")
        except HeCoreError as error:
            return Candidate(**known, obstacle=f"failed while it was measured: {error}")
        if known["mean_error"] is None:
            known |= {"mean_error": calibration.mean_error, "is_error_stated": False}
        return Candidate(**known)

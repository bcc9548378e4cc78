"""What this project says of its method, checked against the comparison at hand, whichever way it comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trainer.comparison import statistics
from trainer.comparison.plan import Variant
from trainer.comparison.results import CellResult, Results
from trainer.report import formats
from trainer.run_folder import flatten

WITHIN = 0.01
SHARE = 0.95
SAME = 0.001

UNIT_METRIC = {"dice": "dice", "psnr": "ssim"}
"""For each primary metric the one, with values up to 1, that a difference of 0.01 is meant of."""


@dataclass(frozen=True)
class Claim:
    """holds: of the means over seeds; None where a variant that it needs is missing."""

    statement: str
    holds: bool | None
    figures: str


def check_claims(results: Results) -> list[Claim]:
    """The project's claims in order."""
    subject = results.first("dcsfl")
    return [
        _near(results, subject),
        _most_of(results, subject),
        _above(results, subject),
        _unchanged(results),
    ]


def _near(results: Results, subject: Variant | None) -> Claim:
    metric = UNIT_METRIC[results.primary]
    statement = f"DC-SFL is within {WITHIN} of SplitFed V1, or better ({formats.metric_title(metric)})"
    other = results.first("splitfed-v1")
    differences = _differences(results, subject, other, metric)
    if not differences:
        return Claim(statement, None, _missing("dcsfl", "splitfed-v1"))
    mean = statistics.mean(differences)
    figures = f"{formats.metric_title(metric)} {_signed(mean, metric)} ({_each(differences, metric)})"
    if metric != results.primary:
        others = _differences(results, subject, other, results.primary)
        title = formats.metric_title(results.primary, unit=True)
        figures += f"; {title} {_signed(statistics.mean(others), results.primary)}"
    return Claim(statement, mean >= -WITHIN, figures)


def _most_of(results: Results, subject: Variant | None) -> Claim:
    metrics = list(dict.fromkeys((results.primary, UNIT_METRIC[results.primary])))
    names = " and ".join(formats.metric_title(metric) for metric in metrics)
    statement = f"DC-SFL reaches {SHARE:.0%} of centralised training ({names})"
    other = results.first("centralised")
    shares = {metric: _shares(results, subject, other, metric) for metric in metrics}
    if not shares[results.primary]:
        return Claim(statement, None, _missing("dcsfl", "centralised"))
    figures = "; ".join(
        f"{formats.metric_title(metric)} {formats.percent(statistics.mean(found))} "
        f"(by seed {', '.join(formats.percent(share) for share in found)})"
        for metric, found in shares.items()
    )
    return Claim(statement, all(statistics.mean(found) >= SHARE for found in shares.values()), figures)


def _above(results: Results, subject: Variant | None) -> Claim:
    metric = results.primary
    statement = f"DC-SFL is above the mean of models trained locally ({formats.metric_title(metric)})"
    differences = _differences(results, subject, results.first("local"), metric)
    if not differences:
        return Claim(statement, None, _missing("dcsfl", "local"))
    mean = statistics.mean(differences)
    figures = f"{formats.metric_title(metric)} {_signed(mean, metric)} ({_each(differences, metric)})"
    return Claim(statement, mean > 0, figures)


def _unchanged(results: Results) -> Claim:
    statement = f"Encryption changes no metric, of any client or class, by more than {SAME}"
    twins = _encryption_twins(results)
    if not twins:
        return Claim(
            statement, None, "there are no two variants that differ in encryption.scheme alone, one in plain"
        )
    largest, where = 0.0, ""
    compared = 0
    for one, other in twins:
        for left, right in results.paired(one, other):
            for key, mine, theirs in _all_figures(left, right):
                compared += 1
                if abs(mine - theirs) > largest:
                    largest, where = abs(mine - theirs), f" ({key}, {left.cell.name})"
    names = "; ".join(f"{one.name} and {other.name}" for one, other in twins)
    return Claim(
        statement, largest <= SAME, f"{names}: largest difference {largest:.2g}{where} of {compared} figures"
    )


def _encryption_twins(results: Results) -> list[tuple[Variant, Variant]]:
    """Pairs of an encrypted variant and the same one in plain."""
    found = []
    for one in results.variants:
        for other in results.variants:
            mine, theirs = (results.of(variant)[0].cell.config for variant in (one, other))
            neither: dict[str, Any] = {"scheme": "plain", "backend": None, "parameters": {}}
            same = mine.encryption.model_copy(update=neither) == theirs.encryption.model_copy(update=neither)
            rest = (
                mine.training == theirs.training and mine.network == theirs.network and mine.method == theirs.method
            )
            encrypted = mine.encryption.scheme not in ("plain", "none") and theirs.encryption.scheme == "plain"
            if encrypted and same and rest and one.communicates:
                found.append((one, other))
    return found


def _all_figures(left: CellResult, right: CellResult) -> list[tuple[str, float, float]]:
    mine, theirs = flatten(left.final.model_dump()), flatten(right.final.model_dump())
    return [(key, mine[key], theirs[key]) for key in mine if mine[key] is not None and theirs.get(key) is not None]


def _values(results: Results, one: Variant | None, other: Variant | None, metric: str) -> list[tuple[float, float]]:
    if one is None or other is None:
        return []
    pairs = [
        (left.final.mean.get(metric), right.final.mean.get(metric)) for left, right in results.paired(one, other)
    ]
    return [(mine, theirs) for mine, theirs in pairs if mine is not None and theirs is not None]


def _differences(results: Results, one: Variant | None, other: Variant | None, metric: str) -> list[float]:
    return [mine - theirs for mine, theirs in _values(results, one, other, metric)]


def _shares(results: Results, one: Variant | None, other: Variant | None, metric: str) -> list[float]:
    return [mine / theirs for mine, theirs in _values(results, one, other, metric) if theirs]


def _each(differences: list[float], metric: str) -> str:
    return f"by seed {', '.join(_signed(value, metric) for value in differences)}"


def _signed(value: float, metric: str) -> str:
    return formats.signed_metric(value, metric)


def _missing(*methods: str) -> str:
    return f"needs finished runs of {' and '.join(methods)} with the same seed"

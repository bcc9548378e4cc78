"""Which scheme to choose: the wishes, what speaks against each candidate, and the cheapest that is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from he_core import Codec, Trust
from he_core.scheme import Capabilities
from trainer.planning.prediction import Prediction

TIE = 0.05  # totals nearer than this are told apart by their bytes: a short measurement is no better
MOST_BITS = 24


@dataclass(frozen=True)
class Wishes:
    """What a scheme must offer at least. mean_error: relative to the clip limit; None where any will do."""

    trust: Trust = Trust.SHARED_KEY
    security_bits: int = 0
    mean_error: float | None = None


@dataclass(frozen=True)
class Candidate:
    """A scheme on a backend, and what is known of it here.

    parameters: those that are not the scheme's defaults. obstacle: why there is no prediction, where there is none.
    is_error_stated: by the scheme, else it was measured. can_be_split: whether a threshold is a matter of parameters.
    """

    scheme: str
    backend: str
    parameters: Mapping[str, Any]
    capabilities: Capabilities | None = None
    mean_error: float | None = None
    is_error_stated: bool = True
    prediction: Prediction | None = None
    obstacle: str | None = None
    can_be_split: bool = False

    @property
    def name(self) -> str:
        return f"{self.scheme} on {self.backend}"


@dataclass(frozen=True)
class Recommendation:
    """The choice, or None where no candidate fulfils every wish, and why in a sentence."""

    candidate: Candidate | None
    why: str


def objections(candidate: Candidate, wishes: Wishes, codec: Codec) -> tuple[str, ...]:
    """Why `candidate` is ruled out, each with the way out where there is one; empty where it is not."""
    found = [candidate.obstacle] if candidate.obstacle is not None else []
    offered = candidate.capabilities
    if offered is not None and offered.trust < wishes.trust:
        found.append(f"trust {offered.trust.label}, wanted {wishes.trust.label}")
    if offered is not None and offered.security_bits < wishes.security_bits:
        found.append(f"security of {offered.security_bits} bits, wanted {wishes.security_bits}")
    error = candidate.mean_error
    if error is not None and wishes.mean_error is not None and error > wishes.mean_error:
        reason = f"error {error:.1e}, wanted {wishes.mean_error:.1e}"
        enough = bits_for(wishes.mean_error, codec)
        if offered is not None and offered.exact and enough is not None:
            reason += f"; --bits {enough} reaches it"
        found.append(reason)
    return tuple(found)


def bits_for(mean_error: float, codec: Codec) -> int | None:
    """The fewest bits, above the codec's, with which quantising costs no more than that; None if none will do."""
    for bits in range(codec.bits + 1, MOST_BITS + 1):
        # One addend, so that no guard bits are in the way: whether a scheme has room for both, it says itself.
        if replace(codec, bits=bits, k_max=1).relative_error <= mean_error:
            return bits
    return None


def recommend(candidates: Sequence[Candidate], wishes: Wishes, codec: Codec) -> Recommendation:
    """The least seconds a round among those that fulfil every wish; the fewest bytes among equals."""
    fitting = {
        index: candidate.prediction
        for index, candidate in enumerate(candidates)
        if candidate.prediction is not None and not objections(candidate, wishes, codec)
    }
    if not fitting:
        return Recommendation(None, _unfulfilled(candidates, wishes, codec))
    fastest = min(prediction.total_seconds for prediction in fitting.values())
    level = {index: p for index, p in fitting.items() if p.total_seconds <= fastest * (1 + TIE)}
    chosen = min(level, key=lambda index: (level[index].total_bytes, level[index].total_seconds))
    return Recommendation(candidates[chosen], _reason(chosen, fitting, level, candidates))


def _reason(
    chosen: int, fitting: dict[int, Prediction], level: dict[int, Prediction], candidates: Sequence[Candidate]
) -> str:
    best = fitting[chosen]
    share = best.transfer_seconds / best.total_seconds
    says = f"{candidates[chosen].name} takes {best.total_seconds:.3g} s a round, {share:.0%} of it on the line"
    others = {index: prediction for index, prediction in fitting.items() if index != chosen}
    if not others:
        return f"{says}; nothing else that runs here fulfils every wish"
    next_best = min(others, key=lambda index: others[index].total_seconds)
    name, seconds = candidates[next_best].name, others[next_best].total_seconds
    if next_best not in level:
        return f"{says}, the least of {len(fitting)} that fulfil every wish; {name} follows with {seconds:.3g} s"
    rival = others[next_best]
    if best.total_bytes < rival.total_bytes:
        more = rival.total_bytes - best.total_bytes
        return f"{says}; {name} is as fast ({seconds:.3g} s) but sends {more:,} bytes more"
    return f"{says}; {name} is as fast ({seconds:.3g} s) and sends as much"


def _unfulfilled(candidates: Sequence[Candidate], wishes: Wishes, codec: Codec) -> str:
    """Which wish none fulfils, or, where each is fulfilled by some, that no one fulfils them all."""
    here = [candidate for candidate in candidates if candidate.prediction is not None]
    if not here:
        return "no scheme can do this here: see the reason beside each"
    offered = [candidate.capabilities for candidate in here if candidate.capabilities is not None]
    trust = max((found.trust for found in offered), default=Trust.NONE)
    if trust < wishes.trust:
        says = f"no scheme that runs here offers --trust {wishes.trust.label}; the most is --trust {trust.label}"
        split = dict.fromkeys(candidate.scheme for candidate in here if candidate.can_be_split)
        if wishes.trust is Trust.THRESHOLD and split:
            says += (
                f" as measured here; {' and '.join(split)} offer it with encryption.parameters.threshold and "
                ".clients set, at the cost that docs/keys.md has"
            )
        return says
    security_bits = max((found.security_bits for found in offered), default=0)
    if security_bits < wishes.security_bits:
        return f"no scheme that runs here offers --security {wishes.security_bits}; the most is {security_bits}"
    errors = [candidate.mean_error for candidate in here if candidate.mean_error is not None]
    if wishes.mean_error is not None and errors and min(errors) > wishes.mean_error:
        enough = bits_for(wishes.mean_error, codec)
        way = f"--bits {enough} reaches it" if enough is not None else f"the least is {min(errors):.1e}"
        return f"no scheme that runs here offers --precision {wishes.mean_error:.1e} with {codec.bits} bits; {way}"
    return "no scheme that runs here fulfils every wish at once: relax one of those named beside each"

"""The survey of a registry: who is measured, and why another is not."""

from __future__ import annotations

import pytest

from he_core import Codec, registry
from he_core.errors import ParameterError, UnknownNameError
from he_core.registry import Registration, Registry
from trainer.planning.prediction import Workload
from trainer.planning.recommendation import Candidate
from trainer.planning.survey import Survey


def workload(bits: int = 16, k_max: int = 8) -> Workload:
    return Workload(Codec(bits, k_max, (100,), (1.0,)), 4, 1e8)


@pytest.fixture
def rlwe_alone() -> Registry:
    """The registry with `rlwe` on its first backend here, and nothing else."""
    everything, alone = registry.default(), Registry()
    status = next(s for s in everything.statuses() if s.scheme == "rlwe" and s.obstacle is None)

    def build(parameters: object, threads: int) -> object:
        return everything.create("rlwe", status.backend, parameters.as_dict(), threads=threads)  # type: ignore[attr-defined]

    alone.register(Registration(status.parameters, status.backend, build))  # type: ignore[arg-type]
    return alone


def by_name(candidates: list[Candidate]) -> dict[str, Candidate]:
    return {candidate.scheme: candidate for candidate in candidates}


def test_each_that_cannot_be_predicted_says_why(odd_registry: Registry) -> None:
    found = by_name(Survey(workload(), schemes=odd_registry, budget_seconds=0.1).candidates())
    assert found["plain"].obstacle is None
    assert found["plain"].prediction is not None
    for name, reason in (
        ("broken", "failed while it was measured: the worker has ended"),
        ("narrow", "cannot serve this: bits=16: does not fit the ring; lower it to 3"),
        ("vax", "cannot run here: needs a VAX; buy one"),
    ):
        assert found[name].obstacle == reason
        assert found[name].prediction is None


def test_an_error_that_no_one_states_is_measured(odd_registry: Registry) -> None:
    found = by_name(Survey(workload(), schemes=odd_registry, budget_seconds=0.1).candidates())
    assert found["plain"].is_error_stated
    assert not found["unstated"].is_error_stated
    error = found["unstated"].mean_error
    assert error is not None
    assert 0 < error < 1e-6


def test_progress_names_each_candidate_in_turn_and_never_goes_back(odd_registry: Registry) -> None:
    told: list[tuple[str, float]] = []
    Survey(workload(), schemes=odd_registry, budget_seconds=0.1).candidates(
        lambda name, share: told.append((name, share))
    )
    names = list(dict.fromkeys(name for name, _ in told))
    assert names == [f"{status.scheme} on {status.backend}" for status in odd_registry.statuses()]
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] <= 1


def test_a_codec_that_the_scheme_has_no_layout_for_is_told_with_the_way_out(rlwe_alone: Registry) -> None:
    (found,) = Survey(workload(12, 1 << 20), schemes=rlwe_alone, budget_seconds=0.1).candidates()
    assert found.obstacle is not None
    assert found.obstacle.startswith("cannot serve this: k_max=1048576: with bits=12")
    assert "lower" in found.obstacle
    assert found.capabilities is not None


def test_a_wish_for_security_strengthens_the_defaults(rlwe_alone: Registry) -> None:
    (found,) = Survey(workload(), security_bits=192, schemes=rlwe_alone, budget_seconds=0.1).candidates()
    assert found.parameters == {"security_bits": 192}
    assert found.capabilities is not None
    assert found.capabilities.security_bits == 192


def test_parameters_that_the_user_set_are_kept_whatever_the_wish(rlwe_alone: Registry) -> None:
    given = {"rlwe": {"failure_bits": 80}}
    (found,) = Survey(workload(), security_bits=192, given=given, schemes=rlwe_alone, budget_seconds=0.1).candidates()
    assert found.parameters == {"failure_bits": 80}
    assert found.capabilities is not None
    assert found.capabilities.security_bits == 128


def test_parameters_that_no_scheme_takes_are_an_error(rlwe_alone: Registry) -> None:
    with pytest.raises(UnknownNameError, match="failure_bits"):
        Survey(workload(), given={"rlwe": {"failure_bit": 80}}, schemes=rlwe_alone).candidates()
    with pytest.raises(UnknownNameError, match="did you mean 'rlwe'"):
        Survey(workload(), given={"rlew": {"failure_bits": 80}}, schemes=rlwe_alone).candidates()
    with pytest.raises(ParameterError, match="failure_bits=1"):
        Survey(workload(), given={"rlwe": {"failure_bits": 1}}, schemes=rlwe_alone).candidates()

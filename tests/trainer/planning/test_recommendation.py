"""The choice among candidates whose figures are made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from he_core import Codec, Trust
from he_core.scheme import Capabilities
from trainer.planning.prediction import Prediction
from trainer.planning.recommendation import Candidate, Wishes, bits_for, objections, recommend

CODEC = Codec(16, 8, (1_000,), (1.0,))


def candidate(
    scheme: str,
    seconds: float = 1.0,
    upload_bytes: int = 1_000,
    *,
    trust: Trust = Trust.SHARED_KEY,
    security_bits: int = 128,
    mean_error: float = 1.6e-5,
    exact: bool = True,
    **others: Any,
) -> Candidate:
    """A candidate whose rounds take `seconds`, a tenth of them on the line."""
    prediction = Prediction(
        encrypt_seconds=0.5 * seconds,
        upload_seconds=0.05 * seconds,
        add_seconds=0.1 * seconds,
        download_seconds=0.05 * seconds,
        decrypt_seconds=0.3 * seconds,
        upload_bytes=upload_bytes,
        download_bytes=upload_bytes,
        value_count=1_000,
        setup_seconds=0.0,
        largest_measured=1_000,
        is_bound=False,
    )
    capabilities = Capabilities(trust > Trust.NONE, security_bits, trust, exact, "made by hand")
    made: dict[str, Any] = {"capabilities": capabilities, "mean_error": mean_error, "prediction": prediction}
    return Candidate(scheme, "here", {}, **(made | others))


UNENCRYPTED = candidate("clear", 0.1, trust=Trust.NONE, security_bits=0)


def test_the_fastest_that_fulfils_every_wish_is_recommended() -> None:
    candidates = [UNENCRYPTED, candidate("slow", 9.0), candidate("fast", 2.0), candidate("middle", 4.0)]
    choice = recommend(candidates, Wishes(), CODEC)
    assert choice.candidate is candidates[2]
    assert choice.why == (
        "fast on here takes 2 s a round, 10% of it on the line, the least of 3 that fulfil every wish; "
        "middle on here follows with 4 s"
    )


def test_among_equals_the_fewest_bytes_win() -> None:
    candidates = [candidate("large", 1.0, 5_000), candidate("small", 1.03, 4_000), candidate("late", 1.2, 10)]
    choice = recommend(candidates, Wishes(), CODEC)
    assert choice.candidate is candidates[1]
    assert choice.why.endswith("large on here is as fast (1 s) but sends 2,000 bytes more")


def test_among_equals_with_as_many_bytes_the_faster_wins() -> None:
    candidates = [candidate("first", 1.02), candidate("second", 1.0)]
    choice = recommend(candidates, Wishes(), CODEC)
    assert choice.candidate is candidates[1]
    assert choice.why.endswith("first on here is as fast (1.02 s) and sends as much")


def test_without_a_wish_for_trust_the_clear_may_win() -> None:
    assert recommend([candidate("fast"), UNENCRYPTED], Wishes(trust=Trust.NONE), CODEC).candidate is UNENCRYPTED


def test_more_trust_than_wanted_will_do() -> None:
    strong = candidate("strong", trust=Trust.THRESHOLD)
    choice = recommend([strong], Wishes(trust=Trust.SHARED_KEY), CODEC)
    assert choice.candidate is strong
    assert choice.why.endswith("nothing else that runs here fulfils every wish")


@pytest.mark.parametrize(
    ("wishes", "reason"),
    [
        (Wishes(trust=Trust.THRESHOLD), "trust shared-key, wanted threshold"),
        (Wishes(security_bits=192), "security of 128 bits, wanted 192"),
        (Wishes(mean_error=1e-6), "error 1.6e-05, wanted 1.0e-06; --bits 21 reaches it"),
        (Wishes(mean_error=1e-9), "error 1.6e-05, wanted 1.0e-09"),
    ],
)
def test_what_rules_a_candidate_out_is_said(wishes: Wishes, reason: str) -> None:
    assert objections(candidate("one"), wishes, CODEC) == (reason,)
    assert objections(candidate("one"), Wishes(), CODEC) == ()


def test_schemes_that_parameters_set_to_a_threshold_are_named_where_one_is_wished_for() -> None:
    candidates = [candidate("one", can_be_split=True), candidate("two"), candidate("three", can_be_split=True)]
    why = recommend(candidates, Wishes(trust=Trust.THRESHOLD), CODEC).why
    assert "one and three offer it with encryption.parameters.threshold and .clients set" in why


def test_no_bits_help_a_scheme_that_is_not_exact() -> None:
    rough = candidate("rough", exact=False, mean_error=1e-3)
    assert objections(rough, Wishes(mean_error=1e-4), CODEC) == ("error 1.0e-03, wanted 1.0e-04",)


def test_every_objection_is_listed() -> None:
    wishes = Wishes(Trust.SHARED_KEY, 128, 1e-6)
    assert len(objections(UNENCRYPTED, wishes, CODEC)) == 3


def test_who_cannot_run_is_never_recommended() -> None:
    missing = candidate("vax", 0.001, prediction=None, obstacle="cannot run here: needs a VAX")
    candidates = [missing, candidate("fast")]
    assert recommend(candidates, Wishes(), CODEC).candidate is candidates[1]
    assert objections(missing, Wishes(), CODEC) == ("cannot run here: needs a VAX",)


@pytest.mark.parametrize(
    ("wishes", "why"),
    [
        (Wishes(trust=Trust.THRESHOLD), "offers --trust threshold; the most is --trust shared-key"),
        (Wishes(security_bits=256), "offers --security 256; the most is 192"),
        (Wishes(mean_error=1e-6), "offers --precision 1.0e-06 with 16 bits; --bits 21 reaches it"),
        (Wishes(mean_error=1e-9), "offers --precision 1.0e-09 with 16 bits; the least is 1.5e-05"),
        (Wishes(security_bits=192, mean_error=1.55e-5), "fulfils every wish at once"),
    ],
)
def test_where_none_fulfils_every_wish_the_unfulfilled_one_is_named(wishes: Wishes, why: str) -> None:
    candidates = [candidate("strong", security_bits=192), candidate("precise", mean_error=1.5e-5)]
    choice = recommend(candidates, wishes, CODEC)
    assert choice.candidate is None
    assert why in choice.why


def test_where_nothing_runs_that_is_said() -> None:
    missing = candidate("vax", prediction=None, obstacle="cannot run here: needs a VAX")
    assert recommend([missing], Wishes(), CODEC).why.startswith("no scheme can do this here")


def test_bits_for_an_error_are_the_fewest_that_keep_to_it() -> None:
    bits = bits_for(1e-6, CODEC)
    assert bits is not None
    assert replace(CODEC, bits=bits).relative_error <= 1e-6 < replace(CODEC, bits=bits - 1).relative_error
    assert bits_for(1e-9, CODEC) is None

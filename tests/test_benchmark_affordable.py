"""bench/affordable.py: how many values are measured follows from times alone."""

from __future__ import annotations

import pytest

from affordable import LADDER, MILLION, Affordable


class Machine:
    """A pass that takes `seconds_a_value`, and `once` more the first time; keeps the counts it was asked for."""

    def __init__(self, seconds_a_value: float, *, fixed: float = 0.0, once: float = 0.0) -> None:
        self.seconds_a_value, self.fixed, self.once = seconds_a_value, fixed, once
        self.now = 0.0
        self.asked: list[int] = []

    def run(self, count: int) -> None:
        self.now += count * self.seconds_a_value + self.fixed + (self.once if not self.asked else 0.0)
        self.asked.append(count)

    def affordable(self) -> Affordable:
        return Affordable(self.run, 2.0, clock=lambda: self.now)


@pytest.mark.parametrize(
    ("seconds_a_value", "largest"), [(1e-9, MILLION), (1e-6, MILLION), (3e-6, 100_000), (1e-4, 4_897), (1e-2, 1_000)]
)
def test_the_largest_count_in_time_is_taken(seconds_a_value: float, largest: int) -> None:
    assert Machine(seconds_a_value).affordable().largest() == largest


def test_nothing_is_run_that_promises_to_take_too_long() -> None:
    machine = Machine(1e-4)
    machine.affordable().largest(max(LADDER))
    assert max(machine.asked) == 4_897


def test_what_is_compiled_once_is_in_no_estimate() -> None:
    assert Machine(1e-7, once=30.0).affordable().largest() == MILLION


def test_a_fixed_cost_is_not_scaled_with_the_values() -> None:
    assert Machine(1e-7, fixed=0.09).affordable().largest() == MILLION, "90 ms for a thousand are not 90 s a million"


def test_a_refusal_says_by_which_measurement() -> None:
    is_affordable, why = Machine(1e-4).affordable().estimate(MILLION)
    assert not is_affordable
    assert why == "1,000,000 values would take 100 s (4,897 values took 0.49 s)"

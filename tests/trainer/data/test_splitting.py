"""Blocks of slices with gaps, and subjects held out."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data.splitting import Split, evenly, limited, split_slices, split_subjects
from trainer.errors import DataError


@settings(max_examples=150, deadline=None)
@given(
    count=st.integers(2, 200),
    clients=st.integers(1, 9),
    fraction=st.floats(0.05, 0.95),
    gap=st.integers(0, 5),
)
def test_no_test_slice_of_any_client_lies_within_the_gap_of_any_training_slice(count, clients, fraction, gap):
    try:
        splits = split_slices(count, clients, fraction, gap)
    except DataError:
        assert count < 4 * clients + 2 * gap + 4 or fraction > 0.5
        return
    train = [position for split in splits for position in split.train]
    test = [position for split in splits for position in split.test]
    assert min(abs(a - b) for a, b in itertools.product(train, test)) > gap
    assert len(set(train + test)) == len(train) + len(test)
    assert set(train + test) <= set(range(count))
    for part in ("train", "test"):
        sizes = [len(getattr(split, part)) for split in splits]
        assert min(sizes) >= 1
        assert max(sizes) - min(sizes) <= 1


def test_every_client_trains_on_low_middle_and_high_slices_and_holds_out_its_share():
    for split in split_slices(143, clients=4, test_fraction=0.25, gap=2):
        for part in (split.train, split.test):
            assert part[0] < 50 < part[-1]
            assert part[-1] > 90
        assert len(split.test) / len(split.train + split.test) == pytest.approx(0.25, abs=0.02)


def test_too_few_slices_name_the_counts_and_the_keys_to_lower():
    with pytest.raises(
        DataError, match=r"9 slices .* for 4 client\(s\) with a gap of 2: lower data.clients or data.gap"
    ):
        split_slices(9, clients=4, test_fraction=0.25, gap=2)


def test_held_out_subjects_depend_on_seed_and_site_only():
    subjects = [f"p{i}" for i in range(20)]
    chosen = split_subjects(subjects, "site-a", 0.25, seed=1)
    assert chosen == split_subjects(subjects, "site-a", 0.25, seed=1)
    assert len(chosen.test) == 5
    assert sorted(chosen.train + chosen.test) == list(range(20))
    assert chosen != split_subjects(subjects, "site-a", 0.25, seed=2)
    assert chosen != split_subjects(subjects, "site-b", 0.25, seed=1)


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_two_subjects_always_give_one_to_each_side(fraction):
    split = split_subjects(["a", "b"], "site", fraction, seed=0)
    assert (len(split.train), len(split.test)) == (1, 1)


def test_a_limit_thins_training_evenly_and_test_in_proportion():
    split = limited(Split(tuple(range(40)), tuple(range(50, 70))), 10)
    assert split.train == tuple(range(2, 40, 4))
    assert len(split.test) == 5
    assert limited(split, 10) == split
    assert evenly("abc", 5) == ("a", "b", "c")

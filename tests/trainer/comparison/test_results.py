"""Means, spread, pairs, convergence and claims of comparisons whose numbers are known."""

from __future__ import annotations

from typing import Any

import pytest

from trainer.comparison.claims import check_claims
from trainer.comparison.convergence import reach, reference
from trainer.comparison.errors import ComparisonError
from trainer.comparison.pairs import compare_pairs, remarks

FLAT = {1: [[0.5, 0.7]], 2: [[0.6, 0.9]]}


def claims_of(made: Any) -> list[bool | None]:
    return [claim.holds for claim in check_claims(made.results)]


def test_mean_and_deviation_are_over_seeds_of_the_mean_over_clients(compared: Any) -> None:
    results = compared({"dcsfl": FLAT}).results
    found = results.spread(results.variants[0], "dice")
    assert found.mean == pytest.approx((0.6 + 0.75) / 2)
    assert found.deviation == pytest.approx(0.15 / 2**0.5)
    worst = results.worst_client(results.variants[0])
    assert worst.mean == pytest.approx((0.5 + 0.6) / 2)
    assert results.of_client(results.variants[0], "south").mean == pytest.approx(0.8)
    assert results.client_deviation(results.variants[0]).mean == pytest.approx((0.2 + 0.3) / 2 / 2**0.5)


def test_bytes_and_seconds_add_up_round_by_round_without_evaluation(compared: Any) -> None:
    results = compared({"dcsfl": {1: [[0.1, 0.1]] * 3}, "local": {1: [[0.1, 0.1]] * 3}}).results
    split, alone = (results.of(variant)[0] for variant in results.variants)
    assert split.curve.bytes == (1010, 2020, 3030)
    assert split.curve.seconds == (2.0, 4.0, 6.0)
    assert split.curve.rounds == (1, 2, 3)
    assert alone.curve.bytes == (0, 0, 0), "what stays within one party is not sent"


def test_image_passes_of_centralised_training_are_those_of_the_others(compared: Any) -> None:
    curve = {1: [[0.1, 0.1]] * 3}
    results = compared({"dcsfl": curve, "centralised": curve}, overrides=("training.local_epochs=2",)).results
    assert [result.image_passes for result in results.cells.values()] == [2 * 3 * 16] * 2


def test_pairs_are_of_the_same_seed_and_client(compared: Any) -> None:
    better = {1: [[0.52, 0.73]], 2: [[0.64, 0.95]]}
    (pair,) = compare_pairs(compared({"dcsfl": better, "fedavg": FLAT}).results)
    assert (pair.one, pair.other) == ("dcsfl", "fedavg")
    assert pair.by_seed == pytest.approx((0.025, 0.045))
    assert pair.difference == pytest.approx(0.035)
    assert (pair.test.pairs, pair.same_sign) == (4, 2)
    assert pair.test.p == pytest.approx(2 / 16) == pytest.approx(pair.p)


def test_p_values_are_corrected_over_all_pairs(compared: Any) -> None:
    shifted = {name: {s: [[0.1 + d, 0.2 + d]] for s in range(6)} for name, d in (("dcsfl", 0.2), ("fedavg", 0.1))}
    three = compare_pairs(compared(shifted | {"local": {s: [[0.1, 0.2]] for s in range(6)}}).results)
    assert [pair.test.p for pair in three] == pytest.approx([2 / 4096] * 3)
    assert [pair.p for pair in three] == pytest.approx([3 * 2 / 4096] * 3)


def test_it_is_said_where_no_difference_could_be_significant(compared: Any) -> None:
    few = compared({"dcsfl": FLAT, "fedavg": {1: [[0.1, 0.2]], 2: [[0.1, 0.3]]}}).results
    assert any("no difference can come out below 0.05" in told for told in remarks(few, compare_pairs(few)))
    seeds = {"dcsfl": {s: [[0.5, 0.6]] for s in range(5)}, "fedavg": {s: [[0.4, 0.1]] for s in range(5)}}
    many = compared(seeds).results
    assert not any("no difference can" in told for told in remarks(many, compare_pairs(many)))


def test_convergence_is_the_first_round_with_the_share_of_centralised(compared: Any) -> None:
    climbing = {1: [[0.4, 0.4], [0.7, 0.7], [0.77, 0.77]], 2: [[0.1, 0.1], [0.2, 0.2], [0.75, 0.75]]}
    level = {1: [[0.8, 0.8]] * 3, 2: [[0.8, 0.8]] * 3}
    results = compared({"dcsfl": climbing, "centralised": level}).results
    assert reference(results).name == "centralised"
    ninety = reach(results, results.variants[0], 0.9)
    assert (ninety.reached, ninety.rounds, ninety.bytes, ninety.seconds) == (2, 3.0, 3030, 6.0)
    most = reach(results, results.variants[0], 0.95)
    assert (most.reached, most.seeds, most.rounds) == (1, 2, 3.0)
    assert reach(results, results.variants[0], 0.99).rounds is None


def test_without_centralised_the_best_variant_is_the_reference(compared: Any) -> None:
    results = compared({"dcsfl": FLAT, "fedavg": {1: [[0.9, 0.9]], 2: [[0.9, 0.9]]}}).results
    assert reference(results).name == "fedavg"


def test_claims_hold_where_they_do(compared: Any) -> None:
    near = {1: [[0.495, 0.695]], 2: [[0.595, 0.895]]}
    low = {1: [[0.3, 0.3]], 2: [[0.3, 0.3]]}
    curves = {"dcsfl": near, "dcsfl plain": near, "splitfed-v1": FLAT, "centralised": FLAT, "local": low}
    assert claims_of(compared(curves, "dcsfl plain: encryption.scheme=plain")) == [True] * 4


def test_claims_do_not_hold_where_they_do_not(compared: Any) -> None:
    low = {1: [[0.48, 0.68]], 2: [[0.58, 0.88]]}
    high = {1: [[0.8, 0.8]], 2: [[0.8, 0.8]]}
    other = {1: [[0.48, 0.68]], 2: [[0.58, 0.8815]]}
    curves = {"dcsfl": low, "dcsfl plain": other, "splitfed-v1": FLAT, "centralised": high, "local": high}
    made = compared(curves, "dcsfl plain: encryption.scheme=plain")
    assert claims_of(made) == [False] * 4
    assert "largest difference 0.015 (clients.south.hd95, dcsfl, seed 2)" in check_claims(made.results)[3].figures


def test_claims_without_their_variants_are_not_tested(compared: Any) -> None:
    assert claims_of(compared({"dcsfl": FLAT})) == [None] * 4
    # Another difference beside the scheme is no test of encryption.
    made = compared(
        {"dcsfl": FLAT, "dcsfl ema": FLAT}, "dcsfl ema: encryption.scheme=plain method.correction.mode=ema"
    )
    assert claims_of(made)[3] is None


def test_claims_on_restoration_are_judged_by_ssim_where_decibels_would_not_do(compared: Any) -> None:
    one, other = {1: [[30.0, 30.0]]}, {1: [[30.2, 30.2]]}  # SSIM differs by 0.005
    made = compared(
        {"dcsfl": one, "splitfed-v1": other, "local": {1: [[31.0, 31.0]]}},
        task="restoration",
        overrides=("network.name=redcnn",),
    )
    assert claims_of(made)[:3] == [True, None, False]
    assert "-0.0050" in check_claims(made.results)[0].figures


def test_runs_of_one_seed_that_saw_different_images_are_refused(compared: Any) -> None:
    with pytest.raises(ComparisonError, match="dcsfl, seed 1 and local, seed 1 did not see the same images"):
        compared({"dcsfl": FLAT, "local": FLAT}, sha256=lambda cell: cell.variant.name)


def test_a_variant_without_a_finished_run_is_left_out_and_named(compared: Any) -> None:
    results = compared({"dcsfl": FLAT, "local": FLAT}, missing="local").results
    assert [variant.name for variant in results.variants] == ["dcsfl"]
    assert results.failed == {"local, seed 1": "not run", "local, seed 2": "not run"}

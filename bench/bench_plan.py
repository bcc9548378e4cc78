"""What `dcsfl-train plan` predicts beside what a round then takes, per scheme, on one thread.

The prediction is extrapolated from updates of an eighth of the size at most. Recorded for each step is predicted over
measured: above 1 where the plan was too pessimistic. A million values, but fewer of a scheme that would take minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from he_core import Aggregator, Codec, CostLedger, Decryptor, Encryptor, Scheme, SecretBundle
from trainer.planning.calibration import BUDGET_SECONDS, calibrate
from trainer.planning.prediction import Prediction, Workload, predict

FEW = 1_000
SEVERAL = 100_000
MILLION = 1_000_000
SECONDS_FOR_A_MILLION = 10.0
EXTRAPOLATION = 8
CLIENTS = 2
ROUNDS = 3
STEPS = ("encrypt", "add", "decrypt")

pytestmark = pytest.mark.slow


def workload_of(value_count: int) -> Workload:
    return Workload(Codec(16, 8, (value_count,), (0.05,)), CLIENTS, 100e6)


def planned(scheme: Scheme, timed: bool) -> tuple[Workload, Prediction]:
    """A workload that takes seconds, and its prediction."""

    def plan(value_count: int) -> tuple[Workload, Prediction]:
        workload = workload_of(value_count)
        budget_seconds = BUDGET_SECONDS if timed else 0.01
        found = calibrate(scheme, workload.codec, budget_seconds=budget_seconds, largest=value_count // EXTRAPOLATION)
        return workload, predict(workload, scheme, found)

    if not timed:
        return plan(FEW)
    workload, prediction = plan(MILLION)
    if prediction.total_seconds - prediction.transfer_seconds < SECONDS_FOR_A_MILLION:
        return workload, prediction
    return plan(SEVERAL)


def test_a_round_as_planned(
    benchmark: BenchmarkFixture,
    engine: tuple[str, str],
    engine_of: Callable[..., tuple[Scheme, SecretBundle]],
    timed: bool,
    record: Callable[..., None],
) -> None:
    scheme, keys = engine_of(*engine)
    secret = scheme.secret_key(keys)
    workload, prediction = planned(scheme, timed)
    codec = workload.codec
    update = np.random.default_rng(1).uniform(-0.05, 0.05, codec.value_count).astype(np.float32)
    rounds: list[dict[str, float]] = []
    sizes: set[tuple[int, int]] = set()

    def one_round() -> Any:
        number, ledger = len(rounds), CostLedger()
        frames = [
            Encryptor(scheme, secret, ledger=ledger, party=f"encrypt {client}").encrypt(
                update, codec, round=number, client=client
            )
            for client in range(CLIENTS)
        ]
        aggregator = Aggregator(scheme, secret.public, ledger=ledger, party="add")
        aggregator.open(number, codec.shape)
        for data in frames:
            aggregator.add(data)
        total = aggregator.result()
        mean = Decryptor(scheme, secret, ledger=ledger, party="decrypt").decrypt(total, codec, round=number)
        spent = dict.fromkeys(("encrypt 0", "encrypt 1", "add", "decrypt"), 0.0)
        for cost in ledger.rows():
            spent[cost.party] += cost.elapsed_ns / 1e9
        rounds.append({"encrypt": spent["encrypt 0"], "add": spent["add"], "decrypt": spent["decrypt"]})
        sizes.add((len(frames[0]), len(total)))
        return mean

    mean = benchmark.pedantic(one_round, rounds=ROUNDS, iterations=1, warmup_rounds=1)
    error = scheme.mean_error(codec)
    tolerance = 0.05 * (1e-5 if error is None else error)
    np.testing.assert_allclose(mean, update, rtol=0, atol=tolerance)
    assert sizes == {(prediction.upload_bytes, prediction.download_bytes)}
    taken = {step: [seconds[step] for seconds in rounds[-ROUNDS:]] for step in STEPS}
    measured = {step: median(seconds) for step, seconds in taken.items()}
    predicted = {step: getattr(prediction, f"{step}_seconds") for step in STEPS}
    parts = {f"{step}, measured": seconds for step, seconds in taken.items()}
    parts |= {f"{step}, planned": [seconds] for step, seconds in predicted.items()}
    record(
        codec.value_count,
        group="a round as planned",
        who=", ".join(engine),
        what="whole round",
        bytes=prediction.upload_bytes,
        clients=CLIENTS,
        bits=codec.bits,
        parts=parts,
    )
    ratios = {step: round(predicted[step] / measured[step], 3) for step in STEPS}
    ratios["all"] = round(sum(predicted.values()) / sum(measured.values()), 3)
    benchmark.extra_info["largest_measured_for_the_plan"] = prediction.largest_measured
    benchmark.extra_info["is_bound"] = prediction.is_bound
    benchmark.extra_info["predicted_over_measured"] = ratios

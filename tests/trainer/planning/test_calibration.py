"""Calibration: lines through measurements, sizes within a budget, and predictions beside what is then measured."""

from __future__ import annotations

import math
import statistics
import time
from typing import Any

import numpy as np
import pytest

import he_core
from he_core import Aggregator, Codec, CostLedger, Decryptor, Encryptor, Scheme
from he_core.params import PlainParameters
from he_core.schemes.uncovered import Plain
from trainer.planning.calibration import STEPS, Line, calibrate
from trainer.planning.prediction import Workload, predict

MILLION = 1_000_000


def codec_of(value_count: int, k_max: int = 8) -> Codec:
    return Codec(16, k_max, (value_count,), (1.0,))


# --- lines


def test_a_line_gives_back_what_lies_on_it() -> None:
    line = Line.through([(count, 0.5 + 0.001 * count) for count in (10, 1_000, 100_000)])
    assert (line.fixed, line.per_value) == pytest.approx((0.5, 0.001))


def test_small_and_large_sizes_count_alike() -> None:
    line = Line.through([(10, 1.0), (1_000, 2.0), (100_000, 150.0)])
    assert line.at(10) == pytest.approx(1.0, rel=0.3)
    assert line.at(100_000) == pytest.approx(150.0, rel=0.3)


@pytest.mark.parametrize("points", [[(16, 3.0)], [(16, 3.0), (128, 3.1), (1_024, 3.0)]])
def test_a_cost_that_has_not_grown_yet_is_bounded_by_proportion(points: list[tuple[int, float]]) -> None:
    count, seconds = points[-1]
    line = Line.through(points)
    assert line.at(count) == pytest.approx(seconds)
    assert line.at(10 * count) == pytest.approx(10 * seconds)
    assert line.is_bound


def test_a_cost_that_grows_faster_than_its_size_has_nothing_fixed() -> None:
    line = Line.through([(10, 1.0), (100, 20.0), (1_000, 400.0)])
    assert line.fixed == 0.0
    assert line.per_value > 0


# --- sizes and budget


def test_what_takes_too_long_is_not_measured(slow: Scheme) -> None:
    calibration = calibrate(slow, codec_of(MILLION), budget_seconds=0.02)
    (sample,) = calibration.samples
    assert sample.value_count < 100
    assert calibration.lines["encrypt"].at(16) >= 0.0032


@pytest.mark.parametrize(("budget_seconds", "is_bound"), [(0.02, True), (60.0, False)])
def test_a_prediction_says_whether_it_is_a_bound(slow: Scheme, budget_seconds: float, is_bound: bool) -> None:
    workload = Workload(codec_of(300), 4, 100e6)
    calibration = calibrate(slow, workload.codec, budget_seconds=budget_seconds)
    assert (calibration.largest < 300) == is_bound
    assert predict(workload, slow, calibration).is_bound == is_bound


def test_the_smallest_update_fills_a_plaintext() -> None:
    scheme, codec = he_core.create("paillier", parameters={"modulus_bits": 2048}), codec_of(500)
    smallest = calibrate(scheme, codec, budget_seconds=0.01).samples[0].value_count
    plaintext = scheme.plaintext(codec.shape)
    assert (plaintext.word_count(smallest), plaintext.word_count(smallest + 1)) == (1, 2)


def test_the_budget_decides_how_far_sizes_grow(slow: Scheme) -> None:
    few, more = (calibrate(slow, codec_of(MILLION), budget_seconds=budget) for budget in (0.02, 0.6))
    assert few.largest < more.largest < MILLION


@pytest.mark.parametrize("count", [1, 5, 16, 17, 1_000])
def test_sizes_end_with_the_size_asked_for(count: int) -> None:
    calibration = calibrate(he_core.create("plain"), codec_of(count), budget_seconds=5.0)
    sizes = [sample.value_count for sample in calibration.samples]
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == count


class Converting(Plain):
    """Says that nearly all of encryption goes into another library's objects."""

    conversion = 0

    @property
    def conversion_ns(self) -> int:
        return self.conversion

    def encrypt(self, *arguments: Any) -> Any:
        time.sleep(0.01)
        self.conversion += 9_000_000
        return super().encrypt(*arguments)


def test_what_goes_into_a_foreign_librarys_objects_is_part_of_encryption() -> None:
    calibration = calibrate(Converting(PlainParameters()), codec_of(16), budget_seconds=0.1)
    assert calibration.samples[0].seconds["encrypt"] >= 0.01


def test_progress_only_grows_and_ends_at_one_at_most(slow: Scheme) -> None:
    told: list[float] = []
    calibrate(slow, codec_of(100), budget_seconds=0.2, progress=told.append)
    assert told == sorted(told)
    assert 0 < told[0] <= told[-1] <= 1


def test_a_sum_that_holds_one_client_is_measured_too() -> None:
    calibration = calibrate(he_core.create("rlwe"), codec_of(100, k_max=1), budget_seconds=0.1)
    assert set(calibration.samples[0].seconds) == set(STEPS)


def test_the_error_seen_keeps_to_the_error_stated() -> None:
    for name in ("rlwe", "plain", "none"):
        scheme, codec = he_core.create(name), codec_of(1_000)
        stated = scheme.mean_error(codec)
        assert stated is not None
        assert calibrate(scheme, codec, budget_seconds=0.2).mean_error <= stated


# --- predictions beside measurements


def measured(scheme: Scheme, codec: Codec, clients: int) -> tuple[dict[str, float], int, int]:
    """Seconds by the prediction's names, bytes up and bytes down: medians of three rounds."""
    secret = scheme.secret_key(scheme.generate_keys())
    update = np.random.default_rng(2).uniform(-1, 1, codec.value_count).astype(np.float32)
    rounds: list[dict[str, float]] = []
    for number in range(4):
        start = time.perf_counter()
        encryptor = Encryptor(scheme, secret)
        frames = [encryptor.encrypt(update, codec, round=number, client=0)]
        encrypted = time.perf_counter()
        frames += [encryptor.encrypt(update, codec, round=number, client=client) for client in range(1, clients)]
        ledger = CostLedger()
        aggregator = Aggregator(scheme, secret.public, ledger=ledger)
        aggregator.open(number, codec.shape)
        for data in frames:
            aggregator.add(data)
        total = aggregator.result()
        decrypting = time.perf_counter()
        Decryptor(scheme, secret).decrypt(total, codec, round=number)
        decrypted = time.perf_counter()
        seconds = {"encrypt": encrypted - start, "decrypt": decrypted - decrypting}
        rounds.append(seconds | {"add": ledger.elapsed_ns(number) / 1e9})
    medians = {name: statistics.median(seconds[name] for seconds in rounds[1:]) for name in rounds[0]}
    return medians, len(frames[0]), len(total)


def test_a_prediction_from_small_sizes_beside_a_million_values() -> None:
    clients, encrypting = 4, {}
    workload = Workload(codec_of(MILLION), clients, 100e6)
    for name in ("rlwe", "plain"):
        scheme = he_core.create(name, threads=1)
        prediction = predict(workload, scheme, calibrate(scheme, workload.codec, largest=1 << 16))
        seconds, upload_bytes, download_bytes = measured(scheme, workload.codec, clients)
        assert (prediction.upload_bytes, prediction.download_bytes) == (upload_bytes, download_bytes)
        for step, taken in seconds.items():
            predicted = getattr(prediction, f"{step}_seconds")
            assert 0 < predicted < math.inf
            print(f"{name} {step}: predicted {predicted:.3g} s, measured {taken:.3g} s, {predicted / taken:.2f}")
        encrypting[name] = (prediction.encrypt_seconds, seconds["encrypt"])
    assert encrypting["rlwe"] > encrypting["plain"]  # by prediction, as by measurement


@pytest.mark.parametrize("name", ["rlwe", "plain", "none"])
@pytest.mark.parametrize("clients", [1, 3])
def test_a_rounds_path_is_the_sum_of_its_parts(name: str, clients: int) -> None:
    scheme, workload = he_core.create(name), Workload(codec_of(1_000, k_max=clients), clients, 8e6)
    calibration = calibrate(scheme, workload.codec, budget_seconds=0.1)
    prediction = predict(workload, scheme, calibration)
    assert prediction.upload_seconds == pytest.approx(prediction.upload_bytes / 1e6)
    parts = [getattr(prediction, f"{part}_seconds") for part in ("encrypt", "upload", "add", "download", "decrypt")]
    assert prediction.total_seconds == pytest.approx(sum(parts))
    at = {step: line.at(1_000) for step, line in calibration.lines.items()}
    expected = clients * at["parse"] + (clients - 1) * at["add"] + at["frame"]
    assert prediction.add_seconds == pytest.approx(expected)
    assert prediction.expansion == pytest.approx(prediction.upload_bytes / 4_000)

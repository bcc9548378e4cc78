"""The cost ledger: what a round puts into it, per stage and party."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest

from he_core import Aggregator, Codec, CostLedger, Decryptor, Encryptor, Verifier, create
from he_core.cost import STAGES
from he_core.errors import FrameError

CODEC = Codec(16, 4, (100,), (1.0,), verified=True)
TAG = 4


def test_a_round_records_every_stage_with_its_bytes_values_and_calls() -> None:
    scheme, ledger = create("plain"), CostLedger()
    keys = scheme.generate_keys()
    public = scheme.public_key(keys.public)
    aggregator = Aggregator(scheme, public, ledger=ledger)
    aggregator.open(5, CODEC.shape)
    verifier = Verifier(bytes(32), bytes(16))
    contributions = [
        Encryptor(scheme, public, verifier=verifier, ledger=ledger, party=f"site {client}").encrypt(
            np.zeros(100, np.float32), CODEC, round=5, client=client
        )
        for client in range(2)
    ]
    for contribution in contributions:
        aggregator.add(contribution)
    total = aggregator.result()
    decryptor = Decryptor(scheme, scheme.secret_key(keys), verifier=verifier, ledger=ledger, party="site 0")
    decryptor.decrypt(total, CODEC, round=5)

    rows = {(row.party, row.stage): row for row in ledger.rows(5)}
    client_stages = ("prepare", "quantise", "verify", "pack", "encrypt", "frame")
    expected = {(f"site {client}", stage) for client in range(2) for stage in client_stages}
    expected |= {("site 0", stage) for stage in ("parse", "prepare", "decrypt", "unpack", "verify")}
    expected |= {("aggregation", stage) for stage in ("parse", "add", "frame")}
    assert rows.keys() == expected
    assert {stage for _, stage in rows} == set(STAGES) - {"convert"}
    payload = scheme.payload_bytes(CODEC.shape)
    assert rows["site 1", "quantise"].bytes == 4 * (100 + TAG)
    assert rows["site 1", "verify"].bytes == 4 * TAG
    assert (rows["site 0", "verify"].calls, rows["site 0", "verify"].values) == (2, 200)
    assert rows["site 1", "encrypt"].bytes == payload
    assert rows["site 1", "frame"].bytes == len(contributions[1])
    assert (rows["aggregation", "parse"].calls, rows["aggregation", "parse"].bytes) == (2, 2 * len(contributions[0]))
    assert (rows["aggregation", "add"].calls, rows["aggregation", "add"].values) == (2, 2 * (100 + TAG))
    assert rows["aggregation", "frame"].bytes == len(total)
    assert rows["site 0", "unpack"].bytes == 400
    assert all(row.elapsed_ns > 0 and row.values for row in rows.values())
    assert ledger.elapsed_ns(5) == sum(row.elapsed_ns for row in rows.values())
    assert json.loads(json.dumps([row.as_row() for row in rows.values()]))[0]["round"] == 5
    assert ledger.rows(6) == []


def test_a_refused_contribution_costs_nothing_in_the_ledger() -> None:
    scheme, ledger = create("plain"), CostLedger()
    aggregator = Aggregator(scheme, scheme.public_key(scheme.generate_keys().public), ledger=ledger)
    aggregator.open(0, CODEC.shape)
    with pytest.raises(FrameError):
        aggregator.add(b"no frame")
    assert ledger.rows() == []


def test_stages_outside_the_pipeline_are_kept_but_not_totalled() -> None:
    ledger = CostLedger()
    with ledger.stage("keys", round=0, party="site 0") as meter:
        meter.count(bytes=3)
        meter.count(bytes=4, values=1)
    (row,) = ledger.rows()
    assert (row.bytes, row.values, row.calls) == (7, 1, 1)
    assert ledger.elapsed_ns(0) == 0


def test_the_time_of_a_stage_is_wall_clock_nanoseconds() -> None:
    ledger = CostLedger()
    before = time.perf_counter_ns()
    with ledger.stage("add", round=0, party="aggregation"):
        time.sleep(0.02)
    assert 20_000_000 <= ledger.elapsed_ns(0) <= time.perf_counter_ns() - before


def test_threads_lose_no_counts() -> None:
    ledger = CostLedger()

    def work() -> None:
        for _ in range(500):
            with ledger.stage("add", round=0, party="aggregation") as meter:
                meter.count(bytes=1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (row,) = ledger.rows()
    assert (row.calls, row.bytes) == (4000, 4000)

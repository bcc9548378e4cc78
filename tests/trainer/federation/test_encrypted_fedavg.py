"""Encrypted averaging as the adapters for Flower and FLARE use it: what members make of sealed models."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import he_core
from he_core import frame, keystore
from he_core.errors import SecretKeyRefusedError, VerificationError, WrongContributionsError
from trainer.federation.encrypted_fedavg import SUM_PREFIX, HistoryError, Member, Server, Terms, UnfitWeightsError
from trainer.parties.key_folder import public_in

ROOT = Path(__file__).parents[3]
TERMS = Terms(session="test", reach=1.0, most_examples=100)
INITIAL = {"w": np.zeros((2, 3), np.float32), "b": np.ones(2, np.float64)}
STEP = 8 / 2**15  # a limit is at most 8 here: 4 times a mean below 2


@pytest.fixture(scope="module")
def keys() -> he_core.SecretBundle:
    return he_core.create("rlwe").generate_keys()


def moved(model, client: int) -> dict[str, np.ndarray]:
    """Weights after training: each client goes its own way, within 1."""
    noise = np.random.default_rng([client, model.last_round + 1])
    return {name: array + noise.uniform(-1, 1, array.shape) for name, array in model.weights.items()}


def contributions(member: Member, sealed, round: int, clients) -> dict[int, bytes]:
    model = member.open(sealed)
    return {
        client: member.contribution(model, moved(model, client), round=round, client=client, weight=10 * (client + 1))
        for client in clients
    }


def test_members_hold_the_mean_of_plain_averaging_whoever_takes_part_in_a_round(keys) -> None:
    member, server, sealed = Member(keys, TERMS), Server(keys.public, TERMS), dict(INITIAL)
    for round, clients in enumerate([(0, 1), (1, 2, 3), (0, 3)]):
        before = member.open(sealed)
        sealed = server.add_up(sealed, round, contributions(member, sealed, round, clients))
        after = member.open(sealed)
        for name, array in after.weights.items():
            plain = np.average(
                [moved(before, client)[name] for client in clients],
                axis=0,
                weights=[client + 1 for client in clients],
            )
            np.testing.assert_allclose(array, plain, atol=4 * STEP)


def test_a_client_that_joins_late_holds_what_one_does_that_was_there_all_along(keys) -> None:
    member, server, sealed = Member(keys, TERMS), Server(keys.public, TERMS), dict(INITIAL)
    known = None
    for round in range(3):
        known = member.open(sealed, known)
        sealed = server.add_up(sealed, round, contributions(member, sealed, round, (0, 1)))
    early, late = member.open(sealed, known), Member(keys, TERMS).open(sealed)
    assert early.transcript == late.transcript
    assert early.limits == late.limits
    assert all(np.array_equal(early.weights[name], late.weights[name]) for name in INITIAL)


def test_a_contribution_dropped_under_an_honest_frame_is_refused_and_named(keys) -> None:
    member, frames = Member(keys, TERMS), contributions(Member(keys, TERMS), INITIAL, 0, (0, 1, 2))
    honest = Server(keys.public, TERMS).add_up(INITIAL, 0, frames)[f"{SUM_PREFIX}0"].tobytes()
    del frames[1]
    fewer = Server(keys.public, TERMS).add_up(INITIAL, 0, frames)[f"{SUM_PREFIX}0"].tobytes()
    forged = frame.encode(frame.parse(honest).header, bytes(frame.parse(fewer).payload))
    with pytest.raises(WrongContributionsError, match="1"):
        member.open({**INITIAL, f"{SUM_PREFIX}0": np.frombuffer(forged, np.uint8)})


def test_a_client_whose_contribution_was_left_out_refuses_the_sum(keys) -> None:
    member, frames = Member(keys, TERMS), contributions(Member(keys, TERMS), INITIAL, 0, (0, 1, 2))
    del frames[1]
    sealed = Server(keys.public, TERMS).add_up(INITIAL, 0, frames)
    member.open(sealed, contributed={0: 0})
    with pytest.raises(HistoryError, match="left client 1's contribution out of the sum of round 0"):
        member.open(sealed, contributed={0: 1})


def test_a_sum_of_a_single_contribution_is_refused(keys) -> None:
    member = Member(keys, TERMS)
    sealed = Server(keys.public, TERMS).add_up(INITIAL, 0, contributions(member, INITIAL, 0, (0,)))
    with pytest.raises(HistoryError, match="least_clients"):
        member.open(sealed)


def test_clients_that_were_shown_different_initial_weights_refuse_the_sum(keys) -> None:
    member, other = Member(keys, TERMS), {**INITIAL, "b": np.zeros(2)}
    frames = contributions(member, INITIAL, 0, (0,)) | contributions(member, other, 0, (1,))
    sums = Server(keys.public, TERMS).add_up(INITIAL, 0, frames)
    for initial in (INITIAL, other):
        with pytest.raises(VerificationError):
            member.open({**sums, **initial})


def test_a_history_that_changes_between_rounds_is_refused(keys) -> None:
    member = Member(keys, TERMS)
    sealed, another = (
        Server(keys.public, TERMS).add_up(INITIAL, 0, contributions(member, INITIAL, 0, clients))
        for clients in [(0, 1), (1, 2)]
    )
    with pytest.raises(HistoryError, match="not what it was before"):
        member.open(another, member.open(sealed))


def test_a_sum_of_an_earlier_session_is_refused(keys) -> None:
    sealed = Server(keys.public, TERMS).add_up(INITIAL, 0, contributions(Member(keys, TERMS), INITIAL, 0, (0, 1)))
    with pytest.raises(VerificationError):
        Member(keys, replace(TERMS, session="next")).open(sealed)


def test_weights_that_are_no_floating_point_numbers_are_named(keys) -> None:
    with pytest.raises(UnfitWeightsError, match="'seen' is int64"):
        Member(keys, TERMS).first({**INITIAL, "seen": np.zeros(1, np.int64)})


def test_a_folder_with_a_secret_key_is_refused_by_a_server(keys, tmp_path: Path) -> None:
    keystore.save_public(tmp_path / "public.key", keys.public)
    assert public_in(tmp_path).key_id == keys.public.key_id
    keystore.save_secret(tmp_path / "secret.key", keys)
    with pytest.raises(SecretKeyRefusedError):
        public_in(tmp_path)


def test_the_adapters_common_part_needs_the_engine_and_numpy_alone() -> None:
    script = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "monai", "pydantic", "click", "yaml", "nvflare", "flwr"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocker())
import trainer.federation.encrypted_fedavg, trainer.parties.key_folder
"""
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr

"""What crosses between processes, read as bytes: a recording of every byte that left a site."""

from __future__ import annotations

import itertools

import pytest
import torch

from trainer import checkpoint
from trainer.data import load
from trainer.federation.vocabulary import VOCABULARY
from trainer.parties.messages import EncryptedContribution, HeadActivations
from trainer.transport.in_process import AGGREGATION, COMPUTE

ROUNDS = 2


@pytest.fixture(scope="module")
def recorded(federate, tmp_path_factory):
    fed = federate(tmp_path_factory.mktemp("fed"), f"training.rounds={ROUNDS}")
    fed.run()
    return fed


def sent_by_hospitals(fed):
    return [data for sender, _, data in fed.wire.crossed if sender.startswith("client-")]


def windows(tensor):
    """Pieces of 16 bytes of the tensor's memory, where it is not constant: what a capture would show of it."""
    raw = tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
    pieces = (raw[start : start + 16] for start in range(0, len(raw) - 16, max(16, len(raw) // 40 // 16 * 16)))
    return [piece for piece in pieces if len(set(piece)) > 6]


def test_no_image_label_or_weight_of_head_or_tail_leaves_a_hospital(recorded):
    captured = b"".join(sent_by_hospitals(recorded))
    data = load(recorded.config.data, "segmentation", recorded.config.run.seed)
    checked = 0
    for site in data.clients:
        for samples in (site.train, site.test):
            for image, target in zip(samples.images, samples.targets, strict=True):
                for piece in (*windows(image), *windows(target.to(torch.int64)), *windows(target.to(torch.uint8))):
                    assert piece not in captured
                    checked += 1
    for client in range(recorded.hospitals):
        state = checkpoint.read(recorded.folder / f"client-{client}" / "checkpoints" / "final").parties
        for name, weights in (
            state[f"client-{client}"].get("head/weights").items()
            | state[f"client-{client}"].get("tail/weights").items()
        ):
            for piece in windows(weights):
                assert piece not in captured, name
                checked += 1
    assert checked > 1_000


def test_the_search_finds_what_did_leave(recorded):
    """The test above can fail: activations, which do cross, are found by the same search."""
    first = next(
        message
        for sender, receiver, raw in recorded.wire.crossed
        if (sender, receiver) == ("client-0", COMPUTE)
        and isinstance(message := VOCABULARY.decode(raw), HeadActivations)
    )
    captured = b"".join(sent_by_hospitals(recorded))
    assert any(piece in captured for piece in windows(first.activations))


def test_the_aggregation_server_is_sent_commands_frames_and_requests_and_holds_no_secret_key(recorded):
    kinds = {
        type(VOCABULARY.decode(data)).__name__
        for _, receiver, data in recorded.wire.crossed
        if receiver == AGGREGATION
    }
    assert kinds == {
        "Join", "Start", "OpenTranscript", "OpenSum", "EncryptedContribution", "SumRequest", "Keep", "ReportCosts",
    }  # fmt: skip
    assert sorted(path.name for path in (recorded.folder / AGGREGATION / "keys").iterdir()) == ["public.key"]


def test_two_encryptions_of_a_round_share_no_bytes_beyond_their_headers(recorded):
    frames = [
        message.frame
        for sender, _, data in recorded.wire.crossed
        if sender.startswith("client-") and isinstance(message := VOCABULARY.decode(data), EncryptedContribution)
    ]
    assert len(frames) == ROUNDS * recorded.hospitals
    for left, right in itertools.combinations(frames, 2):
        body = left[len(left) // 4 :]
        assert all(body[at : at + 12] not in right for at in range(0, len(body) - 12, 97))

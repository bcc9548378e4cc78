"""Checkpoints: whole or not there, read back to the bit, refused with a reason, and without keys."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from he_core import keystore
from trainer import checkpoint
from trainer.checkpoint import Snapshot
from trainer.errors import CheckpointError
from trainer.parties.state import PartyState


def snapshot(round_index: int) -> Snapshot:
    generator = torch.Generator().manual_seed(round_index)
    tensors = {"head/weights/conv": torch.randn(3, 4, generator=generator), "empty/step": torch.tensor(2.0)}
    return Snapshot(
        round_index,
        {
            "client-0": PartyState(tensors, {"clip_limits": [0.1, 1e-30], "correction": {"mode": "paper"}}),
            "aggregation": PartyState({}, {"last_round": round_index}),
        },
        {"best_score": 1 / 3, "best_round": None},
    )


def test_a_checkpoint_reads_back_to_the_bit(tmp_path: Path) -> None:
    written = snapshot(7)
    folder = checkpoint.write(tmp_path / "checkpoints", written, ("latest",))
    assert folder.name == "round-0007"
    found = checkpoint.read(tmp_path / "checkpoints" / "latest")
    assert (found.round, found.progress) == (written.round, written.progress)
    assert {name: state.numbers for name, state in found.parties.items()} == {
        name: state.numbers for name, state in written.parties.items()
    }
    for name, tensor in written.parties["client-0"].tensors.items():
        assert torch.equal(found.parties["client-0"].tensors[name], tensor)
    assert found.parties["aggregation"].tensors == {}


def test_every_party_has_a_folder_of_its_own(tmp_path: Path) -> None:
    folder = checkpoint.write(tmp_path, snapshot(0), ("latest",))
    assert sorted(file.name for file in folder.iterdir()) == ["aggregation", "client-0", "run.json"]
    for party in ("aggregation", "client-0"):
        assert sorted(file.name for file in (folder / party).iterdir()) == ["state.json", "state.safetensors"]


def test_links_point_to_rounds_and_what_no_link_points_to_is_removed(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, snapshot(0), ("latest", "best"))
    checkpoint.write(tmp_path, snapshot(1), ("latest",))
    checkpoint.write(tmp_path, snapshot(2), ("latest", "final"))
    assert {link: str((tmp_path / link).readlink()) for link in ("latest", "best", "final")} == {
        "latest": "round-0002",
        "best": "round-0000",
        "final": "round-0002",
    }
    assert sorted(folder.name for folder in tmp_path.glob("round-*")) == ["round-0000", "round-0002"]


def test_what_a_killed_run_left_half_written_is_swept_up(tmp_path: Path) -> None:
    (tmp_path / ".partial-round-0004" / "client-0").mkdir(parents=True)
    checkpoint.write(tmp_path, snapshot(0), ("latest",))
    assert not list(tmp_path.glob(".*"))


def test_one_round_written_twice_holds_the_later(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, snapshot(3), ("latest",))
    other = snapshot(3)
    other.progress["best_round"] = 1
    checkpoint.write(tmp_path, other, ("latest",))
    assert checkpoint.read(tmp_path / "latest").progress["best_round"] == 1


# --- refusals ----------------------------------------------------------------------------------------------


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def _no_json(path: Path) -> None:
    path.write_text('{"round": 3,')


def _list(path: Path) -> None:
    path.write_text("[]")


def _other_format(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))


def _without_progress(path: Path) -> None:
    document = json.loads(path.read_text())
    del document["progress"]
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("file", "damage", "words"),
    [
        ("client-0/state.safetensors", _truncated, "damaged"),
        ("client-0/state.json", _no_json, "damaged"),
        ("client-0/state.safetensors", Path.unlink, "state.safetensors is missing"),
        ("run.json", _no_json, "damaged"),
        ("run.json", _list, "damaged"),
        ("run.json", _without_progress, "damaged"),
        ("run.json", _other_format, "has format 99; this version reads 1"),
        ("run.json", Path.unlink, "run.json is missing"),
    ],
)
def test_a_damaged_checkpoint_is_refused_by_name(
    file: str, damage: Callable[[Path], None], words: str, tmp_path: Path
) -> None:
    damage(checkpoint.write(tmp_path, snapshot(3), ("latest",)) / file)
    with pytest.raises(CheckpointError) as refused:
        checkpoint.read(tmp_path / "latest")
    assert str(tmp_path / "latest") in str(refused.value)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("method.name=local", "of the parties aggregation, client-0, client-1, compute; this run's are client-0"),
        ("data.clients=3", "the images are not those"),
        ("network.features=[4,4,8,8,8,6]", "does not fit this network"),
        ("method.correction.mode=ema", "mode 'paper', this run's is 'ema'"),
    ],
)
def test_a_checkpoint_of_another_configuration_is_refused_and_the_folder_left_alone(
    change: str, words: str, cli: Any, quick: tuple[str, ...], quick_config: Any, start: Any, tmp_path: Path
) -> None:
    start(quick_config("run.examples=0"), tmp_path / "run").run()
    (tmp_path / "run" / "config.yaml").write_text(quick_config("training.rounds=3", change).dump())
    before = {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}
    result = cli("run", "--resume", tmp_path / "run")
    assert result.exit_code == 1
    assert words in result.stderr
    assert {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("link", ["latest", "round-0001/client-0"])
def test_a_checkpoint_that_cannot_be_written_is_refused_and_the_last_one_stays(link: str, tmp_path: Path) -> None:
    checkpoint.write(tmp_path, snapshot(0), ("latest", "best"))
    # A folder where a file is due: it cannot be replaced, whoever runs this.
    blocked = tmp_path / ("." + link if link == "latest" else ".partial-round-0001")
    if link == "latest":
        (blocked / "in the way").mkdir(parents=True)
    else:
        blocked.write_text("in the way")
    with pytest.raises(CheckpointError, match=r"cannot write checkpoint .*Earlier checkpoints are whole"):
        checkpoint.write(tmp_path, snapshot(1), ("latest",))
    assert checkpoint.read(tmp_path / "latest").round == 0


# --- keys ----------------------------------------------------------------------------------------------------


def test_no_file_of_a_run_folder_holds_the_secret_key(cli: Any, quick: tuple[str, ...], tmp_path: Path) -> None:
    result = cli(
        "run",
        "--into",
        tmp_path / "run",
        *quick,
        "encryption.scheme=paillier",
        "encryption.parameters.modulus_bits=2048",
        f"encryption.key_folder={tmp_path / 'keys'}",
        "run.tensorboard=true",
    )
    assert result.exit_code == 0, result.stderr
    secret = tmp_path / "keys" / "secret.key"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    material = keystore.load_secret(secret).material
    assert set(material) == {"p", "q"}
    spellings = [
        spelling
        for value in material.values()
        for spelling in (
            value,
            value[::-1],
            base64.b64encode(value),
            value.hex().encode(),
            value[::-1].hex().encode(),
            str(int.from_bytes(value, "little")).encode(),
        )
    ]
    files = [file for file in (tmp_path / "run").rglob("*") if file.is_file()]
    assert len(files) > 15
    for file in files:
        content = file.read_bytes()
        # A piece in the middle: whatever surrounds it, a copy of the key would hold it.
        leaks = [spelling for spelling in spellings if spelling[8:32] in content]
        assert not leaks, file
    assert any(base64.b64encode(material["p"])[8:32] in file.read_bytes() for file in [secret])


@pytest.mark.slow
def test_a_resumed_run_takes_the_keys_of_its_folder(
    cli: Any, quick: tuple[str, ...], what_remains: Any, tmp_path: Path
) -> None:
    keys = f"encryption.key_folder={tmp_path / 'keys'}"
    scheme = ("encryption.scheme=paillier", "encryption.parameters.modulus_bits=2048", keys)
    assert cli("run", "--into", tmp_path / "run", *quick, *scheme, "training.rounds=1").exit_code == 0
    before = (tmp_path / "keys" / "secret.key").read_bytes()
    assert cli("run", "--resume", tmp_path / "run", "training.rounds=2").exit_code == 0
    assert (tmp_path / "keys" / "secret.key").read_bytes() == before
    assert cli("run", "--into", tmp_path / "whole", *quick, *scheme).exit_code == 0
    assert what_remains(tmp_path / "run") == what_remains(tmp_path / "whole")

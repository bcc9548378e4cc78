"""`dcsfl-train leakage`: what the attackers are given, what the figures mean, and how the command ends."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from he_core import CostLedger
from trainer.checkpoint import read
from trainer.experiment import Experiment
from trainer.leakage.attackers import Effort, KnownHeadDecoder, KnownHeadSearch, ShadowDecoder
from trainer.leakage.curious_server import eavesdrop
from trainer.leakage.measure import Attack, Leakage
from trainer.leakage.recut import cuts
from trainer.leakage.scores import Scores, score, to_unit_range
from trainer.leakage.show import draw_sheet
from trainer.networks.registry import build
from trainer.networks.split import Unsplit
from trainer.parties.exchange import EXCHANGES, SERVER_END
from trainer.parties.messages import HeadActivations, InferenceActivations


@pytest.fixture
def trained(quick_config: Any, start: Any, tmp_path: Path) -> Any:
    """`trained("network.client_levels=2", ...)`: the folder of a finished quick run."""

    def train(*overrides: str, name: str = "run") -> Path:
        start(quick_config(*overrides), tmp_path / name).run()
        return tmp_path / name

    return train


def places(config: Any, folder: Path) -> Any:
    return cuts(Experiment.prepare(config), read(folder / "checkpoints" / "latest"))


# --- metrics ------------------------------------------------------------------------------------------------------


def test_an_image_scores_one_against_itself_and_its_own_scale_does_not_matter() -> None:
    images = torch.randn(2, 1, 32, 32)
    for shown in (images, 40 * images - 7):
        scores = score(shown, shown)
        assert scores.ssim == pytest.approx([1.0, 1.0], abs=1e-5)
        assert scores.psnr == (100.0, 100.0)


def test_psnr_is_that_of_the_error_relative_to_the_originals_range() -> None:
    original = torch.zeros(1, 1, 16, 16)
    original[..., :8] = 4.0
    assert score(original * 0.9, original).mean_psnr == pytest.approx(20 - 10 * torch.log10(torch.tensor(0.5)).item())


def test_a_worse_reconstruction_scores_less_and_a_negative_scores_below_nothing() -> None:
    original = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(2))
    near, far = (score(original + spread * noise, original) for spread in (0.05, 0.5))
    assert near.mean_ssim > far.mean_ssim
    assert near.mean_psnr > far.mean_psnr
    assert score(1 - original, original).mean_ssim < 0


def test_a_constant_original_is_no_division_by_zero() -> None:
    assert torch.isfinite(to_unit_range(torch.ones(1, 1, 16, 16), torch.ones(1, 1, 16, 16))).all()


# --- what the server sees -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_what_is_attacked_is_what_the_clients_own_messages_carry(
    quick_config: Any, trained: Any, exchange: str
) -> None:
    config = quick_config(f"training.cut_exchange={exchange}")
    experiment = Experiment.prepare(config)
    cut = places(config, trained(f"training.cut_exchange={exchange}"))[0]
    client = experiment.data.clients[0]
    seen = eavesdrop(config, cut.trained, experiment.task, client.test.images, client.train)
    assert {type(message) for message in seen.training} == {HeadActivations}
    assert {type(message) for message in seen.evaluated} == {InferenceActivations}
    end = EXCHANGES[exchange](config.run.seed, 0, SERVER_END)
    with torch.no_grad():
        h, _ = cut.trained.head(client.test.images)
    crossed = end.unpack(end.pack(h))
    torch.testing.assert_close(seen.of_evaluated(end), crossed)
    assert len(seen.of_training(end)) == len(client.train)


def test_looking_on_changes_no_weight(quick_config: Any, trained: Any) -> None:
    config = quick_config()
    experiment = Experiment.prepare(config)
    cut = places(config, trained())[0]
    before = {name: tensor.clone() for name, tensor in Unsplit(cut.trained).state_dict().items()}
    client = experiment.data.clients[0]
    eavesdrop(config, cut.trained, experiment.task, client.test.images, client.train)
    for name, tensor in Unsplit(cut.trained).state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


def test_a_reconstruction_depends_on_the_activations_alone(quick_config: Any, trained: Any) -> None:
    """Attackers are made before they see anything of the images: equal activations give equal reconstructions."""
    config = quick_config()
    experiment = Experiment.prepare(config)
    cut = places(config, trained())[0]
    own = experiment.data.clients[1].train
    head, effort = cut.trained.head, Effort(steps=2, seed=1)
    with torch.no_grad():
        h, _ = head(experiment.data.clients[0].test.images)
    attackers = (
        lambda: KnownHeadDecoder(head, own.images, lambda h: h, effort),
        lambda: KnownHeadSearch(head, KnownHeadDecoder(head, own.images, lambda h: h, effort), effort),
        lambda: ShadowDecoder(cut.initial, cut.trained.body, experiment.task, own, h, lambda h: h, effort),
    )
    for make in attackers:
        first, again = make().reconstruct(h), make().reconstruct(h.clone())
        torch.testing.assert_close(first, again, rtol=0, atol=0)
        assert first.shape == experiment.data.clients[0].test.images.shape
        assert not torch.equal(make().reconstruct(h.roll(1, 1)), first)


def test_the_server_can_make_the_first_batchs_head_from_the_configuration(quick_config: Any) -> None:
    """Why FirstBatchDecoder knows it: the weights before the first step are a function of what every party holds."""
    config = quick_config()
    experiment = Experiment.prepare(config)
    client = experiment.assemble(CostLedger()).clients[0]
    built = build(config.network, 1, experiment.task.out_channels, config.run.seed)
    for mine, theirs in zip(built.head.parameters(), client.head.parameters(), strict=True):
        assert torch.equal(mine, theirs)


# --- one run stands for all its cuts ------------------------------------------------------------------------------


def test_a_recut_run_is_the_run_at_that_cut(quick_config: Any, trained: Any) -> None:
    """Up to the encryption's quantisation, which is not there with scheme=none."""
    none = ("encryption.scheme=none", "method.correction.mode=off")
    recut = places(quick_config(*none), trained(*none, name="one"))
    for level in (2, 3):
        folder = trained(*none, f"network.client_levels={level}", name=str(level))
        there = places(quick_config(*none, f"network.client_levels={level}"), folder)
        mine, theirs = (Unsplit(found[level - 1].trained).state_dict() for found in (recut, there))
        assert mine.keys() == theirs.keys()
        for name, tensor in mine.items():
            torch.testing.assert_close(tensor, theirs[name], rtol=1e-3, atol=1e-4)


def test_the_trained_head_is_not_the_initial_one(quick_config: Any, trained: Any) -> None:
    cut = places(quick_config(), trained())[2]
    assert cut.client_levels == 3
    pairs = zip(cut.trained.head.parameters(), cut.initial.head.parameters(), strict=True)
    assert any(not torch.equal(one, other) for one, other in pairs)


# --- the attack works ---------------------------------------------------------------------------------------------


def test_who_knows_the_head_beats_guessing_at_the_finest_cut(quick_config: Any, trained: Any) -> None:
    config = quick_config()
    cut = places(config, trained())[0]
    client, other = Experiment.prepare(config).data.clients
    attacker = KnownHeadDecoder(cut.trained.head, other.train.images, lambda h: h, Effort(steps=100, seed=1))
    with torch.no_grad():
        h, _ = cut.trained.head(client.test.images)
    rebuilt = score(attacker.reconstruct(h), client.test.images)
    guessed = [score(image.expand_as(client.test.images), client.test.images) for image in other.train.images]
    assert rebuilt.mean_psnr > max(guess.mean_psnr for guess in guessed) + 1


# --- the command --------------------------------------------------------------------------------------------------


def test_the_command_leaves_figures_rows_and_a_sheet(cli: Any, trained: Any) -> None:
    folder = trained()
    result = cli("leakage", folder, "--steps", "2", "--images", "2", "--format", "json")
    assert result.exit_code == 0, result.stderr
    figures = json.loads(result.stdout)
    assert figures == json.loads((folder / "leakage.json").read_text())
    assert [row["client_levels"] for row in figures["attacks"]] == [level for level in (1, 2, 3) for _ in range(6)]
    assert {row["exchange"] for row in figures["attacks"]} == {"float32", "int8"}
    rows = list(csv.DictReader(io.StringIO((folder / "leakage.csv").read_text())))
    attacked = len(figures["images"])
    assert len(rows) == attacked * (len(figures["guesses"]) + len(figures["attacks"]))
    width, height = Image.open(folder / "leakage.png").size
    assert width > 9 * 64
    assert height > 3 * 64
    assert cli("leakage", folder, "--steps", "2", "--images", "2", "--format", "json").stdout == result.stdout


def test_the_table_has_every_attacker_once_a_cut(cli: Any, trained: Any) -> None:
    shown = cli("leakage", trained(), "--steps", "1", "--images", "1").stdout
    for name in ("client_levels 1", "client_levels 2", "client_levels 3"):
        assert shown.count(name) == 1
    for attacker in (
        "head known, decoder, then search",
        "first batch, decoder",
        "server alone, shadow from run.seed",
    ):
        assert shown.count(attacker) == 3


def test_red_cnn_has_its_one_cut(cli: Any, trained: Any) -> None:
    folder = trained("training.task=restoration", "network.name=redcnn", "network.channels=4")
    result = cli("leakage", folder, "--steps", "1", "--images", "1", "--format", "json")
    assert result.exit_code == 0, result.stderr
    figures = json.loads(result.stdout)
    assert {row["client_levels"] for row in figures["attacks"]} == {None}
    assert figures["attacks"][0]["shape"] == [4, 28, 28]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("method.name=fedavg",), "method.name=fedavg"),
        (("data.clients=1", "method.min_participants=1"), "there must be two"),
    ],
)
def test_a_run_that_cannot_be_attacked_is_told_why_in_a_line(
    cli: Any, trained: Any, overrides: tuple[str, ...], said: str
) -> None:
    result = cli("leakage", trained(*overrides), "--steps", "1")
    assert result.exit_code == 1
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_bad_arguments_end_in_a_line(cli: Any, quick_config: Any, start: Any, tmp_path: Path) -> None:
    assert "there is no run folder" in cli("leakage", tmp_path / "nothing").stderr
    start(quick_config(), tmp_path / "begun")
    result = cli("leakage", tmp_path / "begun")
    assert result.exit_code == 1
    assert "no whole checkpoint" in result.stderr
    for option in ("--steps", "--images", "--pictures"):
        result = cli("leakage", tmp_path, option, "0")
        assert result.exit_code == 2
        assert option in result.stderr


def test_a_checkpoint_without_hospitals_is_told_in_a_line(cli: Any, trained: Any) -> None:
    folder = trained()
    for file in (folder / "checkpoints" / "latest" / "client-0").iterdir():
        file.unlink()
    (folder / "checkpoints" / "latest" / "client-0").rmdir()
    result = cli("leakage", folder, "--steps", "1")
    assert result.exit_code == 1
    assert "no client-0" in result.stderr


@pytest.mark.parametrize("aspect", [1.0, 2.0, 3.0, 0.5])
def test_a_sheet_shows_uneven_voxels_in_proportion_and_covers_no_caption(aspect: float) -> None:
    black, nothing = torch.zeros(1, 1, 16, 24, 24), Scores((0.0,), (0.0,))
    guess = Attack("none", "nothing", None, "", black, nothing)
    attacks = tuple(Attack("head known, decoder", "", levels, "float32", black, nothing) for levels in (1, 2))
    found = Leakage("a", ("b",), 1, ("c",), black, (guess,), attacks, {1: (4, 16), 2: (4, 8)}, 1, "float32")
    sheet = np.asarray(Image.open(io.BytesIO(draw_sheet(found, 1, aspect))))
    down = np.diff((sheet[:, 20] < 8).astype(int), prepend=0, append=0)  # through the pictures of the first column
    across = np.diff((sheet[np.flatnonzero(down == 1)[-1] + 4] < 8).astype(int), prepend=0, append=0)
    (top, bottom), (next_top, _) = zip(np.flatnonzero(down == 1), np.flatnonzero(down == -1), strict=True)
    left, right = np.flatnonzero(across)[:2]
    assert (bottom - top) / (right - left) == pytest.approx(aspect, rel=0.05)
    assert next_top - bottom >= 3 * 1.2 * 5.5 / 72 * 160  # three lines of 5.5 points, at 160 dots an inch

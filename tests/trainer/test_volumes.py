"""Volumes through the same parties, tasks and report as slices."""

from __future__ import annotations

import io
import json
import re
import warnings

import nibabel
import numpy as np
import pytest
import torch
from monai.metrics import compute_hausdorff_distance
from rich.console import Console

from trainer.batches import epoch_batches
from trainer.data import brain_mri
from trainer.data.slices import fit_image, fit_labels
from trainer.display import LineDisplay
from trainer.errors import ConfigError
from trainer.experiment import Experiment
from trainer.networks.registry import build
from trainer.networks.split import Unsplit
from trainer.report.examples import read_examples

DEPTH, SIDE = 16, 32
RIGHT_MM, FRONT_MM, UP_MM = 1.0, 1.25, 2.5
VOLUMES = (
    *("network.dimensions=3", f"data.depth={DEPTH}", f"data.image_size={SIDE}"),
    f"data.spacing=[{RIGHT_MM},{FRONT_MM},{UP_MM}]",
    *("network.features=[4, 4, 6, 6, 8, 4]", "training.learning_rate=1e-3"),
)
EACH_TASK = pytest.mark.parametrize(
    "setting",
    [("network.name=unet",), ("network.name=residual-unet", "training.task=restoration")],
    ids=["segmentation", "restoration"],
)


@pytest.fixture(scope="module")
def template() -> brain_mri.Template:
    return brain_mri.read_template(brain_mri.template_files())


@pytest.fixture
def bring(template, tmp_path):
    """`bring(sites, task)`: the overrides for that many sites with three real blocks of the brain each."""

    def save(file: str, slices: list[np.ndarray]) -> None:
        path = tmp_path / "sites" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        affine = np.diag([RIGHT_MM, FRONT_MM, UP_MM, 1.0])
        nibabel.save(nibabel.Nifti1Image(np.stack(slices, axis=-1), affine), path)

    def make(sites: int, task: str) -> tuple[str, ...]:
        for site in range(sites):
            for start in (20 + site, 60 + site, 100 + site):
                block = range(start, start + DEPTH)
                images = [fit_image(template.images[index], SIDE) for index in block]
                if task == "segmentation":
                    save(f"site-{site}/images/block-{start}.nii", images)
                    labels = [fit_labels(template.labels[index], SIDE).astype(np.uint8) for index in block]
                    save(f"site-{site}/labels/block-{start}.nii", labels)
                else:
                    generator = np.random.default_rng(start)
                    noisy = [image + generator.normal(scale=0.1, size=image.shape) for image in images]
                    save(f"site-{site}/noisy/block-{start}.nii", [image.astype(np.float32) for image in noisy])
                    save(f"site-{site}/clean/block-{start}.nii", images)
        return ("data.source=folder", f"data.path={tmp_path / 'sites'}")

    return make


def task_of(setting: tuple[str, ...]) -> str:
    return "restoration" if "training.task=restoration" in setting else "segmentation"


@EACH_TASK
def test_a_run_on_volumes_trains_averages_evaluates_and_reports(setting, bring, quick_config, start, tmp_path):
    own = bring(2, task_of(setting))
    config = quick_config(*VOLUMES, *own, *setting, "encryption.scheme=rlwe", "training.rounds=2")
    start(config, tmp_path / "run").run()
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    expected = {"psnr", "ssim", "rmse"} if task_of(setting) == "restoration" else {"dice", "iou"}
    assert expected <= rows[1]["evaluation"]["mean"].keys()
    assert rows[1]["train_loss_mean"] < rows[0]["train_loss_mean"]
    parts = json.loads((tmp_path / "run" / "parts.json").read_text())
    assert parts["input_shape"] == [1, DEPTH, SIDE, SIDE]
    assert all(len(cut["shape"]) == 4 for cut in parts["cuts"])
    with np.load(tmp_path / "run" / "examples.npz") as examples:
        assert examples["images"].shape[1:] == (SIDE, SIDE)
        assert examples["pixel_aspect"] == FRONT_MM / RIGHT_MM
    drawn = read_examples(tmp_path / "run" / "examples.npz", task_of(setting), ["background", "a", "b", "c"])
    assert drawn.examples[0].pictures["image"].shape == (SIDE * FRONT_MM / RIGHT_MM, SIDE, 3)
    assert (tmp_path / "run" / "report.html").exists()


def test_hd95_of_a_run_is_that_of_its_predictions_in_mm_on_the_screen_and_in_the_report(
    bring, quick_config, start, tmp_path
):
    own = bring(2, "segmentation")
    config = quick_config(*VOLUMES, *own, "training.rounds=6", "training.loss=cross-entropy")
    said = io.StringIO()
    run = start(config, tmp_path / "run", LineDisplay(Console(file=said, width=400)))
    run.run()
    figures = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    clients = Experiment.prepare(config).data.clients
    expected = {}
    for index, client in enumerate(clients):
        predicted = run.parties.predict(index, client.test.images)
        one_hot = [
            torch.nn.functional.one_hot(labels, 4).movedim(-1, 1) for labels in (predicted, client.test.targets)
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            each = compute_hausdorff_distance(*one_hot, percentile=95, spacing=(UP_MM, FRONT_MM, RIGHT_MM))
        each[~each.isfinite()] = torch.nan
        expected[client.name] = float(each.nanmean(dim=0).nanmean())
    found = {name: scores["hd95_mm"] for name, scores in figures[-1]["evaluation"]["clients"].items()}
    assert found == pytest.approx(expected, rel=1e-5)
    mean = figures[-1]["evaluation"]["mean"]
    assert mean["hd95_mm"] == pytest.approx(sum(expected.values()) / len(expected), rel=1e-5)
    assert not any(name.partition("/")[0] == "hd95" for name in mean)
    assert f"hd95_mm {mean['hd95_mm']:.3f}" in said.getvalue().splitlines()[-1]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "HD95 (mm)" in page
    assert f"HD95 {mean['hd95_mm']:.2f} mm" in page
    assert not re.search(r"HD95[^<]*px", page)


@EACH_TASK
def test_one_client_on_volumes_equals_the_unsplit_network(setting, bring, quick_config):
    from he_core import CostLedger
    from trainer.parties.messages import Participant, RoundPlan

    own = bring(1, task_of(setting))
    config = quick_config(*VOLUMES, *own, *setting, "method.correction.mode=off", "encryption.scheme=none")
    experiment = Experiment.prepare(config)
    parties, task = experiment.assemble(CostLedger()), experiment.task
    experiment.method.run_round(parties, RoundPlan(0, (Participant(0, 1),)), lambda client, loss: None)

    whole = Unsplit(build(config.network, 1, task.out_channels, config.run.seed, task.adds_input)).train()
    training, samples = config.training, experiment.data.clients[0].train
    optimiser = torch.optim.Adam(whole.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay)
    for epoch in range(training.local_epochs):
        order = {"seed": config.run.seed, "client": 0, "round": 0, "epoch": epoch}
        for batch in epoch_batches(len(samples), training.batch_size, **order):
            optimiser.zero_grad()
            task.loss(whole(samples.images[batch]), samples.targets[batch]).backward()
            optimiser.step()
    head = dict(parties.clients[0].head.named_parameters())
    for name, weights in whole.head.named_parameters():
        torch.testing.assert_close(head[name], weights, rtol=1e-4, atol=5e-6, msg=name)


def test_volumes_and_a_network_for_slices_are_refused_with_the_fix(bring, quick_config):
    own = bring(1, "segmentation")
    volumes = Experiment.prepare(quick_config(*VOLUMES, *own)).data
    with pytest.raises(ConfigError, match=r"network\.dimensions=2.*3 dimensions: set network\.dimensions=3"):
        Experiment.prepare(quick_config(*own), volumes)

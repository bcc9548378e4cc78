"""Volumes through the same parties, tasks and report as slices; no data source delivers them yet."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from trainer.batches import epoch_batches
from trainer.data import ClientData, FederatedData, SampleSet, brain_mri
from trainer.data.slices import fit_image, fit_labels, zscore
from trainer.errors import ConfigError
from trainer.experiment import Experiment
from trainer.networks.registry import build
from trainer.networks.split import Unsplit

VOLUMES = ("network.dimensions=3", "network.features=[4, 4, 6, 6, 8, 4]", "training.learning_rate=1e-3")
DEPTH, SIDE = 16, 32
EACH_TASK = pytest.mark.parametrize(
    "setting",
    [("network.name=unet",), ("network.name=residual-unet", "training.task=restoration")],
    ids=["segmentation", "restoration"],
)


@pytest.fixture(scope="module")
def template() -> brain_mri.Template:
    return brain_mri.read_template(brain_mri.template_files())


@pytest.fixture
def deliver(template, monkeypatch):
    """`deliver(clients)`: from here on the data are that many clients with three real blocks of the brain each."""

    def block(start: int, task: str) -> tuple[torch.Tensor, torch.Tensor]:
        slices = range(start, start + DEPTH)
        image = np.stack([fit_image(template.images[index], SIDE) for index in slices])
        if task == "segmentation":
            labels = np.stack([fit_labels(template.labels[index], SIDE) for index in slices])
            return torch.from_numpy(zscore(image)), torch.from_numpy(labels)
        noise = np.random.default_rng(start).normal(scale=0.1, size=image.shape)
        return torch.from_numpy((image + noise).clip(0, 1).astype(np.float32)), torch.from_numpy(image)

    def samples(starts: list[int], task: str) -> SampleSet:
        images, targets = (torch.stack(both) for both in zip(*(block(start, task) for start in starts), strict=True))
        targets = targets if task == "segmentation" else targets[:, None]
        return SampleSet(images[:, None], targets, tuple(f"block-{start}" for start in starts))

    def make(clients: int) -> None:
        def load(_data, task, _seed) -> FederatedData:
            found = [
                ClientData(f"site-{k}", "blocks", samples([20 + k, 60 + k], task), samples([100 + k], task))
                for k in range(clients)
            ]
            names = brain_mri.CLASS_NAMES if task == "segmentation" else ()
            return FederatedData(task, names, tuple(found), "the demo's template as volumes", ())

        monkeypatch.setattr("trainer.experiment.load", load)

    return make


@EACH_TASK
def test_a_run_on_volumes_trains_averages_evaluates_and_reports(setting, deliver, quick_config, start, tmp_path):
    deliver(2)
    start(quick_config(*VOLUMES, *setting, "encryption.scheme=rlwe", "training.rounds=2"), tmp_path / "run").run()
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    expected = {"psnr", "ssim", "rmse"} if len(setting) == 2 else {"dice", "iou"}
    assert expected <= rows[1]["evaluation"]["mean"].keys()
    assert rows[1]["train_loss_mean"] < rows[0]["train_loss_mean"]
    parts = json.loads((tmp_path / "run" / "parts.json").read_text())
    assert parts["input_shape"] == [1, DEPTH, SIDE, SIDE]
    assert all(len(cut["shape"]) == 4 for cut in parts["cuts"])
    with np.load(tmp_path / "run" / "examples.npz") as examples:
        assert examples["images"].shape[1:] == (SIDE, SIDE)
    assert (tmp_path / "run" / "report.html").exists()


@EACH_TASK
def test_one_client_on_volumes_equals_the_unsplit_network(setting, deliver, quick_config):
    from he_core import CostLedger
    from trainer.parties.messages import Participant, RoundPlan

    deliver(1)
    config = quick_config(*VOLUMES, *setting, "method.correction.mode=off", "encryption.scheme=none")
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


def test_slices_and_a_network_for_volumes_are_refused_with_the_fix(quick_config):
    with pytest.raises(ConfigError, match=r"network\.dimensions=3.*2 dimensions: set network\.dimensions=2"):
        Experiment.prepare(quick_config(*VOLUMES))

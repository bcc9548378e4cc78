"""`dcsfl-train run` from images to report, in the shapes users bring them: both tasks, every scheme, own folders."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from he_core import registry
from trainer.cli import main
from trainer.config import DataConfig
from trainer.data import load as load_data

QUICK = (
    "run.threads=1",
    "run.examples=1",
    "data.image_size=32",
    "data.max_slices=4",
    "training.rounds=2",
    "network.features=[4,4,6,6,8,4]",
)
RLWE = ("encryption.scheme=rlwe",)
OPENFHE = [
    pytest.param(
        (f"encryption.scheme={scheme}", "encryption.backend=openfhe"),
        marks=pytest.mark.skipif(obstacle is not None, reason=str(obstacle)),
        id=scheme,
    )
    for scheme, obstacle in ((s.scheme, s.obstacle) for s in registry.default().statuses() if s.backend == "openfhe")
]
PAILLIER = ("encryption.scheme=paillier", "encryption.parameters.modulus_bits=2048")


def run(folder, *overrides):
    result = CliRunner().invoke(main, ["run", "--into", str(folder), *QUICK, *overrides])
    assert result.exit_code == 0, result.output
    return json.loads((folder / "summary.json").read_text())


@pytest.fixture(scope="module")
def brains():
    """Real slices with their labels: {site: [(image float32[32, 32] in [0, 1], label uint8[32, 32]), ..]}."""
    data = load_data(DataConfig(clients=2, image_size=32, max_slices=6), "segmentation", 1)
    sites = {}
    for client in data.clients:
        pairs = []
        for samples in (client.train, client.test):
            for image, label in zip(samples.images, samples.targets, strict=True):
                flat = image[0] - image.min()
                pairs.append(((flat / flat.max()).numpy(), label.numpy().astype(np.uint8)))
        sites[client.name] = pairs
    return sites


@pytest.mark.parametrize(
    "scheme", [RLWE, PAILLIER, ("encryption.scheme=plain",), ("encryption.scheme=none",), *OPENFHE]
)
def test_segmentation_of_the_demo_set(tmp_path, scheme):
    summary = run(tmp_path / "run", *scheme)
    assert summary["finished"] is True
    assert 0 < summary["final"]["dice"] < 1
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000


def test_restoration_with_redcnn(tmp_path):
    summary = run(tmp_path / "run", *RLWE, "training.task=restoration", "network.name=redcnn", "network.channels=4")
    assert set(summary["final"]) == {"psnr", "ssim", "rmse"}
    assert summary["final"]["psnr"] > 5


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_own_folders_of_pictures_and_masks(tmp_path, brains, ending):
    for site, pairs in brains.items():
        for kind in ("images", "masks"):
            (tmp_path / "sites" / site / kind).mkdir(parents=True)
        for index, (image, label) in enumerate(pairs):
            pixels = (image * 65535).astype(np.uint16) if ending == "tif" else (image * 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "sites" / site / "images" / f"case{index}.{ending}")
            mask = Image.fromarray(((label == 2) * 255).astype(np.uint8))
            mask.save(tmp_path / "sites" / site / "masks" / f"case{index}.{ending}")
    run(tmp_path / "run", *RLWE, "data.source=folder", f"data.path={tmp_path / 'sites'}")
    found = json.loads((tmp_path / "run" / "data.json").read_text())
    assert [client["name"] for client in found["clients"]] == sorted(brains)
    assert len(found["class_names"]) == 2


def test_own_folders_of_nifti_pairs(tmp_path, brains):
    for site, pairs in brains.items():
        for kind in ("images", "labels"):
            (tmp_path / "sites" / site / kind).mkdir(parents=True)
        for case, part in enumerate((pairs[:3], pairs[3:6], pairs[6:])):
            image = np.stack([image for image, _ in part], axis=-1)
            label = np.stack([label for _, label in part], axis=-1)
            affine = np.diag([1.0, 1.0, 3.0, 1.0])
            nibabel.save(nibabel.Nifti1Image(image, affine), tmp_path / "sites" / site / "images" / f"c{case}.nii.gz")
            nibabel.save(nibabel.Nifti1Image(label, affine), tmp_path / "sites" / site / "labels" / f"c{case}.nii.gz")
    summary = run(
        tmp_path / "run",
        "encryption.scheme=plain",
        "data.source=folder",
        f"data.path={tmp_path / 'sites'}",
        "data.classes={0: background, 1: other, 2: grey, 3: white}",
        "method.weighting=samples",
    )
    assert summary["finished"] is True
    found = json.loads((tmp_path / "run" / "data.json").read_text())
    assert found["class_names"] == ["background", "other", "grey", "white"]

"""The demo set, from the real files of the installed nilearn package."""

from __future__ import annotations

import importlib.util
import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch

from trainer.config import DataConfig
from trainer.data import FederatedData, brain_mri, ct, load
from trainer.data.slices import fit_image, zscore
from trainer.errors import DataError

pytestmark = pytest.mark.skipif(importlib.util.find_spec("nilearn") is None, reason="nilearn carries the images")


def load_small(task: str = "segmentation", seed: int = 42, **settings) -> FederatedData:
    return load(DataConfig(**{"image_size": 48, "max_slices": 6, **settings}), task, seed)


def tensors(data: FederatedData) -> list[torch.Tensor]:
    return [
        tensor
        for client in data.clients
        for part in (client.train, client.test)
        for tensor in (part.images, part.targets)
    ]


def axial(identifiers: tuple[str, ...]) -> list[int]:
    return [int(name.removeprefix("slice-")) for name in identifiers]


@pytest.fixture(scope="module")
def template() -> brain_mri.Template:
    return brain_mri.read_template(brain_mri.template_files())


@pytest.fixture(scope="module")
def demo() -> FederatedData:
    return load(DataConfig(image_size=32), "segmentation", 42)


@pytest.mark.parametrize("task", ["segmentation", "restoration"])
def test_equal_seeds_give_equal_tensors_whatever_the_global_generators(task):
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    first = load_small(task)
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002
    again = load_small(task)
    assert all(torch.equal(a, b) for a, b in zip(tensors(first), tensors(again), strict=True))
    assert [client.description for client in first.clients] == [client.description for client in again.clients]
    other = load_small(task, seed=43)
    assert not any(torch.equal(a, b) for a, b in zip(tensors(first)[::2], tensors(other)[::2], strict=True))


def test_a_slice_does_not_depend_on_which_other_slices_are_loaded(demo):
    few = load(DataConfig(image_size=32, max_slices=3), "segmentation", 42)
    for client, whole in zip(few.clients, demo.clients, strict=True):
        where = [whole.train.identifiers.index(name) for name in client.train.identifiers]
        assert len(client.train) == 3
        assert len(client.test) == 1
        assert torch.equal(client.train.images, whole.train.images[where])


@pytest.mark.parametrize(("clients", "gap"), [(1, 0), (4, 2), (7, 4)])
def test_no_test_slice_of_any_client_is_near_any_training_slice(clients, gap):
    data = load_small(clients=clients, gap=gap, max_slices=None, image_size=16)
    assert len(data.clients) == clients
    train = [index for client in data.clients for index in axial(client.train.identifiers)]
    test = [index for client in data.clients for index in axial(client.test.identifiers)]
    assert min(abs(a - b) for a, b in itertools.product(train, test)) > gap
    assert len(set(train + test)) == len(train + test)


def test_every_client_sees_all_four_classes_in_training_and_test(demo):
    assert demo.class_names == ("background", "other brain", "grey matter", "white matter")
    for client in demo.clients:
        for part in (client.train, client.test):
            assert torch.unique(part.targets).tolist() == [0, 1, 2, 3]


def test_grey_and_white_matter_have_the_volumes_and_contrast_of_a_t1_brain(template):
    millilitres = np.bincount(template.labels.ravel()) / 1000
    assert 600 < millilitres[2] < 1200  # the template is larger than an average brain
    assert 450 < millilitres[3] < 750
    background, _, grey, white = (template.images[template.labels == index] for index in range(4))
    assert background.max() == 0
    assert white.mean() > grey.mean() + 0.1
    assert 140 <= len(template.axial_indices) <= 160


def test_slices_are_seen_from_above_with_the_nose_at_the_top(template):
    # The cerebellum lies low and at the back, so the lowest slices are heavier towards the last rows.
    rows = (template.labels[:12] > 0).sum(axis=(0, 2))
    assert np.average(np.arange(len(rows)), weights=rows) > 0.55 * len(rows)


def test_heterogeneity_zero_processes_every_client_alike(template):
    data = load_small(heterogeneity=0, image_size=40)
    assert len({client.description for client in data.clients}) == 1
    for client in data.clients:
        position = template.axial_indices.index(axial(client.train.identifiers)[0])
        expected = zscore(fit_image(template.images[position], 40))
        assert np.array_equal(client.train.images[0, 0].numpy(), expected)


def test_at_full_heterogeneity_one_slice_looks_different_at_every_client(template):
    data = load_small(clients=4, heterogeneity=1)
    assert len({client.description for client in data.clients}) == 4
    middle = fit_image(template.images[70], 48)
    seen = [
        zscore(brain_mri.draw_scanner(42, client, 1.0).apply(middle, np.random.default_rng(0))) for client in range(4)
    ]
    for first, second in itertools.combinations(seen, 2):
        assert np.corrcoef(first.ravel(), second.ravel())[0, 1] < 0.97


def test_the_mask_lies_on_the_brain_at_every_orientation():
    for client in load_small(heterogeneity=1).clients:
        inside = client.train.images[:, 0][client.train.targets > 0]
        outside = client.train.images[:, 0][client.train.targets == 0]
        assert float(inside.mean()) > float(outside.mean()) + 1


def test_segmentation_images_have_zero_mean_and_unit_spread(demo):
    images = torch.cat([client.train.images for client in demo.clients])
    assert images.mean(dim=(1, 2, 3)).abs().max() < 1e-5
    assert (images.std(dim=(1, 2, 3), correction=0) - 1).abs().max() < 1e-4


@pytest.mark.parametrize("heterogeneity", [0, 1])
def test_restoration_pairs_stay_in_the_unit_range_and_leave_noise_to_remove(heterogeneity):
    data = load_small("restoration", heterogeneity=heterogeneity)
    assert data.class_names == ()
    for client in data.clients:
        for images in (client.train.images, client.train.targets):
            assert 0 <= float(images.min()) <= float(images.max()) <= 1
        error = (client.train.images - client.train.targets).pow(2).mean().sqrt()
        assert 0.02 < float(error) < 0.2


def test_restoration_images_are_what_each_clients_ct_scanner_makes_of_the_targets():
    data = load_small("restoration", max_slices=3)
    assert "MRI anatomy stands in for CT" in data.provenance
    assert len({client.description for client in data.clients}) == len(data.clients)
    for index, client in enumerate(data.clients):
        scanner = ct.draw_ct_scanner(42, index, 0.5, 48)
        assert client.description == scanner.describe()
        clean = client.test.targets[0, 0].numpy()
        photons = ct.photon_generator(42, index, axial(client.test.identifiers)[0])
        assert np.array_equal(client.test.images[0, 0].numpy(), scanner.scan(clean, photons).clip(0, 1))


def test_restoration_targets_are_the_templates_slices(template):
    client = load_small("restoration", max_slices=3).clients[0]
    position = template.axial_indices.index(axial(client.train.identifiers)[0])
    assert np.array_equal(client.train.targets[0, 0].numpy(), fit_image(template.images[position], 48))


def test_provenance_names_source_licence_and_that_this_is_no_patient(demo):
    for words in ("ICBM152", "nilearn", "copyright", "not a patient"):
        assert words in demo.provenance
    assert any("dropped" in note for note in demo.notes)


def test_too_many_clients_are_refused():
    with pytest.raises(DataError, match=r"for 80 client\(s\)"):
        load_small(clients=80)


def test_missing_nilearn_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r'pip install "dcsfl\[demo\]"'):
        brain_mri.template_files()


def test_nilearn_is_found_but_never_imported():
    code = "import sys, trainer.data.brain_mri as b; b.template_files(); print('nilearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

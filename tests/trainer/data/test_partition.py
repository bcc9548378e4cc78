"""Simulated hospitals: a partition by subject, seeded, as skewed as asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.config import DataConfig
from trainer.data import FederatedData, load
from trainer.data.partition import class_groups, deal
from trainer.errors import DataError

KINDS = ("even", "dirichlet", "quantity")


@settings(max_examples=200)
@given(
    groups=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    clients=st.integers(1, 8),
    least=st.integers(2, 4),
    kind=st.sampled_from(KINDS),
    concentration=st.floats(1e-3, 1e4),
    seed=st.integers(0, 2**63 - 1),
)
def test_every_subject_goes_to_one_client_and_every_client_gets_its_minimum(
    groups, clients, least, kind, concentration, seed
):
    data = DataConfig(clients=clients, min_subjects=least, partition=kind, concentration=concentration)
    if len(groups) < clients * least:
        with pytest.raises(DataError, match="are too few for"):
            deal(groups, data, seed)
        return
    dealt = deal(groups, data, seed)
    assert sorted(position for positions in dealt.clients for position in positions) == list(range(len(groups)))
    assert len(dealt.clients) == clients
    assert min(map(len, dealt.clients)) >= least
    assert deal(groups, data, seed) == dealt


@given(st.integers(8, 200), st.integers(1, 4), st.integers(0, 1000))
def test_even_parts_differ_by_one_at_most(count, clients, seed):
    sizes = [len(part) for part in deal([0] * count, DataConfig(clients=clients, partition="even"), seed).clients]
    assert max(sizes) - min(sizes) <= 1


def skew(concentration: float, kind: str, seed: int) -> float:
    """How far the clients' shares of three classes (or their sizes) are from even: mean total variation."""
    groups = [number % 3 for number in range(600)]
    data = DataConfig(clients=5, partition=kind, concentration=concentration)
    parts = deal(groups, data, seed).clients
    if kind == "quantity":
        return float(np.abs(np.array([len(part) for part in parts]) / 600 - 0.2).sum() / 2)
    shares = [np.bincount([groups[position] for position in part], minlength=3) / len(part) for part in parts]
    return float(np.abs(np.array(shares) - 1 / 3).sum(axis=1).mean() / 2)


@pytest.mark.parametrize("kind", ["dirichlet", "quantity"])
def test_a_small_concentration_skews_and_a_large_one_evens_out(kind):
    mean = [np.mean([skew(concentration, kind, seed) for seed in range(20)]) for concentration in (0.1, 1.0, 100.0)]
    assert mean[0] > mean[1] + 0.1 > mean[2] + 0.2
    assert mean[2] < 0.06


def test_seeds_give_other_partitions():
    data = DataConfig(clients=3, partition="even")
    assert len({deal([0] * 12, data, seed).clients for seed in range(5)}) == 5


def test_groups_go_by_the_class_that_stands_out_not_by_the_largest():
    counts = np.array([[900, 90, 10], [900, 98, 2], [900, 100, 0], [800, 150, 50]])
    groups, _ = class_groups(counts)
    assert groups == [0, 0, 0, 1]


def test_with_one_class_groups_are_thirds_by_area():
    groups, by = class_groups(np.array([[0, area] for area in (60, 10, 50, 20, 40, 30)]))
    assert groups == [2, 0, 2, 0, 1, 1]
    assert by == "thirds of the subjects by labelled area"


# --- through the folder ----------------------------------------------------------------------------------------


def read(path: Path, seed: int = 0, **changes: Any) -> FederatedData:
    return load(DataConfig(source="folder", path=path, image_size=24, **changes), "segmentation", seed)


def subjects(data: FederatedData) -> list[set[str]]:
    return [
        {name.rsplit("/", 1)[0] for part in (client.train, client.test) for name in part.identifiers}
        for client in data.clients
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_no_subject_is_at_two_clients_or_in_two_sets(disk, kind):
    data = read(disk.nnunet(count=12), partition=kind, clients=3)
    assert [client.name for client in data.clients] == ["hospital-1", "hospital-2", "hospital-3"]
    sides = [
        {name.rsplit("/", 1)[0] for name in part.identifiers}
        for client in data.clients
        for part in (client.train, client.test)
    ]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 12
    again = read(disk.root / "Dataset007_Brain", partition=kind, clients=3)
    assert subjects(again) == subjects(data)
    statement = next(note for note in data.notes if note.startswith("simulated hospitals"))
    assert "12 subjects of one site dealt out" in statement
    assert f"data.partition={kind}, seed 0" in statement
    assert "at least 2 each" in statement


def test_sites_that_number_their_patients_alike_are_pooled_without_mixing_them_up(disk):
    for site in ("north", "south"):
        disk.nnunet(f"all/{site}", count=4)
    data = read(disk.root / "all", partition="even", clients=2)
    assert set.union(*subjects(data)) == {
        f"{site}/case{number}" for site in ("north", "south") for number in range(4)
    }


def test_an_own_test_set_is_not_followed_by_simulated_hospitals_aloud(disk):
    path = disk.nnunet(count=8)
    for number in (20, 21):
        image, labels = disk.volume(number)
        disk.nifti(f"Dataset007_Brain/imagesTs/case{number}_0000.nii.gz", image)
        disk.nifti(f"Dataset007_Brain/labelsTs/case{number}.nii.gz", labels)
    data = read(path, partition="even", clients=2)
    assert any("own test set is not followed" in note for note in data.notes)


def test_too_few_subjects_for_the_clients_are_refused(disk):
    with pytest.raises(DataError, match=r"4 subject\(s\) are too few for data.clients=3 with data.min_subjects=2"):
        read(disk.nnunet(), partition="even", clients=3)


def test_dirichlet_without_classes_is_refused(disk):
    image, _ = disk.volume(0)
    for kind in ("noisy", "clean"):
        for number in range(4):
            disk.nifti(f"s/{kind}/p{number}.nii", image)
    config = DataConfig(source="folder", path=disk.root / "s", image_size=24, partition="dirichlet", clients=2)
    with pytest.raises(DataError, match="goes by classes, which restoration has not"):
        load(config, "restoration", 0)


@pytest.mark.parametrize("task", ["segmentation", "restoration"])
def test_feature_shift_gives_each_client_a_scanner_of_its_own(disk, task):
    for number in range(4):
        image, labels = disk.volume(number)
        for folder, array in (("images", image), ("labels", labels), ("noisy", image), ("clean", image)):
            disk.nifti(f"{task}/{folder}/p{number}.nii", array)
    keep = ("images", "labels") if task == "segmentation" else ("noisy", "clean")
    for folder in (disk.root / task).iterdir():
        if folder.name not in keep:
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
    config = DataConfig(
        source="folder", path=disk.root / task, image_size=24, partition="even", clients=2, feature_shift=True
    )
    plain = load(config.model_copy(update={"feature_shift": False}), task, 0)
    shifted, again = load(config, task, 0), load(config, task, 0)
    scanners = [note for note in shifted.notes if "simulated scanner" in note]
    assert len({note.split(": ", 1)[1] for note in scanners}) == 2
    for before, after, same in zip(plain.clients, shifted.clients, again.clients, strict=True):
        assert before.train.identifiers == after.train.identifiers
        assert not torch.equal(before.train.images, after.train.images)
        assert torch.equal(after.train.images, same.train.images)
        if task == "segmentation":  # turned with the image, not changed
            assert torch.equal(before.train.targets.sum(dim=(1, 2)), after.train.targets.sum(dim=(1, 2)))
            assert float(after.train.images[:, 0][after.train.targets > 0].mean()) > 0.3
        else:
            assert 0 <= float(after.train.images.min()) <= float(after.train.images.max()) <= 1

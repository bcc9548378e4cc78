"""NumPy archives, good and broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainer.config import DataConfig
from trainer.data import FederatedData, load
from trainer.errors import DataError


def read(path: Path, task: str = "segmentation", **settings: Any) -> FederatedData:
    return load(DataConfig(source="folder", path=path, image_size=24, **settings), task, 0)


def refusal(path: Path, task: str = "segmentation", **settings: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(path, task, **settings)
    return str(caught.value)


def names(data: FederatedData) -> set[str]:
    return {name for client in data.clients for part in (client.train, client.test) for name in part.identifiers}


def tensors(data: FederatedData) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Image and target of every slice by its name."""
    return {
        name: (part.images[index, 0], part.targets[index])
        for client in data.clients
        for part in (client.train, client.test)
        for index, name in enumerate(part.identifiers)
    }


def stack(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pictures uint8 [count, 28, 28] with a bright block, and the blocks as masks."""
    masks = np.zeros((count, 28, 28), dtype=np.uint8)
    for index in range(count):
        masks[index, 5 : 15 + index % 4, 8:20] = 1
    noise = np.random.default_rng(seed).integers(0, 60, masks.shape)
    return (noise + 150 * masks).astype(np.uint8), masks


def test_an_archive_of_pictures_is_a_site_and_its_test_arrays_are_held_out(disk):
    images, masks = stack(10)
    disk.npz(
        "site/set.npz",
        train_images=images[:6],
        train_masks=masks[:6],
        val_images=images[6:8],
        val_masks=masks[6:8],
        test_images=images[8:],
        test_masks=masks[8:],
    )
    data = read(disk.root / "site")
    assert set(data.clients[0].test.identifiers) == {"set-test-00000", "set-test-00001"}
    assert len(data.clients[0].train) == 8
    assert any("test_ arrays are the test set; its 2 val_ item(s) train" in note for note in data.notes)
    assert float(data.clients[0].train.images[:, 0][data.clients[0].train.targets == 1].mean()) > 1


def test_subjects_of_an_archive_stay_together(disk):
    images, masks = stack(12)
    disk.npz("site/a.npz", images=images, masks=masks, subjects=np.repeat(["p1", "p2", "p3", "p4"], 3))
    client = read(disk.root / "site").clients[0]
    tests, trains = ({name.split("/")[0] for name in part.identifiers} for part in (client.test, client.train))
    assert len(tests) == 1
    assert not tests & trains
    assert len(client.test) == 3


def test_a_subject_in_both_of_an_archives_own_sets_is_refused(disk):
    images, masks = stack(4)
    disk.npz(
        "site/a.npz",
        train_images=images[:2],
        train_masks=masks[:2],
        train_subjects=np.array([1, 2]),
        test_images=images[2:],
        test_masks=masks[2:],
        test_subjects=np.array([2, 3]),
    )
    assert "has 2 in both its training and its test set" in refusal(disk.root / "site")


def test_a_file_a_slice_belongs_to_its_case(disk):
    images, masks = stack(8)
    for index in range(8):
        name = f"site/case000{index // 2}_slice00{index % 2}.npz"
        disk.npz(name, image=images[index].astype(np.float32), label=masks[index])
    client = read(disk.root / "site").clients[0]
    assert "case0000/slice001" in client.train.identifiers + client.test.identifiers
    assert {name.split("/")[0] for name in client.test.identifiers}.isdisjoint(
        name.split("/")[0] for name in client.train.identifiers
    )


@pytest.mark.parametrize("stacked", [False, True])
def test_volumes_in_archives_lose_their_unlabelled_slices(disk, stacked):
    volumes = [(np.moveaxis(image, 2, 0), np.moveaxis(labels, 2, 0)) for image, labels in map(disk.volume, range(3))]
    if stacked:
        disk.npz("site/all.npz", images=np.stack([v for v, _ in volumes]), masks=np.stack([m for _, m in volumes]))
    else:
        for number, (image, mask) in enumerate(volumes):
            disk.npz(f"site/v{number}.npz", image=image, mask=mask)
    data = read(disk.root / "site")
    assert len(names(data)) == 15
    assert any("15 axial slices without any label left out" in note for note in data.notes)


def test_colours_and_channels_on_the_last_axis_are_read(disk):
    images, masks = stack(4)
    disk.npz("grey/a.npz", images=images, masks=masks)
    disk.npz("colour/a.npz", images=np.stack([images] * 3, axis=-1), masks=masks[..., None])
    disk.npz("many/a.npz", images=np.stack([images * 0, images], axis=-1), masks=masks)
    grey = tensors(read(disk.root / "grey"))
    colour = tensors(read(disk.root / "colour"))
    many = tensors(read(disk.root / "many", channel=1))
    for name, (image, target) in grey.items():
        assert torch.allclose(image, colour[name][0], atol=1e-3)
        assert torch.equal(image, many[name][0])
        assert torch.equal(target, colour[name][1])


def test_archives_of_noisy_and_clean_pictures_serve_restoration(disk):
    images, _ = stack(5)
    disk.npz("site/a.npz", noisy=images, clean=images // 2)
    data = read(disk.root / "site", "restoration")
    assert len(data.clients[0].train) + len(data.clients[0].test) == 5


IMAGES, MASKS = stack(3)
NPZ_FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no mask": ({"images": IMAGES}, "a.npz: has images; expected one of images, image and one of masks, mask"),
    "two masks": (
        {"images": IMAGES, "masks": MASKS, "labels": MASKS},
        "a.npz: has images, masks, labels; expected one",
    ),
    "other names": ({"x": IMAGES, "y": MASKS}, "a.npz: holds x, y; expected arrays images and masks"),
    "other sizes": ({"images": IMAGES[:2], "masks": MASKS}, "images [2, 28, 28] does not fit masks [3, 28, 28]"),
    "text": ({"images": IMAGES.astype("U3"), "masks": MASKS}, "images is <U3 [3, 28, 28], not numbers"),
    "objects": ({"images": IMAGES.astype(object), "masks": MASKS}, "a.npz: is not a readable npz file"),
    "nothing": ({"images": IMAGES[:0], "masks": MASKS[:0]}, "[0, 28, 28], not numbers"),
    "too few subjects": (
        {"images": IMAGES, "masks": MASKS, "subjects": np.array(["a"])},
        "subjects must be 3 names, not [1]",
    ),
    "one number": ({"images": np.array(3), "masks": np.array(1)}, "images [] does not fit masks []"),
}


@pytest.mark.parametrize("fault", NPZ_FAULTS)
def test_a_faulty_archive_is_refused_by_name(disk, fault):
    arrays, words = NPZ_FAULTS[fault]
    disk.npz("site/a.npz", **arrays)
    assert words in refusal(disk.root / "site")


@pytest.mark.parametrize("damage", [lambda whole: b"", lambda whole: whole[:200], lambda whole: whole[:-30]])
def test_a_truncated_archive_is_refused_by_name(disk, damage):
    file = disk.npz("site/a.npz", images=IMAGES, masks=MASKS)
    file.write_bytes(damage(file.read_bytes()))
    assert "a.npz: is not a readable npz file" in refusal(disk.root / "site")


def test_an_archive_that_would_unpack_to_gigabytes_is_refused_unread(disk, monkeypatch):
    disk.npz("site/a.npz", images=IMAGES, masks=MASKS)
    monkeypatch.setattr("trainer.data.layouts.npz.MAX_BYTES", 1000)
    assert "unpacks to" in refusal(disk.root / "site")

"""Volumes learnt whole: placed without loss, the same voxels as their slices, in every layout, or refused."""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from trainer.config import DataConfig
from trainer.data import FederatedData, load
from trainer.data.scanner import draw_scanner, noise_generator
from trainer.data.slices import crop_or_pad, unit_range, zscore
from trainer.errors import DataError

DEPTH, SIZE = 16, 24
ALIKE = (1.0, 1.0, 1.0)


def read(path: Path, task: str = "segmentation", **changes: Any) -> FederatedData:
    volumes = {"source": "folder", "path": path, "image_size": SIZE, "depth": DEPTH, "spacing": ALIKE}
    return load(DataConfig(**volumes | changes), task, 0)


def refusal(path: Path, task: str = "segmentation", **changes: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(path, task, **changes)
    return str(caught.value)


def samples(data: FederatedData) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Image and target of every volume or slice by its name, without the channel."""
    return {
        name: (part.images[index, 0].numpy(), part.targets[index].squeeze(0).numpy())
        for client in data.clients
        for part in (client.train, client.test)
        for index, name in enumerate(part.identifiers)
    }


# --- cropping and padding --------------------------------------------------------------------------------------


def slowly(image: np.ndarray, sides: tuple[int, ...], fill: Any) -> np.ndarray:
    """Voxel by voxel: a voxel keeps its distance from the centre, of two central ones the one behind it counts."""
    placed = np.full(sides, fill, dtype=image.dtype)
    for index in np.ndindex(sides):
        origin = tuple(
            position + (side // 2 - wanted // 2 if side > wanted else -((wanted - side) // 2))
            for position, side, wanted in zip(index, image.shape, sides, strict=True)
        )
        if all(0 <= position < side for position, side in zip(origin, image.shape, strict=True)):
            placed[index] = image[origin]
    return placed


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(2, 3), st.sampled_from([np.float32, np.int64]))
def test_cropping_and_padding_keep_the_centre_along_every_axis_and_every_value(data, dimensions, kind):
    shape, sides = (
        data.draw(st.lists(st.integers(1, 7), min_size=dimensions, max_size=dimensions).map(tuple)) for _ in range(2)
    )
    values = st.integers(0, 2**31 - 1) if kind is np.int64 else st.floats(-1e6, 1e6, width=32)
    image = data.draw(arrays.arrays(kind, shape, elements=values))
    placed = crop_or_pad(image[None], sides, fill=-1)
    assert placed.dtype == kind
    assert placed.base is None  # nothing of what was cut off stays in memory
    assert np.array_equal(placed[0], slowly(image, sides, -1))


def test_labels_stay_beside_their_voxels_however_a_volume_is_stored(disk):
    """An L of three lengths, bright where it is labelled, stored along every axis order and direction, and tilted."""
    labels = np.zeros((18, 20, 12), dtype=np.uint8)
    labels[3:16, 5:8, 2:4] = 1  # long to the right
    labels[3:6, 5:15, 2:4] = 2  # to the front
    labels[3:6, 5:8, 2:11] = 3  # short upwards
    affine = np.diag([1.5, 1.0, 2.0, 1.0])
    tilt = np.eye(4)
    tilt[:2, :2] = [[math.cos(0.3), -math.sin(0.3)], [math.sin(0.3), math.cos(0.3)]]
    ways: dict[str, tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]] = {
        "as-it-is": (lambda v: v, affine),
        "right-to-left": (lambda v: v[::-1], affine @ flip(0, 18)),
        "upside-down": (lambda v: v[:, ::-1, ::-1], affine @ flip(1, 20) @ flip(2, 12)),
        "sagittal": (lambda v: v.transpose(2, 0, 1), affine[:, [2, 0, 1, 3]]),
        "tilted": (lambda v: v[::-1], tilt @ affine @ flip(0, 18)),
    }
    for name, (turn, stored) in ways.items():
        disk.nifti(f"s/images/{name}.nii.gz", np.ascontiguousarray(turn(labels * 2.0)), stored)
        disk.nifti(f"s/labels/{name}.nii.gz", np.ascontiguousarray(turn(labels)), stored)
    found = samples(read(disk.root / "s", spacing=(1.5, 1.0, 2.0), intensity="window", window=(0, 6)))
    assert set(found) == set(ways)
    seen = np.zeros((DEPTH, SIZE, SIZE))
    seen[2:14, 2:22, 3:21] = labels.transpose(2, 1, 0)[:, ::-1]  # from the lowest slice up, the nose at the top
    for image, target in found.values():
        assert np.array_equal(target, seen)
        assert np.allclose(image * 3, target, atol=1e-4)


def flip(axis: int, side: int) -> np.ndarray:
    """Voxel indices of a volume stored the other way round along `axis` to those of the volume."""
    turned = np.eye(4)
    turned[axis, axis], turned[axis, 3] = -1, side - 1
    return turned


def test_a_volume_keeps_its_unlabelled_slices_and_is_one_sample_padded_with_background(disk):
    data = read(disk.nnunet())
    assert data.image_shape == (1, DEPTH, SIZE, SIZE)
    assert set(samples(data)) == {f"case{number}" for number in range(4)}
    assert (len(data.clients[0].train), len(data.clients[0].test)) == (3, 1)
    stored, labels = disk.volume(2)
    image, target = samples(data)["case2"]
    inside = (slice(3, 13), slice(0, 24), slice(2, 22))
    assert np.allclose(image[inside], zscore(stored).transpose(2, 1, 0)[:, ::-1], atol=1e-5)
    assert np.array_equal(target[inside], labels.transpose(2, 1, 0)[:, ::-1])
    outside = np.ones(image.shape, dtype=bool)
    outside[inside] = False
    assert np.unique(image[outside]).tolist() == [image.min()]
    assert not target[outside].any()
    assert not any("left out" in note for note in data.notes)


def test_what_the_crop_takes_is_counted_and_the_sizes_that_would_hold_all_are_named(disk):
    lost = {}
    for number in range(3):
        labels = np.zeros((30, 40 if number == 1 else 20, 40), dtype=np.uint8)
        labels[4:20, 5:15, 10 + 5 * number : 35] = 1
        disk.nifti(f"s/images/p{number}.nii.gz", labels * 3.0)
        disk.nifti(f"s/labels/p{number}.nii.gz", labels)
        height = labels.shape[1]
        kept = labels[3:27, max(0, height // 2 - 12) : height // 2 + 12, 12:28]
        lost[f"p{number}"] = (int(labels.sum() - kept.sum()), int(labels.sum()))
    notes = "\n".join(read(disk.root / "s").notes)
    assert "s: 3 of 3 volume(s) cropped around the centre to 24 x 24 x 16 voxels" in notes
    assert "data.image_size=40 data.depth=40 would hold them all" in notes
    taken, labelled = (sum(counts) for counts in zip(*lost.values(), strict=True))
    worst = max(lost, key=lambda name: lost[name][0] / lost[name][1])
    assert f"takes {taken / labelled:.1%} of the labelled voxels, out of 3 volume(s)" in notes
    assert f"most out of {worst} ({lost[worst][0] / lost[worst][1]:.1%})" in notes
    assert "crop" not in "\n".join(read(disk.root / "s", image_size=40, depth=40).notes)


def test_a_volume_without_labels_is_kept_beside_labelled_ones_and_said(disk):
    path = disk.nnunet()
    disk.nifti("Dataset007_Brain/labelsTr/case0.nii.gz", disk.volume(0)[1] * 0)
    data = read(path)
    assert not samples(data)["case0"][1].any()
    assert any("1 volumes without any label are kept" in note for note in data.notes)


# --- layouts ---------------------------------------------------------------------------------------------------


def stacked(disk: Any) -> Path:
    images, masks = zip(*(map(upright, disk.volume(number)) for number in range(3)), strict=True)
    disk.npz("site/all.npz", images=np.stack(images), masks=np.stack(masks))
    return disk.root / "site"


def single(disk: Any) -> Path:
    for number in range(3):
        image, mask = map(upright, disk.volume(number))
        disk.npz(f"site/v{number}.npz", image=image, mask=mask)
    return disk.root / "site"


def upright(volume: np.ndarray) -> np.ndarray:
    return np.moveaxis(volume, 2, 0)


def nifti_pairs(disk: Any) -> Path:
    for number in range(3):
        image, labels = disk.volume(number)
        disk.nifti(f"site/images/p{number}.nii.gz", image)
        disk.nifti(f"site/labels/p{number}_seg.nii.gz", labels)
    return disk.root / "site"


def many_channels(disk: Any) -> Path:
    for number in range(3):
        image, labels = disk.volume(number)
        disk.nifti(f"t/imagesTr/b_{number}.nii.gz", np.stack([image * 0, image], axis=-1))
        disk.nifti(f"t/labelsTr/b_{number}.nii.gz", labels)
    training = [{"image": f"imagesTr/b_{n}.nii.gz", "label": f"labelsTr/b_{n}.nii.gz"} for n in range(3)]
    return disk.json("t/dataset.json", {"training": training}).parent


LAYOUTS: dict[str, tuple[Callable[[Any], Path], int, dict[str, Any]]] = {
    "nnunet": (lambda disk: disk.nnunet(count=3), 10, {}),
    "msd": (lambda disk: disk.msd(count=3), 10, {}),
    "msd 4-D": (many_channels, 10, {"channel": 1}),
    "pairs": (nifti_pairs, 10, {}),
    "npz stack": (stacked, 10, {}),
    "npz": (single, 10, {}),
    "dicom": (lambda disk: disk.dicom_cases(), 8, {"spacing": (0.8, 0.7, 2.5)}),
    "resampled": (nifti_pairs, 8, {"spacing": (1.2, 1.1, 1.3)}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_slices_of_a_volume_are_those_that_are_learnt_one_by_one(layout, disk):
    write, deep, changes = LAYOUTS[layout]
    path = write(disk)
    whole, slices = samples(read(path, **changes)), samples(read(path, depth=None, **changes))
    assert len(whole) == 3
    labelled = {name: (target.any(axis=(1, 2))).sum() for name, (_, target) in whole.items()}
    assert sum(labelled.values()) == len(slices)
    for name, (image, target) in slices.items():
        volume, _, index = name.rpartition("/slice-")
        position = int(index) + (DEPTH - deep) // 2
        assert np.allclose(whole[volume][0][position], image, atol=1e-5)
        assert np.array_equal(whole[volume][1][position], target)


def test_archives_tell_no_voxel_size_and_a_note_says_what_that_means(disk):
    notes = read(stacked(disk)).notes
    assert "site: 3 volumes that tell no voxel size count as being at data.spacing already" in notes


def test_sides_of_an_archives_volumes_are_told_in_the_order_of_those_at_spacing(disk, cli, quick):
    path = stacked(disk)
    own = ("data.source=folder", f"data.path={path}", "data.max_slices=null", "data.image_size=32")
    whole = ("network.dimensions=3", "data.depth=16", "data.spacing=[1,1,1]")
    looked = cli("data", "--format", "json", "--sheet", path.parent / "sheet.png", *quick, *own, *whole)
    (site,) = json.loads(looked.stdout)["sites"]
    right, anterior, superior = disk.volume(0)[0].shape
    assert len({right, anterior, superior}) == 3
    assert site["sizes_at_spacing"][0]["sides"] == [anterior, right, superior]  # moved, not turned, by `upright`
    assert site["sizes"] == site["sizes_at_spacing"]


def test_subjects_and_the_test_set_of_an_archive_of_volumes_are_its_own(disk):
    images, masks = zip(*(map(upright, disk.volume(number)) for number in range(4)), strict=True)
    subjects = np.array(["a", "a", "b", "b"])
    disk.npz("site/all.npz", images=np.stack(images), masks=np.stack(masks), subjects=subjects)
    client = read(disk.root / "site").clients[0]
    tests, trains = ({name.split("/")[0] for name in part.identifiers} for part in (client.test, client.train))
    assert sorted(tests | trains) == ["a", "b"]
    assert not tests & trains
    path = disk.nnunet()
    image, labels = disk.volume(9)
    disk.nifti("Dataset007_Brain/imagesTs/case9_0000.nii.gz", image)
    disk.nifti("Dataset007_Brain/labelsTs/case9.nii.gz", labels)
    assert read(path).clients[0].test.identifiers == ("case9",)


@pytest.mark.parametrize("kind", ["pairs", "npz"])
def test_noisy_and_clean_volumes_are_restored_as_one(kind, disk):
    volumes = [disk.volume(number)[0] for number in range(3)]
    for number, volume in enumerate(volumes):
        if kind == "pairs":
            disk.nifti(f"s/noisy/p{number}.nii.gz", volume)
            disk.nifti(f"s/clean/p{number}.nii.gz", volume / 2)
    if kind == "npz":
        upwards = np.stack([upright(volume) for volume in volumes])
        disk.npz("s/a.npz", noisy=upwards, clean=upwards / 2)
    data = read(disk.root / "s", "restoration")
    assert data.image_shape == (1, DEPTH, SIZE, SIZE)
    assert tuple(data.clients[0].train.targets.shape) == (2, 1, DEPTH, SIZE, SIZE)
    for image, target in samples(data).values():
        inside = image[3:13]
        assert np.corrcoef(inside.ravel(), target[3:13].ravel())[0, 1] > 0.9
        assert not image[:3].any()
        assert not target[13:].any()


# --- clients ---------------------------------------------------------------------------------------------------


def test_whole_volumes_are_dealt_out_by_the_classes_of_their_voxels(disk):
    data = read(disk.nnunet(count=8), partition="dirichlet", clients=2)
    assert [client.name for client in data.clients] == ["hospital-1", "hospital-2"]
    assert len(samples(data)) == 8
    assert any(note.startswith("simulated hospitals: 8 subjects of one site dealt out by") for note in data.notes)


def test_a_limit_counts_volumes(disk):
    data = read(disk.nnunet(count=8), max_slices=2)
    assert (len(data.clients[0].train), len(data.clients[0].test)) == (2, 1)
    assert any("data.max_slices=2 leaves 2 training and 1 test volumes" in note for note in data.notes)


@pytest.mark.parametrize("task", ["segmentation", "restoration"])
def test_a_simulated_scanner_takes_a_volume_slice_by_slice_with_noise_of_their_own(task, disk):
    for number in range(4):
        image, labels = disk.volume(number)
        folders = {"segmentation": ("images", "labels"), "restoration": ("noisy", "clean")}[task]
        disk.nifti(f"s/{folders[0]}/p{number}.nii.gz", image)
        disk.nifti(f"s/{folders[1]}/p{number}.nii.gz", labels if task == "segmentation" else image)
    rule = {"partition": "even", "clients": 2, "intensity": "range"}
    plain, shifted = (read(disk.root / "s", task, feature_shift=on, **rule) for on in (False, True))
    for client, (before, after) in enumerate(zip(plain.clients, shifted.clients, strict=True)):
        scanner = draw_scanner(0, client, 0.5)
        for index, name in enumerate(before.train.identifiers):
            (clean,) = unit_range(before.train.images[index, 0].numpy())
            for position in range(DEPTH):
                noise = noise_generator(0, client, zlib.crc32(f"{name}/slice-{position:03d}".encode()))
                expected = np.clip(scanner.apply(clean[position], noise), 0, 1)
                assert np.allclose(after.train.images[index, 0, position], expected, atol=1e-6)
            target = before.train.targets[index].squeeze(0).numpy()
            turned = np.stack([scanner.orient(plane) for plane in target])
            if task == "restoration":
                turned = np.stack([scanner.expose(plane) for plane in turned])
            assert np.allclose(after.train.targets[index].squeeze(0), turned, atol=1e-6)


# --- refusals --------------------------------------------------------------------------------------------------


def test_every_site_with_one_subject_is_refused_at_once(disk):
    for site in ("east", "north", "south"):
        for number in range(3 if site == "north" else 1):
            image, labels = disk.volume(number)
            disk.nifti(f"all/{site}/images/p{number}.nii.gz", image)
            disk.nifti(f"all/{site}/labels/p{number}.nii.gz", labels)
    message = refusal(disk.root / "all")
    lines = [line for line in message.splitlines() if "shows one subject only" in line]
    assert [line.split()[1] for line in lines] == ["east:", "south:"]
    assert "data.partition=even would deal out the subjects of all sites" in lines[0]


def test_pictures_are_refused_in_a_line_a_site_with_a_file_and_the_fix(disk):
    for site in ("a", "b"):
        for number in range(30):
            disk.png(f"all/{site}/images/p{number}.png", np.zeros((30, 30), dtype=np.uint8))
            disk.png(f"all/{site}/masks/p{number}.png", np.eye(30, dtype=np.uint8))
    _, *lines = refusal(disk.root / "all").splitlines()
    assert len(lines) == 2
    assert re.search(
        r"a: 30 image\(s\) are pictures, not volumes \(such as .*all/a/images/p0.png\): .* set network.dimensions=2",
        lines[0],
    )
    disk.npz("npz/a.npz", images=np.zeros((3, 28, 28)), masks=np.ones((3, 28, 28), dtype=int))
    assert "npz: 3 image(s) are pictures, not volumes (such as " in refusal(disk.root / "npz")


def test_a_single_slice_stored_as_a_volume_is_refused_by_name(disk):
    path = disk.nnunet()
    for folder, name in (("imagesTr", "case1_0000"), ("labelsTr", "case1")):
        disk.nifti(f"Dataset007_Brain/{folder}/{name}.nii.gz", np.ones((20, 24), dtype=np.uint8))
    assert "imagesTr/case1_0000.nii.gz: is a single slice at data.spacing" in refusal(path)


def test_volumes_without_a_label_left_to_learn_are_refused(disk):
    for number in range(2):
        labels = np.zeros((40, 40, 40), dtype=np.uint8)
        labels[:, :, 0] = 1
        disk.nifti(f"edge/images/p{number}.nii.gz", labels * 1.0)
        disk.nifti(f"edge/labels/p{number}.nii.gz", labels)
        disk.nifti(f"none/images/p{number}.nii.gz", labels * 1.0)
        disk.nifti(f"none/labels/p{number}.nii.gz", labels * 0)
    assert "edge: the crop to 24 x 24 x 16 voxels takes all labels" in refusal(disk.root / "edge")
    assert "none: no volume holds a label" in refusal(disk.root / "none")


def test_the_demo_set_has_no_volumes_and_says_what_has():
    with pytest.raises(DataError, match=r"brain-mri .* has no volume for each hospital: .* data\.source=folder"):
        load(DataConfig(depth=DEPTH, spacing=ALIKE), "segmentation", 0)


# --- the commands ----------------------------------------------------------------------------------------------


def test_two_hospitals_look_at_their_volumes_then_train_on_them_encrypted(disk, cli, quick, tmp_path):
    for site in ("north", "south"):
        disk.nnunet(f"all/{site}")
    own = (
        *("data.source=folder", f"data.path={disk.root / 'all'}", "data.max_slices=null", "data.image_size=32"),
        *("network.dimensions=3", "data.depth=16", "data.spacing=[1,1,1]", "encryption.scheme=rlwe"),
    )
    sheet = tmp_path / "sheet.png"
    looked = cli("data", "--format", "json", "--sheet", sheet, *quick, *own)
    assert looked.exit_code == 0, looked.stderr
    report = json.loads(looked.stdout)
    assert sheet.is_file()
    assert report["volumes"] is True
    assert report["sites"][0]["sizes_at_spacing"] == [{"sides": [20, 24, 10], "images": 4}]
    assert report["sites"][0]["slices"] == 4 * 16
    table = cli("data", "--sheet", sheet, *quick, *own).stdout
    for words in ("size at data.spacing", "share of training voxels", "3 training and 1 test volumes"):
        assert words in table
    result = cli("run", "--into", tmp_path / "run", *quick, *own)
    assert result.exit_code == 0, result.stderr
    rounds = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(rounds) == 2
    assert rounds[1]["train_loss_mean"] < rounds[0]["train_loss_mean"]
    assert json.loads((tmp_path / "run" / "parts.json").read_text())["input_shape"] == [1, 16, 32, 32]
    with np.load(tmp_path / "run" / "examples.npz") as examples:
        assert [label.split(",")[1] for label in examples["labels"].tolist()] == [" slice 9 of 16"] * 2
        assert all(target.any() for target in examples["targets"])
    assert "slice 9 of 16" in (tmp_path / "run" / "report.html").read_text()

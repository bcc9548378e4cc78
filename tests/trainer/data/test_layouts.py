"""The layouts with a list of their own: MSD and nnU-Net, good and broken."""

from __future__ import annotations

import json
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


# --- Medical Segmentation Decathlon ----------------------------------------------------------------------------


def test_a_decathlon_task_gives_its_slices_and_class_names(disk):
    data = read(disk.msd())
    assert data.class_names == ("background", "spleen", "lesion")
    assert names(data) == {f"spleen_{case}/slice-{index:03d}" for case in range(4) for index in range(3, 8)}
    assert any("1 test image(s) without labels left out" in note for note in data.notes)
    assert [client.name for client in data.clients] == ["Task09_Spleen"]


def test_the_same_volumes_read_alike_as_decathlon_nnunet_and_pairs(disk):
    for number in range(4):
        image, labels = disk.volume(number)
        disk.nifti(f"pairs/case{number}.nii.gz", image)
        disk.nifti(f"pairs/case{number}_seg.nii.gz", labels)
    by_pairs = tensors(read(disk.root / "pairs"))
    for other in (read(disk.nnunet()), read(disk.msd())):
        for name, (image, target) in tensors(other).items():
            expected_image, expected_target = by_pairs[name.replace("spleen_", "case")]
            assert torch.equal(image, expected_image)
            assert torch.equal(target, expected_target)


def test_one_channel_of_a_four_dimensional_volume_is_chosen_and_said(disk):
    for number in range(3):
        image, labels = disk.volume(number)
        disk.nifti(f"t/imagesTr/b_{number}.nii.gz", np.stack([image, np.flip(image, 0)], axis=-1))
        disk.nifti(f"t/labelsTr/b_{number}.nii.gz", labels)
        disk.nifti(f"flipped/b_{number}.nii.gz", np.flip(image, 0).copy())
        disk.nifti(f"flipped/b_{number}_seg.nii.gz", labels)
    training = [{"image": f"imagesTr/b_{n}.nii.gz", "label": f"labelsTr/b_{n}.nii.gz"} for n in range(3)]
    disk.json("t/dataset.json", {"modality": {"0": "FLAIR", "1": "T1w"}, "training": training})
    data = read(disk.root / "t", channel=1)
    assert any("channel 1 (T1w) of 2 read" in note for note in data.notes)
    expected = tensors(read(disk.root / "flipped"))
    assert all(torch.equal(image, expected[name][0]) for name, (image, _) in tensors(data).items())
    assert "has 2 channels, counted from 0; data.channel=2 is none" in refusal(disk.root / "t", channel=2)


def test_a_list_with_a_validation_part_holds_that_out(disk):
    path = disk.msd()
    content = json.loads((path / "dataset.json").read_text())
    content["validation"] = [content["training"].pop(1)]
    disk.json("Task09_Spleen/dataset.json", content)
    data = read(path)
    assert {name.split("/")[0] for name in data.clients[0].test.identifiers} == {"spleen_1"}
    assert any("1 of 4 subjects test, as the data set says" in note for note in data.notes)


MSD_FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no list": ({"training": "imagesTr"}, "training is not a list of images and labels"),
    "empty list": ({"training": []}, "lists no training image"),
    "entries of another form": ({"training": ["a.nii.gz"]}, 'training[0] is not of the form {"image": FILE'),
    "missing file": (
        {"training": [{"image": "imagesTr/gone.nii.gz", "label": "labelsTr/spleen_0.nii.gz"}]},
        "imagesTr/gone.nii.gz: missing; training[0] lists it",
    ),
    "outside": (
        {"training": [{"image": "../../etc/passwd", "label": "labelsTr/spleen_0.nii.gz"}]},
        '"../../etc/passwd" lies outside the folder',
    ),
    "absolute": (
        {"training": [{"image": "/etc/passwd", "label": "labelsTr/spleen_0.nii.gz"}]},
        '"/etc/passwd" lies outside the folder',
    ),
    "not a name": ({"training": [{"image": 7, "label": "labelsTr/spleen_0.nii.gz"}]}, "7 is not a file name"),
    "empty name list": ({"training": [{"image": [], "label": "x"}]}, "null is not a file name"),
    "listed twice": (
        {"training": 2 * [{"image": "imagesTr/spleen_0.nii.gz", "label": "labelsTr/spleen_0.nii.gz"}]},
        "training[1] lists spleen_0 again",
    ),
    "labels of another form": ({"labels": ["background", "spleen"]}, 'labels is ["background", "spleen"]'),
    "unnamed label": ({"labels": {"0": "background", "1": None}}, 'labels holds "1": null'),
    "a value without a class": (
        {"labels": {"0": "background", "1": "spleen"}},
        "holds 2, which the data set itself does not name (it names 0, 1)",
    ),
    "a single class": ({"labels": {"0": "a", "1": "a"}}, "the data set's own list must name at least two classes"),
}


@pytest.mark.parametrize("fault", MSD_FAULTS)
def test_a_faulty_dataset_json_is_refused_by_what_is_wrong_in_it(disk, fault):
    changes, words = MSD_FAULTS[fault]
    assert words in refusal(disk.msd(**changes))


@pytest.mark.parametrize("text", ["{", "[]", '"x"', "[" * 100_000])
def test_a_dataset_json_that_is_none_leaves_the_decathlon_layout_to_be_asked_for(disk, text):
    path = disk.msd()
    (path / "dataset.json").write_text(text)
    assert "dataset.json" in refusal(path, layout="msd") or "no site in the layout msd" in refusal(path, layout="msd")


# --- nnU-Net ---------------------------------------------------------------------------------------------------


def test_an_nnunet_data_set_gives_its_slices_and_class_names(disk):
    data = read(disk.nnunet())
    assert data.class_names == ("background", "edema", "tumour")
    assert names(data) == {f"case{case}/slice-{index:03d}" for case in range(4) for index in range(3, 8)}


def test_one_nnunet_channel_is_read_and_said(disk):
    path = disk.nnunet(channels=2)
    first, second = tensors(read(path)), tensors(read(path, channel=1))
    assert all(torch.allclose(first[name][0], second[name][0], atol=1e-4) for name in first)  # z-scored
    window = {"intensity": "window", "window": [95, 110]}
    assert float(tensors(read(path, **window))["case0/slice-004"][0].max()) == 0
    assert float(tensors(read(path, channel=1, **window))["case0/slice-004"][0].max()) > 0.5
    assert any("channel 1 (sequence 1) of 2 read" in note for note in read(path, channel=1).notes)


def test_test_cases_with_labels_are_held_out_and_those_without_left_out(disk):
    path = disk.nnunet()
    image, labels = disk.volume(9)
    disk.nifti("Dataset007_Brain/imagesTs/case9_0000.nii.gz", image)
    assert any("imagesTs/ has no labels; its 1 file(s) left out" in note for note in read(path).notes)
    disk.nifti("Dataset007_Brain/labelsTs/case9.nii.gz", labels)
    data = read(path)
    assert {name.split("/")[0] for name in data.clients[0].test.identifiers} == {"case9"}
    assert len(data.clients[0].train) == 20


def test_regions_are_named_and_their_numbers_stay_classes(disk):
    labels = {"background": 0, "whole": [1, 2], "core": [2], "edema": 1}
    data = read(disk.nnunet(labels=labels))
    assert data.class_names == ("background", "edema", "value 2")
    assert any("regions (whole, core) are not learnt as such" in note for note in data.notes)


def test_nnunet_pictures_are_read_as_pictures(disk):
    for number in range(4):
        mask = np.zeros((30, 30), dtype=np.uint8)
        mask[5:20, 8:25] = 1
        disk.png(f"d/imagesTr/road{number}_0000.png", mask * 100 + number)
        disk.png(f"d/labelsTr/road{number}.png", mask)
    disk.json("d/dataset.json", {"labels": {"background": 0, "road": 1}, "file_ending": ".png"})
    data = read(disk.root / "d")
    assert data.class_names == ("background", "road")
    assert names(data) == {f"road{number}" for number in range(4)}


def test_every_fault_of_an_nnunet_folder_is_listed_at_once(disk):
    path = disk.nnunet(count=6)
    (path / "labelsTr/case0.nii.gz").unlink()
    (path / "imagesTr/case1_0000.nii.gz").unlink()
    (path / "imagesTr/case2_0000.nii.gz").rename(path / "imagesTr/case2_0001.nii.gz")
    (path / "imagesTr/case3_0000.nii.gz").write_bytes(b"")
    whole = (path / "labelsTr/case4.nii.gz").read_bytes()
    (path / "labelsTr/case4.nii.gz").write_bytes(whole[: len(whole) // 2])
    message = refusal(path)
    assert len(message.splitlines()) == 6
    for words in (
        "case0_0000.nii.gz: no case0 in labelsTr/",
        "no case1_0000, though there is a label of this name",
        "no case2_0000, only 0001 (data.channel chooses)",
        "imagesTr/case3_0000.nii.gz: is not a readable NIfTI file",
        "labelsTr/case4.nii.gz: is not a readable NIfTI file",
    ):
        assert words in message


def test_nnunets_first_version_lists_names_without_channels(disk):
    content = {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "a", "2": "b"}}
    training = [{"image": f"./imagesTr/case{n}.nii.gz", "label": f"./labelsTr/case{n}.nii.gz"} for n in range(4)]
    path = disk.nnunet()
    disk.json("Dataset007_Brain/dataset.json", content | {"training": training})
    assert read(path).class_names == ("background", "a", "b")


def test_a_decathlon_list_of_names_that_end_in_four_digits_is_still_one(disk):
    for number in range(3):
        image, labels = disk.volume(number)
        disk.nifti(f"t/imagesTr/case_000{number}.nii.gz", image)
        disk.nifti(f"t/labelsTr/case_000{number}.nii.gz", labels)
    training = [{"image": f"imagesTr/case_000{n}.nii.gz", "label": f"labelsTr/case_000{n}.nii.gz"} for n in range(3)]
    disk.json("t/dataset.json", {"training": training})
    assert {name.split("/")[0] for name in names(read(disk.root / "t"))} == {f"case_000{n}" for n in range(3)}


def test_an_nnunet_folder_without_dataset_json_takes_classes_from_the_masks(disk):
    path = disk.nnunet()
    (path / "dataset.json").unlink()
    data = read(path)
    assert data.class_names == ("background", "value 1", "value 2")
    assert any("no dataset.json" in note for note in data.notes)


# --- which layout it is ----------------------------------------------------------------------------------------


def test_each_site_may_have_its_own_layout(disk):
    disk.nnunet("all/brain", labels={"background": 0, "spleen": 1, "lesion": 2})
    disk.msd("all/spleen")
    for number in range(3):
        image, labels = disk.volume(number)
        disk.nifti(f"all/zz/images/p{number}.nii", image)
        disk.nifti(f"all/zz/labels/p{number}.nii", labels)
    data = read(disk.root / "all")
    assert [client.name for client in data.clients] == ["brain", "spleen", "zz"]
    assert data.class_names == ("background", "spleen", "lesion")


def test_sites_that_name_their_classes_differently_are_refused(disk):
    disk.nnunet("all/brain")
    disk.msd("all/spleen")
    message = refusal(disk.root / "all")
    assert "spleen: calls the mask value 1 spleen, brain calls it edema; write data.classes" in message
    assert read(disk.root / "all", classes={0: "background", 1: "a", 2: "b"}).class_names == ("background", "a", "b")


@pytest.mark.parametrize(("inner", "outer"), [("imagesTr", "Task09_Spleen"), ("dataset.json", "Task09_Spleen")])
def test_a_path_one_step_too_deep_is_shown_the_way_up(disk, inner, outer):
    assert f"(msd) in data.path={disk.msd().parent / outer}" in refusal(disk.root / outer / inner)


def test_a_path_one_step_too_high_is_shown_the_way_down(disk):
    disk.msd("decathlon/Task09_Spleen")
    message = refusal(disk.root)
    assert "and no site; expected" in message
    assert f"(msd) in data.path={disk.root / 'decathlon'}" in message


def test_a_layout_that_is_not_there_is_refused_with_what_was_found(disk):
    message = refusal(disk.msd(), layout="npz")
    assert "found 8 .gz files, 1 .json files, and no site in the layout npz, which data.layout asks for" in message
    assert "SITE/*.npz" in message


def test_a_forced_layout_reads_what_another_would_have_taken(disk):
    path = disk.msd()
    for kind in ("images", "labels"):
        (path / f"{kind}Tr").rename(path / kind)
    assert read(path, layout="pairs").class_names == ("background", "value 1", "value 2")


def test_restoration_is_told_what_it_needs(disk):
    assert "SITE/noisy/ with SITE/clean/" in refusal(disk.msd(), "restoration")
    assert "it has nothing for restoration" in refusal(disk.root, "restoration", layout="msd")

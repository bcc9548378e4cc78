"""Users' folders as people have them on disk: written here, read back, split and refused."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from trainer.config import DataConfig
from trainer.data import FederatedData, load

SIZE = 32


def read(path: Path, task: str = "segmentation", seed: int = 0, **settings) -> FederatedData:
    return load(DataConfig(source="folder", path=path, image_size=SIZE, **settings), task, seed)


def picture(number: int, shape: tuple[int, int] = (40, 40)) -> tuple[np.ndarray, np.ndarray]:
    """An 8-bit image with a bright block on noise, and the block as a Boolean mask; both depend on `number`."""
    image = np.random.default_rng(number).integers(0, 60, shape, dtype=np.uint8)
    block = np.zeros(shape, dtype=bool)
    block[8 : 20 + number % 5, 12 : 30 - number % 4] = True
    image[block] += 150
    return image, block


def save(array: np.ndarray, file: Path, **options) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(file, **options)


def save_volume(array: np.ndarray, file: Path, affine: np.ndarray | None = None) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine), file)


def png_site(site: Path, count: int = 5, levels: tuple[int, int] = (0, 255)) -> None:
    for number in range(count):
        image, block = picture(number)
        save(image, site / "images" / f"p{number}.png")
        save(np.where(block, levels[1], levels[0]).astype(np.uint8), site / "masks" / f"p{number}.png")


def volume(number: int, shape: tuple[int, int, int] = (20, 24, 12)) -> tuple[np.ndarray, np.ndarray]:
    """A float32 volume, and labels uint8 that fill slices 3 to 8 of the last axis."""
    image = np.random.default_rng(number).normal(size=shape).astype(np.float32)
    labels = np.zeros(shape, dtype=np.uint8)
    labels[4:12, 6:15, 3:9] = 1
    labels[6:9, 8:11, 4:7] = 2
    return image + 4 * labels, labels


def all_targets(data: FederatedData) -> torch.Tensor:
    return torch.cat([part.targets for client in data.clients for part in (client.train, client.test)])


def identifiers(data: FederatedData) -> set[str]:
    return {name for client in data.clients for part in (client.train, client.test) for name in part.identifiers}


def test_black_and_white_masks_are_background_and_foreground(tmp_path):
    png_site(tmp_path / "north")
    png_site(tmp_path / "south", count=4)
    data = read(tmp_path)
    assert [client.name for client in data.clients] == ["north", "south"]
    assert data.class_names == ("background", "foreground")
    assert [len(client.train) for client in data.clients] == [4, 3]
    assert torch.unique(all_targets(data)).tolist() == [0, 1]
    assert any("every picture counts as a subject" in note for note in data.notes)
    assert any("0 -> background, 255 -> foreground" in note for note in data.notes)


def test_the_mask_lies_where_the_bright_block_is(tmp_path):
    png_site(tmp_path, count=6)
    data = read(tmp_path)
    assert len(data.clients) == 1
    images, targets = data.clients[0].train.images[:, 0], data.clients[0].train.targets
    assert float(images[targets == 1].mean()) > 1.0
    assert float(images[targets == 0].mean()) < 0.0
    assert targets.sum(dim=(1, 2)).min() > 50


def test_equal_seeds_hold_out_equal_subjects_and_sites_do_not_influence_each_other(tmp_path):
    png_site(tmp_path / "both" / "north", count=8)
    png_site(tmp_path / "both" / "south", count=8)
    png_site(tmp_path / "one" / "north", count=8)
    both, again, one = read(tmp_path / "both"), read(tmp_path / "both"), read(tmp_path / "one")
    held_out = both.clients[0].test.identifiers
    assert held_out == again.clients[0].test.identifiers == one.clients[0].test.identifiers
    assert any(read(tmp_path / "both", seed=s).clients[0].test.identifiers != held_out for s in range(1, 4))


@pytest.mark.parametrize("suffix", ["_mask", "_seg", "_Segmentation"])
def test_masks_may_carry_a_suffix_and_lie_beside_their_images(tmp_path, suffix):
    for number in range(4):
        image, block = picture(number)
        save(image, tmp_path / f"p{number}.jpg", quality=95)
        save(block.astype(np.uint8), tmp_path / f"p{number}{suffix}.png")
    assert identifiers(read(tmp_path)) == {"p0", "p1", "p2", "p3"}


def test_indexed_png_masks_keep_their_palette_indices(tmp_path):
    for number in range(4):
        image, block = picture(number)
        save(image, tmp_path / "images" / f"p{number}.png")
        indices = block.astype(np.uint8) * 2
        indices[:4, :4] = 1
        mask = Image.fromarray(indices, mode="P")
        mask.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0] + [0] * 759)
        (tmp_path / "masks").mkdir(exist_ok=True)
        mask.save(tmp_path / "masks" / f"p{number}_mask.png")
    data = read(tmp_path, classes={0: "background", 1: "vessel", 2: "tumour"})
    assert data.class_names == ("background", "vessel", "tumour")
    assert torch.unique(all_targets(data)).tolist() == [0, 1, 2]
    assert (all_targets(data)[:, 0, 0] == 1).all()


def test_colour_masks_are_classes_by_their_rgb_value(tmp_path):
    for number in range(4):
        image, block = picture(number)
        save(np.stack([image] * 3, axis=-1), tmp_path / "images" / f"p{number}.png")
        colours = np.zeros((*block.shape, 3), dtype=np.uint8)
        colours[block] = (255, 0, 0)
        save(colours, tmp_path / "masks" / f"p{number}.png")
    data = read(tmp_path, classes={0x000000: "background", 0xFF0000: "cup"})
    assert data.class_names == ("background", "cup")
    assert any("4 colour pictures read as luminance" in note for note in data.notes)


def test_grey_masks_stored_as_rgb_mix_with_grey_masks(tmp_path):
    png_site(tmp_path / "north")
    png_site(tmp_path / "south")
    for file in (tmp_path / "south" / "masks").iterdir():
        Image.open(file).convert("RGB").save(file)
    data = read(tmp_path, classes={0: "background", 255: "lesion"})
    assert torch.equal(data.clients[0].train.targets.amax(dim=(1, 2)), torch.ones(4, dtype=torch.int64))
    assert torch.equal(data.clients[1].train.targets.amax(dim=(1, 2)), torch.ones(4, dtype=torch.int64))


def test_sixteen_bit_tiffs_keep_their_depth(tmp_path):
    for number in range(4):
        image, block = picture(number)
        (tmp_path / "images").mkdir(exist_ok=True)
        deep = image.astype(np.uint16) * 257
        if number == 0:
            tifffile.imwrite(tmp_path / "images" / "p0.tif", np.stack([deep] * 3, axis=-1), photometric="rgb")
        else:
            tifffile.imwrite(tmp_path / "images" / f"p{number}.tiff", deep)
        save(block.astype(np.uint8) * 255, tmp_path / "masks" / f"p{number}.png")
    deep_data = read(tmp_path)
    eight_bit = tmp_path / "eight" / tmp_path.name  # the same site name, hence the same subjects held out
    png_site(eight_bit, count=4)
    shallow = read(eight_bit)
    assert torch.allclose(deep_data.clients[0].train.images, shallow.clients[0].train.images, atol=1e-4)


def test_sixteen_bit_colour_is_not_cut_to_eight(tmp_path):
    for number in range(2):
        faint = np.zeros((40, 40, 3), dtype=np.uint16)  # a contrast that lives in the low byte alone
        faint[10:20, 10:30] = 200
        (tmp_path / "images").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "images" / f"p{number}.tif", faint, photometric="rgb")
        save((faint[..., 0] > 0).astype(np.uint8), tmp_path / "masks" / f"p{number}.png")
    train = read(tmp_path).clients[0].train
    assert float(train.images[:, 0][train.targets == 1].mean()) > 1.5


def test_slices_in_a_patients_folder_stay_together(tmp_path):
    for patient in range(4):
        for number in range(3):
            image, block = picture(patient * 3 + number)
            save(image, tmp_path / "images" / f"patient{patient}" / f"slice-{number}.png")
            save(block.astype(np.uint8), tmp_path / "masks" / f"patient{patient}" / f"slice-{number}.png")
    data = read(tmp_path)
    trained, tested = (
        {name.split("/")[0] for name in part.identifiers} for part in (data.clients[0].train, data.clients[0].test)
    )
    assert len(tested) == 1
    assert not trained & tested
    assert len(data.clients[0].test) == 3
    assert "patient0/slice-2" in identifiers(data)


def test_wide_pictures_keep_their_aspect_and_padding_is_background(tmp_path):
    for number in range(3):
        image, _ = picture(number, (20, 40))
        save(image, tmp_path / "images" / f"p{number}.png")
        save(np.full((20, 40), 7, dtype=np.uint8), tmp_path / "masks" / f"p{number}.png")
    data = read(tmp_path, classes={0: "background", 7: "organ"})
    targets = all_targets(data)
    assert (targets[:, SIZE // 4 : 3 * SIZE // 4] == 1).all()
    assert (targets[:, : SIZE // 4] == 0).all()
    assert (targets[:, 3 * SIZE // 4 :] == 0).all()


def test_values_with_one_name_are_one_class_and_the_named_background_comes_first(tmp_path):
    png_site(tmp_path, levels=(9, 4))
    data = read(tmp_path, classes={4: "tumour", 5: "tumour", 9: "Background"})
    assert data.class_names == ("Background", "tumour")
    assert all_targets(data).float().mean() < 0.5


@pytest.mark.parametrize("layout", ["images/{}.nii.gz labels/{}.nii.gz", "{}.nii {}_seg.nii"])
def test_nifti_volumes_become_the_axial_slices_that_hold_labels(tmp_path, layout):
    where_image, where_label = layout.split()
    for number in range(4):
        image, labels = volume(number)
        save_volume(image, tmp_path / where_image.format(f"p{number}"))
        save_volume(labels, tmp_path / where_label.format(f"p{number}"))
    data = read(tmp_path)
    assert data.class_names == ("background", "value 1", "value 2")
    assert identifiers(data) == {f"p{number}/slice-{index:03d}" for number in range(4) for index in range(3, 9)}
    assert any("24 axial slices without any label left out" in note for note in data.notes)
    assert len(data.clients[0].train) == 18


def test_orientation_on_disk_does_not_change_what_is_read(tmp_path):
    for number in range(2):
        image, labels = volume(number)
        save_volume(image, tmp_path / "ras" / "site" / "images" / f"p{number}.nii.gz")
        save_volume(labels, tmp_path / "ras" / "site" / "labels" / f"p{number}.nii.gz")
        # The same head stored superior to inferior first, then right to left, then posterior to anterior.
        affine = np.array([[0, -1, 0, 19], [0, 0, 1, 0], [-1, 0, 0, 11], [0, 0, 0, 1]], dtype=float)
        stored = [np.ascontiguousarray(array.transpose(2, 0, 1)[::-1, ::-1]) for array in (image, labels)]
        save_volume(stored[0], tmp_path / "slp" / "site" / "images" / f"p{number}.nii.gz", affine)
        save_volume(stored[1], tmp_path / "slp" / "site" / "labels" / f"p{number}.nii.gz", affine)
    canonical, turned = read(tmp_path / "ras").clients[0], read(tmp_path / "slp").clients[0]
    assert canonical.train.identifiers == turned.train.identifiers
    assert torch.allclose(canonical.train.images, turned.train.images, atol=1e-5)
    assert torch.equal(canonical.train.targets, turned.train.targets)


def test_anisotropic_voxels_are_shown_in_their_true_proportions(tmp_path):
    labels = np.ones((10, 20, 4), dtype=np.uint8)
    labels[0, 0] = 0
    for number in range(2):
        save_volume(labels.astype(np.float32), tmp_path / "images" / f"p{number}.nii", np.diag([2.0, 1.0, 3.0, 1.0]))
        save_volume(labels, tmp_path / "labels" / f"p{number}.nii", np.diag([2.0, 1.0, 3.0, 1.0]))
    targets = all_targets(read(tmp_path))  # 10 x 2 mm by 20 x 1 mm: a full square
    assert float(targets.float().mean()) > 0.98


def test_one_subject_is_split_by_blocks_with_a_gap_and_said_so(tmp_path):
    labels = np.ones((8, 8, 40), dtype=np.uint8)
    labels[0] = 0
    save_volume(labels.astype(np.float32), tmp_path / "images" / "only.nii.gz")
    save_volume(labels, tmp_path / "masks" / "only.nii.gz")
    data = read(tmp_path, gap=3)
    train, test = (
        [int(name[-3:]) for name in part.identifiers] for part in (data.clients[0].train, data.clients[0].test)
    )
    assert min(abs(a - b) for a in train for b in test) == 4
    assert any("one subject only" in note for note in data.notes)


def test_max_slices_limits_each_client_and_is_noted(tmp_path):
    png_site(tmp_path, count=12)
    data = read(tmp_path, max_slices=3)
    assert (len(data.clients[0].train), len(data.clients[0].test)) == (3, 1)
    assert any("data.max_slices=3 leaves 3 training and 1 test" in note for note in data.notes)


def test_restoration_pairs_share_one_intensity_scale(tmp_path):
    for number in range(4):
        clean, _ = picture(number)
        noisy = np.clip(clean + np.random.default_rng(number).normal(scale=10, size=clean.shape), 0, 255)
        save(clean, tmp_path / "clean" / f"p{number}.png")
        save(noisy.astype(np.uint8), tmp_path / "noisy" / f"p{number}.png")
    data = read(tmp_path, "restoration")
    train = data.clients[0].train
    assert data.class_names == ()
    assert 0 <= float(train.images.min()) <= float(train.images.max()) <= 1
    assert float((train.images - train.targets).abs().mean()) < 0.05
    assert torch.corrcoef(torch.stack([train.images.flatten(), train.targets.flatten()]))[0, 1] > 0.98


def test_files_outside_the_layout_are_passed_over_aloud(tmp_path):
    png_site(tmp_path)
    (tmp_path / "images" / "Thumbs.db").write_bytes(b"")
    (tmp_path / "readme.txt").write_text("x")
    notes = "\n".join(read(tmp_path).notes)
    assert "passed over" in notes
    assert "1 .db files" in notes
    assert "1 .txt files" in notes


def test_a_volume_without_labels_is_left_out_aloud(tmp_path):
    for number in range(3):
        image, labels = volume(number)
        save_volume(image, tmp_path / "images" / f"p{number}.nii")
        save_volume(labels * (number > 0), tmp_path / "labels" / f"p{number}.nii")
    data = read(tmp_path)
    assert {name.split("/")[0] for name in identifiers(data)} == {"p1", "p2"}
    assert any("24 axial slices without any label left out" in note for note in data.notes)


def test_a_class_that_a_site_never_shows_is_noted(tmp_path):
    png_site(tmp_path / "north", levels=(0, 1))
    png_site(tmp_path / "south", levels=(0, 2))
    data = read(tmp_path)
    assert data.class_names == ("background", "value 1", "value 2")
    assert "south: no slice holds value 1" in data.notes
    assert set(torch.unique(data.clients[1].train.targets).tolist()) == {0, 2}


def test_a_picture_beside_the_sites_does_not_make_their_parent_a_site(tmp_path):
    png_site(tmp_path / "north")
    save(picture(0)[0], tmp_path / "logo.png")
    assert [client.name for client in read(tmp_path).clients] == ["north"]

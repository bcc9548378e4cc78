"""Every way a user's folder can be wrong ends in one DataError that names the file and what was found."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

from trainer.config import DataConfig
from trainer.data import load
from trainer.errors import DataError


def refusal(path: Path | None, task: str = "segmentation", **settings) -> str:
    with pytest.raises(DataError) as caught:
        load(DataConfig(source="folder", path=path, image_size=16, **settings), task, 0)
    return str(caught.value)


def write_png(file: Path, array: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(file)


def write_nifti(file: Path, array: np.ndarray, affine: np.ndarray | None = None) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine), file)


def png_site(site: Path, count: int = 3) -> Path:
    for number in range(count):
        ramp = np.add.outer(np.arange(20), np.arange(20) + number).astype(np.uint8)
        write_png(site / "images" / f"p{number}.png", ramp)
        write_png(site / "masks" / f"p{number}.png", (ramp > 15).astype(np.uint8) * 255)
    return site


def nifti_site(site: Path, count: int = 3) -> Path:
    for number in range(count):
        image = np.random.default_rng(number).normal(size=(10, 11, 6)).astype(np.float32)
        write_nifti(site / "images" / f"v{number}.nii.gz", image)
        write_nifti(site / "labels" / f"v{number}.nii.gz", (image > 0).astype(np.uint8))
    return site


def png(width: int, height: int, bits: int, colour_type: int, pixels: bytes) -> bytes:
    """A PNG file with any header one likes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def header_only_png(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""
    return png(width, height, 8, 0, b"")


def deep_colour_png() -> bytes:
    """A valid PNG of 20 x 20 pixels in RGB with 16 bits per channel."""
    return png(20, 20, 16, 2, (b"\0" + b"\1\2" * 3 * 20) * 20)


def rewrite(file: Path, change: Callable[[bytes], bytes]) -> None:
    file.write_bytes(change(file.read_bytes()))


def save_as_jpeg_noise(site: Path) -> None:
    (site / "masks" / "p1.png").unlink()
    noise = np.random.default_rng(0).integers(0, 256, (20, 20), dtype=np.uint8)
    Image.fromarray(noise).save(site / "masks" / "p1.jpg", quality=30)


def save_half_a_picture(site: Path) -> None:
    write_png(site / "images/p1.png", np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8))
    rewrite(site / "images/p1.png", lambda content: content[: len(content) // 2])


def save_turned(site: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.open(site / "images" / "p1.png").save(site / "images" / "p1.png", exif=exif)


def save_pages(site: Path) -> None:
    (site / "images" / "p1.png").unlink()
    tifffile.imwrite(site / "images" / "p1.tif", np.zeros((3, 20, 20), dtype=np.uint8), photometric="minisblack")


def save_float_tiff(site: Path, value: float, folder: str = "images") -> None:
    (site / folder / "p1.png").unlink()
    pixels = np.zeros((20, 20), dtype=np.float32)
    pixels[3, 4] = value
    tifffile.imwrite(site / folder / "p1.tif", pixels)


def save_truncated_deep_tiff(site: Path) -> None:
    (site / "images" / "p1.png").unlink()
    tifffile.imwrite(site / "images" / "p1.tif", np.ones((20, 20, 3), dtype=np.uint16), photometric="rgb")
    rewrite(site / "images" / "p1.tif", lambda content: content[:-500])


PICTURE_FAULTS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "missing mask": (lambda s: (s / "masks/p1.png").unlink(), ["images/p1.png: no file of this name in masks/"]),
    "mask without image": (lambda s: (s / "images/p1.png").unlink(), ["masks/p1.png: no image of this name"]),
    "two masks": (
        lambda s: write_png(s / "masks/p1_seg.png", np.eye(20, dtype=np.uint8)),
        ["images/p1.png: two targets, p1.png and p1_seg.png"],
    ),
    "two images of one name": (
        lambda s: write_png(s / "images/p1.tif", np.eye(20, dtype=np.uint8)),
        ["images/p1.tif: has the same name as p1.png"],
    ),
    "other size": (
        lambda s: write_png(s / "masks/p1.png", np.eye(20, 30, dtype=np.uint8)),
        ["masks/p1.png: 30 x 20 pixels do not fit its image's 20 x 20"],
    ),
    "truncated": (save_half_a_picture, ["images/p1.png: is broken"]),
    "no picture at all": (
        lambda s: (s / "images/p1.png").write_bytes(b"hello"),
        ["images/p1.png: is not a PNG, JPEG or TIFF picture"],
    ),
    "another format under this name": (
        lambda s: Image.new("L", (20, 20)).save(s / "images/p1.png", format="GIF"),
        ["images/p1.png: is not a PNG, JPEG or TIFF picture"],
    ),
    "empty file": (lambda s: (s / "masks/p1.png").write_bytes(b""), ["masks/p1.png: is not a PNG"]),
    "decompression bomb": (
        lambda s: (s / "images/p1.png").write_bytes(header_only_png(60_000, 60_000)),
        ["images/p1.png: is larger than"],
    ),
    "suspiciously large": (
        lambda s: (s / "images/p1.png").write_bytes(header_only_png(10_000, 10_000)),
        ["images/p1.png: is larger than"],
    ),
    "larger than the limit": (
        lambda s: (s / "images/p1.png").write_bytes(header_only_png(8_200, 8_200)),
        ["images/p1.png: 8200 x 8200 pixels"],
    ),
    "colour model without meaning here": (
        lambda s: Image.new("CMYK", (20, 20)).save(s / "images/p1.png", format="JPEG"),
        ["images/p1.png: colour mode CMYK is not supported"],
    ),
    "turned": (save_turned, ["images/p1.png: is marked as turned (orientation tag 6)"]),
    "several pages": (save_pages, ["images/p1.tif: has 3 pages"]),
    "NaN": (lambda s: save_float_tiff(s, float("nan")), ["images/p1.tif: 1 of 400 values are NaN"]),
    "fractional mask": (
        lambda s: save_float_tiff(s, 0.5, "masks"),
        ["masks/p1.tif: holds 0.5; a mask must hold whole numbers"],
    ),
    "negative mask": (lambda s: save_float_tiff(s, -1, "masks"), ["masks/p1.tif: holds the value -1"]),
    "truncated 16-bit colour TIFF": (save_truncated_deep_tiff, ["images/p1.tif: is not a readable TIFF picture"]),
    "16-bit colour PNG": (
        lambda s: (s / "images/p1.png").write_bytes(deep_colour_png()),
        ["images/p1.png: 16 bits per colour channel are read from TIFF only"],
    ),
    "JPEG mask": (save_as_jpeg_noise, ["different values (", "more than 16: JPEG compression"]),
    "mask in colour among grey ones": (
        lambda s: write_png(s / "masks/p1.png", np.full((20, 20, 3), (255, 0, 0), dtype=np.uint8)),
        ["some masks are in colour", "masks/p1.png", "others are not"],
    ),
    "volume among pictures": (
        lambda s: write_nifti(s / "images/v.nii", np.zeros((4, 4, 4), dtype=np.uint8)),
        ["mixes NIfTI volumes and pictures"],
    ),
    "no mask folder": (
        lambda s: (s / "masks").rename(s / "truth"),
        ["has images/; expected images/ and exactly one of masks/ or labels/"],
    ),
    "two mask folders": (lambda s: (s / "labels").mkdir(), ["has images/, masks/, labels/; expected"]),
    "link to a folder": (
        lambda s: (s / "images" / "more").symlink_to(s / "masks", target_is_directory=True),
        ["images/more: is a link to a folder"],
    ),
}


@pytest.mark.parametrize("fault", PICTURE_FAULTS)
def test_a_faulty_picture_site_is_refused_by_name(tmp_path, fault):
    damage, expected = PICTURE_FAULTS[fault]
    damage(png_site(tmp_path / "north"))
    message = refusal(tmp_path)
    for words in expected:
        assert words in message


def gunzip_and_pack(change: Callable[[bytearray], None]) -> Callable[[bytes], bytes]:
    def changed(content: bytes) -> bytes:
        plain = bytearray(gzip.decompress(content))
        change(plain)
        return gzip.compress(bytes(plain))

    return changed


def claim_dimensions(header: bytearray) -> None:
    struct.pack_into("<8h", header, 40, 3, 30_000, 30_000, 30_000, 1, 1, 1, 1)  # dim, at byte 40 of the header


def flatten_affine(header: bytearray) -> None:
    struct.pack_into("<4f", header, 312, 0, 0, 0, 0)  # srow_z, at byte 312 of the header


def with_voxel(value: float, dtype: type = np.float32) -> np.ndarray:
    voxels = np.ones((10, 11, 6), dtype=dtype)
    voxels[2, 3, 4] = value
    return voxels


SHIFTED = np.array([[1, 0, 0, 1.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=float)
NIFTI_FAULTS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "other shape": (
        lambda s: write_nifti(s / "labels/v1.nii.gz", np.ones((10, 11, 7), dtype=np.uint8)),
        ["labels/v1.nii.gz: shape 10 x 11 x 7 does not fit its image's 10 x 11 x 6"],
    ),
    "other place": (
        lambda s: write_nifti(s / "labels/v1.nii.gz", with_voxel(2, np.uint8), SHIFTED),
        ["labels/v1.nii.gz: its affine places it 1.50 mm away from its image"],
    ),
    "mirrored place": (
        lambda s: write_nifti(s / "labels/v1.nii.gz", with_voxel(2, np.uint8), np.diag([-1.0, 1, 1, 1])),
        ["labels/v1.nii.gz: its affine places it 9.00 mm away"],
    ),
    "flat affine": (
        lambda s: rewrite(s / "images/v1.nii.gz", gunzip_and_pack(flatten_affine)),
        ["images/v1.nii.gz: its affine does not describe a grid"],
    ),
    "NaN voxels": (
        lambda s: write_nifti(s / "images/v1.nii.gz", with_voxel(np.nan)),
        ["images/v1.nii.gz: 1 of 660 values are NaN"],
    ),
    "beyond float32": (
        lambda s: write_nifti(s / "images/v1.nii.gz", with_voxel(1e300, np.float64)),
        ["images/v1.nii.gz: 1 of 660 values are NaN, infinite or beyond float32"],
    ),
    "probabilities as labels": (
        lambda s: write_nifti(s / "labels/v1.nii.gz", with_voxel(0.25)),
        ["labels/v1.nii.gz: holds 0.25; a mask must hold whole numbers"],
    ),
    "truncated": (
        lambda s: rewrite(s / "images/v1.nii.gz", lambda c: c[: len(c) // 2]),
        ["images/v1.nii.gz: its voxels cannot be read"],
    ),
    "not compressed at all": (
        lambda s: (s / "images/v1.nii.gz").write_bytes(b"hello" * 100),
        ["images/v1.nii.gz: is not a readable NIfTI file"],
    ),
    "claims 27 teravoxels": (
        lambda s: rewrite(s / "images/v1.nii.gz", gunzip_and_pack(claim_dimensions)),
        ["images/v1.nii.gz: shape 30000 x 30000 x 30000 exceeds"],
    ),
    "time series": (
        lambda s: write_nifti(s / "images/v1.nii.gz", np.zeros((10, 11, 6, 5), dtype=np.float32)),
        ["images/v1.nii.gz: has shape 10 x 11 x 6 x 5; one 3-D volume per file"],
    ),
    "complex voxels": (
        lambda s: write_nifti(s / "images/v1.nii.gz", np.zeros((10, 11, 6), dtype=np.complex64)),
        ["images/v1.nii.gz: voxels of type complex64 are not real numbers"],
    ),
}


@pytest.mark.parametrize("fault", NIFTI_FAULTS)
def test_a_faulty_nifti_site_is_refused_by_name(tmp_path, fault):
    damage, expected = NIFTI_FAULTS[fault]
    damage(nifti_site(tmp_path / "north"))
    message = refusal(tmp_path)
    for words in expected:
        assert words in message


def test_all_problems_of_all_sites_are_listed_at_once(tmp_path):
    png_site(tmp_path / "north")
    nifti_site(tmp_path / "south")
    (tmp_path / "north/masks/p0.png").unlink()
    (tmp_path / "north/images/p2.png").write_bytes(b"broken")
    (tmp_path / "south/labels/v1.nii.gz").write_bytes(b"broken")
    (tmp_path / "west").mkdir()
    lines = refusal(tmp_path).splitlines()
    assert len(lines) == 5
    for words in ("north/images/p0.png", "north/images/p2.png", "south/labels/v1.nii.gz", "west: found no files"):
        assert any(words in line for line in lines)


def test_beyond_twenty_problems_only_their_number_is_shown(tmp_path):
    png_site(tmp_path, count=26)
    for mask in (tmp_path / "masks").iterdir():
        mask.unlink()
    lines = refusal(tmp_path).splitlines()
    assert len(lines) == 22
    assert lines[-1].strip() == "and 6 more"


def test_mask_values_that_the_configuration_does_not_name_are_listed_per_file(tmp_path):
    message = refusal(png_site(tmp_path), classes={0: "background", 1: "lesion"})
    assert message.count("holds 255, which data.classes does not name (it names 0, 1)") == 3


@pytest.mark.parametrize(
    ("classes", "words"),
    [({0: "background"}, "at least two classes"), ({-1: "background", 1: "lesion"}, "names the mask value -1")],
)
def test_class_maps_that_cannot_be_meant_are_refused(tmp_path, classes, words):
    assert words in refusal(png_site(tmp_path), classes=classes)


def test_masks_of_a_single_value_leave_nothing_to_segment(tmp_path):
    png_site(tmp_path)
    for mask in (tmp_path / "masks").iterdir():
        write_png(mask, np.zeros((20, 20), dtype=np.uint8))
    assert "hold a single value (0)" in refusal(tmp_path)


def test_a_site_of_one_picture_cannot_be_split(tmp_path):
    png_site(tmp_path / "north")
    png_site(tmp_path / "south", count=1)
    assert "south: shows one subject only, and its 1 slices cannot be split" in refusal(tmp_path)


def test_no_path_asks_for_one():
    assert "needs data.path=FOLDER" in refusal(None)


def test_a_missing_folder_is_named(tmp_path):
    assert f"data.path={tmp_path / 'nowhere'} does not exist" in refusal(tmp_path / "nowhere")


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    write_png(tmp_path / "a.png", np.eye(4, dtype=np.uint8))
    assert "is not a folder" in refusal(tmp_path / "a.png")


def test_an_empty_folder_states_the_supported_layouts(tmp_path):
    message = refusal(tmp_path)
    assert "found no files" in message
    assert "SITE/images/" in message


@pytest.mark.parametrize("name", ["IM0001", "slice.dcm"])
def test_dicom_where_it_does_not_serve_is_recognised_by_its_content(tmp_path, name):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / name).write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 16)
    message = refusal(tmp_path, "restoration")
    assert "found 1 DICOM files" in message
    assert "SITE/noisy/" in message


def test_unsupported_files_are_counted_by_their_ending(tmp_path):
    (tmp_path / "site").mkdir()
    for name in ("a.mha", "b.mha", "c.txt"):
        (tmp_path / "site" / name).write_bytes(b"x")
    message = refusal(tmp_path)
    assert "2 .mha files" in message
    assert "1 .txt files" in message


def test_the_nnunet_layout_is_recognised_by_its_folders(tmp_path):
    (tmp_path / "imagesTr").mkdir()
    assert "labelsTr: missing; expected SITE/imagesTr/CASE_0000.nii.gz" in refusal(tmp_path)


def test_restoration_asks_for_noisy_and_clean(tmp_path):
    message = refusal(png_site(tmp_path / "north"), "restoration")
    assert "SITE/noisy/ with SITE/clean/" in message


def test_names_with_control_characters_are_shown_escaped(tmp_path):
    png_site(tmp_path)
    (tmp_path / "images" / "evil\n\x1b[31m.png").write_bytes(b"x")
    message = refusal(tmp_path)
    assert "\x1b" not in message
    assert "evil\\n\\x1b[31m.png" in message

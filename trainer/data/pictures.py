"""PNG, JPEG and TIFF pairs: a picture and its mask, or a noisy picture and its clean one.

Files are untrusted: only these three decoders are used, the size is checked before a pixel is decoded, and
Pillow's warning of a decompression bomb is an error. Pillow reads what it can; TIFFs it does not know or would
cut to 8 bits (16-bit colour, double precision) go to tifffile.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image, UnidentifiedImageError

from trainer.data.pair import Pair, one_line, printable
from trainer.data.raw import RawPair
from trainer.data.settings import Settings
from trainer.errors import DataError

MAX_PIXELS = 2**26  # 8192 x 8192
_UPRIGHT = (None, 1)  # values of the orientation tag that need no turning
_ORIENTATION_TAG = 274
LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_AS_STORED = ("1", "L", "P", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_TO_RGB = ("RGB", "RGBA", "RGBX", "PA")
_TO_GREY = ("LA", "La")
# Pillow and its codecs report a broken file by any of these (a TIFF without dimensions: TypeError).
_BROKEN = (OSError, EOFError, ValueError, SyntaxError, TypeError, OverflowError, struct.error, zlib.error)


def read_pair(pair: Pair, settings: Settings) -> RawPair:
    """The two pictures of `pair` as single slices [1, h, w].

    Colour images become luminance. Masks (segmentation) keep their values: grey levels, palette indices, or
    colours as 0xRRGGBB. Raises DataError, naming the file, if one cannot be read, has several pages, is marked
    as turned, has more than 2^26 pixels, or if the two differ in size.
    """
    image, is_colour = _grey(pair.image)
    if settings.task == "segmentation":
        target, colour_target = _mask(pair.target)
    else:
        target, colour_target = _grey(pair.target)[0], False
    if image.shape != target.shape:
        raise DataError(f"{printable(pair.target)}: {_size(target)} pixels do not fit its image's {_size(image)}")
    return RawPair(
        image=image[None],
        target=target[None],
        spacing=(1.0, 1.0),
        slice_names=("",),
        colour_target=colour_target,
        remarks=("colour pictures read as luminance",) if is_colour else (),
        stored_shape=image.shape,
    )


def _grey(file: Path) -> tuple[npt.NDArray[Any], bool]:
    """An image [h, w], and whether it was in colour."""
    pixels = _decode(file, keep_palette=False)
    return (pixels, False) if pixels.ndim == 2 else (pixels[..., :3] @ LUMINANCE, True)


def _mask(file: Path) -> tuple[npt.NDArray[Any], bool]:
    """A mask [h, w], and whether its values are colours 0xRRGGBB."""
    pixels = _decode(file, keep_palette=True)
    if pixels.ndim == 2:
        return pixels, False
    if pixels.dtype != np.uint8:
        raise DataError(f"{printable(file)}: a colour mask must have 8 bits per channel, not {pixels.dtype}")
    red, green, blue = (pixels[..., channel].astype(np.int64) for channel in range(3))
    return red << 16 | green << 8 | blue, True


def _decode(file: Path, keep_palette: bool) -> npt.NDArray[Any]:
    """Pixels [h, w] or [h, w, 3 or 4]; palette indices if `keep_palette`, otherwise the palette's colours."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=("PNG", "JPEG", "TIFF")) as picture:
                if _loses_depth(picture):
                    if picture.format == "TIFF":
                        return _tifffile_pixels(file)
                    raise DataError(f"{printable(file)}: 16 bits per colour channel are read from TIFF only")
                return _pillow_pixels(file, picture, keep_palette)
    except UnidentifiedImageError:
        if file.suffix.lower() in (".tif", ".tiff"):
            return _tifffile_pixels(file)
        raise DataError(f"{printable(file)}: is not a PNG, JPEG or TIFF picture") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{printable(file)}: is larger than {MAX_PIXELS} pixels; crop or resample it") from None
    except _BROKEN as error:
        raise DataError(f"{printable(file)}: is broken: {one_line(error)}") from None


def _pillow_pixels(file: Path, picture: Image.Image, keep_palette: bool) -> npt.NDArray[Any]:
    _check_size(file, picture.width, picture.height)
    _check_single_and_upright(file, getattr(picture, "n_frames", 1), picture.getexif().get(_ORIENTATION_TAG))
    if picture.mode == "P" and not keep_palette:
        return np.asarray(picture.convert("RGB"))
    if picture.mode in _AS_STORED:
        return np.asarray(picture)
    if picture.mode in _TO_RGB:
        return np.asarray(picture.convert("RGB"))
    if picture.mode in _TO_GREY:
        return np.asarray(picture.convert("L"))
    raise DataError(f"{printable(file)}: colour mode {picture.mode} is not supported; save it as grey or RGB")


def _loses_depth(picture: Image.Image) -> bool:
    """Whether Pillow would cut 16 bits per channel to 8: its raw mode then says so, as in "RGB;16B"."""
    tiles = getattr(picture, "tile", ())  # what is left to decode
    if picture.mode not in (*_TO_RGB, *_TO_GREY) or not tiles:
        return False
    arguments = tiles[0].args
    raw_mode = arguments if isinstance(arguments, str) else next(iter(arguments or ()), "")
    return ";16" in str(raw_mode)


def _tifffile_pixels(file: Path) -> npt.NDArray[Any]:
    try:
        with tifffile.TiffFile(file) as tiff:
            page = tiff.pages.first
            _check_size(file, page.imagewidth, page.imagelength)
            orientation = page.tags.get(_ORIENTATION_TAG)
            _check_single_and_upright(file, len(tiff.pages), None if orientation is None else orientation.value)
            if page.compression != tifffile.COMPRESSION.NONE or page.samplesperpixel > 4 or page.dtype is None:
                raise DataError(
                    f"{printable(file)}: this TIFF is not supported; save it without compression or as PNG"
                )
            supported = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB)
            if page.photometric not in supported or page.axes not in ("YX", "YXS") or page.dtype.kind not in "iuf":
                raise DataError(
                    f"{printable(file)}: TIFF of {page.axes}, {page.dtype} is not supported; save it as grey or RGB"
                )
            pixels = page.asarray()
    except (*_BROKEN, tifffile.TiffFileError, KeyError, IndexError, NotImplementedError) as error:
        raise DataError(f"{printable(file)}: is not a readable TIFF picture: {one_line(error)}") from None
    return np.asarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] < 3 else pixels)


def _check_size(file: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS or width < 1 or height < 1:
        raise DataError(f"{printable(file)}: {width} x {height} pixels; between 1 and {MAX_PIXELS} are read")


def _check_single_and_upright(file: Path, pages: int, orientation: Any) -> None:
    if pages != 1:
        raise DataError(f"{printable(file)}: has {pages} pages; one picture per file is needed")
    if orientation not in _UPRIGHT:
        # Programs disagree on whether to turn such pictures, so a mask drawn on one may not fit the stored pixels.
        raise DataError(f"{printable(file)}: is marked as turned (orientation tag {orientation}); save it upright")


def _size(array: npt.NDArray[Any]) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"

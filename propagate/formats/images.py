"""Pictures from files: the one place where Pillow opens a label file, and where its exceptions are translated."""

from __future__ import annotations

import io
import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from propagate.errors import InputError
from propagate.files import IMAGE_SUFFIXES, cannot_read, check_file, looks_like_video
from propagate.formats.atomic import write_bytes

logger = logging.getLogger(__name__)
SUFFIXES = frozenset({*IMAGE_SUFFIXES, ".gif"})
_SEVERAL = frozenset({"PNG", "GIF", "WEBP", "TIFF", "AVIF"})  # an MPO's second picture is a phone's depth or gain map
_BROKEN = (SyntaxError, ValueError, EOFError, KeyError, TypeError, IndexError, OverflowError, struct.error, zlib.error)


@contextmanager
def opened_image(path: Path) -> Iterator[Image.Image]:
    """Yield a picture of which only the head is read; loading it inside is translated too.

    Raises:
        InputError: the file cannot be read, is no picture, is damaged, or holds several pictures.
    """
    check_file(path, wanted="a picture")
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large is fine; the size is compared
            warnings.simplefilter("ignore", UserWarning)  # on odd tags, and palettes with transparency in bytes
            image = Image.open(file)
            _refuse_several(path, image)
            yield image
    except UnidentifiedImageError as error:
        raise _no_picture(path) from error
    except Image.DecompressionBombError as error:
        hint = "make it as large as the video"
        raise InputError(
            f"{path}: the picture has over {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels", hint=hint
        ) from error
    except OSError as error:
        raise cannot_read(path, error) if error.errno else _damaged(path, error) from error
    except _BROKEN as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: the picture is damaged: {error}", hint="save or copy it again")


def _no_picture(path: Path) -> InputError:
    if looks_like_video(path):
        hint = "the video comes first, then its labels: VIDEO LABEL..."
        return InputError(f"{path}: a video where a picture is expected", hint=hint)
    return InputError(f"{path}: not a picture that can be read", hint="save it as PNG")


def _refuse_several(path: Path, image: Image.Image) -> None:
    count = getattr(image, "n_frames", 1) if image.format in _SEVERAL else 1
    if count > 1:
        what = "pages" if image.format == "TIFF" else "pictures of an animation"
        hint = "one file holds one picture; save each as a PNG of its own, named by its frame, and give their folder"
        raise InputError(f"{path}: holds {count} {what}, not one picture", hint=hint)


def open_image(path: Path) -> Image.Image:
    """Return the picture in `path`, fully decoded, in the file's own mode.

    Raises:
        InputError: there is no such file, it is not one picture, or it is damaged.
    """
    with opened_image(path) as image:
        image.load()
        return image


def check_size(path: Path, found: tuple[int, int], wanted: tuple[int, int], *, what: str, hint: str) -> None:
    """Check that a picture has the video's size.

    Args:
        path: the picture's file, for the message.
        found: its (height, width).
        wanted: the video's (height, width).
        what: what the picture is, for the message ("mask").
        hint: what to do about it.

    Raises:
        InputError: the sizes differ.
    """
    if found != wanted:
        sizes = f"{found[1]}x{found[0]} but the video is {wanted[1]}x{wanted[0]}"
        raise InputError(f"{path}: {what} is {sizes}", hint=hint)


def read_picture(path: str | Path, *, size: tuple[int, int] | None = None, alpha: bool = False) -> NDArray[np.uint8]:
    """Return a reference or paint picture, upright (EXIF orientation applied), 8 bits a channel.

    Palettes are expanded, grey is repeated three times, 16-bit grey is scaled to 8 bits. Pixel (0, 0) of the file is
    pixel (0, 0) of the frame. Transparency that is not asked for is dropped with a logged warning.

    Args:
        path: any picture that Pillow reads.
        size: the (height, width) that it must have, or None for any; compared before the pixels are read.
        alpha: return the transparency too; a picture without it is opaque.

    Returns:
        (H, W, 3) uint8 RGB, or (H, W, 4) RGBA with `alpha`.

    Raises:
        InputError: the file cannot be read, or has another size.
    """
    path = Path(path)
    with opened_image(path) as image:
        if size is not None and image.size != size:  # not turned by a quarter either
            check_size(path, (image.height, image.width), size, what="picture", hint="resize the picture")
        image.load()
        upright = ImageOps.exif_transpose(_eight_bit(path, image))
        if size is not None:
            check_size(path, (upright.height, upright.width), size, what="picture", hint="resize the picture")
        if alpha:
            return np.array(upright.convert("RGBA"))
        if upright.has_transparency_data and np.asarray(upright.convert("RGBA").getchannel("A")).min(initial=255) < 255:
            logger.warning("%s: its transparency is ignored, the colours under it are used", path)
        return np.array(upright.convert("RGB"))


def _eight_bit(path: Path, image: Image.Image) -> Image.Image:
    """Return 16-bit grey as 8-bit grey (with its EXIF data), anything else as it is."""
    if image.mode == "F":
        raise InputError(f"{path}: the picture holds floating-point numbers", hint="save it as an 8-bit PNG")
    if not image.mode.startswith("I"):
        return image
    levels = np.asarray(image).astype(np.int64)
    grey = Image.fromarray(((levels.clip(0, 65535) + 128) // 257).astype(np.uint8))
    grey.info.update(image.info)
    return grey


def write_rgb(path: str | Path, rgb: NDArray[np.uint8]) -> None:
    """Write a picture (H, W, 3) as an RGB PNG, atomically.

    Args:
        path: the file to write; its folder exists.
        rgb: (H, W, 3) uint8.

    Raises:
        OutputError: the file cannot be written.
    """
    write_bytes(Path(path), rgb_bytes(rgb), sync=False)


def rgb_bytes(rgb: NDArray[np.uint8]) -> bytes:
    """Return a picture (H, W, 3) uint8 as the bytes of an RGB PNG."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()

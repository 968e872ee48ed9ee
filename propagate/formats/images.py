"""Pictures from files: the one place where Pillow opens a file, and where its exceptions are translated."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from propagate.errors import InputError
from propagate.formats.atomic import write_bytes

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp"})


def open_image(path: Path) -> Image.Image:
    """Return the picture in `path`, fully decoded, in the file's own mode.

    Raises:
        InputError: there is no such file, it is not a picture, or it is damaged.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large is fine; the size is checked
            image = Image.open(io.BytesIO(path.read_bytes()))  # Pillow leaves a damaged file open
            image.load()
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: not a picture that can be read") from error
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: the picture is damaged: {error}") from error
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

    Palettes are expanded, grey is repeated three times, 16-bit grey is scaled to 8 bits. The first picture of an
    animation is taken. Pixel (0, 0) of the file is pixel (0, 0) of the frame.

    Args:
        path: any picture that Pillow reads.
        size: the (height, width) that it must have, or None for any.
        alpha: return the transparency too; a picture without it is opaque.

    Returns:
        (H, W, 3) uint8 RGB, or (H, W, 4) RGBA with `alpha`.

    Raises:
        InputError: the file cannot be read, or has another size.
    """
    path = Path(path)
    image = ImageOps.exif_transpose(_eight_bit(path, open_image(path)))
    if size is not None:
        check_size(path, (image.height, image.width), size, what="picture", hint="resize the picture")
    return np.array(image.convert("RGBA" if alpha else "RGB"))


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
    write_bytes(Path(path), rgb_bytes(rgb))


def rgb_bytes(rgb: NDArray[np.uint8]) -> bytes:
    """Return a picture (H, W, 3) uint8 as the bytes of an RGB PNG."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()

"""A folder of images as a video: natural order, mixed types, EXIF orientation, gaps in the numbering.

The index is the position in natural order; the time is index / 24 seconds, since images carry none (24 frames per
second is DAVIS's and cinema's rate; nothing but the `time` column of results depends on it).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from propagate.errors import InputError
from propagate.values import Frame
from propagate.video.color import Color, luma_of
from propagate.video.info import VideoInfo

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
RATE = 24  # frames per second given to pictures that have no times
_COLOR = Color(matrix="bt601", range="full")  # JPEG's own luma (JFIF)
_QUARTER_TURNS = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_ORIENTATION = 0x0112
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I")


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key under which "frame10" follows "frame9"."""
    parts = re.split(r"(\d+)", text.lower())
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts)


def list_images(folder: Path) -> list[Path]:
    """Return the images of a folder in natural order.

    Raises:
        InputError: there are none, or two have the same stem.
    """
    paths = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
    if not paths:
        raise InputError(f"{folder}: a folder without images", hint=f"expected files ending in {', '.join(SUFFIXES)}")
    paths.sort(key=lambda path: (natural_key(path.stem), path.name))
    seen: dict[str, Path] = {}
    for path in paths:
        if (other := seen.setdefault(path.stem, path)) is not path:
            hint = "outputs are named by the stem; move one of them away"
            raise InputError(f"{folder}: {other.name} and {path.name} have the same stem", hint=hint)
    return paths


def probe_folder(folder: Path) -> VideoInfo:
    """Return what is known of a folder of images; only headers are read.

    Raises:
        InputError: there are no images, none can be read, two share a stem, or their sizes differ.
    """
    paths = list_images(folder)
    heads = [_head(path) for path in paths]
    first = next((index for index, head in enumerate(heads) if head is not None), None)
    if first is None:
        raise InputError(f"{folder}: none of its {len(paths)} images can be read", hint="are they damaged?")
    size, mode, kind, turned = _checked(folder, paths, heads, first)
    unreadable = [path.name for path, head in zip(paths, heads, strict=True) if head is None]
    problems = [f"{len(unreadable)} images cannot be read, the first is {unreadable[0]}"] if unreadable else []
    if turned:
        problems.append("rotated: EXIF orientation is applied")
    return VideoInfo(
        path=str(folder),
        kind="folder",
        width=size[0],
        height=size[1],
        frames=len(paths),
        duration=len(paths) / RATE,
        rate=Fraction(RATE),
        time_base=Fraction(1, RATE),
        pts=tuple(range(len(paths))),
        start=Fraction(0),
        variable_rate=False,
        rotation=0,
        mirrored=False,
        sample_aspect=Fraction(1),
        codec=kind.lower(),
        pix_fmt=mode,
        bit_depth=16 if mode in _DEEP else 8,
        color=_COLOR,
        problems=tuple(problems),
    )


_Head = tuple[tuple[int, int], str, str, bool]  # displayed (width, height), mode, format, turned


def _checked(folder: Path, paths: list[Path], heads: list[_Head | None], first: int) -> _Head:
    expected = heads[first]
    assert expected is not None
    for path, head in zip(paths, heads, strict=True):
        if head is not None and head[0] != expected[0]:
            found, wanted = f"{head[0][0]}x{head[0][1]}", f"{expected[0][0]}x{expected[0][1]}"
            message = f"{folder}: {path.name} is {found} but {paths[first].name} is {wanted}"
            raise InputError(message, hint="all images of a folder must have one size; resize or move it")
    return expected


def _head(path: Path) -> _Head | None:
    """An image's displayed size, mode, format and whether EXIF turns it; None when it cannot be read."""
    try:
        with Image.open(path) as image:
            orientation = image.getexif().get(_ORIENTATION, 1)
            width, height = image.size
            size = (height, width) if orientation in _QUARTER_TURNS else (width, height)
            return size, image.mode, image.format or "", orientation != 1
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def read_folder(folder: Path, info: VideoInfo, *, first: int, last: int, luma: bool) -> Iterator[Frame]:
    """Yield the images `first` to `last` (exclusive) of a folder as frames.

    An image that cannot be read is yielded as a repetition of the last good one (black when there is none), marked
    `undecodable`.

    Args:
        folder: the folder.
        info: what `probe_folder` said of it.
        first: index of the first image.
        last: index after the last image.
        luma: also give the luma: 16-bit grey images their own samples, all others full-range BT.601.
    """
    rgb: NDArray[np.uint8] = np.zeros((*info.size, 3), np.uint8)
    plane: NDArray[np.uint8] | NDArray[np.uint16] = np.zeros(info.size, np.uint8)
    for index, path in enumerate(list_images(folder)[first:last], start=first):
        picture = read_image(path)
        if picture is not None and picture[0].shape[:2] == info.size:
            rgb, deep = picture
            plane = luma_of(rgb, _COLOR) if deep is None else deep
        else:
            picture = None
        yield Frame(
            index=index,
            time=info.time(index),
            rgb=rgb,
            stem=path.stem,
            pts=index,
            luma=plane if luma else None,
            undecodable=picture is None,
        )


def read_image(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint16] | None] | None:
    """Return an image upright as (H, W, 3) uint8 and, when it is 16-bit grey, its samples (H, W) uint16.

    Transparency is dropped; a palette is applied. None when the image cannot be read.
    """
    try:
        with Image.open(path) as opened, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Pillow on palettes with transparency in bytes
            image = ImageOps.exif_transpose(opened)
            if image.mode in _DEEP:
                deep = np.asarray(image).clip(0, 65535).astype(np.uint16)
                return np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, axis=2), deep
            if image.mode in ("P", "PA"):
                image = image.convert("RGBA")
            return np.array(image.convert("RGB")), None
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None

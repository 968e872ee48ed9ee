"""A folder of images as a video: natural order, mixed types, EXIF orientation, gaps in the numbering.

The index is the position in natural order; the time is index / 24 seconds, since images carry none (24 frames per
second is DAVIS's and cinema's rate; nothing but the `time` column of results depends on it).
"""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from propagate.errors import InputError
from propagate.files import IMAGE_SUFFIXES, cannot_read, check_file, files_in, others_in
from propagate.values import Frame
from propagate.video.color import Color, luma_of
from propagate.video.info import VideoInfo

SUFFIXES = IMAGE_SUFFIXES
RATE = 24  # frames per second given to pictures that have no times
_COLOR = Color(matrix="bt601", range="full")  # JPEG's own luma (JFIF)
_QUARTER_TURNS = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_ORIENTATION = 0x0112
_BROKEN = (SyntaxError, ValueError, EOFError, KeyError, TypeError, IndexError, OverflowError, struct.error, zlib.error)
_SHOWN = 5  # gaps in one line
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I")


def list_images(folder: Path) -> list[Path]:
    """Return the images of a folder in natural order.

    Raises:
        InputError: the folder cannot be read, there are none, or two have the same stem.
    """
    paths = files_in(folder, SUFFIXES)
    if not paths:
        raise InputError(f"{folder}: a folder without images", hint=f"expected files ending in {', '.join(SUFFIXES)}")
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
    first = next((index for index, head in enumerate(heads) if isinstance(head, _Head)), None)
    if first is None:
        hint = "are they damaged?" if heads[0] == _DAMAGED else f"{paths[0].name}: {heads[0]}"
        raise InputError(f"{folder}: none of its {len(paths)} images can be read", hint=hint)
    head = _checked(folder, paths, heads, first)
    size, mode, kind = head.size, head.mode, head.form
    notes = _folder_notes(folder, paths, heads)
    turned = any(isinstance(head, _Head) and head.turned for head in heads)
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
        problems=(*notes, *(["rotated: EXIF orientation is applied"] if turned else [])),
        notes=notes,
    )


@dataclass(frozen=True)
class _Head:
    """What the head of an image file says: displayed (width, height), mode, format, and what is done to it."""

    size: tuple[int, int]
    mode: str
    form: str
    turned: bool
    clear: bool
    several: bool


_DAMAGED = "cannot be read"


def _checked(folder: Path, paths: list[Path], heads: list[_Head | str], first: int) -> _Head:
    expected = heads[first]
    assert isinstance(expected, _Head)
    for path, head in zip(paths, heads, strict=True):
        if isinstance(head, _Head) and head.size != expected.size:
            found, wanted = f"{head.size[0]}x{head.size[1]}", f"{expected.size[0]}x{expected.size[1]}"
            message = f"{folder}: {path.name} is {found} but {paths[first].name} is {wanted}"
            raise InputError(message, hint="all images of a folder must have one size; resize or move it")
    return expected


def _folder_notes(folder: Path, paths: list[Path], heads: list[_Head | str]) -> tuple[str, ...]:
    """Return a line for each thing that is unusual about a folder of images."""
    broken = [f"{path.name}: {head}" for path, head in zip(paths, heads, strict=True) if isinstance(head, str)]
    whole = [(path.name, head) for path, head in zip(paths, heads, strict=True) if isinstance(head, _Head)]
    several = [name for name, head in whole if head.several]
    others = [path.name for path in others_in(folder, SUFFIXES)]
    gaps = missing_numbers([path.stem for path in paths])
    images = f"{len(broken)} image{'s' if len(broken) > 1 else ''}"
    checks = (
        (broken, f"{images} cannot be read, the first is {broken[0] if broken else ''}"),
        (others, f"not pictures, passed over: {', '.join(others[:3])}{', ...' if len(others) > 3 else ''}"),
        (any(head.clear for _, head in whole), "transparency is dropped, the colours under it are used"),
        (several, f"only the first picture of files that hold several is used: {several[0] if several else ''}"),
        (gaps, f"numbers are missing between the images' own: {gaps}; a frame is counted by its place, from 0"),
    )
    return tuple(line for condition, line in checks if condition)


def missing_numbers(stems: Sequence[str]) -> str:
    """Return which numbers the stems of a folder leave out between the first and the last, such as "2, 5 to 9"."""
    numbers = [int(groups[-1][-18:]) if (groups := re.findall(r"[0-9]+", stem)) else None for stem in stems]
    known = [number for number in numbers if number is not None]
    if len(known) < len(numbers) or any(later <= earlier for earlier, later in pairwise(known)):
        return ""
    gaps = [(earlier + 1, later - 1) for earlier, later in pairwise(known) if later > earlier + 1]
    if len(gaps) * 2 > len(known) and len({later - earlier for earlier, later in pairwise(known)}) == 1:
        return ""  # every second or every tenth: the step is meant
    said = [str(first) if first == last else f"{first} to {last}" for first, last in gaps]
    return ", ".join(said[:_SHOWN]) + (f" and {len(said) - _SHOWN} more gaps" if len(said) > _SHOWN else "")


def _head(path: Path) -> _Head | str:
    """What an image's head says; why it cannot be read when it cannot."""
    try:
        check_file(path)
        with Image.open(path) as image:
            orientation = image.getexif().get(_ORIENTATION, 1)
            width, height = image.size
            size = (height, width) if orientation in _QUARTER_TURNS else (width, height)
            several = image.format != "MPO" and getattr(image, "n_frames", 1) > 1
            return _Head(size, image.mode, image.format or "", orientation != 1, image.has_transparency_data, several)
    except InputError as error:
        return str(error).removeprefix(f"{path}: ")
    except Image.DecompressionBombError:
        return "too many pixels"
    except OSError as error:
        return str(cannot_read(path, error)).removeprefix(f"{path}: ") if error.errno else _DAMAGED
    except _BROKEN:
        return _DAMAGED


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
        check_file(path)
        with warnings.catch_warnings(), Image.open(path) as opened:
            warnings.simplefilter("ignore", UserWarning)  # Pillow on palettes with transparency in bytes
            image = ImageOps.exif_transpose(opened)
            if image.mode in _DEEP:
                deep = np.asarray(image).clip(0, 65535).astype(np.uint16)
                return np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, axis=2), deep
            if image.mode in ("P", "PA"):
                image = image.convert("RGBA")
            return np.array(image.convert("RGB")), None
    except (InputError, OSError, Image.DecompressionBombError, *_BROKEN):
        return None

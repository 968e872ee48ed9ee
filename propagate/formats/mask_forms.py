"""What kind of mask a picture is: ids, one object in grey, or colours.

Reading takes two steps, because the id of a colour depends on all annotated frames: `read_raw` here reads one file,
`mask_colors.resolve` maps the colours of all of them. The forms are those of the project's conventions:

- Indexed (mode P): ids are the indices. Grey {0, white} or {0, 1}: one object, id 1. 16-bit: ids as they are.
- Other grey: ids, unless they look like anti-aliasing. An *edge value* has no 3x3 block of its own in the picture, and
  two thirds or more of its pixels lie strictly between the darkest and the brightest of their 3x3 neighbourhood.
  Refused are more than 64 values; white beside other values that with it are not simply 1, 2, ... n; and two or more
  values of which half or more are edge values, unless they are 1, 2, ... n without white.
- RGB(A): black and alpha 0 are background; more than 256 colours are refused. Colours that all are of the DAVIS palette
  are its indices; else a `labelmap.txt` beside the file decides; else they count up in ascending (R, G, B). In this
  last case two or more colours are refused as anti-aliased when half or more of them are edge values in every picture,
  or when all are greys and one is white. More than 8 bits a channel are refused: two colours could become one.

A mask of 100 megapixels is read in seconds: its size is compared before its pixels are read, and they are looked at in
strips of rows, as numbers of one or two bytes that stand for the values (`places` into `table`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from propagate.errors import InputError
from propagate.formats.images import check_size, opened_image
from propagate.formats.palette import pack_colors

Grey = Literal["auto", "ids", "binary"]
Ids = NDArray[np.int32]
Places = NDArray[np.unsignedinteger]
MAX_ID = 65535
MAX_COLORS = 256
MANY_GREYS = 64
_Whole = TypeVar("_Whole", bound=np.integer)
_STRIP = 1 << 20  # pixels that are looked at together
_ALL_COLORS = 1 << 24


@dataclass(frozen=True)
class RawMask:
    """One mask file before its colours have ids.

    Attributes:
        path: the file.
        places: (H, W) rows of `table`.
        table: (N,) int32 the values, ids or packed colours, 0 is background; not all need occur.
        form: which form was recognised, in plain words.
        colored: the values are packed colours.
        edges: the colours that look like anti-aliasing (`edge_places`).
    """

    path: Path
    places: Places
    table: Ids
    form: str
    colored: bool = False
    edges: frozenset[int] = frozenset()

    @cached_property
    def values(self) -> Ids:
        """(H, W) int32: the ids or packed colours."""
        return self.table[self.places]

    @cached_property
    def objects(self) -> tuple[int, ...]:
        """The values above 0 that occur, ascending."""
        found = self.table[_counts(self.places, len(self.table)) > 0]
        return tuple(sorted({int(value) for value in found if value > 0}))


def read_raw(path: Path, *, grey: Grey = "auto", size: tuple[int, int] | None = None, resize: bool = False) -> RawMask:
    """Return a mask file with its form recognised.

    Args:
        path: any lossless picture.
        grey: what the values of a grey picture are; "binary" takes everything but 0 as one object, and where they look
            like anti-aliasing only what is at least half as bright as the brightest.
        size: the (height, width) that it must have, None for any; compared before the pixels are read.
        resize: bring a mask of another size to `size` by nearest neighbour instead.

    Raises:
        InputError: the file cannot be read, has another size, or cannot be a mask.
    """
    with opened_image(path) as image:
        if size is not None and not resize:
            hint = "resize the mask, or pass --resize-labels"
            check_size(path, (image.height, image.width), size, what="mask", hint=hint)
        _refuse_forms(path, image)
        white = _white(image)
        image.load()
        mask = _recognised(path, image, white, grey=grey)
    if size is None or mask.places.shape == size:
        return mask
    return RawMask(path, nearest(mask.places, size), mask.table, mask.form, mask.colored, mask.edges)


def nearest(ids: NDArray[_Whole], size: tuple[int, int]) -> NDArray[_Whole]:
    """Return ids (H, W) at another (height, width): each pixel takes the one whose area holds its centre."""
    rows = (2 * np.arange(size[0]) + 1) * ids.shape[0] // (2 * size[0])
    columns = (2 * np.arange(size[1]) + 1) * ids.shape[1] // (2 * size[1])
    picked: NDArray[_Whole] = ids[rows[:, None], columns]  # (height, width)
    return picked


def _refuse_forms(path: Path, image: Image.Image) -> None:
    """Refuse what cannot hold ids exactly, by the picture's head."""
    if image.format in ("JPEG", "MPO"):
        hint = "save the mask as PNG"
        raise InputError(f"{path}: a JPEG cannot be a mask, its compression changes the ids", hint=hint)
    if ";16" in _stored(image) and image.mode in ("RGB", "RGBA", "LA"):
        hint = "save it with 8 bits a channel, or as 16-bit grey without alpha whose values are the ids"
        raise InputError(f"{path}: 16 bits a channel in colour or with alpha, two ids could become one", hint=hint)


def _stored(image: Image.Image) -> str:
    """Return Pillow's name of how samples lie in the file, such as "L;4" or "RGB;16B"; "" where it has none."""
    tiles = getattr(image, "tile", [])
    arguments = tiles[0].args if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _white(image: Image.Image) -> int:
    """Return the brightest grey level as the file stores it: Pillow stretches 1, 2 and 4 bits to 0..255."""
    if image.mode == "1":
        return 1
    bits = _stored(image).partition(";")[2][:1]
    return 2 ** int(bits) - 1 if bits in ("2", "4") else 255


def _recognised(path: Path, image: Image.Image, white: int, *, grey: Grey) -> RawMask:
    pixels = np.asarray(image)
    if image.mode in ("RGB", "RGBA"):
        return _colored(path, pixels)
    if image.mode in ("P", "PA"):
        return RawMask(path, _opaque(pixels), np.arange(256, dtype=np.int32), "indexed")
    if image.mode in ("1", "L", "LA"):
        levels = _opaque(pixels)
        return _grey(path, levels if image.mode == "1" else levels // np.uint8(255 // white), white, grey=grey)
    if image.mode.startswith("I"):
        return _wide(path, pixels, grey=grey)
    raise InputError(f"{path}: a picture of mode {image.mode} cannot be a mask", hint="save it as an indexed PNG")


def _strips(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield strips of rows that together are the picture."""
    height, width = shape[:2]
    rows = max(1, _STRIP // max(width, 1))
    return (slice(start, min(start + rows, height)) for start in range(0, height, rows))


def _counts(places: Places, length: int) -> NDArray[np.int64]:
    """Return how many pixels each row of a table of `length` has."""
    counts = np.zeros(length, np.int64)
    for strip in _strips(places.shape):
        counts += np.bincount(places[strip].ravel(), minlength=length)
    return counts


def edge_places(places: Places, brightness: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return which values look like anti-aliasing: on edges only, between their neighbours in brightness.

    Args:
        places: (H, W) rows of `brightness`.
        brightness: (N,) what darker and brighter mean; the values themselves for grey.

    Returns:
        (N,) bool; False for values that do not occur.
    """
    pixels, solid, between = (np.zeros(len(brightness), np.int64) for _ in range(3))
    levels = brightness.astype(np.int32)
    for strip in _strips(places.shape):
        around = np.arange(strip.start - 1, strip.stop + 1).clip(0, len(places) - 1)  # a row more on either side
        block = places[around]
        least, most = _extremes(block)
        middle = block[1:-1]
        darkest, brightest = _extremes(levels[block])
        own = levels[middle]
        for total, marked in ((pixels, None), (solid, least == most), (between, (own > darkest) & (own < brightest))):
            total += np.bincount((middle if marked is None else middle[marked]).ravel(), minlength=len(total))
    edges: NDArray[np.bool_] = (pixels > 0) & (solid == 0) & (3 * between >= 2 * pixels)
    return edges


def _extremes(block: NDArray[np.integer]) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Return the least and the greatest value of every 3x3 neighbourhood of the rows (h + 2, W) inside: (h, W)."""
    found = []
    for extreme in (np.minimum, np.maximum):
        column = extreme(extreme(block[:-2], block[1:-1]), block[2:])
        row = column.copy()
        extreme(row[:, 1:], column[:, :-1], out=row[:, 1:])
        extreme(row[:, :-1], column[:, 1:], out=row[:, :-1])
        found.append(row)
    return found[0], found[1]


def _opaque(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the first channel, 0 where a second, the alpha, is 0."""
    if pixels.ndim == 2:
        return pixels.astype(np.uint8)
    opaque: NDArray[np.uint8] = np.where(pixels[..., -1] > 0, pixels[..., 0], 0).astype(np.uint8)
    return opaque


def _grey(path: Path, levels: NDArray[np.uint8], white: int, *, grey: Grey) -> RawMask:
    table = np.arange(256, dtype=np.int32)
    values = np.flatnonzero(_counts(levels, 256)).astype(np.int32)
    values = values[values > 0]
    if grey == "ids":
        return RawMask(path, levels, table, "grey ids (--ids)")
    if grey != "binary" and len(values) <= 1 and set(values.tolist()) <= {1, white}:
        shown = f"{{0, {values[0]}}}" if len(values) else "{0}"
        return RawMask(path, levels, np.sign(table), f"grey {shown}, one object")
    soft = _looks_soft(values, int(edge_places(levels, table)[1:].sum()), white)
    if grey == "binary":
        least = (int(values[-1]) + 1) // 2 if soft else 1
        return RawMask(path, levels, (table >= least).astype(np.int32), "grey, one object (--binary)")
    if soft:
        shown = ", ".join(map(str, values[:12])) + (f", ... ({len(values)} values)" if len(values) > 12 else "")
        hint = "pass --ids to take them as ids, or --binary for one object"
        raise InputError(f"{path}: the grey values 0, {shown} look like anti-aliasing", hint=hint)
    return RawMask(path, levels, table, "grey ids")


def _looks_soft(values: Ids, edges: int, white: int) -> bool:
    """Return whether grey values, of which so many are edge values, look like anti-aliasing (rule at the top)."""
    if len(values) <= 1:
        return False
    bright = bool(values[-1] == white)
    counting = bool(values[-1] == len(values))  # exactly 1, 2, ... n
    ragged = 2 * edges >= len(values) and (bright or not counting)
    return len(values) > MANY_GREYS or (bright and not counting) or ragged


def _wide(path: Path, pixels: NDArray[np.generic], *, grey: Grey) -> RawMask:
    least, most = int(pixels.min(initial=0)), int(pixels.max(initial=0))
    if least < 0 or most > MAX_ID:
        raise InputError(f"{path}: ids must be 0 to {MAX_ID}, found {least} to {most}")
    places, table = pixels.astype(np.uint16), np.arange(MAX_ID + 1, dtype=np.int32)
    if grey == "binary":
        return RawMask(path, places, np.sign(table), "16-bit, one object (--binary)")
    return RawMask(path, places, table, "16-bit ids")


def _colored(path: Path, pixels: NDArray[np.uint8]) -> RawMask:
    seen = np.zeros(_ALL_COLORS, bool)  # 16 MB, whatever the picture's size
    seen[0] = True
    soft = False
    for strip in _strips(pixels.shape):
        seen[_codes(pixels[strip])] = True
        soft = soft or bool(pixels.shape[2] == 4 and ((pixels[strip][..., 3] % 255) > 0).any())
    table = np.flatnonzero(seen).astype(np.int32)
    if len(table) - 1 > MAX_COLORS:
        hint = "draw it without anti-aliasing and save it as PNG"
        count = f"{len(table) - 1} colours are too many for a mask"
        raise InputError(f"{path}: {count}, it is anti-aliased or was a JPEG", hint=hint)
    row_of = np.zeros(_ALL_COLORS, np.uint16)
    row_of[table] = np.arange(len(table))
    places = np.empty(pixels.shape[:2], np.uint16)
    for strip in _strips(places.shape):
        places[strip] = row_of[_codes(pixels[strip])]
    brightness = (table >> 16) + (table >> 8 & 255) + (table & 255)
    edges = frozenset(table[edge_places(places, brightness)].tolist()) - {0}
    form = "colours, half transparent pixels taken whole" if soft else "colours"
    return RawMask(path, places, table, form, colored=True, edges=edges)


def _codes(pixels: NDArray[np.uint8]) -> Ids:
    """Return packed colours (h, W), 0 where alpha is 0."""
    codes = pack_colors(pixels)
    return np.where(pixels[..., 3] > 0, codes, 0).astype(np.int32) if pixels.shape[2] == 4 else codes

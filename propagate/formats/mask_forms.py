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
  or when all are greys and one is white.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from propagate.errors import InputError
from propagate.formats.images import open_image
from propagate.formats.palette import pack_colors

Grey = Literal["auto", "ids", "binary"]
Ids = NDArray[np.int32]
MAX_ID = 65535
MAX_COLORS = 256
MANY_GREYS = 64


@dataclass(frozen=True)
class RawMask:
    """One mask file before its colours have ids.

    Attributes:
        path: the file.
        values: (H, W) int32, ids or packed colours, 0 is background.
        form: which form was recognised, in plain words.
        colored: the values are packed colours.
        edges: the colours that look like anti-aliasing (`edge_values`).
    """

    path: Path
    values: Ids
    form: str
    colored: bool = False
    edges: frozenset[int] = frozenset()


def read_raw(path: Path, *, grey: Grey = "auto") -> RawMask:
    """Return a mask file with its form recognised.

    Args:
        path: any lossless picture.
        grey: what the values of a grey picture are; "binary" takes everything but 0 as one object, and where they look
            like anti-aliasing only what is at least half as bright as the brightest.

    Raises:
        InputError: the file cannot be read or cannot be a mask.
    """
    image = open_image(path)
    if image.format in ("JPEG", "MPO"):
        hint = "save the mask as PNG"
        raise InputError(f"{path}: a JPEG cannot be a mask, its compression changes the ids", hint=hint)
    pixels = np.asarray(image)
    if image.mode in ("RGB", "RGBA"):
        return _colored(path, pixels)
    if image.mode in ("P", "PA"):
        return RawMask(path, _opaque(pixels), "indexed")
    if image.mode in ("1", "L", "LA"):
        return _grey(path, *_levels(path, image), grey=grey)
    if image.mode.startswith("I"):
        return _wide(path, pixels, grey=grey)
    raise InputError(f"{path}: a picture of mode {image.mode} cannot be a mask", hint="save it as an indexed PNG")


def positive(values: Ids) -> Ids:
    """Return the values above 0 that occur in (H, W), ascending."""
    found = np.unique(values)
    return found[found > 0]


def edge_values(values: Ids, brightness: Ids) -> frozenset[int]:
    """Return the values that look like anti-aliasing: on edges only, between their neighbours in brightness.

    Args:
        values: (H, W) the picture.
        brightness: (H, W) what darker and brighter mean; the values themselves for grey.
    """
    found, places = np.unique(values, return_inverse=True)
    solid = _extremes(values)[0] == _extremes(values)[1]  # (H, W): a 3x3 block of one value
    least, most = _extremes(brightness)
    between = (brightness > least) & (brightness < most)
    pixels, *marked = (np.bincount(places.ravel(), mask.ravel()) for mask in (np.ones_like(solid), solid, between))
    edge = (marked[0] == 0) & (3 * marked[1] >= 2 * pixels)
    return frozenset(found[edge].tolist()) - {0}


def _extremes(values: Ids) -> tuple[Ids, Ids]:
    """Return the least and the greatest value of every 3x3 neighbourhood."""
    return ndimage.minimum_filter(values, size=3, mode="nearest"), ndimage.maximum_filter(
        values, size=3, mode="nearest"
    )


def _opaque(pixels: NDArray[np.uint8]) -> Ids:
    """Return the first channel, 0 where a second, the alpha, is 0."""
    if pixels.ndim == 2:
        return pixels.astype(np.int32)
    return np.where(pixels[..., -1] > 0, pixels[..., 0], 0).astype(np.int32)


def _levels(path: Path, image: Image.Image) -> tuple[Ids, int]:
    """Return the grey levels as the file stores them and its white: Pillow stretches 2 and 4 bits to 0..255."""
    pixels = _opaque(np.asarray(image))
    if image.mode == "1":
        return pixels, 1
    depth = 8
    if image.format == "PNG":
        with path.open("rb") as file:
            depth = file.read(25)[24]  # IHDR: bit depth
    white = 2 ** min(depth, 8) - 1
    return pixels // np.int32(255 // white), white


def _grey(path: Path, levels: Ids, white: int, *, grey: Grey) -> RawMask:
    values = positive(levels)
    if grey == "ids":
        return RawMask(path, levels, "grey ids (--ids)")
    if grey == "binary":
        soft = _looks_soft(values, edge_values(levels, levels), white)
        least = (int(values[-1]) + 1) // 2 if soft else 1
        return RawMask(path, (levels >= least).astype(np.int32), "grey, one object (--binary)")
    if len(values) <= 1 and set(values.tolist()) <= {1, white}:
        shown = f"{{0, {values[0]}}}" if len(values) else "{0}"
        return RawMask(path, (levels > 0).astype(np.int32), f"grey {shown}, one object")
    if _looks_soft(values, edge_values(levels, levels), white):
        shown = ", ".join(map(str, values[:12])) + (f", ... ({len(values)} values)" if len(values) > 12 else "")
        hint = "pass --ids to take them as ids, or --binary for one object"
        raise InputError(f"{path}: the grey values 0, {shown} look like anti-aliasing", hint=hint)
    return RawMask(path, levels, "grey ids")


def _looks_soft(values: Ids, edges: frozenset[int], white: int) -> bool:
    """Return whether grey values look like anti-aliasing, by the rule at the top of this module."""
    if len(values) <= 1:
        return False
    bright = bool(values[-1] == white)
    counting = bool(values[-1] == len(values))  # exactly 1, 2, ... n
    ragged = 2 * len(edges) >= len(values) and (bright or not counting)
    return len(values) > MANY_GREYS or (bright and not counting) or ragged


def _wide(path: Path, pixels: NDArray[np.generic], *, grey: Grey) -> RawMask:
    values = pixels.astype(np.int64)
    if values.min(initial=0) < 0 or values.max(initial=0) > MAX_ID:
        raise InputError(f"{path}: ids must be 0 to {MAX_ID}, found {values.min()} to {values.max()}")
    if grey == "binary":
        return RawMask(path, (values > 0).astype(np.int32), "16-bit, one object (--binary)")
    return RawMask(path, values.astype(np.int32), "16-bit ids")


def _colored(path: Path, pixels: NDArray[np.uint8]) -> RawMask:
    codes = pack_colors(pixels)
    if pixels.shape[2] == 4:
        codes = np.where(pixels[..., 3] > 0, codes, 0).astype(np.int32)
    count = len(np.unique(codes))
    if count > MAX_COLORS:
        hint = "draw it without anti-aliasing and save it as PNG"
        raise InputError(
            f"{path}: {count} colours are too many for a mask, it is anti-aliased or was a JPEG", hint=hint
        )
    edges = edge_values(codes, pixels[..., :3].sum(axis=2, dtype=np.int32))
    return RawMask(path, codes, "colours", colored=True, edges=edges)

"""Masks as pictures: any of the recognised forms in, indexed PNG with the DAVIS palette out.

Pixel (0, 0) of the file is pixel (0, 0) of the frame; nothing is shifted.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from propagate.errors import InputError
from propagate.formats.atomic import write_bytes
from propagate.formats.mask_colors import MaskFile, resolve
from propagate.formats.mask_forms import MAX_ID, Grey, read_raw
from propagate.formats.palette import davis_palette


def read_mask(path: str | Path, *, grey: Grey = "auto", allow_empty: bool = False) -> MaskFile:
    """Return one mask file as ids; `mask_forms` says which forms there are.

    Colours get their ids from this file alone; for several annotated frames use `annotations.read_masks`.

    Args:
        path: an indexed, grey, coloured or 16-bit picture.
        grey: "ids" or "binary" decide what grey values mean where that is doubtful.
        allow_empty: accept a mask that is all background.

    Raises:
        InputError: the file cannot be read, cannot be a mask, or has no object.
    """
    mask = resolve([read_raw(Path(path), grey=grey)])[0]
    if not mask.objects and not allow_empty:
        raise no_object(mask)
    return mask


def no_object(mask: MaskFile) -> InputError:
    """Return the error for a mask that is all background."""
    return InputError(f"{mask.path}: no object, the mask is all background", hint=f"read as {mask.form}")


def write_mask(path: str | Path, ids: NDArray[np.integer]) -> None:
    """Write ids as a PNG, atomically, as `mask_bytes` has them.

    Args:
        path: the file to write; its folder exists.
        ids: (H, W) integer, 0 is background, at most 65535.

    Raises:
        OutputError: the file cannot be written.
        ValueError: the array is not (H, W) ids.
    """
    write_bytes(Path(path), mask_bytes(ids), sync=False)


def mask_bytes(ids: NDArray[np.integer]) -> bytes:
    """Return ids as the bytes of a PNG; equal ids give equal bytes.

    Up to id 255 the PNG is indexed, always with 256 palette entries: Pillow picks the bit depth from the palette's
    length and would cut indices above it. Beyond, it is 16-bit grey.

    Args:
        ids: (H, W) integer, 0 is background, at most 65535.

    Raises:
        ValueError: the array is not (H, W) ids.
    """
    if ids.ndim != 2 or not np.issubdtype(ids.dtype, np.integer):
        raise ValueError(f"a mask must be (H, W) integer, not {ids.shape} {ids.dtype}")
    if ids.min(initial=0) < 0 or ids.max(initial=0) > MAX_ID:
        raise ValueError(f"ids must be 0 to {MAX_ID}, not {ids.min()} to {ids.max()}")
    if ids.max(initial=0) > 255:
        image = Image.fromarray(ids.astype(np.uint16))
    else:
        image = Image.fromarray(ids.astype(np.uint8))
        image.putpalette(davis_palette().tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)  # a mask is tiny at any level; 1 is the fastest that compresses
    return buffer.getvalue()

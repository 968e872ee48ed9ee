"""The 256 colours that DAVIS and PASCAL VOC give to object ids, for indexed PNGs and for drawing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def davis_palette() -> NDArray[np.uint8]:
    """Return the colours of ids 0 to 255 by VOC's formula: an id's bits 0, 1, 2 are the top bits of R, G, B, and so on.

    Returns:
        (256, 3) uint8, RGB; id 0 is black.
    """
    ids = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for level in range(8):
        for channel in range(3):
            bit = (ids >> (3 * level + channel)) & 1
            palette[:, channel] |= (bit << (7 - level)).astype(np.uint8)
    return palette


def pack_colors(rgb: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return each colour as one number, R * 65536 + G * 256 + B, whose order is the order of (R, G, B).

    Args:
        rgb: (..., 3) uint8.

    Returns:
        (...) int32.
    """
    wide = rgb.astype(np.int32)
    packed: NDArray[np.int32] = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
    return packed


def unpack_color(code: int) -> tuple[int, int, int]:
    """Return (R, G, B) of a packed colour."""
    return code >> 16 & 255, code >> 8 & 255, code & 255


def davis_ids(colors: NDArray[np.uint8]) -> NDArray[np.int32] | None:
    """Return the id of every colour in the DAVIS palette, or None when one of them is not in it.

    Args:
        colors: (N, 3) uint8.

    Returns:
        (N,) int32 or None.
    """
    codes = pack_colors(davis_palette())
    order = np.argsort(codes)
    wanted = pack_colors(colors)
    places = order[np.searchsorted(codes, wanted, sorter=order).clip(max=255)]
    return places.astype(np.int32) if bool((codes[places] == wanted).all()) else None

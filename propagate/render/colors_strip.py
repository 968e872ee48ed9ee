"""Pictures in rows, one moment a column: true and predicted colours, and Vondrick's figure 10 with masks above them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from propagate.render.compare import join
from propagate.render.overlay import overlay_masks

RGB = NDArray[np.uint8]


def picture_rows(rows: Sequence[Sequence[RGB]], *, height: int) -> RGB:
    """Return rows of pictures below each other, every picture `height` pixels high.

    Args:
        rows: of equally many pictures (H, W, 3) uint8 each.
        height: of one picture, in pixels.

    Raises:
        ValueError: there are no pictures, or not as many in every row.
    """
    lengths = {len(row) for row in rows}
    if len(lengths) != 1 or not lengths.pop():
        raise ValueError(f"rows must hold equally many pictures, not {[len(row) for row in rows]}")
    return join([join([resized(picture, height) for picture in row], axis=1) for row in rows], axis=0)


def colors_strip(
    frames: Sequence[RGB], masks: Sequence[NDArray[np.integer]], colors: Sequence[RGB], *, height: int
) -> RGB:
    """Return predicted masks over the frames, predicted colours, and true colours in three rows (Vondrick figure 10).

    Args:
        frames: N true pictures (H, W, 3) uint8.
        masks: N predicted masks (H, W) of object ids.
        colors: N pictures (H, W, 3) uint8 with predicted colours.
        height: of one picture, in pixels.
    """
    drawn = [overlay_masks(rgb, ids) for rgb, ids in zip(frames, masks, strict=True)]
    return picture_rows([drawn, colors, frames], height=height)


def resized(rgb: RGB, height: int) -> RGB:
    """Return a picture (H, W, 3) at another height, its shape kept."""
    width = max(1, round(rgb.shape[1] * height / rgb.shape[0]))
    return np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.LANCZOS))

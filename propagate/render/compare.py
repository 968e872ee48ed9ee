"""Truth and prediction beside each other, for one frame or along a video."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from propagate.render.overlay import overlay_masks

RGB = NDArray[np.uint8]
GAP = 4  # pixels of white between pictures


def filmstrip(
    frames: Sequence[NDArray[np.uint8]],
    truths: Sequence[NDArray[np.integer]],
    predictions: Sequence[NDArray[np.integer]],
    *,
    count: int = 6,
    height: int = 160,
) -> NDArray[np.uint8]:
    """Return `count` frames, evenly spread from first to last: the truth in the upper row, the prediction below.

    Args:
        frames: T pictures (H, W, 3) uint8.
        truths: T masks (H, W) of object ids.
        predictions: T masks (H, W) of object ids.
        count: how many to show; fewer when there are fewer.
        height: of one picture, in pixels.

    Returns:
        (2 * height + 4, N, 3) uint8.

    Raises:
        ValueError: there are no frames, or not as many masks.
    """
    if not len(frames) == len(truths) == len(predictions) or not len(frames):
        raise ValueError(
            f"a filmstrip needs as many masks as frames, and one at least, "
            f"not {len(frames)} frames, {len(truths)} truths and {len(predictions)} predictions"
        )
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int))
    rows = [
        join([_thumbnail(frames[index], masks[index], height) for index in chosen], axis=1)
        for masks in (truths, predictions)
    ]
    return join(rows, axis=0)


def _thumbnail(rgb: NDArray[np.uint8], ids: NDArray[np.integer], height: int) -> NDArray[np.uint8]:
    """Return a frame with its masks at another height, with lines as thin as on a large one."""
    small = resized(rgb, height)
    row = (np.arange(height) + 0.5) * rgb.shape[0] / height
    column = (np.arange(small.shape[1]) + 0.5) * rgb.shape[1] / small.shape[1]
    return overlay_masks(small, ids[row.astype(int)[:, None], column.astype(int)], alpha=0.35)


def join(pictures: Sequence[NDArray[np.uint8]], *, axis: int) -> NDArray[np.uint8]:
    """Return pictures (H, W, 3) in a row (axis 1) or a column (axis 0), with white between them."""
    shape = list(pictures[0].shape)
    shape[axis] = GAP
    gap = np.full(shape, 255, dtype=np.uint8)
    parts = [part for picture in pictures for part in (gap, picture)][1:]
    return np.concatenate(parts, axis=axis)


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

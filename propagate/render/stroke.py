"""One smooth stroke: a line with round ends, or a dot when both ends are one place."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def draw_stroke(
    rgb: NDArray[np.uint8],
    start_xy: NDArray[np.floating],
    end_xy: NDArray[np.floating],
    *,
    radius: float,
    color: tuple[int, int, int],
    opacity: float = 1.0,
) -> None:
    """Draw a line with round ends into `rgb`, with edges smooth to a fraction of a pixel.

    Args:
        rgb: (H, W, 3) uint8, changed in place; what lies outside is left out.
        start_xy: (2,) pixels.
        end_xy: (2,) pixels, the same place for a dot.
        radius: half the width, in pixels.
        color: RGB.
        opacity: in [0, 1].
    """
    window = _window(rgb.shape[:2], start_xy, end_xy, margin=radius + 1)
    if window is None:
        return
    rows, columns = window
    x = np.arange(columns.start, columns.stop, dtype=np.float64)[None, :] - float(start_xy[0])
    y = np.arange(rows.start, rows.stop, dtype=np.float64)[:, None] - float(start_xy[1])
    dx, dy = float(end_xy[0] - start_xy[0]), float(end_xy[1] - start_xy[1])
    along = np.clip((x * dx + y * dy) / max(dx * dx + dy * dy, 1e-12), 0, 1)  # nearest place on the line
    distance = np.hypot(x - along * dx, y - along * dy)
    cover = opacity * np.clip(radius + 0.5 - distance, 0, 1)[..., None]
    patch = rgb[rows, columns]
    patch[...] = np.rint(patch * (1 - cover) + np.array(color) * cover).astype(np.uint8)


def _window(
    size: tuple[int, ...], start_xy: NDArray[np.floating], end_xy: NDArray[np.floating], *, margin: float
) -> tuple[slice, slice] | None:
    """Return the rows and columns that a stroke can touch, None when it lies outside the picture."""
    low = np.minimum(start_xy, end_xy) - margin
    high = np.maximum(start_xy, end_xy) + margin
    left, top = max(math.floor(low[0]), 0), max(math.floor(low[1]), 0)
    right, bottom = min(math.ceil(high[0]) + 1, size[1]), min(math.ceil(high[1]) + 1, size[0])
    return (slice(top, bottom), slice(left, right)) if right > left and bottom > top else None

"""What `visualize` shows of a network: features as colours, and where one target pixel looks as a heat map.

The colours are the first three principal components, one projection for a whole video (Vondrick 4.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from propagate.render.compare import join, resized
from propagate.render.overlay import draw_stroke

LUMA = np.array([0.21, 0.5, 0.05], dtype=np.float32)  # of a greyed frame, dark enough for the heat to stand out


def _heat_table() -> NDArray[np.float32]:
    """Return the colours (256, 3) of heat, from dark through red to pale yellow in equal steps."""
    knots = np.array([[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]])
    steps, heat = np.linspace(0, 1, len(knots)), np.linspace(0, 1, 256)
    return np.stack([np.interp(heat, steps, knots[:, channel]) for channel in range(3)], axis=-1).astype(np.float32)


HEAT = _heat_table()
OPACITY = 0.85 * np.sqrt(np.linspace(0, 1, 256, dtype=np.float32))


@dataclass(frozen=True)
class Projection:
    """How features of C channels become RGB, the same on every frame.

    Attributes:
        mean: (C,) subtracted first.
        axes: (3, C) the directions of red, green and blue.
        low: (3,) what becomes 0.
        high: (3,) what becomes 255.
    """

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def __post_init__(self) -> None:
        shapes = self.mean.shape, self.axes.shape, self.low.shape, self.high.shape
        if shapes != ((self.axes.shape[-1],), (3, self.axes.shape[-1]), (3,), (3,)):
            raise ValueError(f"a projection needs (C,), (3, C), (3,), (3,), not {shapes}")


def fit_projection(features: NDArray[np.floating], *, clip: float = 1.0) -> Projection:
    """Return the projection on the three directions in which features vary most.

    Fit it once, on features of many frames: a fit per frame would flicker. Each axis is turned so that its largest
    entry is positive, so that the same features always give the same colours.

    Args:
        features: (N, C) cells of any frames.
        clip: percent of the cells at either end that may saturate.

    Raises:
        ValueError: there are fewer than two cells.
    """
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"features must be (N, C) with N of at least 2, not {features.shape}")
    rows = features.astype(np.float64)
    mean = rows.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(rows.T).reshape(rows.shape[1], rows.shape[1]))  # ascending
    axes = np.zeros((3, rows.shape[1]))
    kept = min(3, rows.shape[1])
    axes[:kept] = vectors[:, ::-1].T[:kept]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    axes *= np.where(largest < 0, -1.0, 1.0)
    low, high = np.percentile((rows - mean) @ axes.T, [clip, 100 - clip], axis=0)
    return Projection(mean=mean, axes=axes, low=low, high=high)


def project(features: NDArray[np.floating], projection: Projection) -> NDArray[np.uint8]:
    """Return one frame's features as a picture.

    Args:
        features: (C, h, w).
        projection: of features with as many channels.

    Returns:
        (h, w, 3) uint8 RGB; a direction without any spread is grey.
    """
    channels, height, width = features.shape
    rows = features.reshape(channels, -1).T.astype(np.float64) - projection.mean
    spread = projection.high - projection.low
    flat = spread <= 1e-12
    unit = (rows @ projection.axes.T - projection.low) / np.where(flat, 1.0, spread)
    unit[:, flat] = 0.5
    return np.rint(255 * np.clip(unit, 0, 1)).astype(np.uint8).reshape(height, width, 3)


def attention_maps(
    weights: NDArray[np.floating], cells: NDArray[np.integer], *, shape: tuple[int, int, int]
) -> NDArray[np.float64]:
    """Return the affinity of one target cell, laid out over the reference frames.

    Args:
        weights: (K,) one column of `Affinity.weights`.
        cells: (K,) the same column of `Affinity.cells`, indices into the R*h*w cells; a cell may come twice.
        shape: (R, h, w).

    Returns:
        (R, h, w), with the sum of `weights`.
    """
    size = shape[0] * shape[1] * shape[2]
    return np.bincount(cells, weights=weights, minlength=size).astype(np.float64).reshape(shape)


def overlay_attention(
    rgb: NDArray[np.uint8],
    attention: NDArray[np.floating],
    *,
    stride_xy: tuple[float, float],
    offset_xy: tuple[float, float] = (0.0, 0.0),
    peak: float | None = None,
) -> NDArray[np.uint8]:
    """Return the reference frame, greyed, with the heat of each place over it; the hotter, the more opaque.

    Args:
        rgb: (H, W, 3) uint8 reference frame.
        attention: (h, w) affinity of one target cell to this frame's cells.
        stride_xy: pixels of `rgb` per cell.
        offset_xy: the pixel at which cell (0, 0) lies.
        peak: the affinity that is drawn hottest, one for all reference frames; the largest here when None.

    Returns:
        (H, W, 3) uint8.
    """
    largest = float(attention.max()) if peak is None else peak
    rows = _between(attention.astype(np.float32), (np.arange(rgb.shape[0]) - offset_xy[1]) / stride_xy[1])
    smooth = _between(rows.T, (np.arange(rgb.shape[1]) - offset_xy[0]) / stride_xy[0]).T  # (H, W)
    heat = (
        np.clip(smooth * (255 / largest), 0, 255).astype(np.uint8) if largest > 0 else np.zeros(rgb.shape[:2], np.uint8)
    )
    grey = (rgb @ LUMA)[..., None]
    opacity = OPACITY[heat][..., None]
    return np.asarray(grey + (HEAT[heat] - grey) * opacity + 0.5, dtype=np.uint8)


def mark_pixel(rgb: NDArray[np.uint8], xy: tuple[float, float]) -> NDArray[np.uint8]:
    """Return the target frame, (H, W, 3) uint8, with a cross at the pixel (x, y) that looks."""
    drawn = rgb.copy()
    arm = max(5.0, min(rgb.shape[:2]) / 40)
    centre = np.array(xy, dtype=np.float64)
    for radius, color in ((2.2, (0, 0, 0)), (1.0, (255, 255, 255))):
        for way in (np.array([arm, 0.0]), np.array([0.0, arm])):
            draw_stroke(drawn, centre - way, centre + way, radius=radius, color=color)
    return drawn


def _between(values: NDArray[np.float32], at: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return rows (N, w) of `values` (h, w) at the fractional rows `at` (N,), linearly, the border held."""
    place = np.clip(at, 0, len(values) - 1)
    low = np.minimum(place.astype(int), max(len(values) - 2, 0))
    high = np.minimum(low + 1, len(values) - 1)
    weight = (place - low).astype(np.float32)[:, None]
    mixed: NDArray[np.float32] = values[low] + (values[high] - values[low]) * weight
    return mixed


HEIGHT = 240  # pixels of one picture, never enlarged


def pointing_strip(
    target: NDArray[np.uint8],
    references: Sequence[NDArray[np.uint8]],
    attention: NDArray[np.floating],
    *,
    xy: tuple[float, float],
    stride_xy: tuple[float, float],
    offset_xy: tuple[float, float],
    names: Sequence[str],
) -> NDArray[np.uint8]:
    """Return the target frame with a cross, and right of it each reference frame with the heat of its places.

    The heat has one scale over all references; each picture says its name and its share of the whole.

    Args:
        target: (H, W, 3) uint8.
        references: R pictures (H, W, 3) uint8, oldest first.
        attention: (R, h, w), summing to 1.
        xy: the pixel of the target that looks.
        stride_xy: pixels per cell.
        offset_xy: the pixel at which cell (0, 0) lies.
        names: of the target and then of each reference.

    Raises:
        ValueError: the numbers of references, maps and names do not fit.
    """
    if not len(references) == len(attention) == len(names) - 1:
        raise ValueError(
            f"{len(references)} references need as many maps and one name more, not {len(attention)} and {len(names)}"
        )
    peak = float(attention.max())
    pictures = [named(mark_pixel(target, xy), names[0])]
    for rgb, weights, name in zip(references, attention, names[1:], strict=True):
        hot = overlay_attention(rgb, weights, stride_xy=stride_xy, offset_xy=offset_xy, peak=peak)
        pictures.append(named(hot, f"{name}: {weights.sum():.0%}"))
    return join(pictures, axis=1)


def named(rgb: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """Return a picture at most `HEIGHT` high, with its name in the corner."""
    image = Image.fromarray(resized(rgb, HEIGHT) if rgb.shape[0] > HEIGHT else rgb)
    draw = ImageDraw.Draw(image)
    box = draw.textbbox((4, 3), name)
    draw.rectangle((box[0] - 3, box[1] - 2, box[2] + 3, box[3] + 2), fill=(0, 0, 0))
    draw.text((4, 3), name, fill=(255, 255, 255))
    return np.array(image)

"""Features as colours: the first three principal components, one projection for a whole video (Vondrick 4.5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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

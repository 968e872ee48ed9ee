"""How far keypoints are from the truth: pixel error, and PCK, the percentage of correct keypoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def pixel_errors(truth_xy: NDArray[np.floating], predicted_xy: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the distance of every point from its truth.

    Args:
        truth_xy: (..., 2) pixels; NaN where the truth is unknown.
        predicted_xy: (..., 2) pixels; NaN where the point was said to be absent.

    Returns:
        (...) pixels; NaN where the truth is unknown, infinite where only the prediction is absent.

    Raises:
        ValueError: the arrays differ in shape or do not end in 2.
    """
    if truth_xy.shape != predicted_xy.shape or truth_xy.shape[-1:] != (2,):
        raise ValueError(f"points must both be (..., 2) of one shape, not {truth_xy.shape} and {predicted_xy.shape}")
    known = np.isfinite(truth_xy).all(axis=-1)
    given = np.isfinite(predicted_xy).all(axis=-1)
    error = np.full(known.shape, np.nan)
    error[known] = np.inf
    both = known & given
    error[both] = np.linalg.norm(predicted_xy[both].astype(np.float64) - truth_xy[both], axis=-1)
    return error


def mean_pixel_error(truth_xy: NDArray[np.floating], predicted_xy: NDArray[np.floating]) -> float:
    """Return the mean distance in pixels over the points that both truth and prediction hold, NaN if there are none.

    Args:
        truth_xy: (..., 2) pixels; NaN where the truth is unknown.
        predicted_xy: (..., 2) pixels; NaN where the point was said to be absent: left out, so report how many.
    """
    error = pixel_errors(truth_xy, predicted_xy)
    finite = error[np.isfinite(error)]
    return float(finite.mean()) if finite.size else float("nan")


def pck(
    truth_xy: NDArray[np.floating],
    predicted_xy: NDArray[np.floating],
    *,
    normaliser: float | NDArray[np.floating],
    threshold: float,
) -> float:
    """Return the fraction of known points that are found within `threshold` * `normaliser` pixels.

    Args:
        truth_xy: (..., L, 2) pixels; NaN where the truth is unknown, such points don't count.
        predicted_xy: (..., L, 2) pixels; an absent point (NaN) counts as missed.
        normaliser: pixels, one for all or (...) one a frame: the larger side of the object's box, a torso's length.
        threshold: fraction of the normaliser, such as 0.1 for PCK@0.1; a distance equal to it is correct.

    Returns:
        PCK in [0, 1], NaN when no truth is known.
    """
    error = pixel_errors(truth_xy, predicted_xy)
    limit = threshold * np.asarray(normaliser, dtype=np.float64)
    limit = limit[..., None] if limit.ndim else limit
    known = ~np.isnan(error)
    return float((error <= limit)[known].mean()) if known.any() else float("nan")


def box_side(points_xy: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the larger side of the box around each frame's points, the usual normaliser of PCK.

    Args:
        points_xy: (..., L, 2) pixels, NaN where unknown.

    Returns:
        (...) pixels, NaN where no point of the frame is known.
    """
    known = np.isfinite(points_xy).all(axis=-1, keepdims=True)
    high = np.where(known, points_xy, -np.inf).max(axis=-2)
    low = np.where(known, points_xy, np.inf).min(axis=-2)
    any_known = known.any(axis=(-2, -1))
    side: NDArray[np.float64] = np.subtract(high, low, where=any_known[..., None], out=np.full(high.shape, np.nan))
    return np.asarray(side.max(axis=-1))

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


def box_side(points_xy: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the larger side of the box around each frame's points, the usual normaliser of PCK.

    Args:
        points_xy: (..., L, 2) pixels, NaN where unknown.

    Returns:
        (...) pixels, NaN where no point of the frame is known.
    """
    return np.asarray(_extent(points_xy).max(axis=-1))


def instance_errors(truth_xy: NDArray[np.floating], predicted_xy: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the errors of PCK-instance as the published scripts compute them (CRW's code/eval/eval_pck.py).

    The unit is 0.6 x the diagonal of the box around a frame's true joints, but only around those whose *prediction* is
    given, and only those are scored: a tracker that gives a joint up is not punished. That is why `strict_errors`
    stands beside it. The scripts skip frame 0, whose joints are given; here that is the caller's part.

    Args:
        truth_xy: (T, L, 2) pixels; NaN where the truth is unknown, which JHMDB has not.
        predicted_xy: (T, L, 2) pixels; NaN where the point was said to be absent.

    Returns:
        (T, L) distance in that unit; NaN where truth or prediction is absent. Infinite when the box is a single point,
        which the scripts count as wrong even on a direct hit.

    Raises:
        ValueError: the arrays differ in shape or do not end in 2.
    """
    error = pixel_errors(truth_xy, predicted_xy)
    error[np.isinf(error)] = np.nan
    unit = np.broadcast_to(_instance_size(np.where(np.isnan(error)[..., None], np.nan, truth_xy))[:, None], error.shape)
    scored = ~np.isnan(error)
    return np.divide(error, unit, where=scored & (unit > 0), out=np.where(scored, np.inf, np.nan))


def strict_errors(truth_xy: NDArray[np.floating], predicted_xy: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the errors of a PCK that nobody can gain by giving up: a lost point is wrong.

    Args:
        truth_xy: (T, L, 2) pixels; NaN where the truth is unknown.
        predicted_xy: (T, L, 2) pixels; NaN where the point was said to be absent.

    Returns:
        (T, L) distance in units of 0.6 x the diagonal of the box around all known true joints of the frame; infinite
        where the point was lost, NaN where the truth is unknown.

    Raises:
        ValueError: the arrays differ in shape or do not end in 2.
    """
    return _in_units(pixel_errors(truth_xy, predicted_xy), _instance_size(truth_xy))


def box_errors(
    truth_xy: NDArray[np.floating], predicted_xy: NDArray[np.floating], *, side: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return the errors of PCK-max: right within alpha * max(w, h) of the instance's box (CorrFlow 4).

    Args:
        truth_xy: (T, L, 2) pixels; NaN where the truth is unknown.
        predicted_xy: (T, L, 2) pixels; NaN where the point was said to be absent.
        side: (T,) pixels, the larger side of the instance's box on each frame; NaN where there is no box.

    Returns:
        (T, L) distance / side; infinite where the point was lost, NaN where the truth or the box is unknown.

    Raises:
        ValueError: the arrays differ in shape or do not end in 2, or there is not a side for each frame.
    """
    if side.shape != truth_xy.shape[:1]:
        raise ValueError(f"side must be (T,), one for each of {truth_xy.shape[0]} frames, not {side.shape}")
    return _in_units(pixel_errors(truth_xy, predicted_xy), np.asarray(side, dtype=np.float64))


def pck_over_joints(errors: NDArray[np.floating], *, threshold: float) -> float:
    """Return PCK as the published scripts do: the mean over joints of each joint's share of right frames.

    Args:
        errors: (N, L), any of the errors above, the frames of all clips one below the other; NaN is not counted,
            infinity is wrong.
        threshold: alpha; an error equal to it is right.

    Returns:
        PCK in [0, 1]; a joint that was never counted is left out, NaN when there is no other.

    Raises:
        ValueError: the errors are not (N, L).
    """
    if errors.ndim != 2:
        raise ValueError(f"errors must be (N, L), not {errors.shape}")
    counted = np.count_nonzero(~np.isnan(errors), axis=0)
    right = np.count_nonzero(errors <= threshold, axis=0)  # NaN is never below
    share = right[counted > 0] / counted[counted > 0]
    return float(share.mean()) if share.size else float("nan")


def _instance_size(points_xy: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return 0.6 x the diagonal of the box around each frame's known points (T, L, 2): (T,) pixels, NaN without any."""
    extent = _extent(points_xy)
    return 0.6 * np.hypot(extent[..., 0], extent[..., 1])


def _extent(points_xy: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the width and height (..., 2) of the box around known points (..., L, 2), NaN where none is known."""
    known = np.isfinite(points_xy).all(axis=-1, keepdims=True)
    high = np.where(known, points_xy, -np.inf).max(axis=-2, initial=-np.inf)
    low = np.where(known, points_xy, np.inf).min(axis=-2, initial=np.inf)
    extent = np.full(high.shape, np.nan)
    np.subtract(high, low, where=known.any(axis=-2), out=extent)
    return extent


def _in_units(error: NDArray[np.float64], unit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return errors (T, L) divided by each frame's unit (T,); where that is 0 only a direct hit is right."""
    unit = np.broadcast_to(unit[:, None], error.shape)
    without = np.where(np.isnan(error) | (error == 0), error, np.inf)
    return np.divide(error, unit, where=~(unit == 0), out=without)

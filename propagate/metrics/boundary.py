"""Boundary accuracy F of the DAVIS benchmark, equal to the official davis2017-evaluation code."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import KDTree

from propagate.metrics.region import as_pair

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE = 0.008  # of the picture's diagonal (davis2017-evaluation, bound_th)


def boundary_f(truth: NDArray[np.generic], predicted: NDArray[np.generic], *, tolerance: float = TOLERANCE) -> float:
    """Return the F-measure of two masks' boundaries, matched within a disk.

    A boundary pixel counts as matched when a pixel of the other boundary lies within
    ceil(`tolerance` * diagonal) pixels: the same as dilating that boundary by a disk.

    Args:
        truth: (H, W); everything that is not 0 belongs to the object.
        predicted: (H, W), the same.
        tolerance: fraction of the diagonal.

    Returns:
        F in [0, 1]; 1 when neither mask has a boundary, 0 when only one has.

    Raises:
        ValueError: the masks differ in shape.
    """
    true, found = as_pair(truth, predicted)
    radius = math.ceil(tolerance * math.hypot(*true.shape))
    true_points, found_points = np.argwhere(boundary_map(true)), np.argwhere(boundary_map(found))
    if not len(true_points) or not len(found_points):
        return float(len(true_points) == len(found_points))
    precision = _matched(found_points, true_points, radius)
    recall = _matched(true_points, found_points, radius)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def boundary_map(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the one-pixel boundary of a mask: where it differs from its right, lower or lower right neighbour.

    Args:
        mask: (H, W) bool.

    Returns:
        (H, W) bool. The picture's own edge is no boundary.
    """
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")  # a pixel at the edge does not differ from what lies outside
    boundary = (mask != padded[:-1, 1:]) | (mask != padded[1:, :-1]) | (mask != padded[1:, 1:])
    return np.asarray(boundary)


def _matched(points: NDArray[np.intp], others: NDArray[np.intp], radius: int) -> float:
    """Return the fraction of `points` (N, 2) that lie within `radius` of one of `others` (M, 2)."""
    distance, _ = KDTree(others).query(points, distance_upper_bound=radius + 0.5)  # inf beyond the bound
    return float(np.mean(distance <= radius))

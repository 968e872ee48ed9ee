"""J and F of masks, and the mean, recall and decay of a measure over frames: by DAVIS's official definitions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def jaccard(truth: NDArray[np.generic], predicted: NDArray[np.generic]) -> float:
    """Return the intersection over union of two masks, 1 when both are empty.

    Args:
        truth: (H, W); everything that is not 0 belongs to the object.
        predicted: (H, W), the same.

    Returns:
        J in [0, 1].

    Raises:
        ValueError: the masks differ in shape.
    """
    true, found = as_pair(truth, predicted)
    union = np.count_nonzero(true | found)
    return float(np.count_nonzero(true & found) / union) if union else 1.0


def as_pair(truth: NDArray[np.generic], predicted: NDArray[np.generic]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return both masks as (H, W) booleans.

    Raises:
        ValueError: the masks differ in shape, or have other than two axes.
    """
    if truth.ndim != 2 or truth.shape != predicted.shape:
        raise ValueError(f"masks must both be (H, W) of one size, not {truth.shape} and {predicted.shape}")
    return truth.astype(bool), predicted.astype(bool)


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
    true_edge, found_edge = _cropped(boundary_map(true), boundary_map(found))
    true_length, found_length = np.count_nonzero(true_edge), np.count_nonzero(found_edge)
    if not true_length or not found_length:
        return float(true_length == found_length)
    precision = np.count_nonzero(found_edge & dilated(true_edge, radius)) / found_length
    recall = np.count_nonzero(true_edge & dilated(found_edge, radius)) / true_length
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


def dilated(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Return where a pixel of `mask` lies within `radius` pixels: the mask dilated by a disk.

    A disk is a stack of rows, so the mask is widened by one pixel at a time, and each width is laid down at the two
    rows of the disk that have it. At 480p that takes under 1 ms however ragged the mask is; a tree of points takes
    2 to 60 ms and a distance transform 15 to 30 ms.

    Args:
        mask: (H, W) bool.
        radius: pixels; a pixel at exactly this distance is within.

    Returns:
        (H, W) bool.
    """
    padded = np.pad(mask, radius)  # so that nothing wraps around when the picture is shifted as one long line
    width, line = padded.shape[1], padded.ravel()
    widened, near = line.copy(), np.zeros_like(line)
    reach = 0
    for down in range(radius, -1, -1):
        half = math.isqrt(radius * radius - down * down)
        while reach < half:
            reach += 1
            widened[reach:] |= line[:-reach]
            widened[:-reach] |= line[reach:]
        shift = down * width
        near[shift:] |= widened[: len(line) - shift]
        near[: len(line) - shift] |= widened[shift:]
    inside = slice(radius, -radius or None)
    return near.reshape(padded.shape)[inside, inside]


def _cropped(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return both maps cropped to the box that holds all that is set in either: nothing outside it can matter."""
    either = first | second
    rows, columns = np.flatnonzero(either.any(axis=1)), np.flatnonzero(either.any(axis=0))
    if not len(rows):
        return first, second
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return first[box], second[box]


def mean(values: NDArray[np.floating]) -> float:
    """Return the mean of the values that are not NaN, NaN when there are none.

    Args:
        values: (T,), any measure of each frame; NaN where it is not defined.
    """
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def recall(values: NDArray[np.floating], *, threshold: float = 0.5) -> float:
    """Return the share of frames whose value is above `threshold` (Perazzi 2016, section 4).

    A frame without a value is left out. The official code would count it as failed, but never meets one.

    Args:
        values: (T,), J or F of each frame; NaN where it is not defined.
        threshold: a value equal to it is not above.

    Returns:
        Recall in [0, 1], NaN when no frame has a value.
    """
    known = values[~np.isnan(values)]
    return float((known > threshold).mean()) if known.size else float("nan")


def decay(values: NDArray[np.floating]) -> float:
    """Return how much is lost over a sequence: the mean of its first quarter minus the mean of its last.

    The quarters are those of davis2017-evaluation: their edges are shared, so neighbours overlap by one frame, and
    with few frames a quarter may be a single frame. There the edges are cast to uint8 and wrap beyond 256 frames;
    here they don't.

    Args:
        values: (T,), J or F of each frame; NaN where it is not defined.

    Returns:
        The loss, negative when the last quarter is better; NaN when either quarter has no value.
    """
    if not len(values):
        return float("nan")
    edges = np.round(np.linspace(1, len(values), 5) + 1e-10).astype(int) - 1
    first, last = values[edges[0] : edges[1] + 1], values[edges[3] : edges[4] + 1]
    return mean(first) - mean(last)

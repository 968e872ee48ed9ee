"""How different two pictures look: CIEDE2000, colour clusters, plain differences; and how colourful one is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab

from propagate.ops.cluster import nearest_cluster

if TYPE_CHECKING:
    from numpy.typing import NDArray


def mean_delta_e(
    truth: NDArray[np.uint8], predicted: NDArray[np.uint8], *, where: NDArray[np.bool_] | None = None
) -> float:
    """Return the mean CIEDE2000 difference of two pictures; about 1 is just noticeable.

    Args:
        truth: (H, W, 3) RGB uint8.
        predicted: (H, W, 3) RGB uint8.
        where: (H, W) bool, the pixels that count; all when None.

    Returns:
        The mean difference, NaN when no pixel counts.

    Raises:
        ValueError: the pictures differ in shape or are not RGB.
    """
    _check_pair(truth, predicted)
    chosen = np.ones(truth.shape[:2], dtype=bool) if where is None else where
    if not chosen.any():
        return float("nan")
    difference = deltaE_ciede2000(_lab(truth[chosen]), _lab(predicted[chosen]))
    return float(np.mean(difference, dtype=np.float64))


def mean_l1(truth_rgb: NDArray[np.uint8], predicted_rgb: NDArray[np.uint8]) -> float:
    """Return the mean absolute difference over pixels and channels, in 0 to 255 (TimeCycle, experiment V).

    Args:
        truth_rgb: (H, W, 3) RGB uint8.
        predicted_rgb: (H, W, 3) RGB uint8.

    Raises:
        ValueError: the pictures differ in shape or are not RGB.
    """
    _check_pair(truth_rgb, predicted_rgb)
    return float(np.mean(np.abs(truth_rgb.astype(np.int16) - predicted_rgb)))


def mean_chroma(rgb: NDArray[np.uint8], *, where: NDArray[np.bool_] | None = None) -> float:
    """Return how colourful a picture is: the mean length of (a, b) in Lab; 0 is grey, pure red is 105.

    Args:
        rgb: (H, W, 3) RGB uint8.
        where: (H, W) bool, the pixels that count; all when None.

    Returns:
        The mean chroma, NaN when no pixel counts.
    """
    ab = _chroma(rgb, where)
    return float(np.mean(np.hypot(ab[:, 0], ab[:, 1]))) if len(ab) else float("nan")


def cluster_accuracy(
    truth_rgb: NDArray[np.uint8],
    predicted_rgb: NDArray[np.uint8],
    centres: NDArray[np.floating],
    *,
    where: NDArray[np.bool_] | None = None,
) -> float:
    """Return the share of pixels whose colour falls into the true colour's cluster (Vondrick 4.5).

    Args:
        truth_rgb: (H, W, 3) RGB uint8.
        predicted_rgb: (H, W, 3) RGB uint8.
        centres: (K, 2) clusters in the ab plane of Lab; lightness does not matter.
        where: (H, W) bool, the pixels that count; all when None.

    Returns:
        Accuracy in [0, 1], NaN when no pixel counts.

    Raises:
        ValueError: the pictures differ in shape or are not RGB.
    """
    _check_pair(truth_rgb, predicted_rgb)
    true = nearest_cluster(_chroma(truth_rgb, where), centres)
    found = nearest_cluster(_chroma(predicted_rgb, where), centres)
    return float(np.mean(true == found)) if true.size else float("nan")


def _chroma(rgb: NDArray[np.uint8], where: NDArray[np.bool_] | None) -> NDArray[np.float64]:
    """Return a and b of Lab of the pixels that count, (N, 2)."""
    chosen = rgb.reshape(-1, 3) if where is None else rgb[where]
    if not len(chosen):
        return np.zeros((0, 2))
    return _lab(chosen)[:, 1:].astype(np.float64)


def _lab(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the Lab of pixels (N, 3), in single precision: it takes half the time and errs by 0.0001."""
    return np.asarray(rgb2lab(rgb.astype(np.float32) / 255), dtype=np.float32)


def _check_pair(truth: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> None:
    if truth.shape != predicted.shape or truth.ndim != 3 or truth.shape[2] != 3:
        raise ValueError(f"pictures must both be (H, W, 3) of one size, not {truth.shape} and {predicted.shape}")

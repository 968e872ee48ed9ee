"""How different two pictures look: the mean CIEDE2000 colour difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab

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
    if truth.shape != predicted.shape or truth.ndim != 3 or truth.shape[2] != 3:
        raise ValueError(f"pictures must both be (H, W, 3) of one size, not {truth.shape} and {predicted.shape}")
    chosen = np.ones(truth.shape[:2], dtype=bool) if where is None else where
    if not chosen.any():
        return float("nan")
    return float(np.mean(deltaE_ciede2000(rgb2lab(truth[chosen]), rgb2lab(predicted[chosen]))))

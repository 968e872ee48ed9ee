"""Region similarity J of the DAVIS benchmark (Perazzi 2016): intersection over union of two masks."""

from __future__ import annotations

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

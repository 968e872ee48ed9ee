"""The three numbers that DAVIS gives of a measure over a sequence: mean, recall and decay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


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

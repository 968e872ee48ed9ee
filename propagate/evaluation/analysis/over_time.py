"""Score against time: whether a method drifts (Vondrick figure 5, CorrFlow figure 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from propagate.evaluation.protocol import Benchmark, Measure, Scores


@dataclass(frozen=True)
class TimeCurve:
    """A measure's mean over sequences, frame by frame.

    Attributes:
        measure: which.
        frames: (N,) frame numbers, ascending.
        values: (N,) means over the sequences that have a value there.
        counts: (N,) how many sequences those are.
    """

    measure: Measure
    frames: NDArray[np.int64]
    values: NDArray[np.float64]
    counts: NDArray[np.int64]


def score_over_time(benchmark: Benchmark, scores: Sequence[Scores]) -> TimeCurve | None:
    """Return the first measure that has curves against the frame number, up to the median length of the sequences.

    Beyond it fewer than half of the sequences would be left, and other ones than at the start.

    Returns:
        None when the benchmark's measures have no meaning for one frame.
    """
    curves = [benchmark.curves(one) for one in scores]
    measure = next((m for m in benchmark.measures if any(m.name in curve for curve in curves)), None)
    if measure is None:
        return None
    chosen = [(one.frames, c[measure.name]) for one, c in zip(scores, curves, strict=True) if measure.name in c]
    frames = np.concatenate([np.asarray(where, dtype=np.int64) for where, _ in chosen])
    values = np.concatenate([curve for _, curve in chosen])
    last = np.median([max(where, default=0) for where, _ in chosen])
    use = np.isfinite(values) & (frames <= last)
    if not use.any():
        return None
    numbers, place = np.unique(frames[use], return_inverse=True)
    counts = np.bincount(place)
    return TimeCurve(measure, numbers, np.bincount(place, weights=values[use]) / counts, counts.astype(np.int64))

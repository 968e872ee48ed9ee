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


def timed_measures(benchmark: Benchmark, scores: Sequence[Scores]) -> list[Measure]:
    """Return the measures that have a value on every frame, in the order of a table."""
    names = {name for one in scores for name in benchmark.curves(one)}
    return [measure for measure in benchmark.measures if measure.name in names]


def score_over_time(benchmark: Benchmark, scores: Sequence[Scores], *, measure: Measure) -> TimeCurve | None:
    """Return a measure against the frame number, up to the median length of the sequences.

    Beyond it fewer than half of the sequences would be left, and other ones than at the start. Between frames that are
    scored a sequence's curve runs straight, so that sparse truth does not change which sequences a mean is over.

    Returns:
        None when no sequence has a value of it.
    """
    curves = [benchmark.curves(one) for one in scores]
    chosen = [(one.frames, c[measure.name]) for one, c in zip(scores, curves, strict=True) if measure.name in c]
    if not chosen:
        return None
    filled = [_every_frame(np.asarray(where, dtype=np.int64), curve) for where, curve in chosen]
    frames = np.concatenate([where for where, _ in filled])
    values = np.concatenate([curve for _, curve in filled])
    last = np.median([max(where, default=0) for where, _ in chosen])
    use = np.isfinite(values) & (frames <= last)
    if not use.any():
        return None
    numbers, place = np.unique(frames[use], return_inverse=True)
    counts = np.bincount(place)
    return TimeCurve(measure, numbers, np.bincount(place, weights=values[use]) / counts, counts.astype(np.int64))


def _every_frame(
    frames: NDArray[np.int64], values: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return all frame numbers from the first to the last that has a value, and the values, (N,) each."""
    known = np.isfinite(values)
    if not known.any():
        return frames[:0], values[:0]
    every = np.arange(frames[known].min(), frames[known].max() + 1)
    return every, np.interp(every, frames[known], values[known])

"""Scores by attribute and over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from propagate.evaluation.protocol import Benchmark, Measure, Scores


@dataclass(frozen=True)
class AttributeGain:
    """The headline on the sequences with one attribute, of two methods.

    Attributes:
        attribute: as the data set names it.
        count: how many sequences have it.
        ours: our headline there.
        other: the other's.
        gain: relative: (ours - other) / |other|, its sign turned where lower is better; NaN when other is 0.
    """

    attribute: str
    count: int
    ours: float
    other: float
    gain: float


@dataclass(frozen=True)
class GroupScore:
    """The headline on one group.

    Attributes:
        group: its name.
        count: how many sequences or objects are in it.
        value: the headline there.
    """

    group: str
    count: int
    value: float


def gain_by_attribute(
    benchmark: Benchmark,
    ours: Sequence[Scores],
    *,
    other: Sequence[Scores],
    attributes: Mapping[str, Sequence[str]],
) -> tuple[AttributeGain, ...]:
    """Return the headline per attribute, sorted by our relative gain, the largest first (Vondrick figure 6).

    Args:
        benchmark: whose summary is taken over the sequences with the attribute.
        ours: our scores.
        other: the other method's, of the same sequences.
        attributes: sequence name -> its attributes; empty for data without them.
    """
    names = sorted({name for one in ours for name in attributes.get(one.sequence, ())})
    rows = []
    for name in names:
        chosen = {one.sequence for one in ours if name in attributes.get(one.sequence, ())}
        mine = _headline(benchmark, [one for one in ours if one.sequence in chosen])
        theirs = _headline(benchmark, [one for one in other if one.sequence in chosen])
        rows.append(AttributeGain(name, len(chosen), mine, theirs, _gain(benchmark, mine, theirs)))
    return tuple(sorted(rows, key=lambda row: -row.gain if np.isfinite(row.gain) else np.inf))


def by_object_count(benchmark: Benchmark, scores: Sequence[Scores]) -> tuple[GroupScore, ...]:
    """Return the headline by number of objects; nothing when the truth does not say it."""
    known = [one for one in scores if isinstance(one.facts.get("objects"), int)]
    rows = []
    for number in sorted({one.facts["objects"] for one in known}):
        chosen = [one for one in known if one.facts["objects"] == number]
        word = "object" if number == 1 else "objects"
        rows.append(GroupScore(f"{number} {word}", len(chosen), _headline(benchmark, chosen)))
    return tuple(rows)


def by_object_size(benchmark: Benchmark, scores: Sequence[Scores]) -> tuple[GroupScore, ...]:
    """Return the headline of the small, middle and large third of all objects, by their area on the first frame.

    Each group's figure is the benchmark's summary over these objects alone.

    Returns:
        Three groups, their range in the name in percent of the picture; nothing with fewer than three known areas.
    """
    areas = {(one.sequence, unit): area for one in scores for unit, area in _first_areas(one).items()}
    if len(areas) < 3:
        return ()
    order = sorted(areas, key=lambda key: (areas[key], key))
    rows = []
    for word, chosen in zip(("small", "middle", "large"), np.array_split(np.arange(len(order)), 3), strict=True):
        keys = {order[place] for place in chosen}
        ends = [100 * areas[order[place]] for place in (chosen[0], chosen[-1])]
        name = f"{word}, {ends[0]:.2g} to {ends[1]:.2g} %"
        rows.append(GroupScore(name, len(keys), _headline(benchmark, _only_units(scores, keys))))
    return tuple(rows)


def _first_areas(scores: Scores) -> dict[str, float]:
    found = scores.facts.get("first_area", {})
    return {unit: float(found[unit]) for unit in scores.units if found.get(unit) is not None}


def _only_units(scores: Sequence[Scores], keys: set[tuple[str, str]]) -> list[Scores]:
    kept = [
        replace(one, units={unit: curves for unit, curves in one.units.items() if (one.sequence, unit) in keys})
        for one in scores
    ]
    return [one for one in kept if one.units]


def _headline(benchmark: Benchmark, scores: Sequence[Scores]) -> float:
    return float(benchmark.summary(scores).get(benchmark.measures[0].name, np.nan)) if scores else float("nan")


def _gain(benchmark: Benchmark, ours: float, other: float) -> float:
    sign = 1.0 if benchmark.measures[0].better == "higher" else -1.0
    return sign * (ours - other) / abs(other) if other else float("nan")


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

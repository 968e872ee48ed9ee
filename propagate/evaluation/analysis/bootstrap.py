"""Bootstrap intervals of scores and of differences, so that nobody takes noise for progress.

Two questions, two levels. "sequences" asks how a method would do on other sequences like these: whole sequences are
drawn with replacement. "frames" asks how sure the figure is on these very sequences: they stay, and within each the
scored frames are drawn in blocks, since neighbours look alike (moving-block bootstrap, Künsch 1989); with one short
sequence there are few blocks and the interval is somewhat too narrow. Of two methods the same sequences and frames
are drawn, so what is hard for both cancels out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from propagate.evaluation.protocol import Scores

BLOCK = 10  # frames; shorter in short sequences, so that at least four blocks differ
AFFORDABLE = 30_000_000  # values of a curve that all draws together may read: a minute or so
Level = Literal["sequences", "frames"]
Statistic = Callable[[Sequence[Scores]], float]
Summary = Callable[[Sequence[Scores]], Mapping[str, float]]


@dataclass(frozen=True)
class Interval:
    """A score, or a difference of two, and the percentile interval of its resamples.

    Attributes:
        value: on the data as they are.
        low: its lower end, NaN where nothing can be drawn (one sequence at the level of sequences).
        high: its upper end, the same.
    """

    value: float
    low: float
    high: float


def interval(
    scores: Sequence[Scores],
    statistic: Statistic,
    *,
    level: Level,
    resamples: int = 1000,
    seed: int = 0,
    share: float = 0.95,
) -> Interval:
    """Return one method's figure with its interval; see `intervals`."""
    named = intervals(scores, _named(statistic), level=level, resamples=resamples, seed=seed, share=share)
    return named["value"]


def paired_interval(
    ours: Sequence[Scores],
    other: Sequence[Scores],
    statistic: Statistic,
    *,
    level: Level,
    resamples: int = 1000,
    seed: int = 0,
    share: float = 0.95,
) -> Interval:
    """Return the difference ours - other with its interval; see `paired_intervals`."""
    summary = _named(statistic)
    named = paired_intervals(ours, other, summary, level=level, resamples=resamples, seed=seed, share=share)
    return named["value"]


def intervals(
    scores: Sequence[Scores],
    summary: Summary,
    *,
    level: Level,
    resamples: int = 1000,
    seed: int = 0,
    share: float = 0.95,
) -> dict[str, Interval]:
    """Return every figure of `summary` with its interval.

    Args:
        scores: one method's, a value per sequence.
        summary: from scores to named numbers, such as `Benchmark.summary`; a resample may hold one sequence twice.
        level: what is drawn, see the module.
        resamples: how many draws.
        seed: the same seed draws the same.
        share: of the resamples that lie inside the interval.
    """
    drawn = draw(scores, summary, level=level, resamples=resamples, seed=seed)
    return {name: percentiles(value, drawn[name], share=share) for name, value in summary(scores).items()}


def paired_intervals(
    ours: Sequence[Scores],
    other: Sequence[Scores],
    summary: Summary,
    *,
    level: Level,
    resamples: int = 1000,
    seed: int = 0,
    share: float = 0.95,
) -> dict[str, Interval]:
    """Return ours - other of every figure of `summary`, the same sequences and frames drawn for both.

    Args:
        ours: a value per sequence.
        other: of the same sequences and frames, in the same order.
        summary: see `intervals`, as for the rest.
        level: what is drawn.
        resamples: how many draws.
        seed: the same seed draws the same.
        share: of the resamples that lie inside the interval.

    Raises:
        ValueError: the two are not of the same sequences and frames.
    """
    if not can_pair(ours, other):
        raise ValueError("a paired interval needs the same sequences and frames of both methods, in one order")
    mine = draw(ours, summary, level=level, resamples=resamples, seed=seed)
    theirs = draw(other, summary, level=level, resamples=resamples, seed=seed)
    found, against = summary(ours), summary(other)
    return {
        name: percentiles(value - against[name], mine[name] - theirs[name], share=share)
        for name, value in found.items()
    }


def can_pair(ours: Sequence[Scores], other: Sequence[Scores]) -> bool:
    """Return whether both are of the same sequences and frames, in one order, so that the same draws fit both."""
    return [(one.case, one.frames) for one in ours] == [(one.case, one.frames) for one in other]


def draw(
    scores: Sequence[Scores], summary: Summary, *, level: Level, resamples: int, seed: int
) -> dict[str, NDArray[np.float64]]:
    """Return every figure of `summary` on each resample, (resamples,).

    What is drawn depends on the seed and the lengths of the sequences alone, so two methods that were scored on the
    same frames may be drawn one after the other and then subtracted.

    Returns:
        Figure -> its values; no values (0,) where nothing can be drawn.
    """
    samples = [summary(sample) for sample in _samples(scores, level=level, resamples=resamples, seed=seed)]
    return {name: np.array([row[name] for row in samples], dtype=float) for name in summary(scores)}


def draws_for(scores: Sequence[Scores]) -> int:
    """Return how many draws are worth their time: 1000, fewer for large sets (JHMDB's 268 clips), at least 200."""
    size = sum(len(one.frames) * len(one.units) for one in scores)
    return int(np.clip(AFFORDABLE // max(size, 1), 200, 1000))


def _named(statistic: Statistic) -> Summary:
    return lambda scores: {"value": statistic(scores)}


def _samples(scores: Sequence[Scores], *, level: Level, resamples: int, seed: int) -> Iterator[list[Scores]]:
    """Yield the scores redrawn; nothing when there is nothing to draw from."""
    random = np.random.default_rng(seed)
    count = len(scores)
    if count == 0 or (count == 1 and level == "sequences"):
        return
    for _ in range(resamples):
        if level == "sequences":
            yield [scores[place] for place in random.integers(count, size=count)]
        else:
            yield [one.take(block_positions(len(one.frames), random)) for one in scores]


def block_positions(length: int, random: np.random.Generator, *, block: int = BLOCK) -> NDArray[np.intp]:
    """Return `length` positions made of blocks of neighbours, ascending, so that a decay over time keeps its sense.

    Args:
        length: T, how many frames there are.
        random: where chance comes from.
        block: the longest block; at most a quarter of the frames are one block.

    Returns:
        (T,) positions in 0 .. T - 1.
    """
    size = max(1, min(block, length // 4))
    starts = random.integers(max(length - size + 1, 1), size=-(-length // size))
    return np.sort((starts[:, None] + np.arange(size)).reshape(-1)[:length]).astype(np.intp)


def percentiles(value: float, drawn: NDArray[np.float64], *, share: float = 0.95) -> Interval:
    """Return a figure with the interval that holds `share` of its resamples; those without a value are left out."""
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return Interval(float(value), float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - share) / 2, (1 + share) / 2])
    return Interval(float(value), float(low), float(high))

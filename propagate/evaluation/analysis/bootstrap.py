"""Bootstrap intervals over frames and sequences, of one run and of the difference of two."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from propagate.evaluation.protocol import Benchmark, Scores
from propagate.evaluation.results import MethodResult, shared_scores

BLOCK = 10  # frames; shorter in short sequences, so that at least four blocks differ
AFFORDABLE = 30_000_000  # values of a curve that all draws together may read: a minute or so
Level = Literal["sequences", "frames"]
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


def can_pair(ours: Sequence[Scores], other: Sequence[Scores]) -> bool:
    """Return whether both are of the same sequences and frames, in one order, so that the same draws fit both."""
    return [(one.sequence, one.frames) for one in ours] == [(one.sequence, one.frames) for one in other]


def draw(
    scores: Sequence[Scores], summary: Summary, *, level: Level, resamples: int, seed: int
) -> dict[str, NDArray[np.float64]]:
    """Return every figure of `summary` on each resample, (resamples,).

    What is drawn depends on the seed and the lengths of the sequences alone, so two methods that were scored on the
    same frames may be drawn one after the other and then subtracted.

    Args:
        scores: one method's, a value per sequence.
        summary: from scores to named numbers, such as `Benchmark.summary`; a resample may hold one sequence twice.
        level: draw whole sequences, or blocks of frames within each sequence.
        resamples: how many draws.
        seed: the same seed draws the same.

    Returns:
        Figure -> its values; no values (0,) where nothing can be drawn.
    """
    samples = [summary(sample) for sample in _samples(scores, level=level, resamples=resamples, seed=seed)]
    return {name: np.array([row[name] for row in samples], dtype=float) for name in summary(scores)}


def draws_for(scores: Sequence[Scores]) -> int:
    """Return how many draws are worth their time: 1000, fewer for large sets (JHMDB's 268 clips), at least 200."""
    size = sum(len(one.frames) * len(one.units) for one in scores)
    return int(np.clip(AFFORDABLE // max(size, 1), 200, 1000))


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


class RunIntervals:
    """The 95 % intervals of a run's figures and differences; keeps the draws, which cost seconds to minutes.

    Args:
        benchmark: whose summary is taken of every draw.
        results: all methods of the run.
        resamples: how many draws, None to choose by the size of the data.
        seed: the same seed draws the same.
    """

    def __init__(
        self, benchmark: Benchmark, results: Sequence[MethodResult], *, resamples: int | None = None, seed: int = 0
    ) -> None:
        sizes = [draws_for(list(result.scores.values())) for result in results]
        self.benchmark = benchmark
        self.resamples = min(sizes, default=1000) if resamples is None else resamples
        self.seed = seed
        self._drawn: dict[tuple[str, Level, tuple[str, ...]], dict[str, NDArray[np.float64]]] = {}

    def of(self, result: MethodResult) -> dict[str, Interval]:
        """Return a method's figures: sequences are drawn, or frames where there is but one sequence.

        Returns:
            Measure name -> its interval; empty without scores, NaN where totals of one sequence cannot be drawn.
        """
        scores = list(result.scores.values())
        level: Level = "sequences" if len(scores) > 1 or _has_totals(scores) else "frames"
        drawn = self._draws(result, scores, level)
        return {name: percentiles(result.summary[name], drawn[name]) for name in drawn if name in result.summary}

    def difference(self, ours: MethodResult, other: MethodResult, *, level: Level) -> Interval | None:
        """Return the headline of `ours` minus that of `other`, on the sequences that both have.

        Returns:
            None where there are no such sequences, other frames of them were scored, or frames are to be drawn but a
            summary is made of totals over whole sequences (VIP).
        """
        mine, theirs = shared_scores(ours, other)
        if not mine or not can_pair(mine, theirs) or (level == "frames" and _has_totals(mine)):
            return None
        name = self.benchmark.measures[0].name
        value = self.benchmark.summary(mine)[name] - self.benchmark.summary(theirs)[name]
        return percentiles(value, self._draws(ours, mine, level)[name] - self._draws(other, theirs, level)[name])

    def _draws(self, result: MethodResult, scores: Sequence[Scores], level: Level) -> dict[str, NDArray[np.float64]]:
        key = (result.name, level, tuple(one.sequence for one in scores))
        if not scores:
            return {}
        if key not in self._drawn:
            summary = self.benchmark.summary
            self._drawn[key] = draw(scores, summary, level=level, resamples=self.resamples, seed=self.seed)
        return self._drawn[key]


def _has_totals(scores: Sequence[Scores]) -> bool:
    return any(one.totals for one in scores)

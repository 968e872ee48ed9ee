"""Bootstrap intervals of all methods of one run, every method drawn once and used for all its comparisons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from propagate.evaluation.analysis.bootstrap import Interval, Level, can_pair, draw, draws_for, percentiles
from propagate.evaluation.analysis.run_values import MethodResult, shared_scores
from propagate.evaluation.protocol import Benchmark, Scores


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
        key = (result.name, level, tuple(one.case for one in scores))
        if not scores:
            return {}
        if key not in self._drawn:
            summary = self.benchmark.summary
            self._drawn[key] = draw(scores, summary, level=level, resamples=self.resamples, seed=self.seed)
        return self._drawn[key]


def _has_totals(scores: Sequence[Scores]) -> bool:
    return any(one.totals for one in scores)

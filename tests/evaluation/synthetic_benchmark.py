"""A benchmark without files and scores without trackers, for the tests of the analysis, the tables and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from propagate.evaluation.protocol import Benchmark, BenchmarkSequence, Curve, Measure, Scores, Trackers
from propagate.evaluation.results import MethodResult
from propagate.metrics.masks import mean


@dataclass(frozen=True)
class Synthetic(Benchmark):
    """A benchmark whose only measure is the mean of the curve "J" over objects."""

    labels: ClassVar[str] = "masks"

    name: str = "davis"
    measures: tuple[Measure, ...] = (Measure("J-Mean"), Measure("lost", better="lower", digits=1))
    root: Path = Path("data")
    listed: tuple[BenchmarkSequence, ...] = field(default=())

    @property
    def official_columns(self) -> Mapping[str, str]:
        return {"J-Mean": "J-Mean"} if self.name == "davis" else {}

    def list_sequences(self) -> Sequence[BenchmarkSequence]:
        return self.listed

    def inputs(self, sequence: BenchmarkSequence) -> tuple[Sequence[Path], Mapping[str, Any]]:
        return (), {}

    def evaluate(self, sequence: BenchmarkSequence, trackers: Trackers, results: Path) -> Scores:
        raise NotImplementedError

    def score(self, sequence: BenchmarkSequence, results: Path) -> Scores:
        raise NotImplementedError

    def summary(self, scores: Sequence[Scores]) -> dict[str, float]:
        curves = [unit["J"] for one in scores for unit in one.units.values()]
        lost = mean(np.array([np.mean(curve < 0.5) for curve in curves]))
        return {"J-Mean": mean(np.array([mean(curve) for curve in curves])), "lost": 100 * lost}

    def curves(self, scores: Scores) -> dict[str, Curve]:
        return {"J-Mean": np.mean([curves["J"] for curves in scores.units.values()], axis=0)}

    def filmstrip(
        self, sequence: BenchmarkSequence, results: Path, *, count: int, height: int
    ) -> np.ndarray[Any, Any] | None:
        picture = np.zeros((2 * height, count * height, 3), np.uint8)
        picture[..., 0] = np.arange(count * height) % 256
        picture[height:, :, 1] = 200
        return picture


def scores_of(sequence: str, /, *curves: Sequence[float], facts: Mapping[str, Any] | None = None) -> Scores:
    """Return scores of objects "1", "2", ..., each with a curve J, from frame 1 on."""
    units = {str(number + 1): {"J": np.array(curve, float)} for number, curve in enumerate(curves)}
    return Scores(sequence, tuple(range(1, len(curves[0]) + 1)), units, facts=facts or {})


def method(name: str, scores: Sequence[Scores], benchmark: Synthetic, **other: Any) -> MethodResult:
    """Return a method's result with the benchmark's own summary."""
    return MethodResult(name, {one.sequence: one for one in scores}, benchmark.summary(scores), **other)

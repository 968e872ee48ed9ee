"""What corrections are worth: score against corrected frames and against a person's seconds, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from propagate.evaluation.analysis.bootstrap import Interval, draw, percentiles
from propagate.evaluation.protocol import Scores
from propagate.metrics.masks import mean

LEVELS = (0.85, 0.9)  # of the headline: how many frames it takes is told


@dataclass(frozen=True)
class EffortPoint:
    """The mean over sequences after a number of corrections; every sequence counts the same.

    Attributes:
        corrections: how many frames were corrected beside the first.
        seconds: of a person's work on a sequence, the first frame included.
        all: measure -> value over all frames with truth; annotated ones count as they are, which is right.
        untouched: the same over the frames that nobody annotated.
        tube: intersection over union of an object's whole volume, NaN for points.
        drawn: share of the frames without an object on which it is drawn, NaN where it is always there.
    """

    corrections: int
    seconds: float
    all: Mapping[str, float]
    untouched: Mapping[str, float]
    tube: float
    drawn: float


@dataclass(frozen=True)
class EffortCurve:
    """What one choice of frames is worth.

    Attributes:
        choice: its name.
        points: ascending by corrections.
        area: under the headline over all frames, against corrected frames, over its width: a mean height.
        area_of_seconds: the same against a person's seconds.
        needed: level of the headline over all frames -> the first point that reaches it, None where none does.
    """

    choice: str
    points: tuple[EffortPoint, ...]
    area: float
    area_of_seconds: float
    needed: Mapping[float, EffortPoint | None]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        frames = {str(level): point and point.corrections + 1 for level, point in self.needed.items()}
        seconds = {str(level): point and point.seconds for level, point in self.needed.items()}
        return {
            "choice": self.choice,
            "points": [asdict(point) for point in self.points],
            "area": self.area,
            "area_of_seconds": self.area_of_seconds,
            "frames_needed": frames,
            "seconds_needed": seconds,
        }


def effort_curves(scores: Sequence[Scores], *, headline: str) -> dict[str, EffortCurve]:
    """Return the curve of every choice of frames; nothing where no sequence was corrected.

    Args:
        scores: one method's.
        headline: the measure whose area is taken.
    """
    corrected = [one.corrections for one in scores if one.corrections]
    return {choice: _curve(choice, [one[choice] for one in corrected], headline) for choice in _choices(scores)}


def effort_differences(
    scores: Sequence[Scores], *, headline: str, resamples: int, seed: int = 0
) -> dict[tuple[str, str], Interval]:
    """Return the area of the first choice minus that of each other, with paired intervals of whole sequences.

    Args:
        scores: one method's.
        headline: the measure whose area is taken.
        resamples: how many draws.
        seed: the same seed draws the same.
    """
    corrected = [one for one in scores if one.corrections]
    first, *others = _choices(scores) or [""]
    if not others:
        return {}
    areas = {one.sequence: {name: _area(rows, headline) for name, rows in one.corrections.items()} for one in corrected}

    def summary(sample: Sequence[Scores]) -> dict[str, float]:
        return {name: mean(np.array([areas[one.sequence][name] for one in sample])) for name in (first, *others)}

    drawn = draw(corrected, summary, level="sequences", resamples=resamples, seed=seed)
    whole = summary(corrected)
    return {(first, name): percentiles(whole[first] - whole[name], drawn[first] - drawn[name]) for name in others}


def _choices(scores: Sequence[Scores]) -> list[str]:
    return list(dict.fromkeys(choice for one in scores for choice in one.corrections))


def _curve(choice: str, records: Sequence[Sequence[Mapping[str, Any]]], headline: str) -> EffortCurve:
    points = tuple(_point(at_once) for at_once in zip(*records, strict=True))
    reached = {
        level: next((point for point in points if point.all[headline] >= level), None) for level in LEVELS
    }  # of the mean over sequences, at the numbers of corrections that were asked for
    return EffortCurve(
        choice,
        points,
        mean(np.array([_area(rows, headline) for rows in records])),
        mean(np.array([_area(rows, headline, against="seconds") for rows in records])),
        reached,
    )


def _point(records: Sequence[Mapping[str, Any]]) -> EffortPoint:
    """Return the mean of the records of all sequences after one number of corrections."""

    def over(part: str) -> dict[str, float]:
        return {name: _mean([one[part][name] for one in records]) for name in records[0][part]}

    absent = sum(one["absent"] for one in records)
    return EffortPoint(
        corrections=records[0]["corrections"],
        seconds=_mean([one["seconds"] for one in records]),
        all=over("all"),
        untouched=over("untouched"),
        tube=_mean([one["tube"] for one in records]),
        drawn=sum(one["drawn"] for one in records) / absent if absent else float("nan"),
    )


def _area(records: Sequence[Mapping[str, Any]], headline: str, *, against: str = "corrections") -> float:
    """Return the mean height of a sequence's curve, by trapezia."""
    height = np.array([np.nan if one["all"][headline] is None else one["all"][headline] for one in records])
    place = np.array([one[against] for one in records], dtype=float)
    width = place[-1] - place[0]
    return float(np.trapezoid(height, place) / width) if width > 0 else float(height.mean())


def _mean(values: Sequence[float | None]) -> float:
    return mean(np.array([np.nan if value is None else value for value in values], dtype=float))

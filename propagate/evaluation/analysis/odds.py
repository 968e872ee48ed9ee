"""Do failures to track go with failures to colourise? The odds ratio of Vondrick 4.5, which found 2.3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from propagate.evaluation.protocol import Scores

TRACKED = 0.5  # J below this is a failure to track
NORMAL_95 = 1.959964  # standard deviations on each side of a 95 % interval


@dataclass(frozen=True)
class Odds:
    """A 2x2 table over (object, frame) and what it says.

    Attributes:
        table: ((both fail, only tracking fails), (only colours fail, neither)).
        ratio: odds ratio; 1 when the two are independent.
        woolf: 95 % interval of Woolf's logit, which takes all events as independent; frames are not, so it is narrow.
        clustered: 95 % percentile interval of resampled sequences; NaN with one sequence.
        median: the cluster accuracy below which colours count as failed.
        corrected: a cell was 0, so 1/2 was added to each (Haldane).
        events: how many (object, frame) there are.
        sequences: how many sequences they come from.
    """

    table: tuple[tuple[int, int], tuple[int, int]]
    ratio: float
    woolf: tuple[float, float]
    clustered: tuple[float, float]
    median: float
    corrected: bool
    events: int
    sequences: int


def odds_of_failure(scores: Sequence[Scores], *, resamples: int = 1000, seed: int = 0) -> Odds | None:
    """Return the odds ratio of failing to track and failing to colourise, with both intervals.

    Args:
        scores: their units need curves "J" and "color" (cluster accuracy inside the true mask).
        resamples: draws of whole sequences.
        seed: the same seed draws the same.

    Returns:
        None when no unit has both curves.
    """
    events = [pairs for one in scores if len(pairs := _events(one))]
    if not events:
        return None
    every = np.concatenate(events)
    table = _table(every)
    ratio, spread = ratio_and_spread(table)
    limit = NORMAL_95 * spread
    return Odds(
        table=((int(table[0, 0]), int(table[0, 1])), (int(table[1, 0]), int(table[1, 1]))),
        ratio=ratio,
        woolf=(float(ratio * np.exp(-limit)), float(ratio * np.exp(limit))),
        clustered=_clustered(events, resamples=resamples, seed=seed),
        median=float(np.median(every[:, 1])),
        corrected=bool((table == 0).any()),
        events=len(every),
        sequences=len(events),
    )


def ratio_and_spread(table: NDArray[np.int64]) -> tuple[float, float]:
    """Return the odds ratio of a (2, 2) table and the standard error of its logarithm (Woolf 1955).

    Half an event is added to every cell when one is empty (Haldane 1956).
    """
    cells = table + 0.5 if (table == 0).any() else table.astype(float)
    ratio = cells[0, 0] * cells[1, 1] / (cells[0, 1] * cells[1, 0])
    return float(ratio), float(np.sqrt((1 / cells).sum()))


def _events(scores: Scores) -> NDArray[np.float64]:
    """Return (N, 2): J and cluster accuracy of every object and frame that has both."""
    both = [curves for curves in scores.units.values() if "J" in curves and "color" in curves]
    pairs = [np.stack([curves["J"], curves["color"]], axis=1) for curves in both]
    every = np.concatenate(pairs) if pairs else np.empty((0, 2))
    return every[np.isfinite(every).all(axis=1)]


def _table(events: NDArray[np.float64]) -> NDArray[np.int64]:
    lost = events[:, 0] < TRACKED
    wrong = events[:, 1] < np.median(events[:, 1])
    counts = [[(lost & wrong).sum(), (lost & ~wrong).sum()], [(~lost & wrong).sum(), (~lost & ~wrong).sum()]]
    return np.array(counts, dtype=np.int64)


def _clustered(events: list[NDArray[np.float64]], *, resamples: int, seed: int) -> tuple[float, float]:
    if len(events) < 2:
        return float("nan"), float("nan")
    random = np.random.default_rng(seed)
    drawn = [random.integers(len(events), size=len(events)) for _ in range(resamples)]
    ratios = [ratio_and_spread(_table(np.concatenate([events[place] for place in row])))[0] for row in drawn]
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)

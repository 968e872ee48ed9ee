"""Where tracking fails: hard cases that are found in the truth itself, and whether colours fail there too.

A named case each of occlusion, leaving the picture and deformation (CorrFlow A.1), and the odds ratio of failures to
track and failures to colourise (Vondrick 4.5, which found 2.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from propagate.evaluation.protocol import Scores

Kind = Literal["occlusion", "leaving the picture", "deformation"]
ATTRIBUTE: dict[Kind, str] = {"occlusion": "OCC", "leaving the picture": "OV", "deformation": "DEF"}
HIDDEN = 1 / 3  # of the median area so far; below it an object counts as hidden
NEAR_PEAK = 0.9  # of the largest change of shape; frames above it belong to the deformation


@dataclass(frozen=True)
class HardCase:
    """One object's hard stretch and what a method made of it.

    Attributes:
        kind: what happens.
        sequence: the sequence.
        unit: the object.
        frames: first and last frame of the stretch.
        cause: what was measured in the truth, in words.
        confirmed: whether the data set's own attribute says so; None when it names none for the sequence.
        before: mean J before the stretch, NaN when there is no frame.
        during: mean J within.
        after: mean J after.
        severity: share of the object that is gone, or 1 - J with its first shape, less the change of size.
    """

    kind: Kind
    sequence: str
    unit: str
    frames: tuple[int, int]
    cause: str
    confirmed: bool | None
    before: float
    during: float
    after: float
    severity: float


def hard_cases(scores: Sequence[Scores], *, attributes: Mapping[str, Sequence[str]]) -> tuple[HardCase, ...]:
    """Return the worst case of each kind, those that the data set's attributes confirm before others.

    Args:
        scores: one method's; facts "areas" (of the picture) and for the kinds "border" and "shape", a value per frame.
        attributes: sequence name -> its attributes; may be empty.

    Returns:
        At most three, in the order of `Kind`; a kind that does not occur, or cannot be seen in the facts, is left out.
    """
    found = [case for one in scores for case in _cases(one, attributes.get(one.sequence, ()))]
    best = []
    for kind in ATTRIBUTE:
        chosen = [case for case in found if case.kind == kind]
        if chosen:
            best.append(max(chosen, key=lambda case: (case.confirmed is True, case.severity, _length(case))))
    return tuple(best)


def _length(case: HardCase) -> int:
    return case.frames[1] - case.frames[0]


def _cases(scores: Scores, attributes: Sequence[str]) -> Iterator[HardCase]:
    for unit in scores.units:
        areas, shape = _fact(scores, "areas", unit), _fact(scores, "shape", unit)
        gone = list(_disappearances(scores, unit, areas, attributes)) if areas is not None else []
        yield from gone
        if shape is not None and areas is not None and not gone:
            yield from _deformation(scores, unit, _without_size(scores, unit, areas, shape), attributes)


def _fact(scores: Scores, name: str, unit: str) -> NDArray[np.float64] | None:
    found = scores.facts.get(name, {}).get(unit)
    if found is None or len(found) != len(scores.frames):
        return None
    return np.array([np.nan if value is None else value for value in found], dtype=float)


def _disappearances(
    scores: Scores, unit: str, areas: NDArray[np.float64], attributes: Sequence[str]
) -> Iterator[HardCase]:
    """Yield every stretch below a third of the median area before it, as an occlusion or as leaving the picture."""
    border = _fact(scores, "border", unit)
    if border is None:
        return
    first = scores.facts.get("first_area", {}).get(unit)
    known = [float(first)] if first else []
    start = 0
    while start < len(areas):
        before = float(np.median(known)) if known else 0.0
        if areas[start] >= HIDDEN * before:
            known.append(float(areas[start]))
            start += 1
            continue
        stop = _return(areas, start, HIDDEN * before)
        yield from _one_disappearance(scores, unit, areas, border, (start, stop), before, attributes)
        start = stop


def _return(areas: NDArray[np.float64], start: int, limit: float) -> int:
    back = np.flatnonzero(areas[start:] >= limit)
    return start + int(back[0]) if len(back) else len(areas)


def _one_disappearance(
    scores: Scores,
    unit: str,
    areas: NDArray[np.float64],
    border: NDArray[np.float64],
    stretch: tuple[int, int],
    before: float,
    attributes: Sequence[str],
) -> Iterator[HardCase]:
    start, stop = stretch
    touches = bool(border[max(start - 1, 0) : stop].any())  # a vanished mask touches nothing: look one frame back
    smallest = float(areas[start:stop].min())
    returns = stop < len(areas)
    shrinks = f"its true area falls from {100 * before:.2g} % to {100 * smallest:.2g} % of the picture"
    kind: Kind
    if touches or (not returns and smallest == 0):
        kind, how = "leaving the picture", "while it touches the border" if touches else "and it never comes back"
    elif returns:
        kind, how = "occlusion", "away from the picture's border, and comes back"
    else:
        return  # small to the end: turned away or far off, nothing says which
    severity = 1 - smallest / before
    yield _named_case(scores, unit, stretch, kind, cause=f"{shrinks} {how}", severity=severity, attributes=attributes)


def _without_size(
    scores: Scores, unit: str, areas: NDArray[np.float64], shape: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the change of shape (T,) less what coming nearer or going away explains, NaN where the object is absent.

    Two masks whose areas differ overlap by at most the smaller over the larger, so J is taken relative to that.
    """
    first = scores.facts.get("first_area", {}).get(unit)
    reach = np.ones(len(areas))
    if first:
        reach = np.minimum(areas, first) / np.maximum(areas, first)
    change = np.full(len(areas), np.nan)
    np.divide(1 - shape, reach, out=change, where=areas > 0)
    less: NDArray[np.float64] = np.clip(1 - change, 0, 1)
    return less


def _deformation(
    scores: Scores, unit: str, shape: NDArray[np.float64], attributes: Sequence[str]
) -> Iterator[HardCase]:
    if not np.isfinite(shape).any():
        return
    peak = int(np.nanargmax(shape))
    away = ~(shape >= NEAR_PEAK * shape[peak])
    earlier, later = np.flatnonzero(away[:peak]), np.flatnonzero(away[peak:])
    stretch = (int(earlier[-1]) + 1 if len(earlier) else 0, peak + int(later[0]) if len(later) else len(shape))
    severity = float(shape[peak])
    how = "their centres aligned and the change of size taken out"
    cause = f"its shape agrees with its first one by only J = {1 - severity:.2f}, {how}"
    yield _named_case(scores, unit, stretch, "deformation", cause=cause, severity=severity, attributes=attributes)


def _named_case(
    scores: Scores,
    unit: str,
    stretch: tuple[int, int],
    kind: Kind,
    *,
    cause: str,
    severity: float,
    attributes: Sequence[str],
) -> HardCase:
    start, stop = stretch
    curve = scores.units[unit].get("J", np.full(len(scores.frames), np.nan))
    return HardCase(
        kind=kind,
        sequence=scores.sequence,
        unit=unit,
        frames=(scores.frames[start], scores.frames[stop - 1]),
        cause=cause,
        confirmed=ATTRIBUTE[kind] in attributes if attributes else None,
        before=_mean(curve[:start]),
        during=_mean(curve[start:stop]),
        after=_mean(curve[stop:]),
        severity=severity,
    )


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


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

"""Which frame to annotate next, from what `results.jsonl` says of a run.

Each frame and object has an expected error: from its confidence, its flags, jumps of its area and place, and the way
to the nearest annotated frame. An annotation takes away the share of it by which that way becomes shorter. The frame
that takes away most is named first, then the next one as if the first were annotated.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propagate.values import ObjectId

Array = NDArray[np.float64]

# Set by hand; to be calibrated on dev15. A flag that is not named here, says nothing.
FLAGS = {"disputed": 0.5, "cut": 0.5, "swapped": 0.5, "vanished": 0.5, "reappeared": 0.3, "shrunk": 0.3, "border": 0.05}
UNKNOWN = 0.5  # expected error of an object of which a frame says nothing
DRIFT, FAR = (
    0.004,
    0.3,
)  # error that is expected for each frame of way to an annotated one, at most; baselines say no more
ABSENT = 0.1  # of an object that is not there and never was
JUMP = 0.4  # of an object that moved or grew at least twice as much as it may
USUAL = 4.0  # times its median step: so far an object may move, or grow, from one frame to the next
STILL = 0.05  # of its diameter an object may move besides, and of its area it may grow
STILL_POINT = 2.0  # pixels, the same for a point
REST = 0.9  # of a jump's error is left a frame later: what jumped wrongly stays wrong for a while
SPACED = 4  # chosen frames lie at least this part of an even spacing apart
PART = 0.25  # of the most that an object gains: objects that gain less are not named
LOW = 0.7  # confidence that is worth a word


@dataclass(frozen=True)
class NextFrame:
    """A frame that is worth an annotation.

    Attributes:
        frame: its index.
        objects: those that gain by it, the most first; empty where a run says nothing of its objects.
        reasons: why, in words.
        gain: how much expected error it takes away, in frames times objects.
    """

    frame: int
    objects: tuple[ObjectId, ...]
    reasons: tuple[str, ...]
    gain: float


def next_frames(
    lines: Sequence[Mapping[str, Any]],
    *,
    count: int = 1,
    annotated: Collection[int] | None = None,
    candidates: Collection[int] | None = None,
) -> list[NextFrame]:
    """Return the frames that are best annotated next, the best first.

    Args:
        lines: what `results.jsonl` holds, a record a frame, as `formats.results.read` gives it.
        count: how many frames at most.
        annotated: the annotated frames; None for those that the lines call so.
        candidates: the frames that may be chosen; None for all that could be decoded.
    """
    lines = sorted(lines, key=lambda line: int(line["index"]))
    frames = np.array([line["index"] for line in lines], dtype=np.int64)
    known = {line["index"] for line in lines if line["source"] == "annotated"} if annotated is None else {*annotated}
    allowed = {line["index"] for line in lines if line["source"] != "undecodable"}
    allowed = allowed if candidates is None else allowed & {*candidates}
    names, errors, words = _expected(lines, frames, known)
    chosen: list[NextFrame] = []
    while len(chosen) < count and (open_ := spaced(allowed, known)):
        places = np.searchsorted(frames, open_)
        distance = _distances(frames, known)
        gains = _gains(errors, frames, distance, places)  # (C, O)
        best = int(gains.sum(1).argmax())
        frame, place = open_[best], int(places[best])
        objects, reasons = _why(gains[best], names, [word[place] for word in words], distance[place], bool(known))
        chosen.append(NextFrame(frame, objects, reasons, float(gains[best].sum())))
        known.add(frame)
        left = np.divide(_distances(frames, known), distance, out=np.zeros(len(frames)), where=distance > 0)
        errors = errors * left[:, None]
    return chosen


def spaced(frames: Collection[int], annotated: Collection[int]) -> list[int]:
    """Return those of `frames`, ascending, that lie well apart from the annotated ones; all others where none does.

    Well apart is a quarter of the spacing that as many and one more would have if they were even, and two frames.
    """
    others = np.array(sorted(set(frames) - set(annotated)), dtype=np.int64)
    if not len(others) or not annotated:
        return [int(frame) for frame in others]
    ends = [*annotated, int(others[0]), int(others[-1])]
    least = (max(ends) - min(ends) + 1) // (SPACED * (len(annotated) + 1))
    apart = others[_distances(others, annotated) >= max(least, 2)]
    return [int(frame) for frame in (apart if len(apart) else others)]


def expected_errors(lines: Sequence[Mapping[str, Any]]) -> tuple[tuple[ObjectId, ...], Array]:
    """Return the objects of a run, and the expected error of each on each frame, (T, O) in [0, 1]."""
    lines = sorted(lines, key=lambda line: int(line["index"]))
    frames = np.array([line["index"] for line in lines], dtype=np.int64)
    names, errors, _ = _expected(lines, frames, {line["index"] for line in lines if line["source"] == "annotated"})
    return names, errors


def _expected(
    lines: Sequence[Mapping[str, Any]], frames: NDArray[np.int64], known: Collection[int]
) -> tuple[tuple[ObjectId, ...], Array, list[list[tuple[str, ...]]]]:
    """Return the objects, their expected errors (T, O), and of each object the words on each frame."""
    distance = _distances(frames, known)
    given, drift = distance == 0, np.minimum(DRIFT * distance, FAR)  # (T,)
    names = tuple(dict.fromkeys(one["id"] for line in lines for one in line["objects"]))
    if not names:
        return (), drift[:, None], []
    errors, words = [], []
    for name in names:
        states = [next((one for one in line["objects"] if one["id"] == name), None) for line in lines]
        jumps, jumped = _jumps(states, given)
        doubt = np.array([_doubt(state) for state in states])
        errors.append(np.where(given, 0.0, 1 - (1 - doubt) * (1 - jumps) * (1 - drift)))
        words.append([_words(state, bool(jump)) for state, jump in zip(states, jumped, strict=True)])
    return names, np.stack(errors, axis=1), words


def _doubt(state: Mapping[str, Any] | None) -> float:
    """Return the error that an object's confidence and flags let expect."""
    if state is None:
        return UNKNOWN
    flags = [FLAGS[flag] for flag in state["flags"] if flag in FLAGS]
    if not state["visible"] and state["area"] is not None:
        return max([ABSENT, *flags])
    return float(1 - state["confidence"] * np.prod([1 - each for each in flags]))


def _jumps(states: Sequence[Mapping[str, Any] | None], given: NDArray[np.bool_]) -> tuple[Array, NDArray[np.bool_]]:
    """Return (T,) the error that jumps of place and area let expect, and where an object jumps."""
    place, area = np.full((len(states), 2), np.nan), np.full(len(states), np.nan)
    for row, state in enumerate(states):
        if state is not None and state["visible"] and state["centroid"] is not None:
            place[row], area[row] = state["centroid"], state["area"] if state["area"] is not None else np.nan
    diameter = np.sqrt(area)
    free = np.where(np.isnan(diameter), STILL_POINT, STILL * diameter)[1:]
    step = np.hypot(*np.diff(place, axis=0).T)  # (T - 1,)
    growth = np.abs(np.diff(np.log(np.where(area > 0, area, np.nan))))
    beyond = np.fmax(_beyond(step, free), _beyond(growth, np.full(len(growth), STILL)))
    fresh = np.concatenate([[0.0], JUMP * np.nan_to_num(np.clip(beyond, 0, 1))])
    left = fresh.copy()
    for row in range(1, len(left)):  # a short loop over frames, not over pixels
        left[row] = 0.0 if given[row] else max(fresh[row], REST * left[row - 1])
    return left, fresh > 0


def _beyond(steps: Array, free: Array) -> Array:
    """Return how far each step is beyond what is usual, in what is usual; NaN where it is not known."""
    if not np.isfinite(steps).any():
        return np.full(len(steps), np.nan)
    return np.asarray(steps / (USUAL * np.nanmedian(steps) + free) - 1)


def _words(state: Mapping[str, Any] | None, jumped: bool) -> tuple[str, ...]:
    """Return what is odd about an object on a frame."""
    if state is None:
        return ()
    low = state["visible"] and state["confidence"] < LOW
    doubt = [f"confidence {state['confidence']:.2f}"] if low else []
    return (*doubt, *(flag for flag in state["flags"] if flag in FLAGS), *(["jumps"] if jumped else []))


def _distances(frames: NDArray[np.int64], known: Collection[int]) -> Array:
    """Return (T,) how many frames each is away from the nearest of `known`; the number of frames without any."""
    if not known:
        return np.full(len(frames), float(len(frames)))
    given = np.array(sorted(known))
    after = np.searchsorted(given, frames).clip(0, len(given) - 1)
    before = (after - 1).clip(0)
    nearest = np.minimum(np.abs(frames - given[before]), np.abs(frames - given[after]))
    return np.asarray(nearest, dtype=np.float64)


def _gains(errors: Array, frames: NDArray[np.int64], distance: Array, places: NDArray[np.intp]) -> Array:
    """Return (C, O) how much expected error an annotation at each of `places` takes away from each object."""
    parts = []
    for part in np.array_split(places, max(1, len(places) * len(frames) // 2_000_000)):
        nearer = np.minimum(np.abs(frames[part][:, None] - frames), distance)  # (C, T)
        taken = 1 - np.divide(nearer, distance, out=np.ones_like(nearer), where=distance > 0)
        parts.append(taken @ errors)
    return np.concatenate(parts)


def _why(
    gains: Array, names: Sequence[ObjectId], words: Sequence[tuple[str, ...]], away: float, labelled: bool
) -> tuple[tuple[ObjectId, ...], tuple[str, ...]]:
    """Return the objects that gain by an annotation, the most first, and reasons."""
    where = f"{away:.0f} frames from the nearest annotated one" if labelled else "nothing is annotated yet"
    if not names:
        return (), (where,)
    order = [int(row) for row in np.argsort(-gains, kind="stable") if gains[row] >= PART * gains.max()]
    named = [f"{names[row]}: {', '.join(words[row])}" for row in order if words[row]]
    return tuple(names[row] for row in order), (*named, where)

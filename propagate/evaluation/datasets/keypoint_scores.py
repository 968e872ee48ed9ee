"""How far tracked points are from the truth: what the keypoint benchmarks measure alike, and their numbers.

Three normalisers, each under its own name, at .1 to .5:

- PCK: "PCK-instance" as the published scripts compute it (CRW's eval_pck.py, after TimeCycle): the distance over 0.6 x
  the diagonal of the box around those true joints whose prediction is given. A joint that the tracker gave up counts
  neither as right nor as wrong.
- PCKmax: the distance over max(w, h) of the instance's box (CorrFlow 4); a lost joint is wrong.
- PCKstrict: 0.6 x the diagonal of the box around all known true joints; a lost joint is wrong.

"lost" is the share of known points that were said to be absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from propagate.evaluation.protocol import Curve, Measure, Scores
from propagate.metrics.keypoints import (
    box_errors,
    box_side,
    instance_errors,
    pck_over_joints,
    pixel_errors,
    strict_errors,
)

Array = NDArray[np.float64]

KINDS: Mapping[str, str] = {"PCK": "instance", "PCKmax": "max", "PCKstrict": "strict"}  # measure -> curve of a unit
CURVES = (*KINDS.values(), "pixels")
THRESHOLDS = {".1": 0.1, ".2": 0.2, ".3": 0.3, ".4": 0.4, ".5": 0.5}
LOST = Measure("lost", better="lower")
BRIEF = ("PCK@.1", "PCK@.2", "PCK@.5", "PCKmax@.1", "PCKmax@.2", "PCKstrict@.1", "PCKstrict@.2")
MEASURES = (
    *(Measure(f"{kind}@{text}", brief=f"{kind}@{text}" in BRIEF) for kind in KINDS for text in THRESHOLDS),
    LOST,
)


def point_units(
    truth_xy: Array, predicted_xy: Array, *, names: Sequence[str], side: Array | None = None, alone: float | None = None
) -> dict[str, dict[str, Curve]]:
    """Return each point's errors over the frames, as `Scores.units` holds them.

    Points called `animal/part` are normalised by the box of their own animal.

    Args:
        truth_xy: (T, L, 2) pixels, NaN where unknown.
        predicted_xy: (T, L, 2) pixels, NaN where lost.
        names: (L,).
        side: (T,) pixels, the larger side of the instance's box; where it is NaN, and without it, that of the box
            around the true joints.
        alone: what takes the place of relative errors where one true joint alone has no box; None keeps the published
            scripts' rule, by which it is wrong.

    Returns:
        Point -> "instance", "max", "strict" (relative) and "pixels" -> (T,): NaN where it does not count, infinite
        where the point was lost.
    """
    units: dict[str, dict[str, Curve]] = {name: {} for name in names}
    for rows in animals(names).values():
        true, found = truth_xy[:, rows], predicted_xy[:, rows]
        errors = {
            "instance": instance_errors(true, found),
            "max": box_errors(true, found, side=_sides(true, side)),
            "strict": strict_errors(true, found),
            "pixels": pixel_errors(true, found),
        }
        if alone is not None:
            boxless = ~(box_side(true) > 0)
            for kind in ("instance", "max", "strict"):
                errors[kind][boxless] = alone
        for column, row in enumerate(rows):
            units[names[row]] = {kind: error[:, column] for kind, error in errors.items()}
    return units


def boxless_frames(truth_xy: Array, names: Sequence[str]) -> NDArray[np.bool_]:
    """Return (T,) on which frames an animal shows points without a box: one, or several in a place."""
    found = np.zeros(len(truth_xy), dtype=bool)
    for rows in animals(names).values():
        true = truth_xy[:, rows]
        shown: NDArray[np.bool_] = np.any(np.isfinite(true).all(axis=2), axis=1)
        found |= shown & ~(box_side(true) > 0)
    return found


def animals(names: Sequence[str]) -> dict[str, list[int]]:
    """Return the places of each animal's points: the part of `animal/part` before the last slash tells whose it is."""
    groups: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        groups.setdefault(name.rpartition("/")[0], []).append(row)
    return groups


def _sides(truth_xy: Array, side: Array | None) -> Array:
    """Return (T,) the larger side of the instance's box, NaN where it has none."""
    around = box_side(truth_xy)
    chosen = around if side is None else np.where(np.isnan(side), around, side)
    return np.where(chosen > 0, chosen, np.nan)


def pooled(scores: Sequence[Scores]) -> dict[str, float]:
    """Return the measures over all frames of all sequences at once: per point, then the mean over the points.

    That is what the published scripts do with JHMDB's 15 joints; the sequences must have the same points.
    """
    errors = _errors(scores)
    numbers = {
        f"{kind}@{text}": pck_over_joints(errors[curve], threshold=threshold)
        for kind, curve in KINDS.items()
        for text, threshold in THRESHOLDS.items()
    }
    known = ~np.isnan(errors["pixels"])
    lost = float(np.isinf(errors["pixels"][known]).mean()) if known.any() else float("nan")
    return numbers | {LOST.name: lost}


def mean_pixels(scores: Scores) -> float:
    """Return the mean distance in pixels over the points of a sequence that are known and not lost, NaN without any."""
    errors = _errors([scores])["pixels"]
    finite = errors[np.isfinite(errors)]
    return float(finite.mean()) if finite.size else float("nan")


def right_over_time(scores: Scores) -> dict[str, Curve]:
    """Return the share of right points on each frame, (T,), at .1 and .2 and by each normaliser."""
    errors = _errors([scores])
    return {
        f"{kind}@{text}": _share(errors[curve] <= THRESHOLDS[text], ~np.isnan(errors[curve]))
        for kind, curve in KINDS.items()
        for text in (".1", ".2")
    }


def _errors(scores: Sequence[Scores]) -> dict[str, Array]:
    """Return each curve of all units of all sequences, (frames of all, L); in one piece, as a bootstrap asks often."""
    pieces = []
    for one in scores:
        curves = [unit[curve] for curve in CURVES for unit in one.units.values()]
        pieces.append(np.concatenate(curves).reshape(len(CURVES), len(one.units), len(one.frames)))
    return dict(zip(CURVES, np.concatenate(pieces, axis=2).transpose(0, 2, 1), strict=True))


def _share(right: NDArray[np.bool_], known: NDArray[np.bool_]) -> Curve:
    """Return (T,) the share of the known points (T, L) that are right, NaN where none is known."""
    count = known.sum(axis=1)
    share = np.full(len(count), np.nan)
    np.divide((right & known).sum(axis=1), count, out=share, where=count > 0)
    return share

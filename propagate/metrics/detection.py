"""AP^r, average precision of instance masks by region overlap, as VIP is scored.

The definition is Hariharan 2014's (SDS), and AP^r_vol is Li 2017's: the mean over IoU thresholds 0.1, 0.2 ... 0.9. It
is carried out as VIP's authors do (HCPLab-SYSU/ATEN, evaluate/test_inst_part_ap.py; CIHP has the same file). Instances
are the parts of each person ("Instance_ids"), of 19 classes without the background. Per class, all predictions of the
set are ranked by score; each is compared with the true instances of its class in its own frame, and is right when the
best overlap is above the threshold (SDS: not below it). The area under the interpolated precision-recall curve is
averaged over classes, then over thresholds.

In that script a true instance may be found any number of times, so that recall can pass 1; in SDS only the first
counts (`once` here, to be reported under a name of its own). Masks that don't overlap each other cannot differ on this
from a threshold of 0.5 on. Where the script leaves a result to chance, this does not: predictions of equal score are
one step of the curve (there, the order of the files decides), and a class without a true instance is left out (there,
it is 0 or NaN).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from propagate.metrics.masks import mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # of AP^r_vol

FrameMatches = Mapping[str, Any]  # what `frame_matches` returns
Candidates = list[tuple[float, float, int]]  # score, overlap and claim of each prediction of a class


def instance_overlaps(
    truth: NDArray[np.integer], predicted: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the intersection over union of every predicted instance with every true one.

    Args:
        truth: (H, W) instance ids, 0 for the background.
        predicted: (H, W), the same; its ids need not be those of the truth.

    Returns:
        The true ids (T,) and the predicted ids (P,), ascending, and their overlaps (P, T) in [0, 1].

    Raises:
        ValueError: the maps differ in size, or an id is negative.
    """
    if truth.ndim != 2 or truth.shape != predicted.shape:
        raise ValueError(f"instance maps must both be (H, W) of one size, not {truth.shape} and {predicted.shape}")
    (true_ids, true_of), (found_ids, found_of) = _ranked(truth), _ranked(predicted)
    codes = found_of * len(true_ids) + true_of
    shared = np.bincount(codes, minlength=len(found_ids) * len(true_ids)).reshape(len(found_ids), len(true_ids))
    union = shared.sum(axis=1)[:, None] + shared.sum(axis=0)[None, :] - shared  # never 0: every id here has a pixel
    true_kept, found_kept = true_ids != 0, found_ids != 0
    overlaps = (shared / union)[found_kept][:, true_kept]
    return true_ids[true_kept], found_ids[found_kept], overlaps


def _ranked(ids: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the ids (K,) that occur, ascending, and every pixel's place among them, in one line.

    `np.unique` gives the same, but sorts all pixels: 20 ms a megapixel.
    """
    if ids.size and ids.min() < 0:
        raise ValueError(f"an instance id is {ids.min()}, expected 0 or more")
    occurs = np.bincount(ids.ravel()) > 0
    return np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[ids.ravel()]


def frame_matches(
    truth: NDArray[np.integer],
    predicted: NDArray[np.integer],
    *,
    truth_classes: Mapping[int, int],
    predicted_classes: Mapping[int, int],
    scores: Mapping[int, float],
) -> dict[str, Any]:
    """Return what one frame adds to AP^r, as plain data that goes through JSON.

    Args:
        truth: (H, W) instance ids, 0 for the background.
        predicted: (H, W) instance ids, 0 for the background.
        truth_classes: true id -> class; an id without a class is ignored.
        predicted_classes: predicted id -> class; an id without a class is ignored.
        scores: predicted id -> how sure it is; 1 when it is not there.

    Returns:
        "truths": [class, number of true instances] of each class; "found": [class, score, overlap, truth] of each
        predicted instance, with its best IoU with a true instance of its class and that instance's id, or 0.0 and 0.

    Raises:
        ValueError: the maps differ in size, or an id is negative.
    """
    true_ids, found_ids, overlaps = instance_overlaps(truth, predicted)
    classes = np.array([truth_classes.get(int(one), -1) for one in true_ids], dtype=np.int64)
    known = np.array([int(one) in truth_classes for one in true_ids], dtype=bool)
    found: list[list[float]] = []
    for row, one in zip(overlaps, found_ids.tolist(), strict=True):
        if one not in predicted_classes:
            continue
        rivals = np.where(known & (classes == predicted_classes[one]), row, 0.0)
        best = int(rivals.argmax()) if rivals.any() else -1
        overlap, claim = (float(rivals[best]), int(true_ids[best])) if best >= 0 else (0.0, 0)
        found.append([int(predicted_classes[one]), float(scores.get(one, 1.0)), overlap, claim])
    counts = Counter(classes[known].tolist())
    return {"truths": [[kind, counts[kind]] for kind in sorted(counts)], "found": found}


def average_precision(
    scores: NDArray[np.floating],
    overlaps: NDArray[np.floating],
    *,
    truths: int,
    threshold: float,
    claims: NDArray[np.integer] | None = None,
) -> float:
    """Return the area under the interpolated precision-recall curve of one class (VOC 2010, all points).

    Args:
        scores: (N,), the surer the higher; equal scores are accepted or refused together.
        overlaps: (N,) best IoU of each prediction with a true instance.
        truths: how many true instances there are.
        threshold: a prediction is right when its overlap is above this.
        claims: (N,) which true instance each prediction found; of several right ones the surest counts, the others are
            wrong. When None all of them are right, as in VIP's own script.

    Returns:
        Average precision in [0, 1] (above 1 when claims are not given and an instance was found twice); NaN when there
        is no true instance.

    Raises:
        ValueError: the arrays differ in length, or a score is NaN.
    """
    if scores.ndim != 1 or scores.shape != overlaps.shape or (claims is not None and claims.shape != scores.shape):
        raise ValueError(f"scores, overlaps and claims must be (N,), not {scores.shape} and {overlaps.shape}")
    if np.isnan(scores).any():
        raise ValueError("a score is NaN; every prediction needs a place in the ranking")
    if not truths:
        return float("nan")
    if not len(scores):
        return 0.0
    order = np.argsort(-scores, kind="stable")
    right = overlaps[order] > threshold
    if claims is not None:
        right = _first_claims(right, claims[order])
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # the last of each run of equal scores
    hits = np.cumsum(right)[ends]
    precision = np.maximum.accumulate((hits / (ends + 1))[::-1])[::-1]  # the best at this recall or beyond
    return float(np.sum(np.diff(hits, prepend=0) / truths * precision))


def _first_claims(right: NDArray[np.bool_], claims: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return `right` (N,) with only the first right claim of each true instance left."""
    places = np.flatnonzero(right)
    _, first = np.unique(claims[places], return_index=True)
    kept = np.zeros_like(right)
    kept[places[first]] = True
    return kept


def class_ap(frames: Sequence[FrameMatches], *, threshold: float, once: bool = False) -> dict[int, float]:
    """Return the average precision of each class that the truth holds.

    Args:
        frames: what `frame_matches` gave for every frame of every video of the set, a frame without predictions too.
        threshold: an overlap above this is right.
        once: a true instance can be found once only (Hariharan), not any number of times (VIP's script).

    Returns:
        class -> average precision, classes ascending.
    """
    truths, candidates = _by_class(frames)
    return {kind: _ap(candidates[kind], truths[kind], threshold=threshold, once=once) for kind in sorted(truths)}


def mean_ap(frames: Sequence[FrameMatches], *, threshold: float, once: bool = False) -> float:
    """Return AP^r at one threshold: the mean of `class_ap` over the classes that the truth holds, NaN without any."""
    return mean(np.array(list(class_ap(frames, threshold=threshold, once=once).values()), dtype=np.float64))


def ap_volume(frames: Sequence[FrameMatches], *, thresholds: Sequence[float] = THRESHOLDS, once: bool = False) -> float:
    """Return AP^r_vol: the mean over `thresholds` of `mean_ap`, NaN when there is no true instance."""
    truths, candidates = _by_class(frames)
    return mean(
        np.array([_ap(candidates[kind], truths[kind], threshold=at, once=once) for at in thresholds for kind in truths])
    )


def _by_class(frames: Sequence[FrameMatches]) -> tuple[Counter[int], defaultdict[int, Candidates]]:
    """Return class -> number of true instances, and class -> its predictions, over all frames.

    A claim is the id of a true instance made unique over the set: the frame's place is its upper part.
    """
    truths: Counter[int] = Counter()
    candidates: defaultdict[int, Candidates] = defaultdict(list)
    for place, matches in enumerate(frames):
        for kind, count in matches["truths"]:
            truths[int(kind)] += int(count)
        for kind, score, overlap, truth in matches["found"]:
            candidates[int(kind)].append((score, overlap, (place << 32) + int(truth)))
    return truths, candidates


def _ap(candidates: Candidates, truths: int, *, threshold: float, once: bool) -> float:
    scores = np.array([score for score, _, _ in candidates], dtype=np.float64)
    overlaps = np.array([overlap for _, overlap, _ in candidates], dtype=np.float64)
    claims = np.array([claim for _, _, claim in candidates], dtype=np.int64) if once else None
    return average_precision(scores, overlaps, truths=truths, threshold=threshold, claims=claims)


def confusion(
    truth: NDArray[np.integer], predicted: NDArray[np.integer], *, classes: int, void: int | None = None
) -> NDArray[np.int64]:
    """Return how many pixels of each true class were given each class.

    Matrices add up over frames and videos; VIP's mean IoU is taken of one matrix over the whole set (ATEN's
    evaluate/test_parsing.py, and CRW's eval_vip.py).

    Args:
        truth: (H, W) class of each pixel, 0 to `classes` - 1, or `void`.
        predicted: (H, W) class of each pixel; what it says on void pixels does not matter.
        classes: C, background included.
        void: the id of pixels whose class is unknown; they don't count.

    Returns:
        (C, C) counts, rows truth, columns prediction.

    Raises:
        ValueError: the maps differ in size, or a pixel that counts has a class outside 0 to C - 1.
    """
    if truth.ndim != 2 or truth.shape != predicted.shape:
        raise ValueError(f"class maps must both be (H, W) of one size, not {truth.shape} and {predicted.shape}")
    counted = np.ones(truth.shape, dtype=bool) if void is None else truth != void
    true, found = truth[counted].astype(np.int64), predicted[counted].astype(np.int64)
    for name, ids in (("truth", true), ("prediction", found)):
        strange = np.unique(ids[(ids < 0) | (ids >= classes)])
        if strange.size:
            raise ValueError(f"the {name} holds class {strange[0]}, expected 0 to {classes - 1}")
    return np.bincount(true * classes + found, minlength=classes * classes).reshape(classes, classes)


def class_iou(confusion: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the intersection over union of each class.

    Args:
        confusion: (C, C) counts, rows truth.

    Returns:
        (C,) in [0, 1], NaN for a class that is in neither truth nor prediction.
    """
    shared = np.diag(confusion).astype(np.float64)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - shared
    iou = np.full(shared.shape, np.nan)
    np.divide(shared, union, out=iou, where=union > 0)
    return iou


def mean_iou(confusion: NDArray[np.integer]) -> float:
    """Return the mean IoU over the classes that occur, background among them; NaN when nothing was counted.

    Args:
        confusion: (C, C) counts, rows truth.
    """
    return mean(class_iou(confusion))

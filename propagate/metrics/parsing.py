"""Semantic parts: the confusion matrix of class maps, and the intersection over union that follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from propagate.metrics.over_frames import mean

if TYPE_CHECKING:
    from numpy.typing import NDArray


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

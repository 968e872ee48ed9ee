"""What the true masks say of a sequence: sizes, contact with the border, and change of shape, per object and frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from propagate.evaluation.datasets.davis_masks import Truth


def facts_of(truth: Truth) -> dict[str, Any]:
    """Return plain data about the true masks, by which hard cases are found.

    Returns:
        objects: how many; frames: of the video; size: [width, height] in pixels; and by the object's id as text:
        first_area: share of the picture on the first frame; areas: the same per scored frame; border: per scored
        frame, whether the mask touches the picture's border; shape: per scored frame, how much the mask differs from
        the first one when their centroids lie on each other, 1 - J in [0, 1]; 0 where one of the two is empty.
    """
    height, width = truth.masks[0].shape
    numbers = range(1, truth.objects + 1)
    scored = [truth.masks[place] for place in truth.scored]
    first = {number: centred(truth.masks[0] == number) for number in numbers}
    return {
        "objects": truth.objects,
        "frames": len(truth.stems),
        "size": [width, height],
        "first_area": {str(number): len(first[number]) / (height * width) for number in numbers},
        "areas": {str(number): [float(np.mean(mask == number)) for mask in scored] for number in numbers},
        "border": {str(number): [touches_border(mask == number) for mask in scored] for number in numbers},
        "shape": {
            str(number): [shape_change(first[number], centred(mask == number)) for mask in scored] for number in numbers
        },
    }


def touches_border(mask: NDArray[np.bool_]) -> bool:
    """Return whether a mask (H, W) reaches the picture's border."""
    return bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())


def centred(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the pixels (N, 2) row, column of a mask (H, W), counted from its centroid, rounded to whole pixels."""
    pixels = np.argwhere(mask)
    return pixels - np.round(pixels.mean(axis=0)).astype(np.int64) if len(pixels) else pixels


def shape_change(first: NDArray[np.int64], later: NDArray[np.int64]) -> float:
    """Return 1 - J of two sets of pixels (N, 2) and (M, 2), 0 when one is empty."""
    if not len(first) or not len(later):
        return 0.0
    both = np.concatenate([first, later])
    low = both.min(axis=0)
    canvas = np.zeros(both.max(axis=0) - low + 1, dtype=np.uint8)
    canvas[tuple((first - low).T)] = 1
    canvas[tuple((later - low).T)] += 2
    return 1.0 - float(np.count_nonzero(canvas == 3) / np.count_nonzero(canvas))

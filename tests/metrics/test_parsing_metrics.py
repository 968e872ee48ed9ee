from __future__ import annotations

import math

import numpy as np
import pytest

from propagate.metrics.detection import class_iou, confusion, mean_iou

TRUTH = np.array([[0, 0, 1, 1], [0, 0, 1, 255]], dtype=np.uint8)
FOUND = np.array([[0, 1, 1, 1], [0, 2, 1, 0]], dtype=np.uint8)


def test_confusion_counts_by_true_row_and_leaves_out_void() -> None:
    counts = confusion(TRUTH, FOUND, classes=4, void=255)
    assert counts.tolist() == [[2, 1, 1, 0], [0, 3, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert counts.dtype == np.int64


def test_iou_by_hand_and_a_class_in_neither_is_left_out() -> None:
    counts = confusion(TRUTH, FOUND, classes=4, void=255)
    # 0: 2 shared of 4 true and 2 found; 1: 3 of 3 and 4; 2: found once, never true; 3: nowhere
    np.testing.assert_allclose(class_iou(counts), [2 / 4, 3 / 4, 0.0, np.nan])
    assert mean_iou(counts) == pytest.approx((0.5 + 0.75 + 0) / 3)


def test_matrices_add_up_over_frames() -> None:
    twice = confusion(np.vstack([TRUTH, TRUTH]), np.vstack([FOUND, FOUND]), classes=4, void=255)
    assert np.array_equal(twice, 2 * confusion(TRUTH, FOUND, classes=4, void=255))


def test_what_is_predicted_on_void_does_not_matter() -> None:
    wild = np.where(TRUTH == 255, 99, FOUND)
    assert np.array_equal(confusion(TRUTH, wild, classes=4, void=255), confusion(TRUTH, FOUND, classes=4, void=255))


def test_all_void_gives_no_number() -> None:
    counts = confusion(np.full((3, 3), 255), np.zeros((3, 3), dtype=int), classes=2, void=255)
    assert counts.sum() == 0
    assert math.isnan(mean_iou(counts))


def test_a_strange_class_is_named() -> None:
    with pytest.raises(ValueError, match="the truth holds class 255, expected 0 to 3"):
        confusion(TRUTH, FOUND, classes=4)
    with pytest.raises(ValueError, match="the prediction holds class 2, expected 0 to 1"):
        confusion(TRUTH, FOUND, classes=2, void=255)
    with pytest.raises(ValueError, match="the truth holds class -1"):
        confusion(np.full((2, 2), -1), np.zeros((2, 2), dtype=int), classes=2)


def test_maps_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one size, not \(2, 4\) and \(1, 4\)"):
        confusion(TRUTH, FOUND[:1], classes=4)

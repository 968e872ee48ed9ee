from __future__ import annotations

import math

import numpy as np
import pytest

from propagate.metrics.color import mean_delta_e
from propagate.metrics.keypoints import box_side, pixel_errors

TRUTH = np.array([[0.0, 0.0], [10.0, 0.0], [np.nan, np.nan], [0.0, 20.0]])
FOUND = np.array([[3.0, 4.0], [10.0, 0.0], [1.0, 1.0], [np.nan, np.nan]])


def test_errors_of_unknown_and_absent_points() -> None:
    np.testing.assert_array_equal(pixel_errors(TRUTH, FOUND), [5.0, 0.0, np.nan, np.inf])


def test_box_side_ignores_unknown_points() -> None:
    np.testing.assert_array_equal(box_side(np.stack([TRUTH, np.full_like(TRUTH, np.nan)])), [20.0, np.nan])


def test_points_of_two_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one shape, not \(4, 2\) and \(3, 2\)"):
        pixel_errors(TRUTH, FOUND[:3])


def test_black_against_white_is_a_hundred() -> None:
    black = np.zeros((4, 5, 3), dtype=np.uint8)
    assert mean_delta_e(black, black + 255) == pytest.approx(100, abs=1e-3)
    assert mean_delta_e(black, black) == 0.0


def test_only_the_chosen_pixels_count() -> None:
    black = np.zeros((4, 5, 3), dtype=np.uint8)
    half = black.copy()
    half[:2] = 255
    where = np.zeros((4, 5), dtype=bool)
    assert math.isnan(mean_delta_e(black, half, where=where))
    where[1:3] = True
    assert mean_delta_e(black, half, where=where) == pytest.approx(50, abs=1e-3)

from __future__ import annotations

import math

import numpy as np
import pytest

from propagate.metrics.keypoints import box_errors, instance_errors, pck_over_joints, strict_errors

NAN, INF = np.nan, np.inf
TRUTH = np.array([[[0.0, 0.0], [30.0, 40.0], [300.0, 400.0]]])  # diagonals 50 without, 500 with the third


def test_a_lost_joint_leaves_box_and_score_in_the_published_way_only() -> None:
    found = np.array([[[0.0, 3.0], [30.0, 49.0], [NAN, NAN]]])
    # published: unit 0.6 * 50 = 30; strict: 0.6 * 500 = 300
    np.testing.assert_allclose(instance_errors(TRUTH, found), [[0.1, 0.3, NAN]])
    np.testing.assert_allclose(strict_errors(TRUTH, found), [[0.01, 0.03, INF]])


def test_all_joints_in_view_give_both_the_same_unit() -> None:
    found = TRUTH + np.array([30.0, 0.0])
    np.testing.assert_allclose(instance_errors(TRUTH, found), [[0.1, 0.1, 0.1]])
    np.testing.assert_allclose(strict_errors(TRUTH, found), [[0.1, 0.1, 0.1]])


def test_each_frame_has_its_own_unit() -> None:
    truth = np.concatenate([TRUTH, TRUTH * 2])
    np.testing.assert_allclose(strict_errors(truth, truth + np.array([0.0, 30.0])), [[0.1] * 3, [0.05] * 3])


def test_unknown_truth_is_outside_box_and_score() -> None:
    truth = TRUTH.copy()
    truth[0, 2] = NAN
    found = np.array([[[0.0, 3.0], [30.0, 40.0], [7.0, 7.0]]])
    for errors in (instance_errors, strict_errors):
        np.testing.assert_allclose(errors(truth, found), [[0.1, 0.0, NAN]])


def test_a_box_of_one_point() -> None:
    truth, found = TRUTH[:, :1], np.array([[[0.0, 0.0]]])
    # the scripts divide 0 by 0, and NaN is not below any threshold
    assert instance_errors(truth, found).tolist() == [[INF]]
    assert strict_errors(truth, found).tolist() == [[0.0]]
    assert instance_errors(truth, found + 1).tolist() == strict_errors(truth, found + 1).tolist() == [[INF]]


def test_everything_lost_or_unknown() -> None:
    nothing = np.full_like(TRUTH, NAN)
    np.testing.assert_array_equal(instance_errors(TRUTH, nothing), [[NAN] * 3])
    np.testing.assert_array_equal(strict_errors(TRUTH, nothing), [[INF] * 3])
    np.testing.assert_array_equal(box_errors(TRUTH, nothing, side=np.array([10.0])), [[INF] * 3])
    for errors in (instance_errors, strict_errors):
        np.testing.assert_array_equal(errors(nothing, TRUTH), [[NAN] * 3])
        assert errors(TRUTH[:0], TRUTH[:0]).shape == (0, 3)


def test_errors_in_sides_of_the_box() -> None:
    truth = np.concatenate([TRUTH, TRUTH, TRUTH])
    found = truth + np.array([3.0, 4.0])
    found[0, 0] = NAN
    errors = box_errors(truth, found, side=np.array([50.0, 100.0, NAN]))
    np.testing.assert_allclose(errors, [[INF, 0.1, 0.1], [0.05] * 3, [NAN] * 3])


def test_a_side_for_each_frame_is_asked_for() -> None:
    with pytest.raises(ValueError, match=r"one for each of 1 frames, not \(2,\)"):
        box_errors(TRUTH, TRUTH, side=np.ones(2))


def test_the_inputs_are_left_alone() -> None:
    truth, found = TRUTH.copy(), np.full_like(TRUTH, NAN)
    instance_errors(truth, found)
    assert np.array_equal(truth, TRUTH)
    assert np.isnan(found).all()


def test_pck_is_the_mean_over_joints_not_over_points() -> None:
    errors = np.array([[0.1, 0.3, NAN], [0.2, NAN, NAN], [INF, NAN, NAN]])
    # at 0.2: the first joint 2 of 3, the second 0 of 1, the third was never counted
    assert pck_over_joints(errors, threshold=0.2) == pytest.approx((2 / 3 + 0) / 2)
    assert pck_over_joints(errors, threshold=0.3) == pytest.approx((2 / 3 + 1) / 2)  # 0.3 itself is right
    assert pck_over_joints(errors, threshold=0.05) == 0.0


@pytest.mark.parametrize("errors", [np.full((4, 2), NAN), np.zeros((0, 15))])
def test_pck_of_nothing_is_no_number(errors: np.ndarray) -> None:
    assert math.isnan(pck_over_joints(errors, threshold=0.1))


def test_pck_asks_for_frames_by_joints() -> None:
    with pytest.raises(ValueError, match=r"errors must be \(N, L\), not \(3,\)"):
        pck_over_joints(np.zeros(3), threshold=0.1)

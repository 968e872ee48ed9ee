from __future__ import annotations

import json
import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propagate.metrics.detection import (
    THRESHOLDS,
    ap_volume,
    average_precision,
    class_ap,
    frame_matches,
    instance_overlaps,
    mean_ap,
)

TRUTH = np.array([[1, 1, 2, 2], [1, 1, 2, 2]], dtype=np.uint8)
FOUND = np.array([[5, 5, 5, 6], [5, 5, 0, 6]], dtype=np.uint8)


def precision_by_hand(right: list[bool], truths: int) -> float:
    """Average precision by its definition: at each step of recall the best precision at this recall or beyond."""
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(right) + 1)
    steps = [place for place, one in enumerate(right) if one]
    return sum(precision[place:].max() for place in steps) / truths


def test_overlaps_by_hand() -> None:
    true_ids, found_ids, overlaps = instance_overlaps(TRUTH, FOUND)
    assert (true_ids.tolist(), found_ids.tolist()) == ([1, 2], [5, 6])
    # 5 has 5 pixels, 4 of them on 1 and 1 on 2; 6 has 2 pixels, both on 2; 1 and 2 have 4 each
    np.testing.assert_allclose(overlaps, [[4 / 5, 1 / 8], [0, 2 / 4]])


def test_overlaps_of_empty_maps() -> None:
    empty = np.zeros((2, 4), dtype=np.uint8)
    assert instance_overlaps(empty, FOUND)[2].shape == (2, 0)
    assert instance_overlaps(TRUTH, empty)[2].shape == (0, 2)
    assert instance_overlaps(empty, empty)[2].shape == (0, 0)


def test_a_map_without_background_loses_no_instance() -> None:
    assert instance_overlaps(TRUTH, TRUTH)[2].tolist() == [[1, 0], [0, 1]]


def test_maps_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one size, not \(2, 4\) and \(2, 3\)"):
        instance_overlaps(TRUTH, FOUND[:, :3])


def test_a_negative_id_is_refused() -> None:
    with pytest.raises(ValueError, match="an instance id is -1, expected 0 or more"):
        instance_overlaps(TRUTH, FOUND.astype(int) - 1)


def test_ids_of_sixteen_bits_are_taken() -> None:
    true_ids, _, overlaps = instance_overlaps(TRUTH.astype(np.uint16) * 30000, FOUND)
    assert true_ids.tolist() == [30000, 60000]
    np.testing.assert_allclose(overlaps, [[4 / 5, 1 / 8], [0, 2 / 4]])


def test_matches_compare_only_within_a_class_and_go_through_json() -> None:
    matches = frame_matches(
        TRUTH, FOUND, truth_classes={1: 3, 2: 4, 9: 4}, predicted_classes={5: 4, 6: 4}, scores={5: 0.25}
    )
    # 5 is best on 1, but 1 is of another class; the true id 9 has no pixel
    expected = {"truths": [[3, 1], [4, 1]], "found": [[4, 0.25, 1 / 8, 2], [4, 1.0, 0.5, 2]]}
    assert json.loads(json.dumps(matches)) == expected


def test_an_instance_of_a_class_without_truth_finds_nothing() -> None:
    matches = frame_matches(TRUTH, FOUND, truth_classes={1: 3}, predicted_classes={5: 7, 6: 3}, scores={})
    assert matches == {"truths": [[3, 1]], "found": [[7, 1.0, 0.0, 0], [3, 1.0, 0.0, 0]]}


def test_ids_without_a_class_are_ignored() -> None:
    matches = frame_matches(TRUTH, FOUND, truth_classes={}, predicted_classes={}, scores={})
    assert matches == {"truths": [], "found": []}


def test_average_precision_by_hand() -> None:
    scores, overlaps = np.array([0.6, 0.9, 0.7, 0.8]), np.array([0.9, 0.8, 0.6, 0.2])
    # ranked: right, wrong, right, right; precision at the hits 1, 2/3, 3/4, at best from there on 1, 3/4, 3/4
    assert average_precision(scores, overlaps, truths=3, threshold=0.5) == pytest.approx((1 + 0.75 + 0.75) / 3)
    assert average_precision(scores, overlaps, truths=5, threshold=0.5) == pytest.approx((1 + 0.75 + 0.75) / 5)
    assert average_precision(scores, overlaps, truths=3, threshold=0.85) == pytest.approx(1 / 4 / 3)


def test_an_overlap_equal_to_the_threshold_is_not_enough() -> None:
    assert average_precision(np.ones(1), np.array([0.5]), truths=1, threshold=0.5) == 0.0


def test_nothing_found_is_nothing_and_nothing_true_is_no_number() -> None:
    none = np.zeros(0)
    assert average_precision(none, none, truths=2, threshold=0.5) == 0.0
    assert math.isnan(average_precision(none, none, truths=0, threshold=0.5))
    assert math.isnan(average_precision(np.ones(1), np.ones(1), truths=0, threshold=0.5))


def test_of_two_claims_the_surest_counts_once() -> None:
    scores, overlaps = np.array([0.9, 0.8, 0.7]), np.array([0.4, 0.45, 0.6])
    claims = np.array([1, 1, 2])
    # each truth once: right, wrong, right: 1 and 2/3 over 2 truths
    once = average_precision(scores, overlaps, truths=2, threshold=0.3, claims=claims)
    assert once == pytest.approx((1 + 2 / 3) / 2)
    # VIP's script: all three are right, recall 3/2
    assert average_precision(scores, overlaps, truths=2, threshold=0.3) == pytest.approx(3 / 2)
    # the surest does not reach 0.42, so it does not hold the place
    later = average_precision(scores, overlaps, truths=2, threshold=0.42, claims=claims)
    assert later == pytest.approx((2 / 3 + 2 / 3) / 2)


def test_equal_scores_are_one_step_in_any_order() -> None:
    rows = [(0.5, 0.9, 1), (0.5, 0.1, 2), (0.5, 0.8, 1), (0.9, 0.7, 3)]
    for order in permutations(rows):
        scores, overlaps, claims = (np.array(column) for column in zip(*order, strict=True))
        # after the first: 1 of 1; after the tie: 3 right of 4, or 2 of 4 when truth 1 counts once
        script = average_precision(scores, overlaps, truths=4, threshold=0.5)
        assert script == pytest.approx((1 + 2 * 3 / 4) / 4)
        once = average_precision(scores, overlaps, truths=4, threshold=0.5, claims=claims)
        assert once == pytest.approx((1 + 2 / 4) / 4)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 1), max_size=12), st.integers(0, 3))
def test_average_precision_equals_its_definition(overlaps: list[float], missed: int) -> None:
    right = [overlap > 0.5 for overlap in overlaps]
    truths = max(1, sum(right) + missed)
    scores = np.arange(len(overlaps), 0, -1.0)
    found = average_precision(scores, np.array(overlaps, dtype=float), truths=truths, threshold=0.5)
    assert found == pytest.approx(precision_by_hand(right, truths))
    assert 0 <= found <= 1


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \(N,\), not \(2,\) and \(3,\)"):
        average_precision(np.ones(2), np.ones(3), truths=1, threshold=0.5)
    with pytest.raises(ValueError, match="a score is NaN"):
        average_precision(np.array([np.nan]), np.ones(1), truths=1, threshold=0.5)


def frames() -> list[dict[str, object]]:
    """Two frames, classes 3 and 4, and 8 which is never true."""
    first = {"truths": [[3, 1], [4, 2]], "found": [[3, 0.9, 0.75, 1], [4, 0.8, 0.35, 2], [4, 0.6, 0.35, 2]]}
    second = {"truths": [[3, 1]], "found": [[3, 0.95, 0.15, 1], [8, 1.0, 0.0, 0]]}
    return [first, second]


def test_classes_are_ranked_over_all_frames() -> None:
    # 3: the surer one is wrong at 0.5, then one right: 1/2 of 2 truths. 4: nothing above 0.5. 8 is never true.
    assert class_ap(frames(), threshold=0.5) == {3: pytest.approx(1 / 4), 4: 0.0}
    assert mean_ap(frames(), threshold=0.5) == pytest.approx(1 / 8)
    # at 0.3 both of 4 are right: twice in the script; once: 1 and no more of 2 truths
    assert class_ap(frames(), threshold=0.3)[4] == pytest.approx(1.0)
    assert class_ap(frames(), threshold=0.3, once=True)[4] == pytest.approx(1 / 2)


def test_the_same_id_on_two_frames_is_two_instances() -> None:
    both = [{"truths": [[3, 1]], "found": [[3, 1.0, 0.9, 1]]}] * 2
    assert class_ap(both, threshold=0.5, once=True) == {3: 1.0}


def test_volume_is_the_mean_over_thresholds() -> None:
    # class 3 (truths 2): at 0.1 both right: 1. At 0.2 to 0.7: 1/4. At 0.8 and 0.9: 0. Class 4: 1 at 0.1 to 0.3, else 0.
    three, four = 1 + 6 / 4, 3.0
    assert ap_volume(frames()) == pytest.approx((three + four) / 2 / 9)
    assert ap_volume(frames(), once=True) == pytest.approx((three + four / 2) / 2 / 9)
    assert ap_volume(frames()) == pytest.approx(np.mean([mean_ap(frames(), threshold=at) for at in THRESHOLDS]))
    assert ap_volume(frames(), thresholds=[0.5]) == pytest.approx(mean_ap(frames(), threshold=0.5))


@pytest.mark.parametrize("nothing", [[], [{"truths": [], "found": [[3, 1.0, 0.0, 0]]}]])
def test_without_truth_there_is_no_number(nothing: list[dict[str, object]]) -> None:
    assert class_ap(nothing, threshold=0.5) == {}
    assert math.isnan(mean_ap(nothing, threshold=0.5))
    assert math.isnan(ap_volume(nothing))


def test_a_frame_without_predictions_still_asks_for_its_truths() -> None:
    empty = frame_matches(TRUTH, np.zeros_like(FOUND), truth_classes={1: 3, 2: 3}, predicted_classes={}, scores={})
    perfect = frame_matches(TRUTH, TRUTH, truth_classes={1: 3, 2: 3}, predicted_classes={1: 3, 2: 3}, scores={})
    assert mean_ap([perfect], threshold=0.9) == 1.0
    assert mean_ap([perfect, empty], threshold=0.9) == 0.5

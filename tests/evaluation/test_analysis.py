from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluation.synthetic_benchmark import Synthetic, scores_of
from scipy.stats import contingency

from propagate.evaluation.analysis.by_group import (
    by_object_count,
    by_object_size,
    gain_by_attribute,
    score_over_time,
    timed_measures,
)
from propagate.evaluation.analysis.failures import odds_of_failure, ratio_and_spread
from propagate.evaluation.protocol import Measure, Scores
from propagate.evaluation.results import MethodResult, SweepPoint, featured, flow_of, ranked_sequences, shared_scores

BENCHMARK = Synthetic()
FIRST = BENCHMARK.measures[0]


def test_time_runs_to_the_median_length() -> None:
    scores = [scores_of("a", [1, 1]), scores_of("b", [0, 0.5, 0.7]), scores_of("c", [0.5, np.nan, 0.1, 0.2, 0.3])]
    curve = score_over_time(BENCHMARK, scores, measure=FIRST)
    assert curve is not None
    assert curve.measure.name == "J-Mean"
    np.testing.assert_array_equal(curve.frames, [1, 2, 3])
    np.testing.assert_allclose(curve.values, [0.5, (1 + 0.5 + 0.3) / 3, 0.4])  # c runs straight over its gap
    np.testing.assert_array_equal(curve.counts, [3, 3, 2])


def test_time_goes_by_frame_number_where_few_are_scored() -> None:
    sparse = replace(scores_of("b", [0.2, 0.4]), frames=(5, 10))
    curve = score_over_time(BENCHMARK, [replace(scores_of("a", [0.6, 0.8]), frames=(5, 9)), sparse], measure=FIRST)
    assert curve is not None
    np.testing.assert_array_equal(curve.frames, [5, 6, 7, 8, 9])
    np.testing.assert_allclose(curve.values, [0.4, 0.445, 0.49, 0.535, 0.58])  # b rises by 0.04 a frame


def test_no_curve_no_plot_against_time() -> None:
    assert timed_measures(Synthetic(measures=(Measure("mIoU"),)), [scores_of("a", [0.1])]) == []
    assert score_over_time(BENCHMARK, [], measure=FIRST) is None
    assert score_over_time(BENCHMARK, [scores_of("a", [np.nan])], measure=FIRST) is None


def test_attributes_are_sorted_by_relative_gain() -> None:
    ours = [scores_of("a", [0.6]), scores_of("b", [0.8]), scores_of("c", [0.3])]
    flow = [scores_of("a", [0.5]), scores_of("b", [0.4]), scores_of("c", [0.0])]
    rows = gain_by_attribute(
        BENCHMARK, ours, other=flow, attributes={"a": ("FM", "OCC"), "b": ("OCC",), "c": ("SV",), "d": ("DB",)}
    )
    assert [row.attribute for row in rows] == ["OCC", "FM", "SV"]
    assert (rows[0].count, rows[0].ours, rows[0].other) == (2, pytest.approx(0.7), pytest.approx(0.45))
    assert [row.gain for row in rows[:2]] == pytest.approx([0.7 / 0.45 - 1, 0.2])
    assert np.isnan(rows[2].gain)  # nothing is a share of 0
    assert gain_by_attribute(BENCHMARK, ours, other=flow, attributes={}) == ()


def test_a_gain_where_lower_is_better() -> None:
    lower = Synthetic(measures=(Measure("lost", better="lower"),))
    ours, other = [scores_of("a", [0.4, 0.6, 0.6, 0.6])], [scores_of("a", [0.4, 0.4, 0.6, 0.6])]
    (row,) = gain_by_attribute(lower, ours, other=other, attributes={"a": ("FM",)})
    assert (row.ours, row.other, row.gain) == (25, 50, 0.5)


def test_groups_by_number_of_objects() -> None:
    one, two = {"objects": 1}, {"objects": 2}
    scores = [
        scores_of("a", [0.2], facts=one),
        scores_of("b", [0.4], facts=one),
        scores_of("c", [0.5], [0.7], facts=two),
        scores_of("d", [1.0]),
    ]
    rows = by_object_count(BENCHMARK, scores)
    assert [(row.group, row.count) for row in rows] == [("1 object", 2), ("2 objects", 1)]
    assert [row.value for row in rows] == pytest.approx([0.3, 0.6])
    assert by_object_count(BENCHMARK, scores[3:]) == ()


def test_thirds_of_objects_by_their_first_area() -> None:
    first = scores_of("a", [0.9], [0.1], [0.5], facts={"first_area": {"1": 0.3, "2": 0.01, "3": 0.05}})
    second = scores_of("b", [0.3], [0.8], [0.6], facts={"first_area": {"1": 0.02, "2": 0.2, "3": 0.1}})
    rows = by_object_size(BENCHMARK, [first, second])
    assert [row.group for row in rows] == ["small, 1 to 2 %", "middle, 5 to 10 %", "large, 20 to 30 %"]
    assert [row.count for row in rows] == [2, 2, 2]
    assert [row.value for row in rows] == pytest.approx([0.2, 0.55, 0.85])
    assert by_object_size(BENCHMARK, [scores_of("a", [1], [1], facts={"first_area": {"1": 0.1}})]) == ()


def colored(sequence: str, j: list[float], color: list[float]) -> Scores:
    return Scores(sequence, tuple(range(len(j))), {"1": {"J": np.array(j), "color": np.array(color)}})


def test_odds_of_a_table_counted_by_hand() -> None:
    # colours: median of 0 .. 9 is 4.5, so the first five fail; tracking fails on 0, 1, 2, 3 and 7
    j = [0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.1, 0.5, 0.9]
    found = odds_of_failure([colored("a", j[:5], [0, 1, 2, 3, 4]), colored("b", [*j[5:], 0], [5, 6, 7, 8, 9, np.nan])])
    assert found is not None
    assert found.table == ((4, 1), (1, 4))
    assert (found.ratio, found.median, found.corrected) == (16.0, 4.5, False)
    assert (found.events, found.sequences) == (10, 2)
    ready = contingency.odds_ratio(np.array(found.table), kind="sample")
    assert found.ratio == pytest.approx(ready.statistic)
    assert found.woolf == pytest.approx(tuple(ready.confidence_interval(0.95)), rel=1e-6)
    assert found.clustered[0] <= found.ratio


def test_an_empty_cell_is_corrected_and_said() -> None:
    ratio, spread = ratio_and_spread(np.array([[2, 0], [1, 3]]))
    assert ratio == pytest.approx(2.5 * 3.5 / (0.5 * 1.5))
    assert spread == pytest.approx(np.sqrt(1 / 2.5 + 1 / 0.5 + 1 / 1.5 + 1 / 3.5))
    found = odds_of_failure([colored("a", [0.1, 0.1, 0.9, 0.9], [0.1, 0.2, 0.8, 0.9])])
    assert found is not None
    assert found.corrected
    assert found.ratio == pytest.approx(25.0)
    assert np.isnan(found.clustered).all()  # one sequence says nothing of others


def test_independent_failures_have_odds_around_one() -> None:
    random = np.random.default_rng(0)
    scores = [colored(f"s{n}", list(random.uniform(0, 1, 200)), list(random.uniform(0, 1, 200))) for n in range(10)]
    found = odds_of_failure(scores, resamples=100)
    assert found is not None
    assert found.woolf[0] < 1 < found.woolf[1]
    assert found.clustered[0] < 1 < found.clustered[1]
    assert found == odds_of_failure(scores, resamples=100)


def test_repeated_frames_widen_only_the_clustered_interval() -> None:
    random = np.random.default_rng(1)
    pairs = random.uniform(0, 1, (12, 2))
    scores = [colored(f"s{n}", [j] * 50, [color] * 50) for n, (j, color) in enumerate(pairs)]
    found = odds_of_failure(scores, resamples=300)
    assert found is not None
    assert found.clustered[1] / found.clustered[0] > 2 * found.woolf[1] / found.woolf[0]


def test_no_colours_no_odds() -> None:
    assert odds_of_failure([scores_of("a", [0.1, 0.2])]) is None
    assert odds_of_failure([]) is None


def test_the_report_is_about_the_best_that_is_no_baseline() -> None:
    results = [
        MethodResult(n, {}, {"J-Mean": v})
        for n, v in (("flow@raft,threshold=0.3", 0.9), ("a", 0.4), ("b", 0.5), ("c", np.nan))
    ]
    assert featured(results, headline="J-Mean", better="higher").name == "b"
    assert featured(results, headline="J-Mean", better="lower").name == "a"
    assert featured(results[:1], headline="J-Mean", better="higher") is results[0]
    assert flow_of(results) is results[0]
    assert flow_of(results[1:]) is None


def test_methods_are_compared_where_both_have_scores() -> None:
    a, b, c = (scores_of(name, [value]) for name, value in (("a", 0.1), ("b", 0.9), ("c", 0.4)))
    ours, other = MethodResult("x", {"a": a, "b": b, "c": c}, {}), MethodResult("y", {"c": c, "a": a}, {})
    assert shared_scores(ours, other) == ([a, c], [a, c])
    assert [name for name, _ in ranked_sequences(ours, BENCHMARK)] == ["b", "c", "a"]


def test_a_sweeps_values_in_words() -> None:
    assert [SweepPoint("radius", value, 0.1).label for value in (4.0, 0.05, "full", None)] == [
        "4",
        "0.05",
        "full",
        "full",
    ]

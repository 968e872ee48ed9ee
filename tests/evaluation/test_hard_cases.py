from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from evaluation.synthetic_benchmark import scores_of

from propagate.evaluation.analysis.failures import hard_cases
from propagate.evaluation.protocol import Scores

J = [0.9, 0.8, 0.7, 0.1, 0.2, 0.5, 0.6, 0.7]
CALM = [0.1] * 8


def scores(case: str, areas: list[float], *, border: tuple[int, ...] = (), shape: list[float] | None = None) -> Scores:
    facts: dict[str, Any] = {
        "first_area": {"1": 0.1},
        "areas": {"1": areas},
        "border": {"1": [place in border for place in range(len(areas))]},
        "shape": {"1": shape or CALM[: len(areas)]},
    }
    return scores_of(case, J[: len(areas)], facts=facts)


def test_an_object_that_vanishes_inside_and_comes_back_is_occluded() -> None:
    (found, *_) = hard_cases([scores("a", [0.1, 0.1, 0.1, 0.02, 0.0, 0.09, 0.1, 0.1])], attributes={})
    assert (found.kind, found.sequence, found.unit, found.frames) == ("occlusion", "a", "1", (4, 5))
    assert found.severity == 1.0
    assert (found.before, found.during, found.after) == pytest.approx((0.8, 0.15, 0.6))
    assert "falls from 10 % to 0 %" in found.cause
    assert found.confirmed is None


def test_an_object_that_shrinks_at_the_border_leaves_the_picture() -> None:
    areas = [0.1, 0.1, 0.1, 0.02, 0.0, 0.09, 0.1, 0.1]
    for border in ((3,), (2,)):  # within the stretch, or on the last frame before it
        (found,) = hard_cases([scores("a", areas, border=border)], attributes={"a": ("OV",)})
        assert (found.kind, found.frames, found.confirmed) == ("leaving the picture", (4, 5), True)
        assert "border" in found.cause


def test_vanishing_for_good_is_leaving_but_growing_small_is_nothing() -> None:
    (found,) = hard_cases([scores("a", [0.1, 0.1, 0.1, 0.0, 0.0, 0.0])], attributes={})
    assert (found.kind, found.frames) == ("leaving the picture", (4, 6))
    assert np.isnan(found.after)
    assert hard_cases([scores("a", [0.1, 0.1, 0.1, 0.03, 0.03, 0.03])], attributes={})[0].kind == "deformation"


def test_a_small_dip_is_no_occlusion() -> None:
    (found,) = hard_cases([scores("a", [0.1, 0.1, 0.04, 0.1, 0.1, 0.1])], attributes={})
    assert found.kind == "deformation"


def test_a_long_occlusion_does_not_lower_its_own_limit() -> None:
    areas = [0.1, 0.1, *[0.01] * 5, 0.1]
    assert hard_cases([scores("a", areas)], attributes={})[0].frames == (3, 7)


def test_the_largest_change_of_shape_is_named_with_the_frames_near_its_peak() -> None:
    shape = [0.1, 0.2, 0.5, 0.78, 0.8, 0.75, 0.3, 0.1]
    calm = scores("b", [0.1] * 8, shape=[0.4] * 8)
    (found,) = hard_cases([calm, scores("a", [0.1] * 8, shape=shape)], attributes={"a": ("FM",)})
    assert (found.kind, found.sequence, found.frames) == ("deformation", "a", (4, 6))
    assert "J = 0.20" in found.cause
    assert found.confirmed is False
    assert (found.before, found.during, found.after) == pytest.approx((0.8, 0.8 / 3, 0.65))


def test_coming_nearer_is_no_deformation() -> None:
    nearer = scores("car", [0.2] * 8, shape=[0.5] * 8)  # twice as large: the same shape overlaps by half
    bent = scores("dancer", [0.1] * 8, shape=[0.3] * 8)
    both = scores("both", [0.2] * 8, shape=[0.6] * 8)  # J = 0.4 of 0.5
    assert hard_cases([nearer, bent], attributes={})[0].sequence == "dancer"
    (found,) = hard_cases([nearer, both], attributes={})
    assert (found.sequence, found.severity) == ("both", pytest.approx(0.2))


def test_a_confirmed_case_goes_before_a_deeper_one() -> None:
    deep = scores("deep", [0.1, 0.1, 0.0, 0.1, 0.1, 0.1])
    told = scores("told", [0.1, 0.1, 0.02, 0.1, 0.1, 0.1])
    assert hard_cases([deep, told], attributes={"deep": ("FM",), "told": ("OCC",)})[0].sequence == "told"
    assert hard_cases([deep, told], attributes={})[0].sequence == "deep"


def test_each_kind_is_named_once() -> None:
    hidden = [0.1, 0.1, 0.0, 0.1, 0.1, 0.1]
    every = [scores("c", [0.1] * 6), scores("b", hidden, border=(1,)), scores("a", hidden), scores("z", hidden)]
    assert [case.kind for case in hard_cases(every, attributes={})] == [
        "occlusion",
        "leaving the picture",
        "deformation",
    ]


def test_scores_without_the_facts_have_no_hard_cases() -> None:
    assert hard_cases([scores_of("a", J)], attributes={}) == ()
    odd = scores_of("a", J, facts={"areas": {"1": [0.1]}, "border": {}, "shape": {"2": []}})
    assert hard_cases([odd], attributes={}) == ()
    empty = scores("a", [0.0] * 6)
    empty.facts["first_area"].clear()
    assert hard_cases([empty], attributes={}) == ()

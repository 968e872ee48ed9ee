"""Keypoints: sub-pixel places come back from the grid, and a point that is lost is said to be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from textured import frame, texture

from propagate.labels.keypoints import KeypointLabels
from propagate.labels.protocol import Trace, read_labels
from propagate.ops.grid import Grid
from propagate.values import Annotation

SIZE = (48, 64)
GRID = Grid.of(SIZE, size=480, stride=4, offset=1.5)  # 12 x 16 cells
NAN = (np.nan, np.nan)


def placed(*places, complete=False):
    return Annotation(0, np.array(places, float), tuple(f"p{n}" for n in range(len(places))), complete)


def label_type_of(annotation):
    return KeypointLabels(annotation.ids)


def decode(label_type, soft, grid=GRID, *, annotation=None, trace=None, last=None):
    one = frame(1, texture(0))
    array, states = read_labels(label_type, soft, grid, frame=one, annotation=annotation, trace=trace, last=last)
    return array, states


def there_and_back(*places, grid=GRID):
    annotation = placed(*places)
    label_type = label_type_of(annotation)
    return decode(label_type, label_type.encode(annotation, grid), grid)[0]


@given(st.floats(16, 47), st.floats(16, 31), st.sampled_from([1, 2]))
@settings(deadline=None, max_examples=60)
def test_points_away_from_the_border_come_back_to_a_twentieth_of_a_pixel(x, y, scale):
    np.testing.assert_allclose(there_and_back((x, y), grid=GRID.finer(scale)), [[x, y]], atol=0.05)


@pytest.mark.parametrize("x", [0.0, 1.3, 3.0, 5.5, 9.0, 60.2, 63.0])
@pytest.mark.parametrize("y", [0.0, 2.1, 24.0, 46.9])
def test_points_near_the_border_come_back_to_half_a_pixel(x, y):
    np.testing.assert_allclose(there_and_back((x, y)), [[x, y]], atol=0.5)


@pytest.mark.parametrize("place", [(0.0, 0.0), (63.0, 20.0), (30.0, 47.0)])
def test_the_border_takes_nothing_of_a_point_s_confidence(place):
    annotation = placed(place)
    state = decode(label_type_of(annotation), label_type_of(annotation).encode(annotation, GRID))[1][0]
    assert state.confidence == pytest.approx(1, abs=0.01)


@given(st.lists(st.tuples(st.floats(-5, 70), st.floats(-5, 50)), min_size=1, max_size=8))
@settings(deadline=None, max_examples=40)
def test_probabilities_sum_to_one_and_are_none_negative(places):
    annotation = placed(*places)
    soft = label_type_of(annotation).encode(annotation, GRID)
    torch.testing.assert_close(soft.sum(0), torch.ones(12, 16))
    assert soft.min() >= 0


def test_points_that_crowd_a_cell_share_it():
    annotation = placed(*[(21.5, 21.5)] * 20)  # twenty Gaussians of peak 0.16 in one cell
    label_type = label_type_of(annotation)
    soft = label_type.encode(annotation, GRID)
    assert soft[:, 5, 5].tolist() == pytest.approx([0] + [0.05] * 20)
    np.testing.assert_allclose(decode(label_type, soft)[0], annotation.array, atol=0.1)


def test_a_point_that_is_not_annotated_has_no_place():
    annotation = placed((20.0, 20.0), NAN)
    label_type = label_type_of(annotation)
    soft = label_type.encode(annotation, GRID)
    array, states = decode(label_type, soft)
    assert not soft[2].any()
    assert np.isnan(array[1]).all()
    assert [state.visible for state in states] == [True, False]


@pytest.mark.parametrize("place", [(-3.0, 20.0), (20.0, 60.0), (64.0, 20.0)])
def test_a_point_outside_the_picture_is_absent(place):
    assert np.isnan(there_and_back(place)).all()


def test_the_annotated_place_is_kept_exactly():
    annotation = placed((20.123, 17.456), (0.0, 0.0))
    label_type = label_type_of(annotation)
    array, states = decode(label_type, label_type.nothing(GRID), annotation=annotation)
    np.testing.assert_array_equal(array, annotation.array)
    assert [state.confidence for state in states] == [1, 1]
    assert states[0].centroid == (20.123, 17.456)


@pytest.mark.parametrize(("mass", "visible"), [(1.0, True), (0.12, True), (0.08, False), (0.0, False)])
def test_below_the_threshold_a_point_is_absent_not_invented(mass, visible):
    annotation = placed((24.0, 24.0))
    label_type = label_type_of(annotation)
    points = label_type.encode(annotation, GRID)[1:] * mass
    array, states = decode(label_type, torch.cat([1 - points.sum(0, keepdim=True), points]))
    assert states[0].visible is visible
    assert np.isnan(array).all() == (not visible)
    assert states[0].confidence == pytest.approx(mass, abs=0.01)


def test_a_point_of_which_nothing_is_left_is_absent_at_any_threshold():
    label_type = KeypointLabels(("a", "b"), visible=0.0)
    known = label_type.encode(placed((20.0, 20.0), NAN), GRID)
    places, states = decode(label_type, known)
    assert np.isnan(places).all(1).tolist() == [False, True]
    assert [state.visible for state in states] == [True, False]


def test_the_threshold_can_be_chosen():
    annotation = placed((24.0, 24.0))
    points = label_type_of(annotation).encode(annotation, GRID)[1:] * 0.3
    soft = torch.cat([1 - points.sum(0, keepdim=True), points])
    seen = [decode(KeypointLabels(("p0",), visible=least), soft)[1][0].visible for least in (0.2, 0.4)]
    assert seen == [True, False]


def test_vanished_and_reappeared():
    annotation = placed((24.0, 24.0), NAN)
    label_type = label_type_of(annotation)
    states = decode(label_type, label_type.encode(annotation, GRID), last={"p0": False, "p1": True})[1]
    assert [state.flags for state in states] == [("reappeared",), ("vanished",)]
    assert decode(label_type, label_type.nothing(GRID))[1][0].flags == ()


def test_combining_keeps_the_points_that_are_not_annotated():
    first, fix = placed((20.0, 20.0), (40.0, 30.0)), placed((28.0, 24.0), NAN)
    label_type = label_type_of(first)
    combined = label_type.combine(label_type.encode(first, GRID), fix, label_type.encode(fix, GRID))
    np.testing.assert_allclose(decode(label_type, combined)[0], [[28, 24], [40, 30]], atol=0.05)
    torch.testing.assert_close(combined.sum(0), torch.ones(12, 16))


def test_a_complete_annotation_ends_the_points_it_lacks():
    first, fix = placed((20.0, 20.0), (40.0, 30.0)), placed((28.0, 24.0), NAN, complete=True)
    label_type = label_type_of(first)
    combined = label_type.combine(label_type.encode(first, GRID), fix, label_type.encode(fix, GRID))
    assert np.isnan(decode(label_type, combined)[0][1]).all()


@pytest.mark.parametrize("scale", [1, 2])
def test_confidence_is_agreement_with_where_the_chain_ends(scale):
    annotation, grid = placed((24.0, 24.0)), GRID.finer(scale)
    label_type = label_type_of(annotation)
    soft = label_type.encode(annotation, grid)
    cells = torch.arange(192).view(12, 16)
    traces = [Trace(torch.zeros_like(cells), ends, {0: soft}, scale) for ends in (cells, torch.zeros_like(cells))]
    same, elsewhere = (decode(label_type, soft, grid, trace=trace)[1][0] for trace in traces)
    assert 0.8 < same.confidence <= 1
    assert (elsewhere.confidence, elsewhere.visible) == (0, False)


def test_confidence_stays_between_zero_and_one():
    label_type = KeypointLabels(("a", "b", "c"))
    soft = torch.rand(4, 12, 16).softmax(0)
    trace = Trace(torch.zeros(12, 16, dtype=torch.int64), torch.randint(0, 192, (12, 16)), {0: soft}, 1)
    assert all(0 <= state.confidence <= 1 for state in decode(label_type, soft, trace=trace)[1])


def test_at_least_one_point_is_needed():
    with pytest.raises(ValueError, match="at least one point is needed"):
        KeypointLabels(())


@pytest.mark.parametrize(("apart", "crowded"), [(10.0, True), (15.0, True), (17.0, False), (40.0, False)])
def test_points_nearer_than_two_cells_want_finer_ones(apart, crowded):
    grid = Grid.of((200, 300), size=480, stride=8, offset=0.0)
    given = Annotation(0, np.array([[20 + apart * number, 50.0] for number in range(5)]), tuple("abcde"))
    assert KeypointLabels(tuple("abcde")).wants_finer(given, grid) is crowded


def test_one_point_alone_is_not_crowded():
    grid = Grid.of((200, 300), size=480, stride=8, offset=0.0)
    given = Annotation(0, np.array([[20.0, 50.0], [np.nan, np.nan]]), ("a", "b"))
    assert KeypointLabels(("a", "b")).wants_finer(given, grid) is False

"""What is said of an object that goes and comes: by what it was since a person last gave it, and no longer."""

from __future__ import annotations

import numpy as np

from propagate.engine.recursion import Visibility
from propagate.labels.keypoints import KeypointLabels
from propagate.labels.masks import MaskLabels
from propagate.values import Annotation

KIND = MaskLabels((1, 2))


def given(index, ids, *, complete=False):
    return Annotation(index, np.zeros((4, 4), int), ids, complete=complete)


def told(annotations, seen, kind=KIND):
    """Return what is known before each frame, from whether each object is visible on each."""
    visibility = Visibility({one.frame: one for one in annotations}, kind)
    found = []
    for index, visible in enumerate(seen):
        found.append(visibility.before(index))
        visibility.add(index, visible)
    return [*found, visibility.before(len(seen))]


def test_an_object_that_was_seen_is_known_from_then_on():
    seen = [{1: False, 2: True}, {1: True, 2: False}, {1: False, 2: False}]
    assert told([], seen) == [{}, {2: True}, {1: True, 2: False}, {1: False, 2: False}]


def test_an_object_that_was_never_seen_is_not_known():
    assert told([], [{1: False, 2: False}] * 3) == [{}] * 4


def test_what_was_before_a_person_gave_an_object_does_not_matter():
    seen = [{1: True, 2: True}, {1: False, 2: True}, {1: True, 2: True}]
    assert told([given(0, (1, 2)), given(2, (1,))], seen)[2] == {2: True}  # else it would have reappeared
    assert told([given(0, (1, 2)), given(2, (2,))], seen)[2] == {1: False}


def test_an_object_that_a_person_says_is_not_there_does_not_vanish():
    seen = [{1: True, 2: True}, {1: True, 2: False}, {1: True, 2: False}, {1: True, 2: True}]
    found = told([given(0, (1, 2)), given(1, (1,), complete=True)], seen)
    assert found == [{}, {}, {1: True}, {1: True}, {1: True, 2: True}]


def test_an_annotation_that_speaks_for_no_object_changes_nothing():
    seen = [{1: True, 2: True}, {1: False, 2: True}]
    assert told([given(0, (1, 2)), given(1, ())], seen)[1:] == [{1: True, 2: True}, {1: False, 2: True}]


def test_of_points_each_is_for_itself():
    kind = KeypointLabels(("a", "b"))
    later = Annotation(1, np.array([[1.0, 1.0], [np.nan, np.nan]]), ("a", "b"))
    assert told([later], [{"a": True, "b": True}, {"a": True, "b": True}], kind)[1] == {"b": True}


def test_what_is_told_does_not_change_afterwards():
    visibility = Visibility({}, KIND)
    visibility.add(0, {1: True, 2: False})
    kept = visibility.before(1)
    kept[2] = True
    visibility.add(1, {1: False, 2: False})
    assert visibility.before(2) == {1: False}

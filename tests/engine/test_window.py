"""The reference window: the annotated frames that stay and the most recent ones, none twice."""

from __future__ import annotations

import pytest
import torch

from propagate.engine.window import Reference, Window, kept_annotated


def seen(count, *, annotated=(0,), context=3, keep=True, limit=5):
    """Return the indices that frame `count` looks at, after the frames before it have been added."""
    window = Window(context, keep_annotated=keep, max_annotated=limit)
    for index in range(count):
        empty = torch.empty(0)
        window.add(Reference(index, empty, empty, empty, index in annotated))
    return [reference.index for reference in window.references()]


def test_before_the_first_frame_there_is_nothing():
    assert seen(0) == []


@pytest.mark.parametrize(("count", "frames"), [(1, [0]), (3, [0, 1, 2]), (4, [0, 1, 2, 3]), (9, [0, 6, 7, 8])])
def test_the_first_and_the_most_recent(count, frames):
    assert seen(count) == frames


def test_no_frame_twice():
    assert seen(4, annotated=(0, 2, 3)) == [0, 1, 2, 3]
    assert seen(9, annotated=(0, 2, 7)) == [0, 2, 6, 7, 8]


def test_annotated_frames_leave_unless_they_are_kept():
    assert seen(3, keep=False) == [0, 1, 2]
    assert seen(9, keep=False, annotated=(0, 7)) == [6, 7, 8]


def test_of_many_annotated_frames_the_first_and_the_most_recent_stay():
    assert seen(20, annotated=(0, 2, 4, 6, 8, 10), limit=3) == [0, 8, 10, 17, 18, 19]
    assert seen(20, annotated=(1, 5, 9), limit=1) == [1, 17, 18, 19]


def test_an_annotated_frame_that_does_not_stay_is_still_recent():
    assert seen(8, annotated=(0, 5, 6, 7), limit=2) == [0, 5, 6, 7]


def test_without_context_only_annotated_frames():
    assert seen(9, context=0) == [0]
    assert seen(9, context=0, annotated=(3, 6)) == [3, 6]


@pytest.mark.parametrize(
    ("limit", "stay"), [(1, [2]), (2, [2, 9]), (3, [2, 7, 9]), (4, [2, 5, 7, 9]), (9, [2, 5, 7, 9])]
)
def test_which_annotated_frames_stay(limit, stay):
    assert kept_annotated([2, 5, 7, 9], limit) == stay


def test_the_window_stays_bounded():
    assert max(len(seen(count, annotated=range(0, 50, 4))) for count in range(50)) == 3 + 5

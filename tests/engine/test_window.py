"""The reference window: the annotated frames at the ends, which stay, and the most recent ones, none twice."""

from __future__ import annotations

import pytest
import torch

from propagate.engine.group import Window
from propagate.engine.pointer import Reference


def reference(index, ends=()):
    """Return a reference that holds nothing."""
    empty = torch.empty(0)
    return Reference(index, empty, empty, empty, index in ends)


def seen(count, *, ends=(0,), context=3, keep=True):
    """Return the indices that frame `count` looks at, after the frames from the first end up to it have been added."""
    window = Window(context, ends=[reference(index, ends) for index in ends], keep=keep)
    for index in range(ends[0], count):
        window.add(reference(index, ends))
    return [one.index for one in window.references()]


def test_before_the_first_frame_there_is_nothing():
    assert Window(3).references() == []


@pytest.mark.parametrize(("count", "frames"), [(1, [0]), (3, [0, 1, 2]), (4, [0, 1, 2, 3]), (9, [0, 6, 7, 8])])
def test_the_annotated_frame_and_the_most_recent(count, frames):
    assert seen(count) == frames


def test_the_far_end_is_there_from_the_start():
    assert [seen(count, ends=(2, 9)) for count in (3, 4, 9)] == [[2, 9], [2, 9, 3], [2, 9, 6, 7, 8]]


def test_no_frame_twice():
    assert seen(4, ends=(2, 9)) == [2, 9, 3]  # the annotated frame is a recent one, too
    assert seen(11, ends=(2, 9)) == [2, 9, 8, 10]


def test_annotated_frames_leave_unless_they_are_kept():
    assert seen(3, keep=False) == [0, 1, 2]
    assert seen(9, keep=False, ends=(0, 20)) == [6, 7, 8]


@pytest.mark.parametrize("keep", [True, False])
def test_what_is_recent_is_forgotten_and_the_ends_stay(keep):
    window = Window(3, ends=[reference(2, (2,)), reference(9, (9,))], keep=keep)
    for index in (2, 3, 4):
        window.add(reference(index))
    window.forget()
    assert [one.index for one in window.references()] == [2, 9]  # there is nothing else to look at
    window.add(reference(5))
    assert [one.index for one in window.references()] == ([2, 9, 5] if keep else [5])


def test_without_context_only_the_ends():
    assert seen(9, context=0) == [0]
    assert seen(9, context=0, ends=(3, 12)) == [3, 12]


def test_the_window_stays_bounded():
    assert max(len(seen(count, ends=(0, 60))) for count in range(1, 60)) == 3 + 2

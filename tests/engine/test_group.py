"""What is given of one object moves no other: each is labelled as if the annotations that speak for it were all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from textured import carry, propagation, sliding, square, still

from propagate.encoders.weights import load_encoder
from propagate.labels.keypoints import KeypointLabels
from propagate.labels.masks import MaskLabels
from propagate.labels.protocol import joined
from propagate.values import Annotation

FRAMES, MASKS = sliding(8)
WIDE = MASKS[0].shape
FIRST = Annotation(0, np.where(MASKS[0] > 0, 1, square(80, number=2, size=WIDE)), (1, 2))
OF_B = Annotation(4, square(60, number=2, top=20, size=WIDE), (2,))  # next to object 1, partly over it
NEW = Annotation(4, square(80, number=3, top=0, size=WIDE), (3,))


@pytest.fixture(scope="module")
def rawcolor():
    return load_encoder("rawcolor")


def stepped(annotations, label_type, frames=FRAMES, **config):
    """Return the predictions and the states of all frames."""
    moving = propagation(annotations, label_type=label_type, **config)
    pairs = [(moving.step(one), moving.state()) for one in frames]
    return [prediction for prediction, _ in pairs], [state for _, state in pairs]


def own_labels(state, name):
    """Return an object's channel as its group has it."""
    return state.group_of(name).soft[1 + state.ids.index(name)]


@pytest.mark.parametrize("later", [OF_B, NEW], ids=["corrected", "new"])
@pytest.mark.parametrize("settings", [{}, {"feedback": "hard", "edges": 8.0}, {"context": 2, "keep_annotated": False}])
def test_a_later_annotation_of_one_object_moves_no_other(rawcolor, later, settings):
    config = {"encoder": rawcolor, **settings}
    before, past = stepped([FIRST], MaskLabels((1, 2, 3)), **config)
    after, states = stepped([FIRST, later], MaskLabels((1, 2, 3)), **config)
    for old, new, earlier, state in zip(before, after, past, states, strict=True):
        assert torch.equal(own_labels(state, 1), own_labels(earlier, 1))
        covered = np.isin(new.array, later.ids)
        np.testing.assert_array_equal((new.array == 1)[~covered], (old.array == 1)[~covered])


def test_a_later_annotation_of_one_point_moves_no_other(rawcolor):
    names = ("a", "b")
    first = Annotation(0, np.array([[24.0, 32.0], [28.0, 34.0]]), names)  # near each other
    later = Annotation(4, np.array([[np.nan, np.nan], [40.0, 30.0]]), names)
    before, past = stepped([first], KeypointLabels(names), encoder=rawcolor)
    after, states = stepped([first, later], KeypointLabels(names), encoder=rawcolor)
    for old, new, earlier, state in zip(before, after, past, states, strict=True):
        assert torch.equal(own_labels(state, "a"), own_labels(earlier, "a"))
        assert new.array[0].tolist() == old.array[0].tolist()
        assert new.objects[0] == old.objects[0]


@settings(max_examples=15, deadline=None)
@given(
    annotated=st.dictionaries(st.integers(0, 7), st.integers(0, 99), min_size=1, max_size=4),
    keep=st.booleans(),
    scale=st.integers(1, 2),
)
def test_an_object_is_labelled_as_by_its_own_annotations_alone(rawcolor, annotated, keep, scale):
    shown = {index: ((1,), (2,), (1, 2), (3,), (1, 3))[seed % 5] for index, seed in annotated.items()}
    blocks = {index: np.random.default_rng(seed).integers(0, 4, (8, 14)) for index, seed in annotated.items()}
    every = [
        Annotation(index, np.where(np.isin(block, shown[index]), block, 0).repeat(8, 0).repeat(8, 1), shown[index])
        for index, block in blocks.items()
    ]
    config = {"encoder": rawcolor, "context": 3, "keep_annotated": keep, "label_scale": scale}
    _, states = stepped(every, MaskLabels((1, 2, 3)), **config)
    for name in {name for ids in shown.values() for name in ids}:
        own = [annotation for annotation in every if name in annotation.ids]
        _, alone = stepped(own, MaskLabels((1, 2, 3)), **config)
        for index in range(min(one.frame for one in own), len(FRAMES)):
            assert torch.equal(own_labels(states[index], name), own_labels(alone[index], name))


def test_labels_of_several_groups_sum_to_one_and_are_as_shown(rawcolor):
    found, states = stepped([FIRST, OF_B], MaskLabels((1, 2)), encoder=rawcolor)
    assert [len(state.groups) for state in states] == [0] * 4 + [2] * 4
    for prediction in found:
        soft = prediction.labels.soft
        assert (soft >= 0).all()
        torch.testing.assert_close(soft.sum(0), torch.ones(soft.shape[1:]))


def test_what_is_annotated_later_changes_no_state_before_it(rawcolor):
    _, past = stepped([FIRST], MaskLabels((1, 2)), encoder=rawcolor)
    _, states = stepped([FIRST, OF_B], MaskLabels((1, 2)), encoder=rawcolor)
    for earlier, state in zip(past[:4], states[:4], strict=True):
        assert (earlier.groups, state.groups) == ((), ())
        assert torch.equal(earlier.soft, state.soft)
        assert torch.equal(earlier.origin, state.origin)


def test_objects_annotated_on_the_same_frames_are_one_group(rawcolor):
    again = Annotation(4, FIRST.array, (1, 2))
    ended = Annotation(6, np.zeros(WIDE, int), (), complete=True)
    moving = propagation([FIRST, again, ended], label_type=MaskLabels((1, 2)), encoder=rawcolor)
    for one in FRAMES:
        moving.step(one)
    assert [group.ids for group in moving.groups] == [(1, 2)]


def test_what_was_said_last_stays_on_top():
    both = square(4) + square(40, number=2)
    over = Annotation(2, square(32), (1,))  # over the left half of object 2, which is not mentioned
    settings = {"topk": 1, "label_scale": 4, "context": 1, "keep_annotated": False}
    last = carry(still(6), [Annotation(0, both, (1, 2)), over], **settings)[-1]
    np.testing.assert_array_equal(last.array, np.where(over.array == 1, 1, np.where(both == 2, 2, 0)))


def test_an_empty_annotation_labels_nothing():
    empty = Annotation(0, np.zeros((48, 64), int), ())
    found = carry(still(3), [empty, Annotation(2, square(4), (1,))])
    assert [one.source for one in found] == ["annotated", "none", "annotated"]
    assert [bool(one.array.any()) for one in found] == [False, False, True]


def test_keys_are_prepared_once_for_groups_that_began_together(rawcolor):
    moving = propagation([FIRST, OF_B], label_type=MaskLabels((1, 2)), encoder=rawcolor)
    for one in FRAMES:
        moving.step(one)
    first, second = (group.window.references()[-1].prepared for group in moving.groups)
    assert first is second


def test_joined_labels_leave_room_for_the_later_part():
    older = torch.tensor([0.3, 0.7, 0.0])[:, None, None]  # background, 1, 2
    newer = torch.tensor([0.4, 0.0, 0.6])[:, None, None]
    torch.testing.assert_close(joined([(older, (1,)), (newer, (2,))], (1, 2)).flatten(), torch.tensor([0.0, 0.4, 0.6]))
    small = torch.tensor([0.9, 0.0, 0.1])[:, None, None]
    assert joined([(older, (1,)), (small, (2,))], (1, 2))[1].item() == older[1].item()

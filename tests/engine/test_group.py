"""What is given of one object moves no other: each is labelled as if the annotations that speak for it were all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from textured import carry, frame, overlap, propagation, sliding, square, still

from propagate.encoders.weights import load_encoder
from propagate.engine.fusion import turned
from propagate.engine.group import ends_of, mirrored, mirrored_annotations, mirrored_frame
from propagate.engine.pointer import Pointer
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


def stepped(annotations, label_type, frames=FRAMES, *, anywhere=True, **config):
    """Return the predictions and the states of all frames, where any frame may be looked at or each once, in order."""
    pictures = frames.__getitem__ if anywhere else None
    moving = propagation(annotations, label_type=label_type, pictures=pictures, **config)
    pairs = [(moving.step(one), moving.state()) for one in frames]
    return [prediction for prediction, _ in pairs], [state for _, state in pairs]


def own_labels(state, name):
    """Return an object's channel as its group has it."""
    return state.group_of(name).soft[1 + state.ids.index(name)]


@pytest.mark.parametrize("later", [OF_B, NEW], ids=["corrected", "new"])
@pytest.mark.parametrize("anywhere", [True, False])
@pytest.mark.parametrize("settings", [{}, {"feedback": "hard", "edges": 8.0}, {"context": 2, "keep_annotated": False}])
def test_a_later_annotation_of_one_object_moves_no_other(rawcolor, later, anywhere, settings):
    config = {"encoder": rawcolor, "anywhere": anywhere, **settings}
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
    anywhere=st.booleans(),
    scale=st.integers(1, 2),
)
def test_an_object_is_labelled_as_by_its_own_annotations_alone(rawcolor, annotated, keep, anywhere, scale):
    shown = {index: ((1,), (2,), (1, 2), (3,), (1, 3))[seed % 5] for index, seed in annotated.items()}
    blocks = {index: np.random.default_rng(seed).integers(0, 4, (8, 14)) for index, seed in annotated.items()}
    every = [
        Annotation(index, np.where(np.isin(block, shown[index]), block, 0).repeat(8, 0).repeat(8, 1), shown[index])
        for index, block in blocks.items()
    ]
    config = {"encoder": rawcolor, "context": 3, "keep_annotated": keep, "label_scale": scale, "anywhere": anywhere}
    _, states = stepped(every, MaskLabels((1, 2, 3)), **config)
    for name in {name for ids in shown.values() for name in ids}:
        own = [annotation for annotation in every if name in annotation.ids]
        _, alone = stepped(own, MaskLabels((1, 2, 3)), **config)
        for index in range(min(one.frame for one in own), len(FRAMES)):
            assert torch.equal(own_labels(states[index], name), own_labels(alone[index], name))


def test_labels_of_several_groups_sum_to_one_and_are_as_shown(rawcolor):
    found, states = stepped([FIRST, OF_B], MaskLabels((1, 2)), encoder=rawcolor)
    spans = [[(group.ids, group.start, group.end) for group in state.groups] for state in states]
    begun, before, after = ([((1,), 0, None), ((2,), *ends)] for ends in ((0, None), (0, 4), (4, None)))
    assert spans == [begun] + [before] * 3 + [after] * 4  # those annotated last are the last
    for prediction in found:
        soft = prediction.labels.soft
        assert (soft >= 0).all()
        torch.testing.assert_close(soft.sum(0), torch.ones(soft.shape[1:]))


def test_what_is_given_beyond_the_next_annotated_frame_changes_no_state_before_it(rawcolor):
    beyond = Annotation(6, square(30, number=2, top=4, size=WIDE), (2,))
    _, past = stepped([FIRST, OF_B], MaskLabels((1, 2)), encoder=rawcolor)
    _, states = stepped([FIRST, OF_B, beyond], MaskLabels((1, 2)), encoder=rawcolor)
    for earlier, state in zip(past[:4], states[:4], strict=True):
        assert torch.equal(earlier.soft, state.soft)
        for group, same in zip(earlier.groups, state.groups, strict=True):
            assert (group.ids, group.start, group.end) == (same.ids, same.start, same.end)
            assert torch.equal(group.soft, same.soft)
            assert torch.equal(group.origin, same.origin)
    assert not torch.equal(own_labels(past[5], 2), own_labels(states[5], 2))  # which has it as its far end


def test_where_each_frame_is_seen_once_what_is_given_later_changes_no_label_before_it(rawcolor):
    config = {"encoder": rawcolor, "anywhere": False}
    _, past = stepped([FIRST], MaskLabels((1, 2)), **config)
    _, states = stepped([FIRST, OF_B], MaskLabels((1, 2)), **config)
    for earlier, state in zip(past[:4], states[:4], strict=True):
        assert torch.equal(own_labels(earlier, 2), own_labels(state, 2))
        assert torch.equal(earlier.group_of(2).origin, state.group_of(2).origin)


@pytest.mark.parametrize("anywhere", [True, False])
def test_what_was_given_before_the_last_annotated_frame_is_forgotten(rawcolor, anywhere):
    again = Annotation(4, MASKS[4], (1,))
    config = {"encoder": rawcolor, "anywhere": anywhere}
    _, whole = stepped([Annotation(0, MASKS[0], (1,)), again], MaskLabels((1,)), **config)
    _, alone = stepped([again], MaskLabels((1,)), **config)
    for state, other in zip(whole[4:], alone[4:], strict=True):
        assert torch.equal(state.soft, other.soft)
        assert torch.equal(state.groups[0].origin, other.groups[0].origin)


def looked_at(monkeypatch, given, frames=FRAMES, **config):
    """Return the frames that each frame looks at, and which of them everywhere."""
    looked, moving = {}, propagation(given, pictures=frames.__getitem__, **config)
    point = Pointer.point

    def noted(self, target, references, **more):
        looked[at] = [(one.index, one.everywhere) for one in references]
        return point(self, target, references, **more)

    monkeypatch.setattr(Pointer, "point", noted)
    for one in frames:
        at = one.index
        moving.step(one)
    return looked


def test_both_ends_are_looked_at_the_far_one_from_half_the_way_on(rawcolor, monkeypatch):
    given = [Annotation(0, MASKS[0], (1,)), Annotation(6, MASKS[6], (1,))]
    looked = looked_at(monkeypatch, given, encoder=rawcolor, context=2)
    assert {at: [index for index, _ in found] for at, found in looked.items()} == {
        1: [0], 2: [0, 1], 3: [0, 6, 1, 2], 4: [0, 6, 2, 3], 5: [0, 6, 3, 4], 7: [6],
    }  # fmt: skip
    assert not any(everywhere for found in looked.values() for _, everywhere in found)


def test_an_object_that_is_gone_is_looked_for_everywhere_from_its_annotated_frames(rawcolor, monkeypatch):
    plain, mask = np.full((64, 112, 3), 128, np.uint8), square(16, side=16, size=WIDE)
    shown, back = plain.copy(), plain.copy()
    shown[mask > 0] = back[square(88, side=16, size=WIDE) > 0] = (220, 30, 20)
    frames = [frame(index, rgb) for index, rgb in enumerate([shown, shown, plain, plain, back, back])]
    given, config = [Annotation(0, mask, (1,))], {"encoder": rawcolor, "context": 1, "radius": 4, "topk": 3}
    assert looked_at(monkeypatch, given, frames, **config) == {
        1: [(0, False)],
        2: [(0, False), (1, False)],
        3: [(0, True), (2, False)],
        4: [(0, True), (3, False)],
        5: [(0, False), (4, False)],  # it was found
    }
    assert overlap(stepped(given, MaskLabels((1,)), frames, **config)[0][4].array == 1, back[..., 0] == 220) > 0.8


def test_over_a_cut_nothing_recent_is_looked_at(rawcolor, monkeypatch):
    given = [Annotation(0, MASKS[0], (1,)), Annotation(7, MASKS[7], (1,))]
    looked = looked_at(monkeypatch, given, encoder=rawcolor, context=2, shot_of=lambda index: int(index >= 4))
    assert looked[3] == [(0, False), (7, True), (1, False), (2, False)]  # a frame of another shot may show it anywhere
    assert looked[4] == [(0, True), (7, False)]
    assert looked[6] == [(0, True), (7, False), (4, False), (5, False)]


def test_a_far_end_that_cannot_be_decoded_is_not_looked_at(rawcolor):
    given = [Annotation(0, MASKS[0], (1,)), Annotation(6, MASKS[6], (1,))]
    frames = [frame(one.index, one.rgb, undecodable=one.index == 6) for one in FRAMES]
    moving = propagation(given, encoder=rawcolor, context=2, pictures=frames.__getitem__)
    for one in frames:
        moving.step(one)
    assert [reference.index for reference in moving.groups[0].window.references()] == [0, 5, 7]


def test_backward_is_forward_in_a_video_that_is_numbered_backward(rawcolor):
    given = [Annotation(1, MASKS[1], (1,)), Annotation(6, MASKS[6], (1,))]
    other = [frame(7 - one.index, one.rgb) for one in reversed(FRAMES)]
    swapped = [Annotation(7 - one.frame, one.array, one.ids) for one in given]
    _, wanted = stepped(swapped, MaskLabels((1,)), other, encoder=rawcolor)
    pictures = {mirrored(one.index): mirrored_frame(one) for one in FRAMES}
    moving = propagation(mirrored_annotations(given), encoder=rawcolor, pictures=pictures.__getitem__)
    for one, state in zip(reversed(FRAMES), wanted, strict=True):
        moving.step(mirrored_frame(one))
        found = turned(moving.state())
        assert (found.index, found.source) == (7 - state.index, state.source)
        assert (found.soft is None) == (state.soft is None)
        assert found.soft is None or torch.equal(found.soft, state.soft)
        for group, same in zip(found.groups, state.groups, strict=True):
            ends = [None if end is None else 7 - end for end in (same.end, same.start)]
            assert [group.start, group.end] == ends
            assert torch.equal(group.origin, torch.stack([7 - same.origin[:, 0], same.origin[:, 1]], 1))


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
    for one in FRAMES[:4]:
        moving.step(one)
    first, second = (group.window.references()[-2].prepared for group in moving.groups)
    assert first is second
    assert first
    moving.step(FRAMES[4])
    moving.step(FRAMES[5])
    first, second = (group.window.references()[-1].prepared for group in moving.groups)
    assert first is not second  # what is taken from all keys is the mean of the frame that a group began on


def test_joined_labels_leave_room_for_the_later_part():
    older = torch.tensor([0.3, 0.7, 0.0])[:, None, None]  # background, 1, 2
    newer = torch.tensor([0.4, 0.0, 0.6])[:, None, None]
    torch.testing.assert_close(joined([(older, (1,)), (newer, (2,))], (1, 2)).flatten(), torch.tensor([0.0, 0.4, 0.6]))
    small = torch.tensor([0.9, 0.0, 0.1])[:, None, None]
    assert joined([(older, (1,)), (small, (2,))], (1, 2))[1].item() == older[1].item()


def test_the_ends_of_an_object_are_its_own_annotated_frames():
    said = {one.frame: one for one in (FIRST, OF_B, Annotation(6, MASKS[6], (1,), complete=True))}
    kind = MaskLabels((1, 2, 3))
    assert ends_of(said, 3, label_type=kind) == {1: (0, 6), 2: (0, 4), 3: (None, 6)}  # complete: it ends object 3, too
    assert ends_of(said, 4, label_type=kind) == {1: (0, 6), 2: (4, 6), 3: (None, 6)}  # an annotated frame is before
    assert ends_of(said, 7, label_type=kind) == dict.fromkeys((1, 2, 3), (6, None))
    assert ends_of({}, 7, label_type=kind) == dict.fromkeys((1, 2, 3), (None, None))

"""Both ways in one: weighed by distance and doubt, one of them whole where they disagree, and nothing is lost."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from textured import frame, overlap, propagation, sliding, square

from propagate.encoders.weights import load_encoder
from propagate.engine.fusion import AGREE, DOUBT, Pair, fused, fused_group, pairs, shares, switches, turned
from propagate.engine.group import LAST, mirrored, mirrored_annotations, mirrored_frame
from propagate.engine.snapshot import Decoder, FrameState, GroupState
from propagate.labels.colors import ColorLabels
from propagate.labels.keypoints import KeypointLabels
from propagate.labels.maps import MapLabels, MapPlane
from propagate.labels.masks import MaskLabels
from propagate.values import Annotation

FRAMES, MASKS = sliding(8)
WIDE = MASKS[0].shape
ENDS = (0, 10)
ONE = MaskLabels((1,))


def labels(*cells, ids=(1,)):
    """Return masks' labels (L, 1, w): in each cell the probabilities of all objects; the background is the rest."""
    objects = torch.tensor(cells).view(len(cells), len(ids)).T[:, None]
    return torch.cat([1 - objects.sum(0, keepdim=True), objects])


def group(soft, ids=(1,), ends=ENDS):
    return GroupState(ids, soft, start=ends[0], end=ends[1])


def pair(index, *, trust=(1.0, 1.0), agree=1.0, one=None, other=None, ends=ENDS):
    """Return a pair of one object's labels."""
    trusted = np.array(trust, float)[:, None]
    one, other = (labels(0.0) if soft is None else soft for soft in (one, other))
    share = shares(index, ends, trusted)
    return Pair(index, ends, group(one, ends=ends), group(other, ends=ends), trusted, np.array([float(agree)]), share)


def share(index, forward, backward, ends=ENDS):
    return shares(index, ends, np.array([[forward], [backward]], float)).item()


@pytest.mark.parametrize("trust", [1.0, 0.6, 0.0])
def test_of_two_that_are_as_sure_the_weight_falls_with_the_distance(trust):
    for index in range(1, 10):
        assert share(index, trust, trust) == pytest.approx(1 - index / 10)


def test_weights_by_hand():
    assert share(2, 0.9, 0.5) == pytest.approx(8 * (0.5 + DOUBT) / (8 * (0.5 + DOUBT) + 2 * (0.1 + DOUBT)))
    assert share(15, 1.0, 0.0, ends=(12, 18)) == pytest.approx((1 + DOUBT) / (1 + 2 * DOUBT))


@given(index=st.integers(1, 9), near=st.floats(0, 1), far=st.floats(0, 1), more=st.floats(0, 1))
def test_the_weight_rises_with_what_a_way_is_trusted_and_both_make_one(index, near, far, more):
    found = share(index, near, far)
    assert 0 < found < 1
    assert share(10 - index, far, near) == pytest.approx(1 - found)
    assert share(index, max(near, more), far) >= found - 1e-12
    assert share(index, near, max(far, more)) <= found + 1e-12


def test_labels_that_agree_are_weighed():
    one, other = labels(0.9, 0.5), labels(0.8, 0.6)
    found = fused_group(pair(3, one=one, other=other), {1: 5}, ONE)
    torch.testing.assert_close(found.soft, 0.7 * one + 0.3 * other)
    assert (found.flags, found.box, found.start, found.end, found.ids) == ({}, None, 0, 10, (1,))


@pytest.mark.parametrize("index", [1, 4, 5, 9])
def test_where_the_ways_disagree_one_is_taken_whole_and_it_is_said(index):
    one, other = labels(1.0, 0.0), labels(0.0, 1.0)
    found = fused_group(pair(index, one=one, other=other, agree=0.1), {1: 5}, ONE)
    assert torch.equal(found.soft, one if index < 5 else other)
    assert found.flags == {1: ("disputed",)}


def test_one_object_in_dispute_leaves_the_other_weighed():
    kind, ids = MaskLabels((3, 7)), (3, 7)
    one, other = labels((0.8, 0.0), (0.1, 0.3), ids=ids), labels((0.6, 0.0), (0.1, 0.5), ids=ids)
    trust, agree = np.ones((2, 2)), np.array([0.9, 0.2])
    found = fused_group(
        Pair(4, ENDS, group(one, ids), group(other, ids), trust, agree, shares(4, ENDS, trust)), {3: 9, 7: 2}, kind
    )
    torch.testing.assert_close(found.soft[1], 0.6 * one[1] + 0.4 * other[1])
    assert torch.equal(found.soft[2], other[2])
    assert found.flags == {7: ("disputed",)}


soft_labels = st.integers(0, 10_000).map(
    lambda seed: torch.rand(4, 3, 5, generator=torch.Generator().manual_seed(seed)).mul(6).softmax(0)
)


@given(
    one=soft_labels,
    other=soft_labels,
    index=st.integers(1, 9),
    agree=st.lists(st.floats(0, 1), min_size=3, max_size=3),
    trust=st.lists(st.floats(0, 1), min_size=6, max_size=6),
    switch=st.integers(0, 10),
)
def test_labels_sum_to_one(one, other, index, agree, trust, switch):
    kind, ids = MaskLabels((1, 2, 3)), (1, 2, 3)
    trusted = np.array(trust).reshape(2, 3)
    both = Pair(index, ENDS, group(one, ids), group(other, ids), trusted, np.array(agree), shares(index, ENDS, trusted))
    found = fused_group(both, dict.fromkeys(ids, switch), kind).soft
    assert (found >= 0).all()
    torch.testing.assert_close(found.sum(0), torch.ones(3, 5))


def test_what_both_ways_say_is_what_is_said():
    soft = torch.rand(4, 3, 5, generator=torch.Generator().manual_seed(0)).softmax(0)
    trust = np.array([[0.9, 0.2, 0.4], [0.1, 0.3, 0.4]])
    both = Pair(3, ENDS, group(soft, (1, 2, 3)), group(soft, (1, 2, 3)), trust, np.ones(3), shares(3, ENDS, trust))
    torch.testing.assert_close(fused_group(both, dict.fromkeys((1, 2, 3), 5), MaskLabels((1, 2, 3))).soft, soft)


def test_sure_labels_stay_exact():
    whole = labels(1.0, 0.0, 1.0)
    found = fused_group(pair(3, one=whole, other=whole), {1: 5}, ONE).soft
    assert torch.equal(found, whole)  # no bit of rounding, so that what is certain is not searched for


def test_colours_are_averaged_where_they_are_near_and_else_taken_from_one():
    kind = ColorLabels()
    one = torch.tensor([[10.0, 10.0], [0.0, 0.0], [10.0, 10.0]])[:, None]  # a, b and chroma of two cells
    other = torch.tensor([[10.0 + kind.reach / 2, -50.0], [0.0, 0.0], [12.0, 50.0]])[:, None]
    for index in (2, 8):
        trust = np.ones((2, 3))
        both = Pair(
            index, ENDS, group(one, kind.ids), group(other, kind.ids), trust, np.ones(3), shares(index, ENDS, trust)
        )
        found = fused_group(both, dict.fromkeys(kind.ids, 5), kind).soft
        weight = 1 - index / 10
        torch.testing.assert_close(found[:, 0, 0], weight * one[:, 0, 0] + (1 - weight) * other[:, 0, 0])
        assert torch.equal(found[:, 0, 1], (one if index == 2 else other)[:, 0, 1])


def test_maps_are_averaged():
    kind = MapLabels((MapPlane("depth", "value", 2), MapPlane("parts", "probability", 3, (0, 4, 9))))
    one, other = torch.rand(5, 2, 3), torch.rand(5, 2, 3)
    trust = np.ones((2, 2))
    both = Pair(4, ENDS, group(one, kind.ids), group(other, kind.ids), trust, np.ones(2), shares(4, ENDS, trust))
    torch.testing.assert_close(fused_group(both, {}.fromkeys(kind.ids, 5), kind).soft, 0.6 * one + 0.4 * other)


# Where one way gives way to the other.


def switch_of(agree, forward=None, backward=None):
    """Return the switch of an object on frames 1, 2, ... between frame 0 and the next."""
    ends = (0, len(agree) + 1)
    forward, backward = (way or [0.8] * len(agree) for way in (forward, backward))
    found = [
        pair(index, trust=(one, other), agree=much, ends=ends)
        for index, (much, one, other) in enumerate(zip(agree, forward, backward, strict=True), start=1)
    ]
    return switches(found)[1]


def test_without_a_dispute_the_switch_is_in_the_middle():
    assert switch_of([0.9] * 9) == 5
    assert switches([]) == {}


def test_the_switch_is_where_the_ways_agree_best():
    assert switch_of([0.9, 0.4, 0.3, 0.6, 0.97, 0.6, 0.3, 0.4, 0.9]) in (5, 6)  # beside frame 5
    assert switch_of([0.3, 0.3, 0.9, 0.3, 0.3, 0.3]) in (3, 4)


def test_the_way_that_is_sure_is_taken_where_they_differ():
    disputed = [0.9, 0.2, 0.2, 0.2, 0.2, 0.9]
    sure, lost = [0.9] * 6, [0.1] * 6
    assert switch_of(disputed, sure, lost) >= 6  # forward up to where they agree again
    assert switch_of(disputed, lost, sure) <= 2
    assert switch_of([0.1] * 6, sure, lost) == 7  # everywhere
    assert switch_of([0.1] * 6, lost, sure) == 1


@given(
    agree=st.lists(st.floats(0, 1), min_size=1, max_size=12),
    seed=st.integers(0, 1000),
)
def test_there_is_at_most_one_switch(agree, seed):
    random = np.random.default_rng(seed)
    forward, backward = random.random((2, len(agree))).tolist()
    at, ends = switch_of(agree, forward, backward), (0, len(agree) + 1)
    assert 1 <= at <= ends[1]
    one, other = labels(1.0, 0.0), labels(0.0, 1.0)
    taken = [
        torch.equal(fused_group(pair(index, agree=much, one=one, other=other, ends=ends), {1: at}, ONE).soft, one)
        for index, much in enumerate(agree, start=1)
        if much < AGREE
    ]
    assert taken == sorted(taken, reverse=True)  # forward first, then backward, never back


# What frames left behind.


def mirror_state(soft, index, start, end, ids=(1,)):
    """Return a state of the way backward, in its own indices; ends in the video's."""
    origin = torch.tensor([[mirrored(end), 0], [mirrored(end), 1]])
    own = GroupState(ids, soft, origin, None, mirrored(end), None if start is None else mirrored(start))
    return FrameState.of_groups(mirrored(index), [own], source="propagated", ids=ids, grid=None)


def test_what_is_turned_speaks_of_the_videos_frames():
    state = mirror_state(labels(1.0, 0.0), 3, 0, 10)
    found = turned(state)
    assert (found.index, found.source, found.ids) == (3, "propagated", (1,))
    (own,) = found.groups
    assert (own.start, own.end) == (0, 10)
    assert own.origin.tolist() == [[10, 0], [10, 1]]
    assert turned(mirror_state(labels(1.0, 0.0), 3, None, 10)).groups[0].start is None
    assert found.soft is own.soft
    assert LAST - state.index == 3


def test_turned_twice_is_as_before():
    state = mirror_state(labels(1.0, 0.0), 3, 0, 10)
    again = turned(turned(state))
    assert again.index == state.index
    assert (again.groups[0].start, again.groups[0].end) == (state.groups[0].start, state.groups[0].end)
    assert torch.equal(again.groups[0].origin, state.groups[0].origin)


def both_ways(annotations, label_type, frames=FRAMES, **settings):
    """Return, for each frame, what it left behind forward and backward, in the video's indices; and the decoder."""
    config = {"encoder": load_encoder("rawcolor"), "label_type": label_type, "context": 3, **settings}
    forward = propagation(annotations, pictures=frames.__getitem__, **config)
    ahead = {}
    for one in frames:
        forward.step(one)
        ahead[one.index] = forward.state()
    behind = {}
    pictures = {mirrored(one.index): mirrored_frame(one) for one in frames}
    backward = propagation(mirrored_annotations(annotations), pictures=pictures.__getitem__, **config)
    for one in reversed(frames):
        backward.step(mirrored_frame(one))
        behind[one.index] = turned(backward.state())
    return ahead, behind, Decoder(annotations, label_type=label_type, config=forward.config)


def fuse(ahead, behind, decoder):
    """Return the fused state of each frame."""
    kind = decoder.label_type
    found = {index: pairs(ahead[index], behind[index], label_type=kind, trace=decoder.trace) for index in ahead}
    spans = {}
    for one in (one for both in found.values() for one in both):
        spans.setdefault(one.ends, []).append(one)
    switch = {ends: switches(both) for ends, both in spans.items()}
    return [fused(ahead[at], behind[at], pairs=found[at], switch=switch, label_type=kind) for at in ahead]


FIRST = Annotation(1, MASKS[1], (1,))
THEN = Annotation(6, MASKS[6], (1,))
OTHER = Annotation(4, square(80, number=2, top=0, size=WIDE), (2,))


def test_every_frame_has_labels():
    found = fuse(*(run := both_ways([FIRST, THEN], MaskLabels((1,)))))
    decoder = run[2]
    masks = [decoder.decode(one, state).array for one, state in zip(FRAMES, found, strict=True)]
    assert min(overlap(mask == 1, real > 0) for mask, real in zip(masks, MASKS, strict=True)) > 0.7
    assert [state.source for state in found] == [
        "propagated", "annotated", *["propagated"] * 4, "annotated", "propagated",
    ]  # fmt: skip


def test_before_the_first_and_after_the_last_annotated_frame_one_way_is_all():
    ahead, behind, decoder = both_ways([FIRST, THEN], MaskLabels((1,)))
    found = fuse(ahead, behind, decoder)
    assert torch.equal(found[0].soft, behind[0].soft)
    assert torch.equal(found[7].soft, ahead[7].soft)
    for index in (1, 6):  # annotated frames are what was given, whichever way
        assert torch.equal(found[index].soft, ahead[index].soft)
        assert torch.equal(found[index].soft, behind[index].soft)
    assert fused(ahead[3], None, pairs=[], switch={}, label_type=decoder.label_type) is ahead[3]
    assert fused(None, behind[3], pairs=[], switch={}, label_type=decoder.label_type) is behind[3]


def test_each_object_has_its_own_ends():
    ahead, behind, decoder = both_ways([FIRST, OTHER, THEN], MaskLabels((1, 2)))
    found = fuse(ahead, behind, decoder)
    spans = [{own.ids: (own.start, own.end) for own in state.groups} for state in found]
    before, after = {(2,): (None, 4)}, {(2,): (4, None)}
    assert spans[0] == {(1,): (None, 1), **before}
    assert spans[1] == {(1,): (1, None), **before}  # what comes next does not matter where it is given
    assert spans[2:4] == [{(1,): (1, 6), **before}] * 2
    assert spans[4:6] == [{(1,): (1, 6), **after}] * 2
    assert spans[6:] == [{(1,): (6, None), **after}] * 2


@pytest.mark.parametrize("broken", [2, 5], ids=["after the first", "before the last"])
def test_beside_an_annotated_frame_one_that_cannot_be_decoded_holds_an_object_once(broken):
    frames = [frame(one.index, one.rgb, undecodable=one.index == broken) for one in FRAMES]
    found = fuse(*both_ways([FIRST, THEN], MaskLabels((1,)), frames))
    assert [[own.ids for own in state.groups] for state in found] == [[(1,)]] * len(frames)
    assert found[broken].source == "undecodable"
    assert found[broken].soft[1].sum() > 0.8 * found[broken + 1].soft[1].sum()


def test_what_is_given_of_one_object_moves_no_bit_of_another():
    alone = fuse(*both_ways([FIRST, THEN], MaskLabels((1, 2))))
    both = fuse(*both_ways([FIRST, OTHER, THEN], MaskLabels((1, 2))))
    for state, other in zip(alone, both, strict=True):
        assert torch.equal(state.group_of(1).soft[1], other.group_of(1).soft[1])
        assert state.group_of(1).flags == other.group_of(1).flags


def test_backward_is_forward_of_the_video_that_runs_backward():
    count = len(FRAMES)
    frames = [frame(count - 1 - one.index, one.rgb) for one in reversed(FRAMES)]
    swapped = [Annotation(count - 1 - one.frame, one.array, one.ids) for one in (FIRST, THEN)]
    ahead, behind, decoder = both_ways([FIRST, THEN], MaskLabels((1,)))
    other_ahead, other_behind, other = both_ways(swapped, MaskLabels((1,)), frames)
    for index in range(count):
        ways = (ahead, behind), (other_behind, other_ahead)
        for one, two in zip(*ways, strict=True):
            first, second = one[index].soft, two[count - 1 - index].soft
            assert (first is None) == (second is None)
            assert first is None or torch.equal(first, second)
    for state, reverse in zip(fuse(ahead, behind, decoder), fuse(other_ahead, other_behind, other)[::-1], strict=True):
        torch.testing.assert_close(state.soft, reverse.soft)


def test_the_overlap_is_what_both_have_of_what_either_has():
    ahead = FrameState.of_groups(3, [group(labels(0.75, 0.25, 0.0))], source="propagated", ids=(1,), grid=None)
    behind = FrameState.of_groups(3, [group(labels(0.25, 0.75, 0.0))], source="propagated", ids=(1,), grid=None)
    nothing = FrameState.of_groups(3, [group(labels(0.0, 0.0, 0.0))], source="propagated", ids=(1,), grid=None)

    def agreed(one, other):
        (found,) = pairs(one, other, label_type=ONE, trace=lambda *_: None)
        return found.overlap.item()

    assert agreed(ahead, behind) == pytest.approx(0.5 / 1.5)
    assert agreed(ahead, ahead) == 1
    assert agreed(ahead, nothing) == 0
    assert agreed(nothing, nothing) == 1  # that it is not there


def test_points_far_apart_are_not_averaged():
    kind = KeypointLabels(("a",))
    near, far = (Annotation(index, np.array([[x, 30.0]]), ("a",)) for index, x in ((0, 20.0), (7, 100.0)))
    still = [frame(index, FRAMES[0].rgb) for index in range(8)]  # the ways stay where they began
    ahead, behind, decoder = both_ways([near, far], kind, still, keep_annotated=False)  # neither sees the other end
    found = fuse(ahead, behind, decoder)
    places = [round(decoder.decode(one, state).array[0, 0]) for one, state in zip(still, found, strict=True)]
    assert all(min(abs(x - 20), abs(x - 100)) < 4 for x in places)
    assert places == sorted(places)
    assert {flag for state in found[1:7] for own in state.groups for flag in own.flags.get("a", ())} == {"disputed"}

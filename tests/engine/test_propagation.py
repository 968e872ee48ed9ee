"""The recursion: what stays, what moves, and what one, several or late annotations fix."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from textured import SIZE, carry, frame, overlap, points, propagation, sliding, square, still, texture

from propagate.config import PropagateConfig
from propagate.encoders.weights import load_encoder
from propagate.engine.propagation import Propagation
from propagate.errors import DeviceError, InputError
from propagate.labels.colors import ColorLabels
from propagate.labels.maps import MapLabels, MapPlane
from propagate.values import Annotation
from rendered import render

BOTH = square(4) + square(40, number=2)  # object 1 on the left, object 2 on the right
FIRST = Annotation(0, BOTH, (1, 2))
EXACT = {"topk": 1, "label_scale": 4}  # one pointer a cell, and labels as fine as pixels: nothing is blurred
CHAIN = {**EXACT, "keep_annotated": False, "context": 1}  # each frame looks at the one before it


def states(prediction):
    return {state.id: state for state in prediction.objects}


def test_a_mask_carried_onto_the_same_frame_is_unchanged():
    mask = np.random.default_rng(0).integers(0, 4, SIZE)
    last = carry(still(4), [Annotation(0, mask, (1, 2, 3))], **EXACT)[-1]
    np.testing.assert_array_equal(last.array, mask)


def test_under_the_preset_a_mask_carried_onto_the_same_frame_keeps_its_shape():
    last = carry(still(3), [FIRST])[-1]
    assert all(overlap(last.array == number, number == BOTH) > 0.9 for number in (1, 2))


@pytest.mark.parametrize("scale", [1, 2])
def test_points_carried_onto_the_same_frame_are_unchanged(scale):
    given = points((20.3, 17.8), (40.0, 30.6), (33.4, 24.0))
    last = carry(still(3), [given], topk=1, label_scale=scale)[-1]
    np.testing.assert_allclose(last.array, given.array, atol=0.1)


@pytest.mark.parametrize("feedback", ["soft", "hard"])
@pytest.mark.parametrize(("scale", "step", "least"), [(1, 4, 0.8), (2, 4, 0.75), (1, 3, 0.7), (2, 3, 0.65)])
def test_a_sliding_square_is_tracked(scale, step, least, feedback):
    frames, masks = sliding(9, step=step)
    found = carry(frames, [Annotation(0, masks[0], (1,))], label_scale=scale, feedback=feedback)
    assert overlap(masks[0] > 0, masks[-1] > 0) < 0.15
    assert min(overlap(one.array == 1, mask > 0) for one, mask in zip(found, masks, strict=True)) > least


@pytest.mark.parametrize(("step", "within"), [(3, 2.5), (4, 0.1)])  # pixels; a cell is 4
def test_a_sliding_point_is_tracked(step, within):
    frames, _ = sliding(9, step=step)
    for one in carry(frames, [points((24.0, 32.0))])[1:]:
        np.testing.assert_allclose(one.array, [[24 + step * one.frame.index, 32]], atol=within)


def test_the_first_annotated_frame_is_the_annotation_exactly():
    ragged = np.random.default_rng(1).integers(0, 3, SIZE)
    first = carry(still(1), [Annotation(0, ragged, (1, 2))])[0]
    np.testing.assert_array_equal(first.array, ragged)
    assert first.source == "annotated"


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"a mask must be \(48, 64\) as its frame, not \(64, 112\)"):
        carry(still(1), [Annotation(0, square(0, size=(64, 112)), (1,))])


def test_an_annotation_fixes_only_its_ids():
    correction = Annotation(2, square(16), (1,))  # object 2 lies where it says background
    before, at, after = carry(still(4), [FIRST, correction], **CHAIN)[1:]
    np.testing.assert_array_equal(at.array == 1, correction.array == 1)
    np.testing.assert_array_equal(at.array == 2, before.array == 2)
    np.testing.assert_array_equal(after.array, at.array)


def test_an_annotation_covers_what_lay_beneath():
    correction = Annotation(2, square(32), (1,))  # over the left half of object 2
    at = carry(still(3), [FIRST, correction], **EXACT)[-1]
    np.testing.assert_array_equal(at.array, np.where(correction.array == 1, 1, np.where(BOTH == 2, 2, 0)))


def test_a_complete_annotation_ends_what_it_lacks():
    fix = Annotation(2, square(4), (1,), complete=True)
    *_, at, after = carry(still(4), [FIRST, fix], **CHAIN)
    assert not (at.array == 2).any()
    assert not (after.array == 2).any()
    assert not states(after)[2].visible
    assert states(after)[2].flags == ()  # it did not vanish: a person said that it is not there


def test_an_object_may_appear_later():
    later = Annotation(2, square(40, number=2), (2,))
    found = carry(still(5), [Annotation(0, square(4), (1,)), later], **CHAIN)
    assert [(one.array == 2).any() for one in found] == [False, False, True, True, True]
    np.testing.assert_array_equal(found[-1].array, BOTH)
    assert "reappeared" not in states(found[2])[2].flags


def test_an_ended_object_does_not_return_from_older_references():
    fix = Annotation(2, square(4), (1,), complete=True)
    found = carry(still(6), [FIRST, fix], **EXACT)
    assert not any((one.array == 2).any() for one in found[2:])


def test_an_object_annotated_late_survives_references_that_do_not_know_it():
    later = Annotation(2, square(40, number=2), (2,))  # in sight, but unlabelled, from the start
    last = carry(still(6), [Annotation(0, square(4), (1,)), later])[-1]
    assert overlap(last.array == 2, later.array == 2) > 0.8


def test_a_correction_is_trusted_on_its_own_frame():
    correction = Annotation(2, square(20), (1,))  # where nothing of object 1 was predicted
    at = carry(still(3), [Annotation(0, BOTH, (1, 2)), correction])[-1]
    assert states(at)[1].confidence > 0.8
    assert "swapped" not in states(at)[1].flags


def test_the_order_of_annotations_does_not_matter():
    frames, masks = sliding(6)
    given = [Annotation(index, masks[index], (1,)) for index in (0, 2, 4)] + [
        Annotation(3, square(0, number=2, size=(64, 112)), (2,))
    ]
    one, other = carry(frames, given), carry(frames, given[::-1])
    assert all(torch.equal(a.labels.soft, b.labels.soft) for a, b in zip(one, other, strict=True))


def test_a_frame_annotated_twice_is_refused():
    with pytest.raises(ValueError, match="a frame is annotated twice"):
        propagation([FIRST, Annotation(0, square(0), (1,))])


def test_an_annotation_of_a_point_leaves_the_others():
    first = points((20.0, 20.0), (40.0, 30.0))
    fix = Annotation(2, np.array([[24.5, 22.5], [np.nan, np.nan]]), first.ids)
    at, after = carry(still(4), [first, fix], topk=1, context=1, keep_annotated=False)[2:]
    assert at.array[0].tolist() == [24.5, 22.5]
    np.testing.assert_allclose(after.array, [[24.5, 22.5], [40, 30]], atol=0.1)


def test_an_annotation_of_one_plane_leaves_the_other():
    kind = MapLabels((MapPlane("depth", "value", 1), MapPlane("parts", "probability", 2, (0, 4))))
    parts, far = np.where(BOTH == 1, 4, 0), np.full((*SIZE, 1), 3.0)
    first = Annotation(0, kind.stacked({"depth": far * 0, "parts": parts}), ("depth", "parts"))
    fix = Annotation(2, kind.stacked({"depth": far, "parts": parts * 0}), ("depth",))
    for one in carry(still(4), [first, fix], label_type=kind, **EXACT)[2:]:
        found = kind.planes(one.array)
        np.testing.assert_array_equal(found["parts"], parts)
        np.testing.assert_allclose(found["depth"], far, atol=1e-5)


def test_frames_before_the_first_annotation_are_empty():
    found = carry(still(4), [Annotation(2, BOTH, (1, 2))])
    assert [one.source for one in found] == ["none", "none", "annotated", "propagated"]
    assert not found[1].array.any()
    assert not any(state.visible for state in found[1].objects)


def test_points_before_the_first_annotation_are_absent():
    later = Annotation(1, points((20.0, 20.0)).array, ("p0",))
    assert np.isnan(carry(still(1), [later])[0].array).all()


def test_an_undecodable_frame_repeats_the_last_labels():
    frames, masks = sliding(5)
    broken = frame(2, frames[1].rgb, undecodable=True)
    moving = propagation([Annotation(0, masks[0], (1,))])
    found = [moving.step(one) for one in (*frames[:2], broken, *frames[3:])]
    np.testing.assert_array_equal(found[2].array, found[1].array)
    assert (found[2].source, states(found[2])[1].confidence) == ("undecodable", 0)
    assert "undecodable" in states(found[2])[1].flags
    assert [reference.index for reference in moving.groups[0].window.references()] == [0, 1, 3, 4]
    assert overlap(found[4].array == 1, masks[4] > 0) > 0.8


def test_an_annotation_of_an_undecodable_frame_is_said(caplog):
    with caplog.at_level(logging.WARNING):
        found = carry([frame(0, texture(0), undecodable=True), *still(2)[1:]], [FIRST])
    assert "frame 0 is annotated but cannot be decoded" in caplog.text
    assert [one.source for one in found] == ["undecodable", "none"]


def test_a_change_of_size_is_refused():
    moving = propagation([FIRST])
    moving.step(still(1)[0])
    with pytest.raises(InputError, match="frame 1 is 32x16 but the video began as 64x48 .*split the video"):
        moving.step(frame(1, texture(0, (16, 32))))


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("induced"), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")],
)
def test_an_encoder_without_memory_is_one_clear_line(monkeypatch, error):
    def starved(rgb):
        raise error

    moving = propagation([FIRST])
    monkeypatch.setattr(moving.encoder, "encode", starved)
    with pytest.raises(DeviceError, match=r"out of memory while encoding a frame \(use a smaller --size\)"):
        moving.step(still(1)[0])


def test_another_error_of_an_encoder_is_its_own(monkeypatch):
    def broken(rgb):
        raise RuntimeError("shapes differ")

    moving = propagation([FIRST])
    monkeypatch.setattr(moving.encoder, "encode", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        moving.step(still(1)[0])


def test_finer_labels_keep_a_ragged_outline_better():
    blob = render(size=SIZE, frames=1, occluder=False, points=1).masks[0].astype(int)
    found = [carry(still(2), [Annotation(0, blob, (1,))], label_scale=scale)[-1].array for scale in (1, 2)]
    assert overlap(found[1] > 0, blob > 0) > overlap(found[0] > 0, blob > 0)


def test_finer_labels_follow_a_rendered_clip_as_well():
    clip = render(size=(160, 200), frames=8, occluder=False, points=1)
    frames = [frame(index, rgb) for index, rgb in enumerate(clip.frames)]
    given = [Annotation(0, clip.masks[0].astype(int), (1,))]
    coarse, fine = (
        np.mean([overlap(one.array > 0, mask > 0) for one, mask in zip(found[1:], clip.masks[1:], strict=True)])
        for found in (carry(frames, given), carry(frames, given, label_scale=2))
    )
    assert coarse > 0.8
    assert fine > coarse - 0.02


def test_three_hundred_ids_survive():
    cells = np.arange(16 * 20).reshape(16, 20).repeat(4, 0).repeat(4, 1)
    mask = np.where(cells <= 300, cells, 0)
    frames = [frame(index, texture(0, mask.shape)) for index in range(2)]
    last = carry(frames, [Annotation(0, mask, tuple(range(1, 301)))], **EXACT)[-1]
    assert last.array.dtype == np.uint16
    np.testing.assert_array_equal(last.array, mask)


def test_the_window_stays_flat():
    frames = still(50)
    given = [Annotation(index, BOTH, (1, 2)) for index in range(0, 50, 10)]
    moving = propagation(given, context=3, pictures=frames.__getitem__)
    counts = []
    for one in frames:
        moving.step(one)
        assert len(moving.groups) == 1
        counts.append(len(moving.groups[0].window.references()))
    assert max(counts) == 3 + 2
    assert {len(reference.prepared) for reference in moving.groups[0].window.references()} <= {0, 1}


def test_what_is_given_later_helps_before_it():
    plain, part, other = np.full((*SIZE, 3), 128, np.uint8), square(16), square(32)
    plain[part > 0] = (220, 30, 20)
    both = plain.copy()
    both[other > 0] = 70  # a part that the first frame does not show, darker than the background
    frames = [frame(index, both if index else plain) for index in range(9)]
    given = [Annotation(0, part, (1,)), Annotation(8, part + other, (1,))]
    once, anywhere = (carry(frames, given, pictures=one, context=0) for one in (None, frames.__getitem__))
    for index in range(4, 8):  # from half the way on
        assert overlap(once[index].array == 1, part > 0) > 0.9
        assert overlap(anywhere[index].array == 1, part + other > 0) > 0.9


@pytest.fixture(scope="module")
def colorization():
    return load_encoder("colorization", "random")


@pytest.mark.parametrize("context", [1, 2, 5])
def test_the_network_over_time_takes_fewer_and_more_than_three_references(colorization, context):
    found = carry(still(7), [FIRST], encoder=colorization, size="32x32", context=context, label_scale=1)
    assert all(torch.isfinite(one.labels.soft).all() for one in found)
    torch.testing.assert_close(found[-1].labels.soft.sum(0), torch.ones(4, 4))


def test_the_network_over_time_equals_the_four_frames_by_hand(colorization):
    frames = [frame(index, texture(index, (32, 32))) for index in range(4)]
    mask = np.zeros((32, 32), int)
    mask[:16] = 1
    moving = propagation([Annotation(0, mask, (1,))], encoder=colorization, size="32x32", label_scale=1)
    found = [moving.step(one) for one in frames]
    rgb = torch.stack([torch.from_numpy(one.rgb).permute(2, 0, 1) / 255 for one in frames])
    with torch.inference_mode():
        embedded = colorization.embed(colorization.encode(rgb))  # (4, 64, 4, 4)
    keys = embedded[:3].transpose(0, 1).flatten(1)  # (64, 3 * 16)
    affinity = torch.softmax(keys.T @ embedded[3].flatten(1) / 0.5, dim=0)
    labels = torch.stack([one.labels.soft for one in found[:3]], 1).flatten(1)  # (2, 3 * 16)
    torch.testing.assert_close(found[3].labels.soft.flatten(1), labels @ affinity, atol=1e-4, rtol=0)


def test_colours_are_carried_cell_by_cell_whatever_masks_are():
    config = PropagateConfig(label_scale=2)
    asked = Propagation([], label_type=ColorLabels(), encoder=load_encoder("rawcolor"), config=config)
    assert asked.config.label_scale == 1

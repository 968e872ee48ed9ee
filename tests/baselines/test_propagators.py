"""Every baseline with every label type: what stays, what combines, what moves, and what is refused."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from textured import SIZE, frame, overlap, square, still, texture

from propagate.baselines import PROPAGATORS
from propagate.baselines.flow import tvl1
from propagate.baselines.warp_propagation import identity, warp_labels
from propagate.baselines.warped_labels import above
from propagate.engine.pipeline import load_label_type
from propagate.errors import ConfigError, InputError
from propagate.labels import LABEL_TYPES
from propagate.labels.keypoints import KeypointLabels
from propagate.labels.maps import MapPlane
from propagate.labels.masks import MaskLabels
from propagate.labels.protocol import LabelType
from propagate.values import Annotation
from rendered import render

BOTH = square(4) + square(40, number=2)
PLACES = np.array([[20.3, 17.8], [40.0, 30.6], [0.2, 46.9]])
PAINT = np.dstack([texture(7), square(8, number=255, side=20).astype(np.uint8)])
NAMES = ("a", "b", "c")


@dataclass(frozen=True)
class Example:
    """One label type: its type, an annotation of frame 0, and how close what is carried to a still frame comes."""

    label_type: Callable[[], LabelType]
    array: np.ndarray
    ids: tuple[int | str, ...]
    within: float


MAPS = [MapPlane("parts", "probability", 3, (0, 1, 2)), MapPlane("depth", "value", 1)]
DEPTH = np.dstack([BOTH, np.arange(BOTH.size).reshape(SIZE)]).astype(np.float32)
EXAMPLES = {
    "masks": Example(lambda: load_label_type("masks", (1, 2)), BOTH, (1, 2), 0),
    "keypoints": Example(lambda: load_label_type("keypoints", NAMES), PLACES, NAMES, 1e-6),
    "colors": Example(lambda: load_label_type("colors"), texture(0), ("a", "b"), 1),
    "texture": Example(lambda: load_label_type("texture", PAINT), PAINT, ("paint",), 1),
    "maps": Example(lambda: LABEL_TYPES["maps"](MAPS), DEPTH, ("parts", "depth"), 1e-3),
}


def run(name: str, frames, annotations: Sequence[Annotation], label_type: LabelType, **options):
    return list(PROPAGATORS[name](frames, annotations, label_type=label_type, **options))


def masks(*ids):
    return MaskLabels(ids)


def test_there_is_an_example_of_every_label_type():
    assert set(EXAMPLES) == set(LABEL_TYPES)


@pytest.mark.parametrize("label", EXAMPLES)
@pytest.mark.parametrize("name", PROPAGATORS)
def test_labels_stay_on_a_still_picture(name, label):
    example = EXAMPLES[label]
    annotation = Annotation(0, example.array, example.ids)
    first, *later = run(name, still(3), [annotation], example.label_type())
    assert [one.source for one in (first, *later)] == ["annotated", "propagated", "propagated"]
    for one in later:
        assert one.array.dtype == first.array.dtype
        np.testing.assert_allclose(one.array.astype(float), first.array.astype(float), atol=example.within)
        assert [state.id for state in one.objects] == [state.id for state in first.objects]
        assert all(state.visible for state in one.objects)


@pytest.mark.parametrize("name", PROPAGATORS)
def test_frames_before_the_first_annotation_are_empty(name):
    found = run(name, still(3), [Annotation(1, BOTH, (1, 2))], masks(1, 2))
    assert [one.source for one in found] == ["none", "annotated", "propagated"]
    assert not found[0].array.any()
    assert [(state.id, state.visible) for state in found[0].objects] == [(1, False), (2, False)]
    points = run(name, still(2), [Annotation(1, PLACES, NAMES)], KeypointLabels(NAMES))
    assert np.isnan(points[0].array).all()


@pytest.mark.parametrize("name", PROPAGATORS)
def test_a_frame_that_cannot_be_decoded_repeats_the_labels(name, caplog):
    frames = [*still(2), frame(2, texture(5), undecodable=True), still(4)[3]]
    annotations = [Annotation(0, BOTH, (1, 2)), Annotation(2, square(30, number=2), (2,))]
    with caplog.at_level(logging.WARNING):
        found = run(name, frames, annotations, masks(1, 2))
    assert "frame 2 is annotated but cannot be decoded" in caplog.text
    assert [one.source for one in found] == ["annotated", "propagated", "undecodable", "propagated"]
    for one in found:
        np.testing.assert_array_equal(one.array, BOTH)
    assert found[2].objects[0].confidence == 0
    assert "undecodable" in found[2].objects[0].flags


@pytest.mark.parametrize("name", PROPAGATORS)
def test_a_later_annotation_changes_only_what_it_names(name):
    annotations = [Annotation(0, BOTH, (1, 2)), Annotation(2, square(30, number=2), (2,))]
    expected = square(4) + square(30, number=2)
    for given in (annotations, annotations[::-1]):
        found = run(name, still(4), given, masks(1, 2))
        np.testing.assert_array_equal(found[1].array, BOTH)
        np.testing.assert_array_equal(found[2].array, expected)
        np.testing.assert_array_equal(found[3].array, expected)
    ended = [annotations[0], Annotation(2, square(30, number=2), (2,), complete=True)]
    np.testing.assert_array_equal(run(name, still(4), ended, masks(1, 2))[3].array, square(30, number=2))


@pytest.mark.parametrize("complete", [False, True])
def test_a_later_point_moves_alone_unless_it_is_complete(complete):
    later = np.array([[np.nan, np.nan], [12.25, 8.5], [np.nan, np.nan]])
    given = [Annotation(0, PLACES, NAMES), Annotation(1, later, ("b",), complete=complete)]
    found = list(identity(still(3), given, label_type=KeypointLabels(NAMES)))
    expected = later if complete else np.array([PLACES[0], later[1], PLACES[2]])
    np.testing.assert_array_equal(found[2].array, expected)
    assert found[1].objects[0].visible != complete
    assert found[1].objects[0].flags == ()  # it is said not to be there


def test_identity_is_the_annotation_itself_under_other_pictures():
    mask = np.random.default_rng(0).integers(0, 4, SIZE)
    frames = [frame(index, texture(index)) for index in range(3)]
    last = list(identity(frames, [Annotation(0, mask, (1, 2, 3))], label_type=masks(1, 2, 3)))[-1]
    np.testing.assert_array_equal(last.array, mask)
    point = list(identity(frames, [Annotation(0, PLACES, NAMES)], label_type=KeypointLabels(NAMES)))[-1]
    np.testing.assert_array_equal(point.array, PLACES)


def test_identity_of_colours_is_the_reference_s_chroma_under_the_frame_s_own_luma():
    red, grey = np.full((*SIZE, 3), (180, 60, 60), np.uint8), np.full((*SIZE, 3), 96, np.uint8)
    red[:, 32:] = (60, 60, 180)  # an edge of colour that the frame's own luma knows nothing of
    found = list(
        identity(
            [frame(0, red), frame(1, grey)], [Annotation(0, red, ("a", "b"))], label_type=load_label_type("colors")
        )
    )
    left, right = found[1].array[0, 31].astype(int), found[1].array[0, 32].astype(int)
    assert left[0] > left[2] + 60
    assert right[2] > right[0] + 60
    np.testing.assert_allclose(found[1].array @ np.array([0.299, 0.587, 0.114]), 96, atol=1)


@pytest.mark.parametrize("seen", [[10, 200, 30], [99, 99, 99]])
def test_colours_never_guide_their_own_transfer(seen):
    pictures = []

    def estimate(target, reference):
        pictures.extend([target, reference])
        return np.zeros((2, *SIZE), np.float32)

    frames = [frame(index, np.full((*SIZE, 3), seen, np.uint8)) for index in range(2)]
    list(
        warp_labels(
            frames, [Annotation(0, frames[0].rgb, ("a", "b"))], label_type=load_label_type("colors"), estimate=estimate
        )
    )
    luma = round(0.299 * seen[0] + 0.587 * seen[1] + 0.114 * seen[2])
    assert len(pictures) == 2
    assert all((picture == luma).all() for picture in pictures)


@pytest.mark.parametrize(("first", "expected"), [(False, [(1, 0), (2, 1), (3, 2)]), (True, [(1, 0), (2, 0), (3, 0)])])
def test_labels_come_from_the_frame_before_or_from_the_annotated_one(first, expected):
    pairs = []

    def estimate(target, reference):
        pairs.append((int(target[0, 0, 0]), int(reference[0, 0, 0])))
        flow = np.zeros((2, *SIZE), np.float32)
        flow[0] = -3 * (pairs[-1][0] - pairs[-1][1])  # what is here came from the left
        return flow

    frames = [frame(index, np.full((*SIZE, 3), index, np.uint8)) for index in range(4)]
    found = list(
        warp_labels(frames, [Annotation(0, square(8), (1,))], label_type=masks(1), estimate=estimate, first=first)
    )
    assert pairs == expected
    np.testing.assert_array_equal(found[3].array, square(17))


def test_points_follow_the_flow_forward():
    def estimate(target, reference):
        assert (int(target[0, 0, 0]), int(reference[0, 0, 0])) == (0, 1)  # from the annotated frame onward
        x = np.broadcast_to(np.arange(SIZE[1], dtype=np.float32), SIZE)
        return np.stack([x / 10, np.full(SIZE, -1.5, np.float32)])  # a stretch: the place itself decides how far

    frames = [frame(index, np.full((*SIZE, 3), index, np.uint8)) for index in range(2)]
    found = list(
        warp_labels(frames, [Annotation(0, PLACES, NAMES)], label_type=KeypointLabels(NAMES), estimate=estimate)
    )
    np.testing.assert_allclose(found[1].array, PLACES * [1.1, 1] - [0, 1.5], atol=1e-5)


def test_a_point_that_leaves_the_picture_is_absent():
    def estimate(target, reference):
        return np.full((2, *SIZE), -15.0, np.float32)

    found = list(
        warp_labels(still(2), [Annotation(0, PLACES, NAMES)], label_type=KeypointLabels(NAMES), estimate=estimate)
    )
    assert np.isnan(found[1].array).all(1).tolist() == [False, False, True]
    assert found[1].objects[2].flags == ("vanished",)


@pytest.mark.parametrize(("threshold", "columns"), [(0.2, 17), (0.5, 16), (0.8, 15)])
def test_the_threshold_decides_what_is_covered_in_part(threshold, columns):
    def estimate(target, reference):
        return np.stack([np.full(SIZE, -0.3, np.float32), np.zeros(SIZE, np.float32)])

    # scores along a row of the object: .7, then 1, and .3 in the column behind it
    found = list(
        warp_labels(
            still(2), [Annotation(0, square(8), (1,))], label_type=masks(1), estimate=estimate, threshold=threshold
        )
    )
    assert (found[1].array[20] > 0).sum() == columns
    scores = [0.7, *[1] * 15, 0.3]
    kept = [score for score in scores if score > threshold]
    assert found[1].objects[0].confidence == pytest.approx(np.mean(kept), abs=1e-4)


@pytest.mark.parametrize(("threshold", "expected"), [(0.2, [2, 1, 0, 2]), (0.35, [2, 0, 0, 2]), (0.5, [0, 0, 0, 2])])
def test_the_highest_object_above_the_threshold_wins(threshold, expected):
    scores = torch.tensor([[0.3, 0.5, 0.7, 0.0], [0.3, 0.3, 0.1, 0.1], [0.4, 0.2, 0.2, 0.9]])[:, None]  # (L, 1, 4)
    assert above(scores, threshold).argmax(0).tolist() == [expected]
    assert (above(scores, threshold).sum(0) == 1).all()


@pytest.mark.parametrize("name", [name for name in PROPAGATORS if name != "identity"])
def test_a_rendered_object_is_tracked(name):
    clip = render(size=(96, 128), frames=50, seed=0, occluder=False, likeness=0.5)
    frames = [frame(index, rgb) for index, rgb in enumerate(clip.frames[:4])]
    truth = clip.masks[:4] == 1
    scored = []
    for each in (name, "identity"):
        found = run(each, frames, [Annotation(0, truth[0].astype(int), (1,))], masks(1))
        scored.append(overlap(found[-1].array == 1, truth[-1]))
    assert scored[1] < 0.65
    assert scored[0] > 0.75


@pytest.mark.parametrize("name", ["flow", "flow-first"])
def test_rendered_points_are_followed_within_a_pixel(name):
    clip = render(size=(96, 128), frames=50, seed=0, occluder=False, likeness=0.5)
    frames = [frame(index, rgb) for index, rgb in enumerate(clip.frames[:4])]
    names = tuple(f"p{number}" for number in range(clip.points_xy.shape[1]))
    found = run(name, frames, [Annotation(0, clip.points_xy[0], names)], KeypointLabels(names), scale=1.0)
    away = np.hypot(*(found[-1].array - clip.points_xy[3]).T)
    assert np.hypot(*(clip.points_xy[0] - clip.points_xy[3]).T).min() > 5
    assert np.median(away) < 0.5


@pytest.mark.parametrize("name", PROPAGATORS)
def test_frames_of_another_size_are_refused(name):
    frames = [frame(0, texture(0)), frame(1, texture(0, (48, 60)))]
    with pytest.raises(InputError, match=r"frame 1 is 60x48 but the video began as 64x48"):
        run(name, frames, [Annotation(0, BOTH, (1, 2))], masks(1, 2))


def test_a_frame_annotated_twice_is_refused():
    with pytest.raises(ValueError, match="annotated twice"):
        list(identity(still(1), [Annotation(0, BOTH, (1, 2))] * 2, label_type=masks(1, 2)))


@pytest.mark.parametrize("name", [name for name in PROPAGATORS if name != "identity"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.0}, r"threshold is 1.0, but a warped score lies in \[0, 1\]"),
        ({"threshold": -0.1}, "threshold is -0.1"),
        ({"scale": 0.0}, "scale is 0.0"),
        ({"scale": 1.5}, "scale is 1.5"),
    ],
)
def test_settings_out_of_range_are_refused_before_the_first_frame(name, options, message):
    with pytest.raises(ConfigError, match=message):
        PROPAGATORS[name]([], [], label_type=masks(1), **options)


def test_an_unknown_estimator_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"no flow estimator is called 'tv-l1' \(one of tvl1, raft\)"):
        PROPAGATORS["flow"]([], [], label_type=masks(1), estimator="tv-l1")


def test_pictures_of_one_row_or_one_pixel_are_carried():
    for size in ((1, 9), (1, 1), (3, 70)):
        frames = [frame(index, texture(3, size)) for index in range(2)]
        mask = np.ones(size, np.int64)
        for name in PROPAGATORS:
            found = run(name, frames, [Annotation(0, mask, (1,))], masks(1))
            np.testing.assert_array_equal(found[1].array, mask)
    assert tvl1(frames[0].rgb, frames[1].rgb).shape == (2, 3, 70)

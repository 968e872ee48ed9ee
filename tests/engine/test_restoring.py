"""A run that is broken off and taken up again continues as if it had not been, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from textured import carry, frame, points, propagation, sliding, square

from propagate.encoders.weights import load_encoder
from propagate.values import Annotation

FRAMES, MASKS = sliding(8)
BROKEN = [frame(one.index, one.rgb, undecodable=one.index in (3, 6)) for one in FRAMES]
ONE = [Annotation(0, MASKS[0], (1,))]
SEVERAL = [
    Annotation(1, MASKS[1], (1,)),
    Annotation(3, square(0, number=2, size=(64, 112)), (2,)),
    Annotation(4, MASKS[4], (1,), complete=True),
]
FIXED = [
    points((24.2, 32.1), (80.0, 10.0)),
    Annotation(4, np.array([[np.nan, np.nan], [81.0, 11.0]]), ("p0", "p1")),
]


def taken_up(frames, annotations, at, **settings):
    """Return the predictions from frame `at` on, of a run that was broken off before it."""
    first = propagation(annotations, **settings)
    for one in frames[:at]:
        first.step(one)
    second = propagation(annotations, **settings)
    wanted = second.restore_snapshot(first.snapshot())
    for one in frames[:at]:
        if one.index in wanted:
            second.recall(one)
    return [second.step(one) for one in frames[at:]]


def assert_same(prediction, other):
    np.testing.assert_array_equal(prediction.array, other.array)
    assert torch.equal(prediction.labels.soft, other.labels.soft)
    assert repr(prediction.objects) == repr(other.objects)
    assert prediction.source == other.source


@pytest.mark.parametrize(
    ("frames", "annotations", "settings"),
    [
        (FRAMES, ONE, {"context": 3}),
        (FRAMES, ONE, {"context": 3, "label_scale": 2}),
        (FRAMES, ONE, {"context": 2, "feedback": "hard"}),
        (FRAMES, ONE, {"context": 2, "keep_annotated": False, "radius": None}),
        (FRAMES, SEVERAL, {"context": 2, "max_annotated": 2}),
        (BROKEN, SEVERAL, {"context": 3}),
        (FRAMES, FIXED, {"context": 3}),
        (BROKEN, FIXED, {"context": 3, "label_scale": 2}),
    ],
    ids=["masks", "fine", "hard", "full", "several", "undecodable", "points", "fine points"],
)
def test_every_break_continues_bit_for_bit(frames, annotations, settings):
    whole = carry(frames, annotations, **settings)
    for at in range(1, len(frames)):
        for prediction, other in zip(taken_up(frames, annotations, at, **settings), whole[at:], strict=True):
            assert_same(prediction, other)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("resnet18", torch.float32), ("resnet18", torch.bfloat16), ("colorization", torch.float32)],
)
def test_networks_continue_bit_for_bit(name, dtype):
    encoder = load_encoder(name, "random", dtype=dtype)
    size = "64x64" if name == "colorization" else 64
    whole = carry(FRAMES, ONE, encoder=encoder, size=size, context=3)
    for at in (1, 2, 5):
        rest = taken_up(FRAMES, ONE, at, encoder=encoder, size=size, context=3)
        for prediction, other in zip(rest, whole[at:], strict=True):
            assert_same(prediction, other)


def test_a_snapshot_does_not_change_afterwards():
    moving = propagation(SEVERAL)
    for one in FRAMES[:2]:
        moving.step(one)
    kept = moving.snapshot()
    before = [reference.labels.clone() for reference in kept.references]
    for one in FRAMES[2:]:
        moving.step(one)
    assert kept.next == 2
    assert set(kept.annotated) == {1}
    assert kept.last == {1: True}
    assert all(torch.equal(a.labels, b) for a, b in zip(kept.references, before, strict=True))


def test_restoring_names_the_frames_of_the_window():
    moving = propagation(ONE, context=2)
    for one in FRAMES:
        moving.step(one)
    assert propagation(ONE, context=2).restore_snapshot(moving.snapshot()) == {0, 6, 7}

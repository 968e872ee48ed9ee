"""From what each frame left behind a run goes on at any frame, and says again what it said, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from textured import SIZE, frame, propagation, sliding, square, texture

from propagate.encoders.weights import load_encoder
from propagate.engine.snapshot import Decoder
from propagate.labels.colors import ColorLabels
from propagate.labels.keypoints import KeypointLabels
from propagate.labels.maps import MapLabels, MapPlane
from propagate.labels.masks import MaskLabels
from propagate.labels.texture import TextureLabels
from propagate.values import Annotation

FRAMES, MASKS = sliding(8)
WIDE = MASKS[0].shape
PLANES = (MapPlane("depth", "value", 2), MapPlane("parts", "probability", 3, (0, 4, 9)))
PAINT = np.full((*WIDE, 4), 200, np.uint8)


def masks(index, seed):
    """Return an annotation of one or both of two objects, now and then complete."""
    random = np.random.default_rng(seed)
    ids = ((1,), (2,), (1, 2))[seed % 3]
    blocks = random.integers(0, 3, (8, 14)).repeat(8, 0).repeat(8, 1)
    return Annotation(index, np.where(np.isin(blocks, ids), blocks, 0), ids, complete=seed % 5 == 0)


def keypoints(index, seed):
    """Return an annotation of one or both of two points, now and then complete."""
    places = np.random.default_rng(seed).uniform((0, 0), (WIDE[1], WIDE[0]), (2, 2))
    places[[[1], [0], []][seed % 3]] = np.nan
    return Annotation(index, places, ("a", "b"), complete=seed % 5 == 0)


def maps(index, seed):
    """Return an annotation of one or both of two planes."""
    random = np.random.default_rng(seed)
    ids = (("depth",), ("parts",), ("depth", "parts"))[seed % 3]
    planes = {"depth": random.normal(size=(*WIDE, 2)), "parts": random.choice([0, 4, 9], WIDE)}
    return Annotation(index, MapLabels(PLANES).stacked(planes), ids)


def colors(index, seed):
    return Annotation(index, texture(seed, WIDE), ("a", "b", "chroma"))


def painted(index, seed):
    return Annotation(index, PAINT, ("paint",))


TYPES = {
    "masks": (lambda: MaskLabels((1, 2)), masks),
    "keypoints": (lambda: KeypointLabels(("a", "b")), keypoints),
    "maps": (lambda: MapLabels(PLANES), maps),
    "colors": (ColorLabels, colors),
    "texture": (lambda: TextureLabels(PAINT), painted),
}


@pytest.fixture(scope="module")
def rawcolor():
    return load_encoder("rawcolor")


def stepped(moving, frames):
    """Return the predictions and the states of all frames."""
    pairs = [(moving.step(one), moving.state()) for one in frames]
    return [prediction for prediction, _ in pairs], [state for _, state in pairs]


def taken_up(moving, frames, at, states):
    """Return the predictions and states from frame `at` on, of a run that knows only the states before it."""
    earlier = dict(enumerate(states[:at]))
    wanted = moving.restore(at, earlier.__getitem__)
    for one in frames[:at]:
        if one.index in wanted:
            moving.recall(one)
    return stepped(moving, frames[at:])


def assert_same(prediction, other):
    np.testing.assert_array_equal(prediction.array, other.array)
    assert torch.equal(prediction.labels.soft, other.labels.soft)
    assert repr(prediction.objects) == repr(other.objects)
    assert (prediction.source, prediction.ids) == (other.source, other.ids)


def assert_same_state(state, other):
    for name in ("index", "source", "ids", "grid", "last", "visible"):
        assert getattr(state, name) == getattr(other, name)
    assert [group.ids for group in state.groups] == [group.ids for group in other.groups]
    assert_same_tensors(state, other)
    for group, one in zip(state.groups, other.groups, strict=True):
        assert_same_tensors(group, one)


def assert_same_tensors(state, other):
    for name in ("soft", "origin", "centre"):
        one, two = getattr(state, name), getattr(other, name)
        assert (one is None) == (two is None)
        assert one is None or torch.equal(one, two)
    assert state.revised.keys() == other.revised.keys()
    assert all(torch.equal(labels, other.revised[index]) for index, labels in state.revised.items())


@pytest.mark.parametrize("name", TYPES)
@settings(max_examples=12, deadline=None)
@given(
    annotated=st.dictionaries(st.integers(0, 7), st.integers(0, 99), min_size=1, max_size=5),
    broken=st.sets(st.integers(0, 7), max_size=3),
    config=st.fixed_dictionaries(
        {
            "context": st.integers(1, 4),
            "keep_annotated": st.booleans(),
            "max_annotated": st.integers(1, 3),
            "label_scale": st.integers(1, 2),
            "feedback": st.sampled_from(["soft", "hard"]),
            "radius": st.sampled_from([None, 6]),
        }
    ),
    at=st.integers(0, 7),
)
def test_a_run_goes_on_at_any_frame_and_is_read_again(rawcolor, name, annotated, broken, config, at):
    make, annotate = TYPES[name]
    frames = [frame(one.index, one.rgb, undecodable=one.index in broken) for one in FRAMES]
    annotations = [annotate(index, seed) for index, seed in annotated.items()]

    def fresh():
        return propagation(annotations, encoder=rawcolor, label_type=make(), **config)

    whole, states = stepped(fresh(), frames)
    found, again = taken_up(fresh(), frames, at, states)
    for pair in zip(found, whole[at:], strict=True):
        assert_same(*pair)
    for pair in zip(again, states[at:], strict=True):
        assert_same_state(*pair)
    reader = Decoder(annotations, label_type=make(), config=fresh().config)
    for one, state, prediction in reversed(list(zip(frames, states, whole, strict=True))):
        assert_same(reader.decode(one, state, lookup=states.__getitem__), prediction)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("resnet18", torch.float32), ("resnet18", torch.bfloat16), ("colorization", torch.float32)],
)
def test_networks_go_on_bit_for_bit(name, dtype):
    encoder = load_encoder(name, "random", dtype=dtype)
    given = [Annotation(1, MASKS[1], (1,)), Annotation(5, MASKS[5], (1,))]
    config = {"encoder": encoder, "size": "64x64" if name == "colorization" else 64, "context": 3}
    whole, states = stepped(propagation(given, **config), FRAMES)
    for at in (2, 3, 6):
        found, _ = taken_up(propagation(given, **config), FRAMES, at, states)
        for pair in zip(found, whole[at:], strict=True):
            assert_same(*pair)


def test_one_run_can_jump_back_and_forth():
    given = [Annotation(0, MASKS[0], (1,)), Annotation(4, MASKS[4], (1,))]
    moving = propagation(given, context=2)
    whole, states = stepped(moving, FRAMES)
    for at in (3, 7, 1, 5):
        assert_same(taken_up(moving, FRAMES, at, states)[0][0], whole[at])


def test_only_states_that_matter_are_asked_for():
    given = [Annotation(1, MASKS[1], (1,)), Annotation(4, MASKS[4], (1,))]
    moving = propagation(given, context=2)
    _, states = stepped(moving, FRAMES)
    asked = []
    wanted = propagation(given, context=2).restore(7, lambda index: asked.append(index) or states[index])
    assert wanted == {1, 4, 5, 6}
    assert sorted(asked) == [1, 2, 4, 5, 6]  # 2 was the first to point
    assert propagation(given).restore(1, {}.__getitem__) == frozenset()


def test_a_state_does_not_change_afterwards():
    given = [Annotation(0, MASKS[0], (1,)), Annotation(3, square(4, size=WIDE), (1,))]
    moving = propagation(given)
    moving.step(FRAMES[0])
    kept = moving.state()
    before = kept.soft.clone()
    for one in FRAMES[1:]:
        moving.step(one)
    assert torch.equal(kept.soft, before)
    assert (kept.last, kept.visible) == ({}, {1: True})


def test_before_the_first_step_there_is_no_state():
    with pytest.raises(ValueError, match="no frame was stepped yet"):
        propagation([Annotation(0, MASKS[0], (1,))]).state()


@pytest.mark.parametrize("name", ["masks", "keypoints"])
def test_states_serve_a_run_that_knows_more_objects(name):
    ids = {"masks": (3, 7), "keypoints": ("a", "c")}[name]
    more = {"masks": (2, 3, 7, 9), "keypoints": ("a", "b", "c", "d")}[name]
    make = {"masks": MaskLabels, "keypoints": KeypointLabels}[name]

    def given(known):
        if name == "masks":
            array = np.where(MASKS[0] > 0, 3, square(70, number=7, size=WIDE))
            return [Annotation(0, array, (3, 7)), Annotation(3, square(70, number=7, size=WIDE), (7,))]
        rows = {"a": (30.0, 30.0), "c": (80.5, 20.25)}
        places = np.array([rows.get(one, (np.nan, np.nan)) for one in known])
        return [Annotation(index, places, known) for index in (0, 3)]

    def new():
        if name == "masks":
            return Annotation(6, square(90, number=9, size=WIDE), (9,))
        return Annotation(6, np.array([(np.nan, np.nan)] * 3 + [(90.0, 10.0)]), more)

    settings = {"context": 3, "label_scale": 2}
    _, states = stepped(propagation(given(ids), label_type=make(ids), **settings), FRAMES)
    whole, _ = stepped(propagation([*given(more), new()], label_type=make(more), **settings), FRAMES)
    moving = propagation([*given(more), new()], label_type=make(more), **settings)
    found, _ = taken_up(moving, FRAMES, 6, states[:6])
    for pair in zip(found, whole[6:], strict=True):
        assert_same(*pair)
    reader = Decoder([*given(more), new()], label_type=make(more), config=moving.config)
    for at in range(6):
        assert_same(reader.decode(FRAMES[at], states[at], lookup=states.__getitem__), whole[at])


def test_states_of_other_objects_are_refused():
    _, states = stepped(propagation([Annotation(0, MASKS[0], (1,))]), FRAMES[:2])
    moving = propagation([Annotation(0, square(0, number=2, size=WIDE), (2,))])
    with pytest.raises(ValueError, match=r"frame 0 have the ids \(1,\), which are not among \(2,\)"):
        moving.restore(2, states.__getitem__)


def test_states_of_a_map_cannot_gain_planes():
    _, states = stepped(propagation([maps(0, 2)], label_type=MapLabels(PLANES)), FRAMES[:1])
    with pytest.raises(ValueError, match="labels of 5 channels have no ids to add to"):
        states[0].for_ids(("depth", "parts", "more"))


def test_decoding_calls_no_network(monkeypatch):
    given = [Annotation(0, MASKS[0], (1,))]
    moving = propagation(given)
    whole, states = stepped(moving, FRAMES)
    monkeypatch.setattr(moving.encoder, "encode", None)
    assert_same(moving.decoder.decode(FRAMES[5], states[5], lookup=states.__getitem__), whole[5])


def test_the_grid_of_a_state_is_the_features():
    moving = propagation([Annotation(0, square(4), (1,))], label_scale=2)
    moving.step(frame(0, texture(0)))
    assert (moving.state().grid.rows, moving.state().grid.columns) == (12, 16)
    assert moving.state().soft.shape == (2, 24, 32)
    assert moving.state().grid.video == SIZE

"""From what each frame left behind a run goes on at any frame, and says again what it said, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from textured import SIZE, frame, propagation, sliding, square, texture

from propagate.encoders.weights import load_encoder
from propagate.engine.recursion import Visibility
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


def looking(annotations, frames=FRAMES, **settings):
    """Return a propagation that may look at any of the frames."""
    return propagation(annotations, pictures=frames.__getitem__, **settings)


def stepped(moving, frames):
    """Return the predictions and the states of all frames."""
    pairs = [(moving.step(one), moving.state()) for one in frames]
    return [prediction for prediction, _ in pairs], [state for _, state in pairs]


def taken_up(moving, at, states, frames=FRAMES):
    """Return the states from frame `at` on, of a run that knows only the states before it."""
    moving.restore(at, dict(enumerate(states[:at])).__getitem__)
    return stepped(moving, frames[at:])[1]


def read(decoder, frames, states):
    """Return the predictions of all frames from their states alone."""
    found, visible = [], Visibility(decoder.annotations, decoder.label_type)
    for one, state in zip(frames, states, strict=True):
        found.append(decoder.decode(one, replace(state, last=visible.before(one.index))))
        visible.add(one.index, {each.id: each.visible for each in found[-1].objects})
    return found


def assert_same(prediction, other):
    np.testing.assert_array_equal(prediction.array, other.array)
    assert torch.equal(prediction.labels.soft, other.labels.soft)
    assert repr(prediction.objects) == repr(other.objects)
    assert (prediction.source, prediction.ids) == (other.source, other.ids)


def assert_same_state(state, other):
    for name in ("index", "source", "ids", "grid", "last"):
        assert getattr(state, name) == getattr(other, name)
    assert_same_tensors(state, other, "soft")
    for group, one in zip(state.groups, other.groups, strict=True):
        for name in ("ids", "start", "end", "box", "flags"):
            assert getattr(group, name) == getattr(one, name)
        assert_same_tensors(group, one, "soft", "origin")


def assert_same_tensors(state, other, *names):
    for name in names:
        one, two = getattr(state, name), getattr(other, name)
        assert (one is None) == (two is None)
        assert one is None or torch.equal(one, two)


@pytest.mark.parametrize("name", TYPES)
@settings(max_examples=12, deadline=None)
@given(
    annotated=st.dictionaries(st.integers(0, 7), st.integers(0, 99), min_size=1, max_size=5),
    broken=st.sets(st.integers(0, 7), max_size=3),
    config=st.fixed_dictionaries(
        {
            "context": st.integers(0, 4),
            "keep_annotated": st.booleans(),
            "label_scale": st.integers(1, 2),
            "feedback": st.sampled_from(["soft", "hard"]),
            "radius": st.sampled_from([None, 6]),
        }
    ),
    at=st.integers(0, 7),
)
def test_a_run_goes_on_at_any_frame_and_is_read_again(rawcolor, name, annotated, broken, config, at):
    make, annotate = TYPES[name]
    config["keep_annotated"] |= config["context"] == 0
    broken -= annotated.keys()
    frames = [frame(one.index, one.rgb, undecodable=one.index in broken) for one in FRAMES]
    annotations = [annotate(index, seed) for index, seed in annotated.items()]

    def fresh():
        return looking(annotations, frames, encoder=rawcolor, label_type=make(), **config)

    whole, states = stepped(fresh(), frames)
    for pair in zip(taken_up(fresh(), at, states, frames), states[at:], strict=True):
        assert_same_state(*pair)
    for pair in zip(
        read(Decoder(annotations, label_type=make(), config=fresh().config), frames, states), whole, strict=True
    ):
        assert_same(*pair)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("resnet18", torch.float32), ("resnet18", torch.bfloat16), ("colorization", torch.float32)],
)
def test_networks_go_on_bit_for_bit(name, dtype):
    encoder = load_encoder(name, "random", dtype=dtype)
    given = [Annotation(1, MASKS[1], (1,)), Annotation(5, MASKS[5], (1,))]
    config = {"encoder": encoder, "size": "64x64" if name == "colorization" else 64, "context": 3}
    _, states = stepped(looking(given, **config), FRAMES)
    for at in (2, 3, 6):
        for pair in zip(taken_up(looking(given, **config), at, states), states[at:], strict=True):
            assert_same_state(*pair)


def test_one_run_can_jump_back_and_forth():
    given = [Annotation(0, MASKS[0], (1,)), Annotation(4, MASKS[4], (1,))]
    moving = looking(given, context=2)
    whole, states = stepped(moving, FRAMES)
    for at in (3, 7, 1, 5):
        for pair in zip(taken_up(moving, at, states), states[at:], strict=True):
            assert_same_state(*pair)
    moving.restore(0, {}.__getitem__)
    for pair in zip(stepped(moving, FRAMES)[0], whole, strict=True):
        assert_same(*pair)


def test_only_states_and_pictures_that_matter_are_asked_for():
    given = [Annotation(index, MASKS[index], (1,)) for index in (1, 3, 7)]
    _, states = stepped(looking(given, context=2), FRAMES)
    asked, seen = set(), []
    moving = propagation(given, context=2, pictures=lambda index: seen.append(index) or FRAMES[index])
    moving.restore(6, lambda index: asked.add(index) or states[index])
    assert asked == {4, 5}
    assert sorted(seen) == [3, 4, 5, 7]  # both ends, and the recent ones
    seen.clear()
    moving.restore(1, {}.__getitem__)
    assert seen == []


def test_without_pictures_a_run_cannot_go_on():
    given = [Annotation(1, MASKS[1], (1,))]
    _, states = stepped(looking(given), FRAMES[:3])
    with pytest.raises(ValueError, match="frames must be looked at again, but there are no pictures"):
        propagation(given).restore(3, states.__getitem__)
    propagation(given).restore(1, states.__getitem__)  # nothing is labelled yet


def test_a_state_does_not_change_afterwards():
    given = [Annotation(0, MASKS[0], (1,)), Annotation(3, square(4, size=WIDE), (1,))]
    moving = propagation(given)
    moving.step(FRAMES[0])
    kept = moving.state()
    before = kept.soft.clone()
    for one in FRAMES[1:]:
        moving.step(one)
    assert torch.equal(kept.soft, before)
    assert (kept.index, [(group.start, group.end) for group in kept.groups]) == (0, [(0, None)])


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
    _, states = stepped(looking(given(ids), label_type=make(ids), **settings), FRAMES)
    every = [*given(more), new()]
    whole, new_states = stepped(looking(every, label_type=make(more), **settings), FRAMES)
    moving = looking(every, label_type=make(more), **settings)
    for pair in zip(taken_up(moving, 6, states), new_states[6:], strict=True):
        assert_same_state(*pair)
    mixed = [*states[:6], *new_states[6:]]
    for pair in zip(
        read(Decoder(every, label_type=make(more), config=moving.config), FRAMES, mixed), whole, strict=True
    ):
        assert_same(*pair)


def test_states_of_other_objects_are_refused():
    _, states = stepped(propagation([Annotation(0, MASKS[0], (1,))]), FRAMES[:2])
    moving = looking([Annotation(0, square(0, number=2, size=WIDE), (2,))])
    with pytest.raises(ValueError, match=r"frame 1 have the ids \(1,\), which are not among \(2,\)"):
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
    last = {1: whole[4].objects[0].visible}
    assert_same(moving.decoder.decode(FRAMES[5], replace(states[5], last=last)), whole[5])


def test_the_grid_of_a_state_is_the_features():
    moving = propagation([Annotation(0, square(4), (1,))], label_scale=2)
    moving.step(frame(0, texture(0)))
    assert (moving.state().grid.rows, moving.state().grid.columns) == (12, 16)
    assert moving.state().soft.shape == (2, 24, 32)
    assert moving.state().grid.video == SIZE

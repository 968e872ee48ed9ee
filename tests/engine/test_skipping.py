"""A cell that only one label can come to is not searched for, and no bit of any label depends on that."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from textured import Bare, frame, propagation, square

from propagate.config import PropagateConfig
from propagate.encoders.weights import load_encoder
from propagate.engine.pointer import Pointer, Reference
from propagate.labels.keypoints import KeypointLabels
from propagate.labels.masks import MaskLabels
from propagate.labels.protocol import made_certain
from propagate.ops.local import Tiling
from propagate.values import Annotation
from rendered import render

SETTINGS = [{}, {"feedback": "hard"}, {"certain": 0.9, "edges": 4.0}, {"topk": None}, {"context": 2, "label_scale": 2}]


def patches(frames, shape, channels, scale, random):
    """Return labels (frames, h*w, channels * scale^2): a background with a few boxes, of one label or of several."""
    fine = (shape[0] * scale, shape[1] * scale)
    soft = torch.zeros(frames, channels, *fine)
    soft[:, 0] = 1
    for canvas in soft:
        for _ in range(int(torch.randint(0, 3, (1,), generator=random))):
            top, left = (int(torch.randint(0, side, (1,), generator=random)) for side in fine)
            box = canvas[:, top : top + 5, left : left + 7]
            mixed = torch.rand(channels, *box.shape[1:], generator=random).softmax(0)
            one = torch.nn.functional.one_hot(torch.randint(0, channels, (1,), generator=random), channels).float()
            box[:] = mixed if torch.rand(1, generator=random) < 0.5 else one[0][:, None, None]
    return torch.pixel_unshuffle(soft, scale).flatten(2).transpose(1, 2).contiguous()


@given(
    shape=st.tuples(st.integers(1, 24), st.integers(1, 32)),
    frames=st.integers(1, 5),
    channels=st.integers(2, 4),
    scale=st.sampled_from([1, 2]),
    radius=st.one_of(st.none(), st.integers(0, 14)),
    wide=st.one_of(st.just("same"), st.none(), st.integers(0, 14)),
    window=st.sampled_from(["square", "circle"]),
    topk=st.one_of(st.none(), st.integers(1, 12)),
    seed=st.integers(0, 1000),
)
@settings(max_examples=30, deadline=None)
def test_labels_are_the_same_bit_for_bit(shape, frames, channels, scale, radius, wide, window, topk, seed):
    random = torch.Generator().manual_seed(seed)
    query, keys = torch.randn(5, *shape, generator=random), torch.randn(frames, 5, *shape, generator=random)
    labels = patches(frames, shape, channels, scale, random)
    found = []
    for search_all in (False, True):
        config = PropagateConfig(
            radius=radius, annotated_radius=wide, window=window, topk=topk, label_scale=scale, search_all=search_all
        )
        origin = torch.zeros(len(labels[0]), 2, dtype=torch.int64)
        references = [
            Reference(n, key, one, origin, n == 0) for n, (key, one) in enumerate(zip(keys, labels, strict=True))
        ]
        flat = Pointer(Bare(shape), config, skips=True).point(query, references).labels
        soft = torch.nn.functional.pixel_shuffle(flat.T.reshape(-1, *shape), scale)
        found.append(made_certain(soft, share=1))
    assert torch.equal(*found)


def test_what_is_far_from_every_object_is_not_searched_for(monkeypatch):
    shape = (60, 107)
    labels = torch.zeros(60 * 107, 2)
    labels[:, 0] = 1
    labels.view(60, 107, 2)[30:34, 50:54] = torch.tensor([0.0, 1.0])
    searched = []
    spans = Tiling.spans
    monkeypatch.setattr(
        Tiling, "spans", lambda *args, **more: [searched.append(one.tiles) or one for one in spans(*args, **more)]
    )
    keys, origin = torch.randn(4, *shape), torch.zeros(len(labels), 2, dtype=torch.int64)
    config = PropagateConfig(radius=6)
    Pointer(Bare(shape), config, skips=True).point(keys, [Reference(0, keys, labels, origin, annotated=True)])
    assert sum(searched) == 2 * 4  # of 8 * 27 tiles
    held = torch.zeros_like(labels)
    held[:, 0] = 1
    searched.clear()
    found = (
        Pointer(Bare(shape), config, skips=True).point(keys, [Reference(0, keys, held, origin, annotated=True)]).labels
    )
    assert searched == []
    assert torch.equal(found, held)


def test_a_settled_cell_is_where_the_person_labelled_it():
    labels, origin = (
        torch.eye(2)[torch.zeros(12, dtype=torch.int64)],
        torch.stack([torch.full((12,), 3), torch.arange(12)], 1),
    )
    keys, elsewhere = torch.randn(4, 3, 4), torch.zeros(12, 2, dtype=torch.int64)
    references = [
        Reference(3, keys, labels, origin, annotated=True),
        Reference(4, keys, labels, elsewhere, annotated=False),
    ]
    found = Pointer(Bare((3, 4)), PropagateConfig(), skips=True).point(keys, references).origin
    assert torch.equal(found, origin)


@pytest.fixture(scope="module")
def clip():
    return render(size=(96, 160), frames=7)


@pytest.mark.parametrize("config", SETTINGS, ids=str)
def test_masks_of_a_clip_with_corrections_are_the_same(clip, config):
    size = clip.masks[0].shape
    ids = tuple(int(number) for number in np.unique(clip.masks[0]) if number)
    given = [
        Annotation(0, clip.masks[0], ids),
        Annotation(3, square(50, number=ids[0], size=size), ids[:1]),
        Annotation(5, square(20, number=ids[-1] + 1, size=size), (ids[-1] + 1,)),
    ]
    runs = []
    for search_all in (False, True):
        settings = {"encoder": load_encoder("rawcolor"), "radius": 5, "search_all": search_all, **config}
        moving = propagation(given, label_type=MaskLabels((*ids, ids[-1] + 1)), **settings)
        runs.append(
            [(moving.step(frame(index, rgb)).array, moving.state().soft) for index, rgb in enumerate(clip.frames)]
        )
    for (mask, soft), (other, whole) in zip(*runs, strict=True):
        np.testing.assert_array_equal(mask, other)
        assert torch.equal(soft, whole)


def test_points_of_a_clip_are_the_same(clip):
    given = Annotation(0, np.array([[60.0, 50.0], [150.0, 90.0], [100.0, 20.0]]), ("a", "b", "c"))
    runs = []
    for search_all in (False, True):
        moving = propagation(
            [given],
            label_type=KeypointLabels(("a", "b", "c"), visible=0.0),
            encoder=load_encoder("rawcolor"),
            radius=4,
            certain=0.95,
            search_all=search_all,
        )
        runs.append([moving.step(frame(index, rgb)).array for index, rgb in enumerate(clip.frames)])
    np.testing.assert_array_equal(*runs)


def test_where_a_pass_ends_does_not_depend_on_what_is_left_out(monkeypatch):
    """Frames that are alike tie everywhere: of equal candidates those of the same pass must come first."""
    monkeypatch.setattr("propagate.engine.pointer.SCRATCH", 1 << 19)
    random = torch.Generator().manual_seed(0)
    keys = torch.randn(5, 20, 40, generator=random)
    labels = patches(6, (20, 40), 2, 1, random)
    found = []
    for search_all in (False, True):
        config = PropagateConfig(radius=4, topk=3, search_all=search_all)
        origin = torch.stack([torch.zeros(800, dtype=torch.int64), torch.arange(800)], 1)
        references = [Reference(n, keys, one, origin, n == 0) for n, one in enumerate(labels)]
        pointed = Pointer(Bare((20, 40)), config, skips=True).point(keys, references)
        found.append((made_certain(pointed.labels.T, share=1), pointed.origin))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])

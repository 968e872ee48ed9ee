"""The fast engine equals the plain dense one, whatever the window, radius, shape, top-k and size."""

from __future__ import annotations

import dense
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from textured import Bare

from propagate.config import PropagateConfig
from propagate.engine.pointer import Pointer, Reference
from propagate.errors import DeviceError

RADII = st.one_of(st.none(), st.integers(0, 14))


def reference(index, features, labels, *, annotated=False):
    flat = labels.flatten(1).T.contiguous()
    return Reference(index, features, flat, torch.zeros(flat.shape[0], 2, dtype=torch.int64), annotated)


@given(
    shape=st.tuples(st.integers(1, 11), st.integers(1, 13)),
    frames=st.integers(1, 10),
    radius=RADII,
    wide=st.one_of(st.just("same"), RADII),
    window=st.sampled_from(["square", "circle"]),
    kind=st.sampled_from(["cosine", "dot", "distance"]),
    topk=st.one_of(st.none(), st.integers(1, 12)),
    seed=st.integers(0, 1000),
)
@settings(max_examples=15, deadline=None)
def test_equals_the_dense_engine(shape, frames, radius, wide, window, kind, topk, seed):
    torch.manual_seed(seed)
    query = torch.randn(5, *shape)
    keys, soft = torch.randn(frames, 5, *shape), torch.rand(frames, 3, *shape).softmax(1)
    config = PropagateConfig(radius=radius, annotated_radius=wide, window=window, topk=topk, temperature=0.3)
    pointer = Pointer(Bare(shape, kind), config)
    window_frames = [reference(i, keys[i], soft[i], annotated=i == 0) for i in range(frames)]
    labels = pointer.point(query, window_frames).labels
    radii = [radius if wide == "same" or i else wide for i in range(frames)]
    expected = dense.propagate_frame(
        query, list(zip(keys, soft, radii, strict=True)), window=window, kind=kind, temperature=0.3, topk=topk
    )
    torch.testing.assert_close(labels.T.view_as(expected), expected, atol=1e-5, rtol=0)


def test_more_frames_than_a_pass_without_top_k():
    torch.manual_seed(0)
    keys, soft = torch.randn(11, 5, 2, 3), torch.rand(11, 3, 2, 3)
    pointer = Pointer(Bare((2, 3), "dot"), PropagateConfig(radius=1, topk=None))
    labels = pointer.point(keys[0], [reference(i, keys[i], soft[i]) for i in range(11)]).labels
    frames = [(one, other, 1) for one, other in zip(keys, soft, strict=True)]
    expected = dense.propagate_frame(keys[0], frames, window="circle", kind="dot", temperature=0.07, topk=None)
    torch.testing.assert_close(labels.T.view_as(expected), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("radius", [None, 12])
def test_a_large_grid_equals_the_dense_affinity(radius):
    torch.manual_seed(0)
    query, keys, soft = torch.randn(8, 30, 41), torch.randn(8, 30, 41), torch.rand(2, 30, 41)
    pointer = Pointer(Bare((30, 41), "dot"), PropagateConfig(radius=radius))
    labels = pointer.point(query, [reference(0, keys, soft)]).labels
    for cell in [(0, 0), (29, 40), (13, 22), (7, 8), (8, 7)]:
        expected = dense.propagate_cell(
            cell, query[:, *cell], [(keys, soft, radius)], window="circle", kind="dot", temperature=0.07, topk=10
        )
        torch.testing.assert_close(labels[cell[0] * 41 + cell[1]], expected, atol=1e-5, rtol=0)


def test_weights_sum_to_one_and_point_inside_the_window():
    keys = torch.randn(4, 10, 12)
    pointer = Pointer(Bare((10, 12)), PropagateConfig(radius=2, window="square"))
    references = [reference(i, keys, torch.rand(1, 10, 12)) for i in range(3)]
    affinity = pointer.affinity_at(torch.randn(4, 10, 12), references, cell=31)
    torch.testing.assert_close(affinity.weights.sum(0), torch.ones(1))
    assert affinity.cells.min() >= 0
    assert affinity.cells.max() < 3 * 120


@pytest.mark.parametrize("radius", [None, 3])
def test_recovers_from_running_out_of_memory_with_the_same_labels(monkeypatch, radius):
    torch.manual_seed(0)
    keys, soft = torch.randn(4, 12, 14), torch.rand(2, 12, 14)
    references = [reference(i, keys, soft) for i in range(5)]
    config = PropagateConfig(radius=radius)
    plain = Pointer(Bare((12, 14)), config).point(keys, references).labels
    pointer = Pointer(Bare((12, 14)), config)
    search = pointer._search

    def starved(group, span):
        if pointer.share > 0.25:
            raise torch.OutOfMemoryError("induced")
        return search(group, span)

    monkeypatch.setattr(pointer, "_search", starved)
    labels = pointer.point(keys, references).labels
    torch.testing.assert_close(labels, plain)
    assert pointer.share == 0.25


def test_gives_up_on_memory_with_one_clear_line(monkeypatch):
    def starved(group, span):
        raise torch.OutOfMemoryError("induced")

    keys = torch.randn(4, 6, 6)
    pointer = Pointer(Bare((6, 6)), PropagateConfig())
    monkeypatch.setattr(pointer, "_search", starved)
    with pytest.raises(DeviceError, match="out of memory even in the smallest chunks .*--size"):
        pointer.point(keys, [reference(0, keys, keys)])


def test_origin_follows_the_strongest_pointer():
    keys = torch.eye(12).view(12, 3, 4)
    ref = reference(7, keys, torch.rand(1, 3, 4))
    ref.origin[:, 0], ref.origin[:, 1] = 7, torch.arange(12)
    origin = Pointer(Bare((3, 4), "dot"), PropagateConfig()).point(keys.flip(2), [ref]).origin
    assert origin[:, 1].view(3, 4).tolist() == torch.arange(12).view(3, 4).flip(1).tolist()


@pytest.mark.parametrize("window", ["square", "circle"])
@pytest.mark.parametrize("radius", [14, 18, 1_000_000])
def test_a_radius_beyond_the_grid_costs_no_more_than_looking_everywhere(window, radius):
    torch.manual_seed(0)
    query, keys, soft = torch.randn(5, 11, 15), torch.randn(3, 5, 11, 15), torch.rand(3, 2, 11, 15)
    references = [
        reference(index, *pair, annotated=index == 0) for index, pair in enumerate(zip(keys, soft, strict=True))
    ]
    config = PropagateConfig(radius=radius, annotated_radius=radius, window=window)
    pointer = Pointer(Bare((11, 15)), config)
    labels = pointer.point(query, references).labels
    frames = [(one, other, min(radius, 99)) for one, other in zip(keys, soft, strict=True)]
    expected = dense.propagate_frame(query, frames, window=window, kind="cosine", temperature=0.07, topk=10)
    torch.testing.assert_close(labels.T.view_as(expected), expected, atol=1e-5, rtol=0)
    searches = [search.margin for search in pointer._searches.values()]
    assert all(margin <= 5 for margin in searches)

"""The pointer of training copies what the plain dense one and the engine's own copy, and has the right gradient."""

from __future__ import annotations

import dense
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from propagate.ops.attention import (
    Candidates,
    affinity,
    full_candidates,
    full_layout,
    merge,
    transfer,
)
from propagate.ops.clip_attention import TILE, copy_everywhere, copy_nearby
from propagate.ops.local import LocalSearch, Span

SHAPES = [(1, 1), (3, 5), (8, 7), (9, 17)]


def clip(shape, *, references=2, channels=5, labels=3, dtype=torch.float32):
    random = torch.Generator().manual_seed(0)
    query = torch.randn(2, channels, *shape, generator=random, dtype=dtype)
    keys = torch.randn(2, references, channels, *shape, generator=random, dtype=dtype)
    carried = torch.rand(2, references, labels, *shape, generator=random, dtype=dtype).softmax(2)
    return query, keys, carried


def by_hand(query, keys, labels, *, radius, temperature):
    settings = {"window": "square", "kind": "dot", "temperature": temperature, "topk": None}
    frames = [
        [(key, label, radius) for key, label in zip(clip_keys, clip_labels, strict=True)]
        for clip_keys, clip_labels in zip(keys, labels, strict=True)
    ]
    return torch.stack([dense.propagate_frame(q, f, **settings) for q, f in zip(query, frames, strict=True)])


@pytest.mark.parametrize("shape", SHAPES[:3])
@pytest.mark.parametrize("labels", [3, 9])
def test_everywhere_is_the_plain_pointer(shape, labels):
    query, keys, carried = clip(shape, labels=labels)
    copied = copy_everywhere(query, keys, carried, temperature=0.7)
    torch.testing.assert_close(copied, by_hand(query, keys, carried, radius=None, temperature=0.7))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("radius", [0, 2, 6])
def test_nearby_is_the_plain_pointer(shape, radius):
    query, keys, carried = clip(shape, references=1)
    copied = copy_nearby(query, keys[:, 0], carried[:, 0], radius=radius, temperature=0.7)
    torch.testing.assert_close(copied, by_hand(query, keys, carried, radius=radius, temperature=0.7))


def test_a_radius_beyond_the_picture_is_everywhere():
    query, keys, carried = clip((9, 17), references=1)
    copied = copy_nearby(query, keys[:, 0], carried[:, 0], radius=40)
    torch.testing.assert_close(copied, copy_everywhere(query, keys, carried))


def test_a_window_of_many_keys_outside_the_picture_has_no_nan():
    query, keys, carried = clip((8, 30), references=1)  # windows of 60 x 60, more than 4 of 5 cells outside
    inputs = tuple(t.requires_grad_() for t in (query, keys, carried))
    copied = copy_nearby(query, keys[:, 0], carried[:, 0], radius=26)
    assert copied.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(copied.square().sum(), inputs))
    seen = keys[:1, ..., 1:], carried[:1, ..., 1:]  # by column 27
    expected = by_hand(query[:1, ..., 27:28], *seen, radius=None, temperature=1.0)
    torch.testing.assert_close(copied[:1, ..., 27:28], expected)


def test_everywhere_is_the_engine_s_transfer():
    query, keys, carried = clip((6, 7))
    count = 42
    parts = [full_candidates(query[0].flatten(1), full_layout(key), count=count, topk=None) for key in keys[0]]
    shifted = Candidates(parts[1].similarity, parts[1].cells + count)
    pointers = affinity(merge([parts[0], shifted], None), 0.5)
    expected = transfer(pointers, carried[0].transpose(0, 1).flatten(1).T.contiguous()).T.view(-1, 6, 7)
    torch.testing.assert_close(copy_everywhere(query, keys, carried, temperature=0.5)[0], expected)


def test_nearby_is_the_engine_s_transfer():
    query, keys, carried = clip((9, 13), references=1)
    local = LocalSearch((9, 13), 3, window="square", dtype=torch.float32, device=torch.device("cpu"))
    prepared = [local.prepare(keys[0, 0])]
    flat = carried[0, 0].flatten(1).T.contiguous()
    span = Span((0, local.tiling.rows), (0, local.tiling.columns))
    found = local.candidates(local.tiling.cut(query[0]), prepared, span=span, topk=None)
    order = local.tiling.cells(span, device=torch.device("cpu")).argsort()[
        -9 * 13 :
    ]  # -1, beyond the grid, comes first
    expected = transfer(affinity(found, 0.5), flat)[order].T.view(-1, 9, 13)
    copied = copy_nearby(query, keys[:, 0], carried[:, 0], radius=3, temperature=0.5)
    torch.testing.assert_close(copied[0], expected)


def test_gradients_are_finite_differences():
    query, keys, carried = (t.requires_grad_() for t in clip((3, 4), channels=3, dtype=torch.float64))
    torch.autograd.gradcheck(lambda *clip: copy_everywhere(*clip, temperature=0.5), (query, keys, carried))


def test_gradients_of_the_window_are_finite_differences():
    query, keys, carried = (t[:1] for t in clip((2, TILE + 1), references=1, channels=2, dtype=torch.float64))
    inputs = tuple(t.clone().requires_grad_() for t in (query, keys[:, 0], carried[:, 0]))
    torch.autograd.gradcheck(lambda *clip: copy_nearby(*clip, radius=2, temperature=0.5), inputs)


def test_a_key_of_zeros_is_a_candidate_like_any_other():
    """A score of exactly 0 is no sign of padding (a bug of CorrFlow's code): equal scores share equally."""
    query, keys, carried = torch.randn(1, 4, 3, 3), torch.zeros(1, 4, 3, 3), torch.zeros(1, 9, 3, 3)
    carried[0, range(9), [0, 0, 0, 1, 1, 1, 2, 2, 2], [0, 1, 2] * 3] = 1
    copied = copy_nearby(query, keys, carried, radius=1)
    torch.testing.assert_close(copied[0, :, 1, 1], torch.full((9,), 1 / 9))
    torch.testing.assert_close(copied[0, :, 0, 0], torch.tensor([1, 1, 0, 1, 1, 0, 0, 0, 0]) / 4)


def test_under_autocast_the_pointer_stays_exact():
    query, keys, carried = clip((9, 13))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        everywhere = copy_everywhere(query, keys, carried)
        nearby = copy_nearby(query, keys[:, 0], carried[:, 0], radius=2)
    assert everywhere.dtype == nearby.dtype == torch.float32
    torch.testing.assert_close(everywhere, copy_everywhere(query, keys, carried), atol=0, rtol=0)
    torch.testing.assert_close(nearby, copy_nearby(query, keys[:, 0], carried[:, 0], radius=2), atol=0, rtol=0)


@pytest.mark.parametrize("wrong", [(2, 2, 3, 4, 4), (2, 1, 3, 4, 5), (1, 2, 3, 4, 5)])
def test_clips_that_do_not_fit_are_refused(wrong):
    query, keys, _ = clip((4, 5))
    with pytest.raises(ValueError, match=r"must agree, not query \(2, 5, 4, 5\), keys \(2, 2, 5, 4, 5\), labels \("):
        copy_everywhere(query, keys, torch.zeros(wrong))


def test_windows_that_do_not_fit_are_refused():
    query, keys, carried = clip((4, 5))
    with pytest.raises(ValueError, match=r"must agree, not query \(2, 5, 4, 5\)"):
        copy_nearby(query, keys[:, 0], carried[:, 0, :, :, :4], radius=1)


@pytest.mark.parametrize("radius", [None, 2])
def test_no_affinity_is_kept(radius):
    """As wide as CorrFlow's features: unpadded, and so, where all is searched, of the strides that they came with."""
    query, keys, labels = clip((9, 11), references=1, channels=64)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # refuses what it cannot do
        fused = (
            copy_everywhere(query, keys, labels)
            if radius is None
            else copy_nearby(query, keys[:, 0], labels[:, 0], radius=radius)
        )
    assert torch.allclose(fused, by_hand(query, keys, labels, radius=radius, temperature=1.0), atol=1e-5)

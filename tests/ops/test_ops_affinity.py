"""Similarity, its strongest candidates, and the softmax over them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from propagate.ops.attention import (
    CHUNK,
    SPREAD,
    Candidates,
    affinity,
    as_keys,
    as_query,
    full_candidates,
    full_layout,
    merge,
    strongest,
    with_neighbours,
)


def scores(query, keys, kind):
    """Return the similarity (M, Q) of the columns of (C, Q) and (C, M)."""
    return as_keys(keys[:, None], kind)[:, 0].T @ as_query(query[:, None], kind)[:, 0]


@given(
    batch=st.integers(1, 3),
    count=st.one_of(st.integers(1, 700), st.integers(1, 24).map(lambda n: n * CHUNK)),
    k=st.integers(1, 12),
    ruled_out=st.sampled_from([0.0, 0.5, 0.97, 1.0]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=80, deadline=None)
def test_strongest_is_topk(batch, count, k, ruled_out, seed):
    torch.manual_seed(seed)
    similarity = torch.randn(batch, count, 5)
    similarity[torch.rand_like(similarity) < ruled_out] = -torch.inf
    values, indices = strongest(similarity, k)
    assert torch.equal(values, similarity.topk(min(k, count), dim=1).values)
    assert torch.equal(similarity.gather(1, indices), values)
    assert (indices.sort(1).values.diff(dim=1) > 0).all()  # none twice


def test_strongest_of_bfloat16_is_float32_and_exact():
    similarity = torch.randn(1, 20 * CHUNK, 4).bfloat16()
    values, _ = strongest(similarity, 3)
    assert values.dtype == torch.float32
    assert torch.equal(values, similarity.float().topk(3, dim=1).values)


def test_distance_differs_from_minus_half_the_square_by_a_term_of_the_query_alone():
    query, keys = torch.randn(6, 9, dtype=torch.float64), torch.randn(6, 20, dtype=torch.float64)
    real = -0.5 * torch.cdist(keys.T, query.T).square()
    gap = scores(query, keys, "distance") - real  # (M, Q)
    torch.testing.assert_close(gap, gap[:1].expand_as(gap))


def test_cosine_ignores_length_and_dot_does_not():
    query, keys = torch.tensor([[1.0], [0.0]]), torch.tensor([[3.0, 1.0], [4.0, 0.0]])
    torch.testing.assert_close(scores(query, keys, "cosine"), torch.tensor([[0.6], [1.0]]))
    torch.testing.assert_close(scores(query, keys, "dot"), torch.tensor([[3.0], [1.0]]))


@pytest.mark.parametrize("size", [1, 3, 5])
def test_weights_of_neighbours_sum_to_one(size):
    around = with_neighbours(torch.ones(1, 4, 6), size)
    assert around.shape == (size * size, 4, 6)
    torch.testing.assert_close(around.square().sum(0), torch.ones(4, 6))


def test_a_constant_map_stays_constant_per_channel_group():
    around = with_neighbours(torch.tensor([2.0, -3.0])[:, None, None].expand(2, 5, 7), 3).view(2, 9, 5, 7)
    torch.testing.assert_close(around, around[:, :, :1, :1].expand_as(around))
    torch.testing.assert_close(around[0] / 2, around[1] / -3)


def test_a_product_of_neighbourhoods_is_the_weighted_mean_of_products():
    first, second = torch.randn(4, 5, 6), torch.randn(4, 5, 6)
    product = (with_neighbours(first, 3) * with_neighbours(second, 3)).sum(0)
    side = torch.exp(-0.5 * torch.tensor([1.0, 0.0, 1.0]) / SPREAD**2)
    weight = side[:, None] * side / side.sum() ** 2
    torch.testing.assert_close(product[2, 3], ((first * second).sum(0)[1:4, 2:5] * weight).sum())


@pytest.mark.parametrize("topk", [1, 3, 35, 40])
def test_padding_never_wins(topk):
    keys = -torch.rand(4, 5, 7) - 0.1  # every product is negative: the padding's zeros would be larger
    found = full_candidates(torch.ones(4, 6), full_layout(keys), count=35, topk=topk)
    assert full_layout(keys).shape == (64, 4)
    assert found.cells.max() < 35
    assert found.similarity.max() < 0
    real = keys.flatten(1).sum(0).sort(descending=True).values[:topk]
    torch.testing.assert_close(found.similarity[:35], real[:35, None].expand(-1, 6))


def test_without_topk_every_cell_is_a_candidate():
    keys, query = torch.randn(4, 5, 7), torch.randn(4, 6)
    found = full_candidates(query, full_layout(keys), count=35, topk=None)
    torch.testing.assert_close(found.similarity, keys.flatten(1).T @ query)
    assert found.cells[:, 2].tolist() == list(range(35))


def test_merge_keeps_the_strongest_of_all_parts():
    parts = [Candidates(torch.tensor([[5.0], [1.0]]), torch.tensor([[10], [11]]))]
    parts.append(Candidates(torch.tensor([[3.0], [2.0]]), torch.tensor([[20], [21]])))
    assert merge(parts, 3).cells[:, 0].tolist() == [10, 20, 21]
    assert sorted(merge(parts, None).cells[:, 0].tolist()) == [10, 11, 20, 21]


def test_affinity_by_hand():
    similarity = torch.tensor([[0.0], [0.5 * torch.log(torch.tensor(3.0))], [-torch.inf]])
    weights = affinity(Candidates(similarity, torch.tensor([[4], [2], [0]])), 0.5).weights
    torch.testing.assert_close(weights[:, 0], torch.tensor([0.25, 0.75, 0.0]))

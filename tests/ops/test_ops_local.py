"""Restricted attention looks at exactly the cells within the radius: a list made by hand, cell by cell."""

from __future__ import annotations

import dense
import pytest
import torch

from propagate.ops.attention import TILE, LocalSearch

SHAPES = [(1, 1), (3, 5), (8, 8), (7, 19), (17, 9), (20, 26)]


def search(shape, radius, window):
    return LocalSearch(shape, radius, window=window, dtype=torch.float32, device=torch.device("cpu"))


def spots(shape):
    """Return the corners, the middles of the edges, the centre, and the cells beside a tile's border."""
    rows, columns = ({0, side // 2, side - 1, min(TILE, side - 1), min(TILE - 1, side - 1)} for side in shape)
    return [(row, column) for row in rows for column in columns]


def of_cell(found, cell, columns):
    """Return similarity and cells (K,) of the candidates that one target cell really has."""
    place = (cell[0] % TILE) * columns + cell[1]
    real = found.similarity[:, place] > -torch.inf
    return found.similarity[real, place], found.cells[real, place]


@pytest.mark.parametrize("window", ["square", "circle"])
@pytest.mark.parametrize("radius", range(15))
@pytest.mark.parametrize("shape", SHAPES)
def test_candidates_are_exactly_the_allowed_cells(shape, radius, window):
    query, keys = torch.randn(3, *shape), torch.randn(3, *shape)
    local = search(shape, radius, window)
    strips = [local.candidates(query, [local.prepare(keys)], strip=n, topk=None) for n in range(local.strips)]
    for cell in spots(shape):
        similarity, cells = of_cell(strips[cell[0] // TILE], cell, shape[1])
        expected = [row * shape[1] + column for row, column in dense.allowed(cell, shape, radius=radius, window=window)]
        assert sorted(cells.tolist()) == expected
        torch.testing.assert_close(similarity, query[:, *cell] @ keys.flatten(1)[:, cells])


def test_cells_are_counted_over_all_frames():
    local = search((3, 5), 1, "square")
    prepared = [local.prepare(torch.randn(2, 3, 5)) for _ in range(3)]
    _, cells = of_cell(local.candidates(torch.randn(2, 3, 5), prepared, strip=0, topk=None), (0, 0), 5)
    assert sorted(cells.tolist()) == [frame * 15 + cell for frame in range(3) for cell in (0, 1, 5, 6)]


def test_topk_takes_the_strongest_of_them():
    query, keys = torch.randn(3, 11, 13), torch.randn(3, 11, 13)
    local = search((11, 13), 4, "circle")
    every = local.candidates(query, [local.prepare(keys)], strip=1, topk=None)
    best = local.candidates(query, [local.prepare(keys)], strip=1, topk=6)
    torch.testing.assert_close(best.similarity, every.similarity.topk(6, dim=0).values)


def test_a_strip_has_only_the_grid_s_rows():
    local = search((10, 13), 2, "square")
    keys = local.prepare(torch.randn(2, 10, 13))
    widths = [local.candidates(torch.randn(2, 10, 13), [keys], strip=n, topk=1).cells.shape[1] for n in range(2)]
    assert widths == [8 * 13, 2 * 13]


def test_more_wanted_than_there_are_leaves_the_rest_at_minus_infinity():
    local = search((3, 3), 0, "square")
    keys = local.prepare(torch.randn(2, 3, 3))
    found = local.candidates(torch.randn(2, 3, 3), [keys], strip=0, topk=4)
    assert (found.similarity > -torch.inf).sum(0).tolist() == [1] * 9
    assert found.cells[0].tolist() == list(range(9))


def test_a_search_that_let_go_of_its_buffer_finds_the_same():
    local, query = search((9, 13), 3, "circle"), torch.randn(2, 9, 13)
    keys = local.prepare(torch.randn(2, 9, 13))
    before = local.candidates(query, [keys], strip=0, topk=4)
    local.release()
    assert local._scratch is None
    assert torch.equal(local.candidates(query, [keys], strip=0, topk=4).similarity, before.similarity)

"""Restricted attention looks at exactly the cells within the radius: a list made by hand, cell by cell."""

from __future__ import annotations

import dense
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from propagate.ops.local import GAP, TILE, LocalSearch, Span, Tiling, window_maximum

SHAPES = [(1, 1), (3, 5), (8, 8), (7, 19), (17, 9), (20, 26)]


def search(shape, radius, window):
    return LocalSearch(shape, radius, window=window, dtype=torch.float32, device=torch.device("cpu"))


def whole(shape):
    """Return the one span that holds the grid."""
    (span,) = Tiling(shape).spans(None, tall=True)
    return span


def found_in(local, query, keys, *, topk=None, span=None):
    """Return the candidates of a span, and the cells that they belong to."""
    span = span or whole(local.shape)
    found = local.candidates(local.tiling.cut(query), [local.prepare(one) for one in keys], span=span, topk=topk)
    return found, local.tiling.cells(span, device=torch.device("cpu")).tolist()


def spots(shape):
    """Return the corners, the middles of the edges, the centre, and the cells beside a tile's border."""
    rows, columns = (
        {0, length // 2, length - 1, min(side, length - 1), min(side - 1, length - 1)}
        for length, side in zip(shape, TILE, strict=True)
    )
    return [(row, column) for row in rows for column in columns]


def of_cell(found, cells, cell, columns):
    """Return similarity and cells (K,) of the candidates that one target cell really has."""
    place = cells.index(cell[0] * columns + cell[1])
    real = found.similarity[:, place] > -torch.inf
    return found.similarity[real, place], found.cells[real, place]


@pytest.mark.parametrize("window", ["square", "circle"])
@pytest.mark.parametrize("radius", range(15))
@pytest.mark.parametrize("shape", SHAPES)
def test_candidates_are_exactly_the_allowed_cells(shape, radius, window):
    query, keys = torch.randn(3, *shape), torch.randn(3, *shape)
    found, order = found_in(search(shape, radius, window), query, [keys])
    for cell in spots(shape):
        similarity, cells = of_cell(found, order, cell, shape[1])
        expected = [row * shape[1] + column for row, column in dense.allowed(cell, shape, radius=radius, window=window)]
        assert sorted(cells.tolist()) == expected
        torch.testing.assert_close(similarity, query[:, *cell] @ keys.flatten(1)[:, cells])


def test_cells_are_counted_over_all_frames():
    local = search((3, 5), 1, "square")
    found, order = found_in(local, torch.randn(2, 3, 5), torch.randn(3, 2, 3, 5))
    _, cells = of_cell(found, order, (0, 0), 5)
    assert sorted(cells.tolist()) == [frame * 15 + cell for frame in range(3) for cell in (0, 1, 5, 6)]


@pytest.mark.parametrize("topk", [1, 6, 40, 500])
@pytest.mark.parametrize("shape", SHAPES)
def test_topk_takes_the_strongest_of_them(shape, topk):
    query, keys = torch.randn(3, *shape), torch.randn(2, 3, *shape)
    local = search(shape, 4, "circle")
    every, order = found_in(local, query, keys)
    best, _ = found_in(local, query, keys, topk=topk)
    real = torch.tensor(order) >= 0
    count = min(topk, len(best.similarity))
    torch.testing.assert_close(best.similarity[:, real], every.similarity[:, real].topk(count, dim=0).values)
    assert count == topk or (every.similarity[:, real] > -torch.inf).sum(0).max() <= count


@pytest.mark.parametrize("shape", SHAPES)
def test_a_span_finds_what_the_whole_grid_finds_bit_for_bit(shape):
    query, keys = torch.randn(5, *shape), torch.randn(3, 5, *shape)
    local = search(shape, 5, "circle")
    every, order = found_in(local, query, keys, topk=4)
    for span in Tiling(shape).spans(torch.rand(shape) < 0.1, tall=False):
        found, cells = found_in(local, query, keys, topk=4, span=span)
        for place, cell in enumerate(cells):
            if cell >= 0:
                assert torch.equal(found.similarity[:, place], every.similarity[:, order.index(cell)])
                assert torch.equal(found.cells[:, place], every.cells[:, order.index(cell)])


def test_more_wanted_than_there_are_leaves_the_rest_at_minus_infinity():
    found, order = found_in(search((3, 3), 0, "square"), torch.randn(2, 3, 3), torch.randn(1, 2, 3, 3), topk=4)
    places = [order.index(cell) for cell in range(9)]
    assert (found.similarity > -torch.inf).sum(0)[places].tolist() == [1] * 9
    assert found.cells[0, places].tolist() == list(range(9))


def test_a_search_that_let_go_of_its_buffer_finds_the_same():
    local, query, keys = search((9, 13), 3, "circle"), torch.randn(2, 9, 13), torch.randn(1, 2, 9, 13)
    before, _ = found_in(local, query, keys, topk=4)
    local.release()
    assert not local._scratch
    after, _ = found_in(local, query, keys, topk=4)
    assert torch.equal(after.similarity, before.similarity)


@given(st.tuples(st.integers(1, 40), st.integers(1, 60)), st.sampled_from([0, 0.001, 0.01, 0.3, 1]), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_spans_hold_every_needed_cell_once(shape, share, seed):
    needed = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < share
    tiling = Tiling(shape)
    for tall in (False, True):
        spans = list(tiling.spans(needed, tall=tall))
        held = [cell for span in spans for cell in tiling.cells(span, device=torch.device("cpu")).tolist() if cell >= 0]
        assert len(held) == len(set(held))
        assert set(needed.flatten().nonzero()[:, 0].tolist()) <= set(held)
        assert len(spans) <= 1 if tall else all(span.shape[0] == 1 for span in spans)


def test_tiles_without_need_are_left_out():
    needed = torch.zeros(16, 80, dtype=torch.bool)
    needed[0, 0] = needed[0, 4 * (GAP + 2)] = needed[0, 40] = True
    assert [span.columns for span in Tiling((16, 80)).spans(needed, tall=False)] == [
        (0, 1),
        (GAP + 2, GAP + 3),
        (10, 11),
    ]
    assert list(Tiling((16, 80)).spans(needed, tall=True)) == [Span((0, 1), (0, 11))]


@pytest.mark.parametrize("window", ["square", "circle"])
@pytest.mark.parametrize("radius", [None, 0, 1, 2, 5, 12, 30])
def test_the_maximum_of_a_window_is_that_of_its_cells(radius, window):
    values = torch.randn(2, 9, 14)
    found = window_maximum(values, radius, window)
    for cell in spots((9, 14)):
        rows, columns = zip(*dense.allowed(cell, (9, 14), radius=radius, window=window), strict=True)
        assert torch.equal(found[:, *cell], values[:, rows, columns].amax(1))

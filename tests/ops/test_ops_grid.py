"""Cells and pixels: one linear map and its inverse, nothing cropped, nothing enlarged."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from propagate.ops.grid import (
    Grid,
    average_at_cells,
    average_to_cells,
    fold,
    input_size,
    unfold,
    upsample,
    upsampling_matrices,
)

SIDES = st.integers(1, 300)
GRIDS = st.builds(
    lambda video, size, stride, offset: Grid.of(video, size=size, stride=stride, offset=offset * stride),
    st.tuples(SIDES, SIDES),
    st.integers(16, 200),
    st.integers(1, 16),
    st.sampled_from([0.0, 0.375, 0.5]),
)
GRID = Grid.of((30, 44), size=480, stride=4, offset=1.5)


def ramp(video):
    """Return (2, H, W): the x and the y of every pixel."""
    y, x = torch.meshgrid(*(torch.arange(side, dtype=torch.float32) for side in video), indexing="ij")
    return torch.stack([x, y])


def centres_xy(grid):
    """Return (2, h, w): the x and the y, in pixels, of every cell."""
    rows, columns = (torch.from_numpy(axis).float() for axis in grid.centres())
    return torch.stack([columns.expand(grid.rows, -1), rows[:, None].expand(-1, grid.columns)])


@settings(deadline=None)
@given(GRIDS, st.lists(st.tuples(*[st.floats(-50, 400)] * 2), min_size=1, max_size=5))
def test_cells_and_pixels_are_inverse(grid, places):
    np.testing.assert_allclose(grid.to_pixels(grid.to_cells(np.array(places))), places, atol=1e-9)
    np.testing.assert_allclose(grid.to_cells(grid.to_pixels(np.array(places))), places, atol=1e-9)


@pytest.mark.parametrize("offset", [0.0, 1.5, 3.5])
def test_cells_lie_at_stride_times_index_plus_offset(offset):
    grid = Grid.of((64, 96), size=480, stride=8, offset=offset)
    assert grid.to_pixels(np.array([[0, 0], [3, 2]])).tolist() == [[offset, offset], [24 + offset, 16 + offset]]


def test_a_halved_input_maps_centres_to_centres():
    grid = Grid.of((64, 96), size=32, stride=4, offset=1.5)  # 48x32 seen, so a cell is 8x8 pixels
    assert grid.cell_pixels == (8, 8)
    assert grid.to_pixels(np.array([0, 0])).tolist() == [3.5, 3.5]  # the middle of pixels 0 to 7


@settings(deadline=None)
@given(GRIDS, st.integers(1, 4))
def test_finer_cells_surround_the_centre_of_theirs(grid, factor):
    fine = grid.finer(factor)
    blocks = centres_xy(fine).double().view(2, grid.rows, factor, grid.columns, factor).mean((2, 4))
    torch.testing.assert_close(blocks, centres_xy(grid).double(), atol=1e-2, rtol=1e-5)
    assert fine.stride * factor == pytest.approx(grid.stride)


@settings(deadline=None)
@given(st.tuples(SIDES, SIDES), st.integers(16, 500))
def test_the_input_is_never_enlarged_and_keeps_its_proportions(video, size):
    height, width = input_size(video, size)
    assert min(height, width) == min(size, *video)
    assert height <= video[0]
    assert width <= video[1]
    assert abs(height * video[1] - width * video[0]) <= max(video)  # half a pixel of rounding


def test_an_exact_input_size_is_exact():
    assert input_size((480, 854), "256x128") == (128, 256)
    assert input_size((10, 10), "32x64") == (64, 32)
    assert input_size((480, 854), 240) == (240, 427)


@pytest.mark.parametrize("stride", [4, 8])
@pytest.mark.parametrize("video", [(31, 45), (32, 48), (33, 49), (1, 9)])
def test_nothing_is_cropped(video, stride):
    grid = Grid.of(video, size=480, stride=stride, offset=0)
    assert (grid.rows, grid.columns) == (math.ceil(video[0] / stride), math.ceil(video[1] / stride))


@settings(deadline=None)
@given(GRIDS)
def test_the_mean_of_a_constant_is_the_constant(grid):
    means = average_to_cells(torch.full((1, *grid.video), 3.0), grid)
    torch.testing.assert_close(means, torch.full((1, grid.rows, grid.columns), 3.0))


@settings(deadline=None)
@given(GRIDS, st.randoms(use_true_random=False))
def test_the_means_of_some_cells_are_those_of_all(grid, random):
    levels = torch.randint(0, 256, (2, *grid.video), dtype=torch.uint8)
    cells = random.choices(range(grid.rows * grid.columns), k=random.randint(0, 20))
    at = torch.tensor(cells, dtype=torch.int64) // grid.columns, torch.tensor(cells, dtype=torch.int64) % grid.columns
    plain = average_to_cells(levels, grid)[:, at[0], at[1]]
    torch.testing.assert_close(average_at_cells(levels, grid, at), plain)


@pytest.mark.parametrize("size", [480, 20])
@pytest.mark.parametrize("offset", [0.0, 1.5])
def test_the_mean_of_a_ramp_is_the_centre_away_from_the_border(size, offset):
    grid = Grid.of((40, 60), size=size, stride=4, offset=offset)
    means, inner = average_to_cells(ramp(grid.video), grid), (slice(None), slice(1, -1), slice(1, -1))
    torch.testing.assert_close(means[inner], centres_xy(grid)[inner], atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [480, 20])
@pytest.mark.parametrize("offset", [0.0, 1.5])
def test_a_linear_map_is_linear_at_the_pixels(size, offset):
    grid = Grid.of((40, 60), size=size, stride=4, offset=offset)
    cells = centres_xy(grid)
    low, high = cells.amin((1, 2))[:, None, None], cells.amax((1, 2))[:, None, None]
    full = upsample(cells, upsampling_matrices(grid))
    torch.testing.assert_close(full, ramp(grid.video).clamp(low, high), atol=1e-4, rtol=0)


def test_upsampling_keeps_what_sums_to_one():
    cells = torch.rand(3, GRID.rows, GRID.columns).softmax(0)
    total = upsample(cells, upsampling_matrices(GRID)).sum(0)
    torch.testing.assert_close(total, torch.ones(GRID.video))


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5))
def test_fold_and_unfold_are_inverse(factor, channels, rows, columns):
    cells = torch.rand(channels, rows * factor, columns * factor)
    folded = fold(cells, factor)
    assert folded.shape == (channels * factor**2, rows, columns)
    assert torch.equal(unfold(folded, factor), cells)


def test_a_folded_cell_holds_its_own_block():
    assert fold(torch.arange(16.0).view(1, 4, 4), 2)[:, 1, 0].tolist() == [8, 9, 12, 13]

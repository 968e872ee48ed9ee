"""Upsampling, sampling and medians against what they must leave unchanged."""

from __future__ import annotations

import pytest
import torch

from propagate.ops.color import rgb_to_lab
from propagate.ops.grid import Grid, average_to_cells, upsample, upsampling_matrices
from propagate.ops.upsampling import (
    along_edges,
    sample,
    strongest_along_edges,
    three_by_three,
    two_by_two,
    weighted_median,
    without_mixing,
)

GRID = Grid.of((30, 44), size=480, stride=4, offset=1.5)


@pytest.mark.parametrize("around", [two_by_two(GRID), three_by_three(GRID)])
def test_spatial_weights_sum_to_one(around):
    total = sum(spatial for _, _, spatial in around.each())
    torch.testing.assert_close(total, torch.ones(30, 44))


def test_without_edges_a_constant_stays():
    guide = torch.rand(30, 44)
    full = along_edges(
        torch.full((2, 8, 11), 3.0),
        guide[None],
        average_to_cells(guide[None], GRID),
        around=three_by_three(GRID),
        sigma=0.1,
    )
    torch.testing.assert_close(full, torch.full((2, 30, 44), 3.0))


@pytest.mark.parametrize("channels", [2, 5])
def test_the_strongest_along_edges_is_that_of_all_channels_brought_up(channels):
    random = torch.Generator().manual_seed(channels)
    cells = torch.nn.functional.interpolate(torch.rand(1, channels, 3, 4, generator=random), (8, 11))[0] ** 3
    cells = torch.cat([cells[:1] * 0, cells]) + 0.01 * torch.rand(
        channels + 1, 8, 11, generator=random
    )  # large patches
    cells[0] = 0  # an object that is not there
    rgb = torch.randint(0, 256, (3, 30, 44), generator=random, dtype=torch.uint8)
    plain = along_edges(
        cells,
        rgb_to_lab(rgb),
        rgb_to_lab(average_to_cells(rgb / 255, GRID)),
        around=three_by_three(GRID),
        sigma=4.0,
    ).argmax(0)
    names = torch.arange(channels + 1) + 7
    found = strongest_along_edges(cells, rgb, GRID, names=names, around=three_by_three(GRID), sigma=4.0) - 7
    assert (found == plain).float().mean() > 0.999  # rounding decides where two are the same
    assert len(plain.unique()) == channels


def test_one_label_everywhere_has_no_edges():
    cells = torch.tensor([0.0, 1.0])[:, None, None].expand(2, 8, 11)
    around, rgb = three_by_three(GRID), torch.randint(0, 256, (3, 30, 44), dtype=torch.uint8)
    names = torch.tensor([0, 200], dtype=torch.uint8)
    found = strongest_along_edges(cells, rgb, GRID, names=names, around=around, sigma=4.0)
    assert torch.equal(found, torch.full((30, 44), 200, dtype=torch.uint8))


def test_a_mask_of_cells_follows_the_pictures_edge():
    y, x = torch.meshgrid(torch.arange(30), torch.arange(44), indexing="ij")
    disc = ((y - 14.2) ** 2 + (x - 20.7) ** 2 < 10**2).float()
    cells = average_to_cells(torch.stack([1 - disc, disc]), GRID)
    rgb = torch.stack([0.2 + 0.3 * disc, 0.5 + 0 * disc, 0.4 - 0.2 * disc])
    levels, names = (rgb * 255).byte(), torch.arange(2)
    along = strongest_along_edges(cells, levels, GRID, names=names, around=three_by_three(GRID), sigma=4.0)
    linear = upsample(cells, upsampling_matrices(GRID)).argmax(0)
    assert (along == disc).float().mean() > 0.998 > (linear == disc).float().mean()


def test_positions_that_agree_are_interpolated_linearly():
    positions = torch.rand(2, 8, 11)
    full, share = without_mixing(positions, torch.ones(8, 11), around=two_by_two(GRID), reach=10)
    torch.testing.assert_close(full, upsample(positions, upsampling_matrices(GRID)))
    torch.testing.assert_close(share, torch.ones(30, 44))


def test_positions_that_disagree_are_not_mixed():
    positions = torch.zeros(2, 8, 11)
    positions[:, :, 5:] = 9
    full, _ = without_mixing(positions, torch.ones(8, 11), around=two_by_two(GRID), reach=1.5)
    assert full.unique().tolist() == [0, 9]


def test_cells_without_share_do_not_speak():
    positions, shares = torch.rand(2, 8, 11) * 0.5, torch.zeros(8, 11)
    positions[:, :, 5:], shares[:, 5:] = 0.25, 1
    full, share = without_mixing(positions, shares, around=two_by_two(GRID), reach=1.5)
    assert (full[:, :, 19:] - 0.25).abs().max() < 1e-4  # one pixel left of the centre of column 5 at 21.5
    assert share[:, 22:].min() == 1
    assert share[:, :17].max() == 0


def test_sampling_at_the_pixels_is_the_picture():
    picture = torch.rand(3, 6, 7)
    y, x = torch.meshgrid(torch.arange(6), torch.arange(7), indexing="ij")
    torch.testing.assert_close(sample(picture, x, y), picture)
    between = sample(picture, x[:, :-1] + 0.5, y[:, :-1])
    torch.testing.assert_close(between, (picture[:, :, 1:] + picture[:, :, :-1]) / 2)


def test_sampling_beyond_the_edge_holds_the_border():
    picture = torch.rand(1, 4, 4)
    assert sample(picture, torch.tensor([[-5.0]]), torch.tensor([[2.0]])).item() == pytest.approx(
        picture[0, 2, 0].item()
    )


def test_median_drops_an_outlier_and_heeds_weights():
    cells = torch.arange(25.0).view(1, 5, 5) * 0 + 2
    cells[0, 2, 2] = 100
    assert weighted_median(cells, torch.ones(5, 5), radius=1).unique().tolist() == [2]
    alone = torch.zeros(5, 5)
    alone[2, 2] = 1
    assert weighted_median(cells, alone, radius=1)[0, 1:4, 1:4].unique().tolist() == [100]

"""Bringing cells to a picture's pixels, and pictures to fractional places, without mixing what is not alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from propagate.ops.color import rgb_to_lab
from propagate.ops.grid import Grid, average_at_cells

PIXELS = 1 << 16  # brought up from the cells at once
LEAST = 1e-6  # of a weight, so that a pixel unlike all cells around it still takes the mean of the nearest


@dataclass(frozen=True)
class Neighbours:
    """Which cells lie around every pixel of a picture, along either axis.

    Attributes:
        rows: (n, H) int64, clamped to the grid.
        columns: (n, W) int64.
        down: (n, H) float32, the weight of a cell by its distance, rows and columns apart; sums to 1 over n.
        across: (n, W) float32.
    """

    rows: Tensor
    columns: Tensor
    down: Tensor
    across: Tensor

    def each(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield rows (H, 1), columns (1, W) and spatial weight (H, W) of every neighbour."""
        for row, down in zip(self.rows, self.down, strict=True):
            for column, across in zip(self.columns, self.across, strict=True):
                yield row[:, None], column[None], down[:, None] * across[None]


def two_by_two(grid: Grid, device: torch.device | str = "cpu") -> Neighbours:
    """Return the four cells around every pixel, weighted as by linear interpolation."""
    return _around(grid, (0, 1), lambda distance: (1 - distance.abs()).clamp(min=0), device)


def three_by_three(grid: Grid, device: torch.device | str = "cpu") -> Neighbours:
    """Return the nine cells around every pixel, weighted by a quadratic B-spline: smooth, no wider than the nine."""
    return _around(grid, (-1, 0, 1), _spline, device)


def _spline(distance: Tensor) -> Tensor:
    near = 0.75 - distance.square()
    far = 0.5 * (1.5 - distance.abs()).clamp(min=0).square()
    return torch.where(distance.abs() <= 0.5, near, far)


def _around(
    grid: Grid, offsets: tuple[int, ...], kernel: Callable[[Tensor], Tensor], device: torch.device | str
) -> Neighbours:
    """Return the cells at `offsets` from the cell at (two) or nearest to (three) every pixel."""
    first = torch.floor if len(offsets) % 2 == 0 else torch.round
    axes = []
    for axis, (pixels, cells) in enumerate(zip(grid.video, (grid.rows, grid.columns), strict=True)):
        places = np.zeros((pixels, 2))
        places[:, 1 - axis] = np.arange(pixels)
        at = torch.from_numpy(grid.to_cells(places)[:, 1 - axis]).float().clamp(0, cells - 1)  # (pixels,)
        around = first(at)[None] + torch.tensor(offsets)[:, None]  # (n, pixels)
        axes.append((around.clamp(0, cells - 1).long().to(device), kernel(at[None] - around).to(device)))
    (rows, down), (columns, across) = axes
    return Neighbours(rows, columns, down, across)


def along_edges(cells: Tensor, guide: Tensor, means: Tensor, *, around: Neighbours, sigma: float) -> Tensor:
    """Return cells (L, h, w) at every pixel, (L, H, W), each pixel taking from the cells that look like itself.

    Joint bilateral upsampling (Kopf et al., 2007): the weight of a cell falls with its distance and with the
    difference between the pixel and the cell's own mean.

    Args:
        cells: (L, h, w) float32.
        guide: (G, H, W) the picture whose edges are followed.
        means: (G, h, w) the guide's mean in each cell.
        around: the cells to take from.
        sigma: the difference, in the guide's unit, that counts as different.
    """
    total = torch.zeros(cells.shape[0], *guide.shape[1:], device=cells.device)
    weights = torch.zeros_like(guide[0])
    for rows, columns, spatial in around.each():
        weight = _alike(guide, means[:, rows, columns], sigma) * spatial
        total += weight * cells[:, rows, columns]
        weights += weight
    return total / weights


def strongest_along_edges(
    cells: Tensor, rgb: Tensor, grid: Grid, *, names: Tensor, around: Neighbours, sigma: float
) -> Tensor:
    """Return the name of the strongest of the channels of `along_edges` at every pixel, (H, W).

    A pixel whose cells all have the same strongest channel has it too: only the others, and the cells around them, are
    looked at in the picture. A cell's mean colour is taken in RGB, which spares the picture's Lab.

    Args:
        cells: (L, h, w) float32.
        rgb: (3, H, W) uint8; colours are compared in Lab.
        grid: of the cells.
        names: (L,) what the result calls the channels; it is of this number format.
        around: `three_by_three(grid)`.
        sigma: Lab units that count as different.
    """
    own = cells.max(0).indices  # (h, w); argmax takes ten times as long on a CPU
    pixels = _of_nearest(names[own], around)  # (H, W)
    differ = _differ_around(own)
    y, x = torch.nonzero(_of_nearest(differ, around), as_tuple=True)  # (N,)
    present = torch.nonzero(cells.flatten(1).amax(1) > 0)[:, 0]
    means = _means_near(differ, rgb, grid)
    for part in torch.arange(len(y), device=cells.device).split(PIXELS):
        found = _along_edges_at(cells[present], rgb, means, around, (y[part], x[part]), sigma=sigma)  # (L', n)
        pixels[y[part], x[part]] = names[present[found.max(0).indices]]
    return pixels


def _of_nearest(values: Tensor, around: Neighbours) -> Tensor:
    """Return the value (H, W) of the cell nearest to each pixel, of values (h, w); whole rows are copied."""
    return values.index_select(1, around.columns[1]).index_select(0, around.rows[1])


def _differ_around(own: Tensor) -> Tensor:
    """Return whether a cell's neighbourhood of nine holds more than one value, (h, w)."""
    padded = torch.nn.functional.pad(own[None, None].float(), (1, 1, 1, 1), mode="replicate")
    most, least = (torch.nn.functional.max_pool2d(sign * padded, 3, stride=1)[0, 0] for sign in (1, -1))
    return most != -least


def _means_near(which: Tensor, rgb: Tensor, grid: Grid) -> Tensor:
    """Return the Lab (3, h, w) of the mean colour of the cells `which` (h, w) and those beside them, 0 elsewhere."""
    near = torch.nn.functional.max_pool2d(which[None].float(), 3, stride=1, padding=1)[0] > 0
    rows, columns = torch.nonzero(near, as_tuple=True)
    means = torch.zeros(3, *which.shape, device=which.device)
    means[:, rows, columns] = rgb_to_lab((average_at_cells(rgb, grid, (rows, columns)) / 255)[:, None])[:, 0]
    return means


def _along_edges_at(
    cells: Tensor, rgb: Tensor, means: Tensor, around: Neighbours, at: tuple[Tensor, Tensor], *, sigma: float
) -> Tensor:
    """Return `along_edges` at some pixels, up to a factor for each: (L, n)."""
    y, x = at
    guide = rgb_to_lab(rgb[:, y, x][:, None])[:, 0]  # (3, n)
    table = torch.cat([means, cells]).flatten(1)  # (3 + L, h*w)
    rows, down = (axis.index_select(1, y) for axis in (around.rows * cells.shape[2], around.down))  # (3, n)
    columns, across = (axis.index_select(1, x) for axis in (around.columns, around.across))
    total = torch.zeros(len(cells), len(y), device=cells.device)
    for i in range(len(rows)):
        for j in range(len(columns)):
            beside = table.index_select(1, rows[i] + columns[j])  # (3 + L, n)
            weight = _alike(guide, beside[:3], sigma) * down[i] * across[j]
            total += weight * beside[3:]
    return total


def _alike(guide: Tensor, means: Tensor, sigma: float) -> Tensor:
    """Return how alike (G, ...) values are, without G: 1 for equal ones, never less than LEAST."""
    return torch.exp(-0.5 * (guide - means).square().sum(0) / sigma**2).clamp(min=LEAST)


def without_mixing(positions: Tensor, shares: Tensor, *, around: Neighbours, reach: float) -> tuple[Tensor, Tensor]:
    """Return positions at every pixel, (2, H, W), averaged only over cells that agree, and the share (H, W).

    Of the cells around a pixel the one with the largest share times spatial weight leads; the others take part, by that
    weight, when they lie within `reach` of it. Without any share the spatially nearest leads.

    Args:
        positions: (2, h, w), such as displacements: a smooth motion changes them little from cell to cell.
        shares: (h, w) in [0, 1], how much of a cell has a meaningful position.
        around: the cells to take from.
        reach: in the positions' unit.
    """
    parts = [(spatial, shares[rows, columns], positions[:, rows, columns]) for rows, columns, spatial in around.each()]
    spatial = torch.stack([part[0] for part in parts])  # (n, H, W)
    share = torch.stack([part[1] for part in parts])
    place = torch.stack([part[2] for part in parts])  # (n, 2, H, W)
    weight = spatial * share.clamp(min=LEAST)
    lead = weight.argmax(0)[None, None].expand(1, 2, -1, -1)
    agrees = (place - place.gather(0, lead)).square().sum(1) <= reach**2  # (n, H, W)
    weight = weight * agrees
    return (place * weight[:, None]).sum(0) / weight.sum(0), (spatial * share).sum(0)


def sample(picture: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return a picture at fractional pixels, bilinearly, its border held beyond the edges.

    Args:
        picture: (C, H, W) floating.
        x: (h, w) columns.
        y: (h, w) rows.

    Returns:
        (C, h, w).
    """
    height, width = picture.shape[1:]
    unit_x = x.clamp(0, width - 1) * (2 / max(width - 1, 1)) - 1
    unit_y = y.clamp(0, height - 1) * (2 / max(height - 1, 1)) - 1
    where = torch.stack([unit_x, unit_y], -1)[None].to(picture.dtype)  # (1, h, w, 2)
    return torch.nn.functional.grid_sample(picture[None], where, padding_mode="border", align_corners=True)[0]


def weighted_median(cells: Tensor, weights: Tensor, *, radius: int) -> Tensor:
    """Return the weighted median of each channel over a square around every cell, the border held: (L, h, w).

    Args:
        cells: (L, h, w).
        weights: (h, w), none negative.
        radius: cells to either side.
    """
    values = _windows(cells, radius)  # (L, n, h, w)
    shares = _windows(weights[None], radius).clamp(min=LEAST).expand_as(values)
    ordered, order = values.sort(1)
    reached = shares.gather(1, order).cumsum(1)
    middle = (reached >= reached[:, -1:] / 2).int().argmax(1, keepdim=True)  # the first that reaches one half
    return ordered.gather(1, middle)[:, 0]


def _windows(cells: Tensor, radius: int) -> Tensor:
    """Return the square around every cell, (L, n, h, w)."""
    channels, height, width = cells.shape
    side = 2 * radius + 1
    padded = torch.nn.functional.pad(cells[None], (radius,) * 4, mode="replicate")
    return torch.nn.functional.unfold(padded, side).view(channels, side * side, height, width)

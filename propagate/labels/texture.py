"""Texture: a painted picture that sticks to the surface it was painted on (TimeCycle, experiment IV)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from propagate.ops.grid import Grid, average_to_cells, upsample, upsampling_matrices
from propagate.ops.upsampling import Neighbours, sample, two_by_two, weighted_median, without_mixing
from propagate.values import Annotation, Frame, Kind, ObjectId

REACH = 1.5  # cells between two sources that may be averaged (conventions.md)
CALM = 2  # cells to either side over which the displacements' median is taken: measured, halves the error in place
LEAST = 0.05  # coverage at a source that counts; beyond the paint's edge there is nothing to see anyway
ENOUGH = 0.5  # of the coverage at the source, from which the paint is shown in full


class TextureLabels:
    """Paint on one frame; channels are the source's column and row, in cells of that frame, and coverage.

    The engine copies labels from place to place unchanged, so they hold where a cell's surface was on the painted
    frame; source minus own place, the displacement (dx, dy), is what decoding interpolates. The paint itself never
    passes through the grid: it is looked up once, at full size, and stays sharp.

    Measured on rendered clips (240x320, an object that crosses the picture, `rawcolor` at stride 4): the median of the
    displacements takes the median error of a source from 1.3 to 0.8 pixels, errors above 3 pixels from 20 to 2 percent.

    Args:
        paint: (H, W, 4) uint8 RGBA, not premultiplied.
    """

    kind: Kind = "value"
    ids: tuple[ObjectId, ...] = ("paint",)
    channels = 3
    reach: float | None = REACH
    sees_luma = False
    peak = 1.0

    def __init__(self, paint: NDArray[np.uint8]) -> None:
        if paint.ndim != 3 or paint.shape[2] != 4 or paint.dtype != np.uint8:
            raise ValueError(f"paint must be (H, W, 4) uint8, not {paint.shape} {paint.dtype}")
        self.paint = torch.from_numpy(premultiplied(paint))  # (4, H, W)
        self._made: tuple[Grid, tuple[Neighbours, Tensor]] | None = None

    def wants_finer(self, annotation: Annotation, grid: Grid) -> bool:
        """Return False: paint is carried cell by cell."""
        return False

    def encode(self, annotation: Annotation, grid: Grid) -> Tensor:
        """Return each cell's own place and the share of it that is painted: (3, h, w)."""
        alpha = torch.from_numpy(annotation.array[None, :, :, 3].astype(np.float32)) / 255
        return torch.cat([own_places(grid), average_to_cells(alpha, grid)])

    def nothing(self, grid: Grid) -> Tensor:
        """Return no coverage anywhere: (3, h, w)."""
        return torch.cat([own_places(grid), torch.zeros(1, grid.rows, grid.columns)])

    def combine(self, predicted: Tensor | None, annotation: Annotation, encoded: Tensor) -> Tensor:
        """Return the labels of the painted frame; what was carried there before does not count."""
        return encoded

    def decode(
        self, soft: Tensor, grid: Grid, *, frame: Frame, annotation: Annotation | None, edges: float = 0.0
    ) -> NDArray[np.generic]:
        """Return the frame with the paint on it, (H, W, 3) uint8."""
        layer = self.paint if annotation is not None else self.layer(soft, grid)
        return composed(frame.rgb, layer)

    def layer(self, soft: Tensor, grid: Grid) -> Tensor:
        """Return the paint where it lies on a frame, (4, H, W) in [0, 1], premultiplied by its alpha."""
        around, paint = self._on(grid, soft.device)
        displacement = weighted_median(soft[:2] - own_places(grid).to(soft.device), soft[2], radius=CALM)
        moved, covered = without_mixing(displacement, soft[2], around=around, reach=REACH)
        height, width = grid.cell_pixels
        rows, columns = (torch.arange(length, device=soft.device) for length in grid.video)
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        picture = sample(paint, x + moved[0] * width, y + moved[1] * height)
        there = covered / picture[4].clamp(min=LEAST)  # of the coverage at the source: what nothing hides is 1
        return picture[:4] * (there / ENOUGH).clamp(max=1)

    def _on(self, grid: Grid, device: torch.device) -> tuple[Neighbours, Tensor]:
        """Return the cells around every pixel, and the paint with the coverage that its own labels give, (5, H, W)."""
        if self._made is None or self._made[0] != grid:
            cells = average_to_cells(self.paint[3:], grid)
            expected = upsample(cells, upsampling_matrices(grid))
            self._made = (grid, (two_by_two(grid, device), torch.cat([self.paint, expected]).to(device)))
        return self._made[1]


def own_places(grid: Grid) -> Tensor:
    """Return every cell's own column and row, (2, h, w)."""
    row, column = torch.meshgrid(torch.arange(grid.rows), torch.arange(grid.columns), indexing="ij")
    return torch.stack([column, row]).float()


def premultiplied(paint: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return RGBA (H, W, 4) as (4, H, W) in [0, 1], colours times alpha: what may be interpolated."""
    unit: NDArray[np.float32] = np.moveaxis(paint, 2, 0).astype(np.float32) / np.float32(255)
    unit[:3] *= unit[3]
    return unit


def composed(rgb: NDArray[np.uint8], layer: Tensor) -> NDArray[np.uint8]:
    """Return a frame (H, W, 3) under a premultiplied layer (4, H, W)."""
    over = layer.cpu().permute(1, 2, 0).numpy()
    mixed = over[:, :, :3] * 255 + rgb * (1 - over[:, :, 3:])
    return np.asarray(np.clip(np.rint(mixed), 0, 255), np.uint8)

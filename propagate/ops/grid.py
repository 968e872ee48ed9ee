"""Where feature cells lie in a video's pixels, and the linear maps between the two.

Cell (r, c) of an encoder with stride s and offset o lies at pixel (s*c + o, s*r + o) of the encoder's input; the input
is the video resized, so that a video's pixel x and an input pixel u of the same point obey
x = (u + 0.5) * scale - 0.5.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PIXELS = 1 << 18  # looked at in one step when only some cells are averaged


def input_size(video: tuple[int, int], size: int | str) -> tuple[int, int]:
    """Return the (height, width) that the encoder sees.

    Args:
        video: (height, width) of the frames.
        size: the short side in pixels, never enlarged; or "WxH" for exactly that.
    """
    height, width = video
    if isinstance(size, str):
        to_width, to_height = (int(side) for side in size.lower().split("x"))
        return to_height, to_width
    scale = min(1.0, size / min(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


@dataclass(frozen=True)
class Grid:
    """The cells of one video under one encoder.

    Attributes:
        video: (height, width) of the frames in pixels.
        input: (height, width) that the encoder sees.
        stride: input pixels per cell.
        offset: input pixels from pixel 0 to the centre of cell 0.
        rows, columns: the number of cells, h and w.
    """

    video: tuple[int, int]
    input: tuple[int, int]
    stride: float
    offset: float
    rows: int
    columns: int

    @classmethod
    def of(cls, video: tuple[int, int], *, size: int | str, stride: int, offset: float) -> Grid:
        """Return the grid of a video of (height, width) pixels: ceil(H/s) x ceil(W/s) cells, nothing cropped."""
        height, width = input_size(video, size)
        return cls(video, (height, width), stride, offset, math.ceil(height / stride), math.ceil(width / stride))

    def finer(self, factor: int) -> Grid:
        """Return the grid with `factor` x `factor` sub-cells in place of each cell."""
        stride = self.stride / factor
        offset = self.offset - (factor - 1) / 2 * stride
        return Grid(self.video, self.input, stride, offset, self.rows * factor, self.columns * factor)

    @property
    def cell_pixels(self) -> tuple[float, float]:
        """(height, width) of one cell in the video's pixels."""
        return self.stride * self.video[0] / self.input[0], self.stride * self.video[1] / self.input[1]

    def to_pixels(self, cells_xy: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the video pixels (..., 2) x, y of cell coordinates (..., 2) x (column), y (row)."""
        scale = np.array([self.video[1] / self.input[1], self.video[0] / self.input[0]])
        pixels: NDArray[np.float64] = (np.asarray(cells_xy, np.float64) * self.stride + self.offset + 0.5) * scale - 0.5
        return pixels

    def to_cells(self, pixels_xy: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the fractional cell coordinates (..., 2) x, y of video pixels (..., 2) x, y."""
        scale = np.array([self.input[1] / self.video[1], self.input[0] / self.video[0]])
        cells: NDArray[np.float64] = (np.asarray(pixels_xy, np.float64) + 0.5) * scale - 0.5 - self.offset
        return cells / self.stride

    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the video pixels y (h,) of the rows and x (w,) of the columns."""
        rows = self.to_pixels(np.stack([np.zeros(self.rows), np.arange(self.rows)], 1))[:, 1]
        columns = self.to_pixels(np.stack([np.arange(self.columns), np.zeros(self.columns)], 1))[:, 0]
        return rows, columns


def average_matrix(centres: NDArray[np.float64], width: float, length: int) -> Tensor:
    """Return the (n, length) matrix that averages pixels over boxes, the border pixels replicated outward.

    Args:
        centres: (n,) pixel coordinates of the boxes' centres.
        width: of a box, in pixels; at least one pixel is taken.
        length: the number of pixels.
    """
    half = max(width, 1.0) / 2
    edges = np.arange(length + 1) - 0.5
    edges[0], edges[-1] = -np.inf, np.inf
    low = np.maximum(edges[None, :-1], (centres - half)[:, None])
    high = np.minimum(edges[None, 1:], (centres + half)[:, None])
    return torch.from_numpy((np.clip(high - low, 0, None) / (2 * half)).astype(np.float32))


def linear_matrix(positions: NDArray[np.float64], count: int) -> Tensor:
    """Return the (n, count) matrix that interpolates linearly between `count` samples, constant beyond the ends.

    Args:
        positions: (n,) fractional sample coordinates.
        count: the number of samples.
    """
    inside = np.clip(positions, 0, count - 1)
    return torch.from_numpy(np.clip(1 - np.abs(inside[:, None] - np.arange(count)), 0, None).astype(np.float32))


@functools.lru_cache(maxsize=4)
def _averages(grid: Grid) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the matrices (h, H) and (w, W) that average a video's pixels over the cells of `grid`."""
    rows, columns = (
        average_matrix(centres, width, length).numpy()
        for centres, width, length in zip(grid.centres(), grid.cell_pixels, grid.video, strict=True)
    )
    return rows, columns


def average_to_cells(image: Tensor, grid: Grid) -> Tensor:
    """Return the mean of a (L, H, W) image over each cell of `grid`: (L, h, w) float32."""
    down, across = (torch.from_numpy(matrix).to(image.device) for matrix in _averages(grid))  # (h, H), (w, W)
    return down @ (image.float() @ across.T)


@functools.lru_cache(maxsize=4)
def _boxes(grid: Grid) -> tuple[tuple[NDArray[np.int64], NDArray[np.float32]], ...]:
    """Return which pixels a cell's mean is of, and their weights, (cells, T) each, along rows and along columns."""
    found = []
    for matrix in _averages(grid):  # (cells, length)
        taken = matrix > 0
        pixels = taken.argmax(1)[:, None] + np.arange(taken.sum(1).max())
        inside = np.minimum(pixels, matrix.shape[1] - 1)
        found.append((inside, np.where(pixels == inside, np.take_along_axis(matrix, inside, 1), 0)))
    return tuple(found)


def average_at_cells(image: Tensor, grid: Grid, at: tuple[Tensor, Tensor]) -> Tensor:
    """Return what `average_to_cells` does of a (L, H, W) image at some cells, (L, n) float32: of few it is faster.

    Args:
        image: of any number format.
        grid: of the cells.
        at: rows and columns of the cells, (n,) int64 each.
    """
    (y, down), (x, across) = (
        tuple(torch.from_numpy(array).to(image.device)[cells] for array in box)  # (n, T)
        for box, cells in zip(_boxes(grid), at, strict=True)
    )
    means = [
        torch.einsum("lnyx,ny,nx->ln", image[:, y[part, :, None], x[part, None]].float(), down[part], across[part])
        for part in torch.arange(len(y), device=image.device).split(max(1, PIXELS // (y.shape[1] * x.shape[1])))
    ]
    return torch.cat(means, 1) if means else image.new_zeros(len(image), 0, dtype=torch.float32)


def upsampling_matrices(grid: Grid) -> tuple[Tensor, Tensor]:
    """Return the matrices (H, h) and (W, w) that carry cells to the video's pixels by linear interpolation."""
    height, width = grid.video
    y = grid.to_cells(np.stack([np.zeros(height), np.arange(height)], 1))[:, 1]
    x = grid.to_cells(np.stack([np.arange(width), np.zeros(width)], 1))[:, 0]
    return linear_matrix(y, grid.rows), linear_matrix(x, grid.columns)


def upsample(cells: Tensor, matrices: tuple[Tensor, Tensor]) -> Tensor:
    """Return a (L, h, w) map at the video's pixels, (L, H, W), by `upsampling_matrices`."""
    down, across = matrices
    return torch.matmul(down, torch.matmul(cells, across.T))


def fold(cells: Tensor, factor: int) -> Tensor:
    """Return sub-cells (L, h*f, w*f) as channels of their cells, (L*f*f, h, w): a cell carries its block of labels."""
    return cells if factor == 1 else torch.pixel_unshuffle(cells, factor)


def unfold(cells: Tensor, factor: int) -> Tensor:
    """Return (L*f*f, h, w) as sub-cells (L, h*f, w*f); the inverse of `fold`."""
    return cells if factor == 1 else torch.pixel_shuffle(cells, factor)

"""Restricted attention (CorrFlow 3.3): candidates inside a radius, without a dense matrix.

Target cells are taken in tiles of 8x8, reference cells in blocks of 4x4. The blocks that a tile can reach form a fixed
window, copied row of blocks by row of blocks and compared in one batched matrix product over the tiles of a strip. An
additive bias, the same for every frame, rules out the window's cells beyond the radius.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from propagate.ops.affinity import Candidates, strongest

Window = Literal["square", "circle"]
TILE = 8  # target cells on a tile's side
BLOCK = 4  # reference cells on a block's side


@dataclass(frozen=True)
class Geometry:
    """The windows of one strip, without the rows of blocks beyond the grid.

    Attributes:
        first, rows: which rows of blocks.
        bias: (tiles, size, 64), 0 within the radius and -inf beyond it or beyond the grid.
        cells: (tiles, size), the cell of each place of a window.
    """

    first: int
    rows: int
    bias: Tensor
    cells: Tensor

    @property
    def size(self) -> int:
        """How many cells a window has."""
        return self.cells.shape[1]


class LocalSearch:
    """Search of the cells within a radius, for one grid; keeps the bias of each strip and one scratch buffer.

    Args:
        shape: (h, w) of the grid.
        radius: in cells; 0 is the cell itself.
        window: "square" (|dx|, |dy| <= radius) or "circle" (dx^2 + dy^2 <= radius^2).
        dtype, device: of the features.
    """

    def __init__(
        self, shape: tuple[int, int], radius: int, *, window: Window, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.shape, self.radius, self.window = shape, radius, window
        self.dtype, self.device = dtype, device
        self.margin = -(-radius // BLOCK)  # blocks
        self.side = 2 * self.margin + TILE // BLOCK  # blocks on a window's side
        self.strips = -(-shape[0] // TILE)
        self.tiles = -(-shape[1] // TILE)
        self._geometries: dict[int, Geometry] = {}
        self._scratch: Tensor | None = None

    def prepare(self, keys: Tensor) -> Tensor:
        """Return (C, h, w) keys as blocks, (rows of blocks, blocks, 16, C), zero beyond the grid."""
        channels, height, width = keys.shape
        edge = self.margin * BLOCK
        padded = torch.nn.functional.pad(keys, (edge, self.tiles * TILE - width + edge, 0, -height % BLOCK))
        rows, columns = padded.shape[1] // BLOCK, padded.shape[2] // BLOCK
        blocks = padded.view(channels, rows, BLOCK, columns, BLOCK).permute(1, 3, 2, 4, 0)
        return blocks.reshape(rows, columns, BLOCK * BLOCK, channels)

    def candidates(self, query: Tensor, prepared: Sequence[Tensor], *, strip: int, topk: int | None) -> Candidates:
        """Return the candidates of the target cells of one strip, rows [8*strip, 8*strip + 8) of the grid.

        Args:
            query: (C, h, w) of the target frame.
            prepared: the keys of R frames, from `prepare`.
            strip: which strip.
            topk: how many to keep; None keeps the whole window, those beyond the radius at -inf.
        """
        geometry = self._geometry(strip)
        similarity = self._similarity(self._tiles(query, strip), prepared, geometry)
        if topk is None:
            values = similarity.to(torch.float32, copy=True)  # the scratch is written again
            index = torch.arange(values.shape[1], device=self.device)[None, :, None].expand_as(values)
        else:
            values, index = strongest(similarity, topk)
        frame, inside = index // geometry.size, index % geometry.size
        cells = torch.gather(geometry.cells[:, :, None].expand(-1, -1, index.shape[2]), 1, inside)
        cells += frame * (self.shape[0] * self.shape[1])
        return Candidates(self._rows(values, strip), self._rows(cells, strip))

    def _tiles(self, query: Tensor, strip: int) -> Tensor:
        """Return the strip's queries (tiles, C, 64), zero beyond the grid."""
        part = query[:, strip * TILE : (strip + 1) * TILE]
        pad = (0, self.tiles * TILE - part.shape[2], 0, TILE - part.shape[1])
        part = torch.nn.functional.pad(part, pad).view(query.shape[0], TILE, self.tiles, TILE)
        return part.permute(2, 1, 3, 0).reshape(self.tiles, TILE * TILE, -1).transpose(1, 2)

    def _similarity(self, tiles: Tensor, prepared: Sequence[Tensor], geometry: Geometry) -> Tensor:
        """Return the products of a strip's tiles with their windows in all frames, (tiles, R * size, 64), biased."""
        size = geometry.size
        out = self._buffer(len(prepared) * size)
        for frame, blocks in enumerate(prepared):
            torch.bmm(self._windows(blocks, geometry), tiles, out=out[:, frame * size : (frame + 1) * size])
        out.view(self.tiles, len(prepared), size, -1).add_(geometry.bias[:, None])
        return out

    def _windows(self, blocks: Tensor, geometry: Geometry) -> Tensor:
        """Return the window of each tile of a strip, (tiles, size, C): they overlap, a row of blocks is one copy."""
        columns, cells, channels = blocks.shape[1:]
        step = TILE // BLOCK * cells * channels  # elements from one tile's window to the next
        row = columns * cells * channels
        start = blocks.storage_offset() + geometry.first * row
        run = self.side * cells * channels
        windows = blocks.as_strided((self.tiles, geometry.rows, run), (step, row, 1), start)
        return windows.reshape(self.tiles, geometry.size, channels)

    def _buffer(self, keys: int) -> Tensor:
        """Return a (tiles, keys, 64) scratch tensor, the same memory each time."""
        count = self.tiles * keys * TILE * TILE
        if self._scratch is None or self._scratch.numel() < count:
            self._scratch = torch.empty(count, dtype=self.dtype, device=self.device)
        return self._scratch[:count].view(self.tiles, keys, TILE * TILE)

    def release(self) -> None:
        """Let go of the scratch buffer, so that a smaller one can take its place."""
        self._scratch = None

    def _geometry(self, strip: int) -> Geometry:
        if strip not in self._geometries:
            self._geometries[strip] = self._measure(strip)
        return self._geometries[strip]

    def _measure(self, strip: int) -> Geometry:
        height, width = self.shape
        top = strip * TILE // BLOCK - self.margin  # the window's first row of blocks
        first, last = max(0, top), min(-(-height // BLOCK), top + self.side)  # those that exist
        y = torch.arange(first * BLOCK, last * BLOCK, device=self.device).view(-1, 1, BLOCK, 1)  # (rows, 1, 4, 1)
        along = torch.arange(self.side * BLOCK, device=self.device) - self.margin * BLOCK
        x = along.view(1, self.side, 1, BLOCK)  # from the tile's first column
        y, x = (axis.expand(last - first, self.side, BLOCK, BLOCK).reshape(-1) for axis in (y, x))  # (size,)
        tile = torch.arange(TILE, device=self.device)
        dy = y[:, None] - strip * TILE - tile.repeat_interleave(TILE)  # (size, 64)
        dx = x[:, None] - tile.repeat(TILE)
        if self.window == "square":
            near = (dy.abs() <= self.radius) & (dx.abs() <= self.radius)
        else:
            near = dy.square() + dx.square() <= self.radius**2
        x = x + torch.arange(self.tiles, device=self.device)[:, None] * TILE  # (tiles, size)
        exists = (y < height) & (x >= 0) & (x < width)
        allowed = near & exists[:, :, None]  # (tiles, size, 64)
        bias = torch.zeros(allowed.shape, dtype=self.dtype, device=self.device).masked_fill_(~allowed, -torch.inf)
        return Geometry(first, last - first, bias, y.clamp(max=height - 1) * width + x.clamp(0, width - 1))

    def _rows(self, values: Tensor, strip: int) -> Tensor:
        """Return (tiles, K, 64) as (K, cells of the strip), row by row, without the cells beyond the grid."""
        rows = min(TILE, self.shape[0] - strip * TILE)
        values = values.view(self.tiles, -1, TILE, TILE).permute(1, 2, 0, 3)  # (K, 8, tiles, 8)
        return values.reshape(values.shape[0], TILE, -1)[:, :rows, : self.shape[1]].reshape(values.shape[0], -1)

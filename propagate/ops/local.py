"""The search within a radius: which reference cells near each target cell are the most similar (CorrFlow 3.3).

The grid is cut into tiles of target cells and blocks of reference cells. A tile looks at the blocks around it, row by
row of blocks: such a row is one run of memory, so that a product reads it where it lies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import get_ident
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from propagate.ops.attention import Candidates

Window = Literal["square", "circle"]
TILE = (8, 4)  # target cells on a tile's sides, rows and columns; products and maxima are fastest 32 queries wide
BLOCK = 4  # reference cells on a block's side
DOWN, ACROSS = TILE[0] // BLOCK, TILE[1] // BLOCK  # blocks on a tile's sides
QUERIES = TILE[0] * TILE[1]
CELLS = BLOCK * BLOCK
GAP = 2  # tiles without need between two that are needed, up to which one product takes all of them


@dataclass(frozen=True)
class Span:
    """A rectangle of tiles: rows and columns of tiles, each from the first to before the last."""

    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """How many rows and columns of tiles it has."""
        return self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]

    @property
    def tiles(self) -> int:
        """How many tiles it has, T."""
        return self.shape[0] * self.shape[1]


class Tiling:
    """The tiles of a grid.

    Args:
        shape: (h, w) of the grid.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.rows, self.columns = (-(-length // side) for length, side in zip(shape, TILE, strict=True))

    def cut(self, query: Tensor) -> Tensor:
        """Return (C, h, w) queries as tiles, (rows, columns, C, 32), zero beyond the grid."""
        channels, height, width = query.shape
        padded = F.pad(query, (0, self.columns * TILE[1] - width, 0, self.rows * TILE[0] - height))
        tiles = padded.view(channels, self.rows, TILE[0], self.columns, TILE[1]).permute(1, 3, 0, 2, 4)
        return tiles.reshape(self.rows, self.columns, channels, QUERIES)

    def cells(self, span: Span, *, device: torch.device) -> Tensor:
        """Return the cell of each query of a span, tile by tile, (Q,) int64; -1 beyond the grid."""
        y = _places(span.rows, TILE[0], device)[:, None, :, None]
        x = _places(span.columns, TILE[1], device)[None, :, None, :]
        inside = (y < self.shape[0]) & (x < self.shape[1])
        return torch.where(inside, y * self.shape[1] + x, -1).flatten()

    def spans(self, needed: Tensor | None, *, tall: bool) -> Iterator[Span]:
        """Yield spans that hold every needed cell: few tall ones, or one row of tiles each, which needs least memory.

        Args:
            needed: (h, w) bool; None needs every cell.
            tall: whether one span may hold all rows.
        """
        tiles = [[True] * self.columns] * self.rows if needed is None else self._needed(needed)
        rows = [number for number, row in enumerate(tiles) if any(row)]
        if tall and rows:
            columns = [number for number in range(self.columns) if any(row[number] for row in tiles)]
            yield Span((rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1))
            return
        for number in rows:
            for first, last in _runs(tiles[number]):
                yield Span((number, number + 1), (first, last))

    def _needed(self, cells: Tensor) -> list[list[bool]]:
        padded = F.pad(cells, (0, self.columns * TILE[1] - self.shape[1], 0, self.rows * TILE[0] - self.shape[0]))
        tiles: list[list[bool]] = padded.view(self.rows, TILE[0], self.columns, TILE[1]).any(3).any(1).tolist()
        return tiles


def _places(tiles: tuple[int, int], side: int, device: torch.device) -> Tensor:
    """Return where the cells of some tiles lie along one axis, (tiles, side)."""
    return torch.arange(tiles[0] * side, tiles[1] * side, device=device).view(-1, side)


def _runs(needed: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Yield first and last + 1 of what is needed, short gaps taken in."""
    found = [number for number, need in enumerate(needed) if need]
    first = before = found[0]
    for number in found[1:]:
        if number - before > GAP + 1:
            yield first, before + 1
            first = number
        before = number
    yield first, before + 1


@dataclass(frozen=True)
class BlockRow:
    """One row of blocks of a tile's window, without the blocks of which no cell is within the radius.

    Attributes:
        down: blocks from the tile's first row of blocks to it.
        first, last: the blocks, from the window's left side.
        bias: (blocks * 16, 32), 0 within the radius and -inf beyond.
    """

    down: int
    first: int
    last: int
    bias: Tensor


@dataclass(frozen=True)
class Slots:
    """What is searched in one pass: rows of blocks of several frames, N in all, one after the other.

    Attributes:
        parts: frame and row of each.
        blocks: how many they have together.
        frame, down, first, width, start: (N,) int64: of each, its frame, `BlockRow.down` and `first`, how many blocks
            it has, and how many those before it have.
    """

    parts: tuple[tuple[int, BlockRow], ...]
    blocks: int
    frame: Tensor
    down: Tensor
    first: Tensor
    width: Tensor
    start: Tensor

    @classmethod
    def of(cls, parts: Sequence[tuple[int, BlockRow]], device: torch.device) -> Slots:
        """Return the slots of frames and rows."""
        table = [(frame, row.down, row.first, row.last - row.first) for frame, row in parts]
        frame, down, first, width = torch.tensor(table, device=device).unbind(1)
        blocks = sum(row.last - row.first for _, row in parts)
        return cls(tuple(parts), blocks, frame, down, first, width, width.cumsum(0) - width)


class LocalSearch:
    """Search of the cells within a radius, for one grid; keeps a scratch buffer for each thread.

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
        self.tiling = Tiling(shape)
        self.margin = -(-radius // BLOCK)  # blocks
        self.across = 2 * self.margin + ACROSS  # blocks along a window's row
        self.blocks = tuple(-(-length // BLOCK) for length in shape)  # that hold cells of the grid
        self.rows = [self._row(down) for down in range(-self.margin, self.margin + DOWN)]
        self._slots: dict[tuple[int, ...], Slots] = {}
        self._scratch: dict[int, Tensor] = {}  # by thread

    def prepare(self, keys: Tensor) -> Tensor:
        """Return (C, h, w) keys as blocks, (rows of blocks, blocks, 16, C), with the margins around the grid.

        A block that the grid ends in repeats its last cells: they are no more similar than these, and no nearer.
        """
        channels, height, width = keys.shape
        rows, columns = self.blocks
        whole = F.pad(keys[None], (0, columns * BLOCK - width, 0, rows * BLOCK - height), mode="replicate")[0]
        below = self.tiling.rows * DOWN - rows + self.margin
        right = self.tiling.columns * ACROSS - columns + self.margin
        edge = self.margin * BLOCK
        padded = F.pad(whole, (edge, right * BLOCK, edge, below * BLOCK))
        rows, columns = padded.shape[1] // BLOCK, padded.shape[2] // BLOCK
        blocks = padded.view(channels, rows, BLOCK, columns, BLOCK).permute(1, 3, 2, 4, 0)
        return blocks.reshape(rows, columns, CELLS, channels).contiguous()

    def bytes(self, tiles: int) -> int:
        """Return the memory that the products of so many tiles with one frame take."""
        blocks = sum(row.last - row.first for row in self.rows)
        return tiles * blocks * CELLS * QUERIES * self.dtype.itemsize

    def candidates(self, tiles: Tensor, prepared: Sequence[Tensor], *, span: Span, topk: int | None) -> Candidates:
        """Return the candidates of the queries of a span, in the order of `Tiling.cells`.

        Args:
            tiles: of the target frame, from `Tiling.cut`.
            prepared: the keys of R frames, from `prepare`.
            span: which tiles.
            topk: how many to keep; None keeps all within the radius, and -inf for others.
        """
        slots = self._slots_of(span, len(prepared))
        query = tiles[slice(*span.rows), slice(*span.columns)].flatten(0, 1)  # (T, C, 32)
        products = self._products(query, prepared, slots, span)
        if topk is None:
            return self._every(products, slots, span)
        slot, block, most = _strongest_blocks(self._maxima(products, slots, span), topk)  # (k, T, 32)
        row, column = self._place(slot, block, slots, span)
        values = self._inside(slot, block, slots, span.tiles)  # (k, 16, T, 32)
        values.masked_fill_(self._missing(row, column) | (most == -torch.inf)[:, None], -torch.inf)
        best, order = values.flatten(0, 1).float().topk(min(topk, len(values) * CELLS), dim=0)
        which, inner = order // CELLS, order % CELLS
        cells = self._cells(row.gather(0, which), column.gather(0, which), inner)
        frame = slots.frame[slot].gather(0, which) * (self.shape[0] * self.shape[1])
        return Candidates(best.flatten(1), (frame + cells).flatten(1))

    def release(self) -> None:
        """Let go of the scratch buffers, so that smaller ones can take their place."""
        self._scratch.clear()

    # Products.

    def _products(self, query: Tensor, prepared: Sequence[Tensor], slots: Slots, span: Span) -> list[Tensor]:
        """Return the biased products of a span's tiles with each slot, (T, blocks * 16, 32) each, in the scratch."""
        each = len(query) * CELLS * QUERIES
        parts = self._buffer(slots.blocks * each).split([(row.last - row.first) * each for _, row in slots.parts])
        found = []
        for (frame, row), part in zip(slots.parts, parts, strict=True):
            out = part.view(len(query), -1, QUERIES)
            bias = row.bias.expand(len(query), -1, -1)
            found.append(torch.baddbmm(bias, self._windows(prepared[frame], row, span), query, out=out))
        return found

    def _windows(self, blocks: Tensor, row: BlockRow, span: Span) -> Tensor:
        """Return the keys that each tile of a span has in a row of blocks, (T, blocks * 16, C).

        They overlap, and are not copied unless the span has several rows of tiles.
        """
        columns, channels = blocks.shape[1], blocks.shape[3]
        step = CELLS * channels  # elements from one block to the next
        top = span.rows[0] * DOWN + row.down + self.margin
        start = blocks.storage_offset() + (top * columns + span.columns[0] * ACROSS + row.first) * step
        size = (*span.shape, (row.last - row.first) * CELLS, channels)
        view = blocks.as_strided(size, (DOWN * columns * step, ACROSS * step, channels, 1), start)
        return view[0] if span.shape[0] == 1 else view.flatten(0, 1)

    def _buffer(self, count: int) -> Tensor:
        """Return a flat scratch tensor, the same memory each time in each thread."""
        thread = get_ident()
        if thread not in self._scratch or self._scratch[thread].numel() < count:
            self._scratch.pop(thread, None)
            self._scratch[thread] = torch.empty(count, dtype=self.dtype, device=self.device)
        return self._scratch[thread][:count]

    def _every(self, products: Sequence[Tensor], slots: Slots, span: Span) -> Candidates:
        """Return all products as candidates."""
        values = torch.cat([product.float() for product in products], 1).transpose(0, 1)  # (all, T, 32)
        count = slots.width * CELLS
        slot = torch.arange(len(count), device=self.device).repeat_interleave(count)  # (all,)
        place = torch.arange(len(slot), device=self.device) - slots.start[slot] * CELLS
        slot, block, inner = (
            number[:, None, None] for number in (slot, slots.first[slot] + place // CELLS, place % CELLS)
        )
        row, column = self._place(slot, block, slots, span)  # (all, T, 1)
        y, x = row * BLOCK + inner // BLOCK, column * BLOCK + inner % BLOCK
        exists = (y >= 0) & (y < self.shape[0]) & (x >= 0) & (x < self.shape[1])
        cells = slots.frame[slot] * (self.shape[0] * self.shape[1]) + self._cells(row, column, inner)
        values = values.masked_fill(~exists, -torch.inf)
        return Candidates(values.flatten(1), cells.expand_as(values).flatten(1))

    # From the strongest blocks to their cells.

    def _maxima(self, products: Sequence[Tensor], slots: Slots, span: Span) -> Tensor:
        """Return the largest product in each block of each slot, (N, T, blocks of a window, 32); -inf where none is."""
        shape = (len(products), span.tiles, self.across, QUERIES)
        maxima = torch.full(shape, -torch.inf, dtype=self.dtype, device=self.device)
        for product, (_, part), found in zip(products, slots.parts, maxima, strict=True):
            blocks = product.view(span.tiles, -1, CELLS, QUERIES)
            torch.amax(blocks, 2, out=found[:, part.first : part.last])
        slot = torch.arange(len(products), device=self.device)[:, None, None]
        block = torch.arange(self.across, device=self.device)
        row, column = self._place(slot, block, slots, span)  # (N, T, blocks)
        beyond = (row < 0) | (row >= self.blocks[0]) | (column < 0) | (column >= self.blocks[1])
        return maxima.masked_fill_(beyond[..., None], -torch.inf)

    def _inside(self, slot: Tensor, block: Tensor, slots: Slots, tiles: int) -> Tensor:
        """Return the products in some blocks (k, T, 32) of `tiles` tiles, (k, 16, T, 32); they lie in the scratch."""
        scratch = self._scratch[get_ident()]
        width = slots.width[slot]
        inner = (block - slots.first[slot]).clamp(min=0).minimum(width - 1)  # a block without products is -inf anyway
        tile = torch.arange(tiles, device=self.device)[:, None]
        first = (slots.start[slot] * tiles + tile * width + inner) * (CELLS * QUERIES)
        first += torch.arange(QUERIES, device=self.device)
        cell = torch.arange(CELLS, device=self.device)[:, None, None] * QUERIES
        places = first[:, None] + cell
        return scratch.index_select(0, places.flatten()).view(places.shape)

    def _place(self, slot: Tensor, block: Tensor, slots: Slots, span: Span) -> tuple[Tensor, Tensor]:
        """Return row and column of blocks of the grid.

        Args:
            slot: (..., T, 32), or what spreads to it.
            block: of the window's row, likewise.
            slots, span: what is searched.
        """
        tile = torch.arange(span.tiles, device=self.device)[:, None]
        row = (span.rows[0] + tile // span.shape[1]) * DOWN + slots.down[slot]
        column = (span.columns[0] + tile % span.shape[1]) * ACROSS - self.margin + block
        return row, column

    def _missing(self, row: Tensor, column: Tensor) -> Tensor:
        """Return which of the 16 cells of blocks (k, T, 32) are beyond the grid that ends in them, (k, 16, T, 32)."""
        inner = torch.arange(CELLS, device=self.device)[:, None, None]
        (rows, columns), (height, width) = self.blocks, self.shape
        below = (row == rows - 1)[:, None] & (inner // BLOCK >= height - (rows - 1) * BLOCK)
        return below | (column == columns - 1)[:, None] & (inner % BLOCK >= width - (columns - 1) * BLOCK)

    def _cells(self, row: Tensor, column: Tensor, inner: Tensor) -> Tensor:
        """Return the cells of a frame at some of the 16 places in blocks; the nearest there is beyond the grid."""
        y = (row * BLOCK + inner // BLOCK).clamp(0, self.shape[0] - 1)
        return y * self.shape[1] + (column * BLOCK + inner % BLOCK).clamp(0, self.shape[1] - 1)

    # The window.

    def _slots_of(self, span: Span, frames: int) -> Slots:
        """Return the rows of blocks of some frames that lie in the grid for any row of tiles of a span."""
        low, high = -(span.rows[1] - 1) * DOWN, self.blocks[0] - span.rows[0] * DOWN
        rows = [row for row in self.rows if low <= row.down < high]
        key = (frames, rows[0].down, rows[-1].down)
        if key not in self._slots:
            self._slots[key] = Slots.of([(frame, row) for frame in range(frames) for row in rows], self.device)
        return self._slots[key]

    def _row(self, down: int) -> BlockRow:
        """Return one row of blocks of the window of any tile."""
        y = down * BLOCK + torch.arange(BLOCK)[None, :, None]
        x = (torch.arange(self.across * BLOCK) - self.margin * BLOCK).view(-1, 1, BLOCK)
        y, x = (axis.expand(self.across, BLOCK, BLOCK).reshape(-1, 1) for axis in (y, x))  # (blocks * 16, 1)
        dy = y - torch.arange(TILE[0]).repeat_interleave(TILE[1])  # (blocks * 16, 32)
        dx = x - torch.arange(TILE[1]).repeat(TILE[0])
        if self.window == "square":
            near = (dy.abs() <= self.radius) & (dx.abs() <= self.radius)
        else:
            near = dy.square() + dx.square() <= self.radius**2
        holds = near.view(self.across, -1).any(1).nonzero()[:, 0].tolist()
        first, last = holds[0], holds[-1] + 1
        bias = torch.zeros(near.shape, dtype=self.dtype).masked_fill_(~near, -torch.inf)
        return BlockRow(down, first, last, bias[first * CELLS : last * CELLS].to(self.device))


def _strongest_blocks(maxima: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return slot, block and maximum of the k blocks with the largest maxima for each query, (k, T, 32) each; exact.

    They lie in the k slots with the largest maxima, so only those slots are looked into.

    Args:
        maxima: (N, T, blocks, 32).
        k: how many; fewer come back where there are fewer.
    """
    slots = maxima.amax(2).topk(min(k, len(maxima)), dim=0, sorted=False).indices  # (k, T, 32)
    blocks = maxima.shape[2]
    inside = maxima.gather(0, slots[:, :, None].expand(-1, -1, blocks, -1)).transpose(1, 2).flatten(0, 1)
    top, order = inside.topk(min(k, len(inside)), dim=0, sorted=False)  # of (k * blocks, T, 32)
    return slots.gather(0, order // blocks), order % blocks, top


def window_maximum(values: Tensor, radius: int | None, window: Window) -> Tensor:
    """Return the largest value within the radius of each cell, (n, h, w).

    A circle is a few rectangles, one for each width that it has.

    Args:
        values: (n, h, w) floating.
        radius: in cells; None takes in the whole grid.
        window: as of `LocalSearch`.
    """
    if radius is None:
        return values.amax((1, 2), keepdim=True).expand_as(values)
    if window == "square":
        return _rectangle_maximum(values, radius, radius)
    widths = {math.isqrt(radius**2 - down**2): down for down in range(radius + 1)}  # the farthest row of each width
    parts = [_rectangle_maximum(values, down, across) for across, down in widths.items()]
    return torch.stack(parts).amax(0)


def _rectangle_maximum(values: Tensor, down: int, across: int) -> Tensor:
    columns = F.max_pool2d(values, (2 * down + 1, 1), stride=1, padding=(down, 0))
    return F.max_pool2d(columns, (1, 2 * across + 1), stride=1, padding=(0, across))

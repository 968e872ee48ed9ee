"""Similarity to affinity, full and within a radius, and what is copied through it (Vondrick 3.1, CorrFlow 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from propagate.values import Affinity

Similarity = Literal["cosine", "dot", "distance"]
SPREAD = 0.55  # cells, of the weight of neighbours: half of it on the cell itself (tuned on davis_dev: 0.55 > 0.7 > 1)
CHUNK = 32  # candidates per chunk in `strongest`, and then:
FINER = 8  # of those in the chunks that stay; so that 8192 candidates are ranked as 256, 40 and 80 for k = 10


@dataclass(frozen=True)
class Candidates:
    """Reference cells that a target cell may point to.

    Attributes:
        similarity: (K, Q) float32; -inf where there is no candidate.
        cells: (K, Q) int64, indices into the M cells of the references searched.
    """

    similarity: Tensor
    cells: Tensor


def with_neighbours(features: Tensor, size: int) -> Tensor:
    """Return (C, h, w) features with those of the cells around each appended, (C * size * size, h, w).

    Products and squared distances become weighted means over the neighbourhood, nearer cells counting more; cells
    beyond the border repeat it.
    """
    if size == 1:
        return features
    reach = size // 2
    padded = torch.nn.functional.pad(features[None].float(), (reach, reach, reach, reach), mode="replicate")
    around = torch.nn.functional.unfold(padded, size).view(features.shape[0], size * size, *features.shape[1:])
    fall = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=features.device) / SPREAD).square())
    weight = (fall[:, None] * fall[None]).flatten()
    around = around * (weight / weight.sum()).sqrt()[None, :, None, None]
    return around.flatten(0, 1).to(features.dtype)


def as_query(features: Tensor, similarity: Similarity) -> Tensor:
    """Return (C, h, w) features of a target frame such that their products with `as_keys` are the similarity.

    "distance" stands for -|q - k|^2 / 2 up to a term that is the same for all keys of a query, which softmax ignores.
    """
    if similarity == "cosine":
        return torch.nn.functional.normalize(features.float(), dim=0).to(features.dtype)
    if similarity == "distance":
        return torch.cat([features, torch.ones_like(features[:1])])
    return features


def as_keys(features: Tensor, similarity: Similarity) -> Tensor:
    """Return (C, h, w) features of a reference frame such that their products with `as_query` are the similarity."""
    if similarity == "distance":
        return torch.cat([features, -0.5 * features.square().sum(0, keepdim=True)])
    return as_query(features, similarity)


def strongest(similarity: Tensor, k: int, *, chunk: int = CHUNK) -> tuple[Tensor, Tensor]:
    """Return the k largest of (B, M, Q) along M and their indices, both (B, k, Q), largest first; exact.

    The k largest lie in the k chunks with the largest maxima, so only those chunks are looked into.
    """
    batch, count, queries = similarity.shape
    if count % chunk or count <= k * chunk:
        values, indices = similarity.float().topk(min(k, count), dim=1)
        return values, indices
    chunked = similarity.view(batch, count // chunk, chunk, queries)
    chunks = chunked.amax(2).topk(k, dim=1, sorted=False).indices  # (B, k, Q)
    pick = chunks[:, :, None].expand(-1, -1, chunk, -1)
    values, inner = strongest(torch.gather(chunked, 1, pick).flatten(1, 2), k, chunk=FINER)
    return values, torch.gather(chunks, 1, inner // chunk) * chunk + inner % chunk


def full_layout(keys: Tensor) -> Tensor:
    """Return (C, h, w) keys as (M, C), cells row by row, followed by zeros up to a whole number of chunks."""
    flat = keys.flatten(1).T
    return torch.nn.functional.pad(flat, (0, 0, 0, -flat.shape[0] % CHUNK)).contiguous()


def full_candidates(query: Tensor, keys: Tensor, *, count: int, topk: int | None) -> Candidates:
    """Return candidates among all cells of a reference frame.

    Args:
        query: (C, Q) target cells.
        keys: from `full_layout`.
        count: how many of the keys are cells.
        topk: how many candidates to keep; None keeps all.
    """
    similarity = keys @ query  # (M, Q)
    if topk is None:
        cells = torch.arange(count, device=query.device)[:, None].expand(-1, query.shape[1])
        return Candidates(similarity[:count].float(), cells)
    similarity[count:] = -torch.inf
    values, cells = strongest(similarity[None], topk)
    return Candidates(values[0], cells[0].clamp_(max=count - 1))


def merge(parts: list[Candidates], topk: int | None) -> Candidates:
    """Return the union of candidates, the `topk` strongest of it (None: all), strongest first."""
    if len(parts) == 1:
        return parts[0]
    similarity = torch.cat([part.similarity for part in parts])
    cells = torch.cat([part.cells for part in parts])
    if topk is None or similarity.shape[0] <= topk:
        return Candidates(similarity, cells)
    values, order = similarity.topk(topk, dim=0)
    return Candidates(values, cells.gather(0, order))


def affinity(candidates: Candidates, temperature: float) -> Affinity:
    """Return the softmax of similarity / temperature over the candidates of each target cell (Vondrick eq. 2, 3.3)."""
    weights = torch.softmax(candidates.similarity / temperature, dim=0)
    return Affinity(weights, candidates.cells)


def transfer(affinity: Affinity, labels: Tensor) -> Tensor:
    """Return y_j = sum_i A_ij c_i for every target cell: (Q, L).

    Args:
        affinity: (K, Q) weights and cells.
        labels: (M, L) float32, the labels of all reference cells.
    """
    cells, weights = affinity.cells.T.contiguous(), affinity.weights.T.contiguous()  # (Q, K)
    return torch.nn.functional.embedding_bag(cells, labels, per_sample_weights=weights, mode="sum")


def transfer_near(affinity: Affinity, labels: Tensor, *, position: Tensor, reach: float) -> Tensor:
    """Return labels averaged over only those candidates that agree with the strongest one: (Q, L).

    Coordinates must not be averaged over two different sources: the mean lies at neither.

    Args:
        affinity: (K, Q) weights and cells.
        labels: (M, L) float32.
        position: (M, 2) what the candidates are compared by, in cells.
        reach: candidates farther than this from the strongest one's position are left out.
    """
    best = affinity.weights.argmax(0, keepdim=True)  # (1, Q)
    where = position[affinity.cells]  # (K, Q, 2)
    anchor = where.gather(0, best[..., None].expand(-1, -1, 2))
    near = (where - anchor).square().sum(-1) <= reach**2
    weights = affinity.weights * near
    return transfer(Affinity(weights / weights.sum(0), affinity.cells), labels)


def follow(affinity: Affinity, labels: Tensor) -> Tensor:
    """Return the labels of the strongest candidate of every target cell, unmixed: (Q, L).

    Args:
        affinity: (K, Q) weights and cells.
        labels: (M, L) of any dtype.
    """
    best = affinity.cells.gather(0, affinity.weights.argmax(0, keepdim=True))[0]
    return labels[best]


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

"""From a target's features to its labels: search the window, weigh the candidates, copy (Vondrick 3.1, CorrFlow 3.3).

The grid is taken in spans of tiles, so that neither affinity nor candidates of the whole frame ever exist at once. A
cell of which all windows hold one and the same label takes it without a search: weights sum to one.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from propagate.config import PropagateConfig
from propagate.encoders.features import FeatureExtractor
from propagate.engine.ahead import in_parallel
from propagate.engine.refinement import FineKeys, Patch, refined
from propagate.errors import DeviceError
from propagate.ops.attention import (
    Candidates,
    affinity,
    as_keys,
    as_query,
    follow,
    full_candidates,
    full_layout,
    merge,
    transfer,
    transfer_near,
    with_neighbours,
)
from propagate.ops.local import LocalSearch, Span, Tiling, window_maximum
from propagate.ops.local import Window as Shape
from propagate.values import Affinity

log = logging.getLogger(__name__)
T = TypeVar("T")
SCRATCH = 1 << 25  # bytes of products that a thread holds at once
FULL = 1024  # target cells that look at all cells of a frame at once
SMALLEST = 1 / 64  # of the usual chunk, below which running out of memory is an error


@dataclass(frozen=True)
class Reference:
    """What is kept of one reference frame.

    Attributes:
        index: of the frame.
        trunk: (Ct, h, w), from the encoder's `encode`.
        labels: (h*w, L) float32, soft labels, sub-cells folded into channels.
        origin: (h*w, 2) int64, the annotated frame and its cell that the chain of strongest pointers ends at.
        annotated: whether a person labelled it, and the labels are those.
        patch: its fine features, of where its labels meet.
        everywhere: whether it is searched from anywhere, whatever the radius.
        prepared: searches to keys in the layout that the search reads; filled by the pointer.
        extremes: radii to what `held` found.
    """

    index: int
    trunk: Tensor
    labels: Tensor
    origin: Tensor
    annotated: bool
    patch: Patch | None = None
    everywhere: bool = False
    prepared: dict[str, Tensor] = field(default_factory=dict, repr=False, compare=False)
    extremes: dict[int | None, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def held(self, radius: int | None, *, shape: tuple[int, int], window: Shape, parts: int) -> Tensor:
        """Return the highest channel that the window of each cell holds, and minus the lowest: (2, h, w) float32.

        A cell that holds one channel alone holds that; any other holds the highest and the lowest there could be.

        Args:
            radius: in cells; None takes in the whole grid.
            shape: (h, w) of the grid.
            window: shape of what lies within the radius.
            parts: sub-cells of a cell.
        """
        if radius not in self.extremes:
            alone = (self.labels.view(len(self.labels), -1, parts) == 1).all(2)  # (h*w, L)
            channel, one = alone.float().argmax(1), alone.any(1)
            high, low = torch.where(one, channel, alone.shape[1]), torch.where(one, channel, -1)
            pair = torch.stack([high, -low]).float().view(2, *shape)
            self.extremes[radius] = window_maximum(pair, radius, window)
        return self.extremes[radius]


@dataclass(frozen=True)
class Group:
    """References that one query searches with one radius.

    Attributes:
        query: (C, h, w).
        tiles: the same, cut into tiles.
        keys: of each reference, in the layout of the search.
        first: position of the first reference in the window.
        radius: None looks everywhere.
    """

    query: Tensor
    tiles: Tensor
    keys: tuple[Tensor, ...]
    first: int
    radius: int | None


@dataclass(frozen=True)
class Pointed:
    """What a target frame's cells point to.

    Attributes:
        labels: (h*w, L), what is copied, sub-cells folded into channels.
        origin: (h*w, 2) int64, as of `Reference`.
        known: (R*h*w, L), the labels of all references, likewise.
        cells: (K, h*w) int64, the strongest cells, counted over all references; -1 for none, and for a cell that only
            one label can come to. None where they were not asked for.
    """

    labels: Tensor
    origin: Tensor
    known: Tensor
    cells: Tensor | None


class Pointer:
    """Points from target cells into the window.

    Args:
        features: embeds a target together with its references.
        config: radius, annotated_radius, keep_annotated, window, patch, temperature, topk, label_scale, search_all.
        reach: cells; labels are source coordinates, averaged only over candidates this near to the strongest one's.
        skips: whether labels are probabilities, so that a cell is not searched for where only one can come out.
        refines: whether outlines are searched again among finer cells; label_scale is then `FINER`.
        threads: how many parts of the grid are searched at once on the CPU.
    """

    def __init__(
        self,
        features: FeatureExtractor,
        config: PropagateConfig,
        *,
        reach: float | None = None,
        skips: bool = False,
        refines: bool = False,
        threads: int = 1,
    ) -> None:
        self.features, self.config, self.reach = features, config, reach
        self.shape, self.similarity = features.shape, features.similarity
        self.skips, self.refines, self.threads = skips, refines, threads
        self.tiling = Tiling(features.shape)
        self.share = 1.0  # of the usual chunk; halved when memory runs out
        self.centre: Tensor | None = None  # (C, 1, 1) float32, the mean key of the first reference frame
        self._searches: dict[int, LocalSearch] = {}

    def point(self, target: Tensor, references: list[Reference], *, keep: bool = False) -> Pointed:
        """Return what a target frame points to.

        Args:
            target: (Ct, h, w), from the features' `encode`.
            references: at least one, oldest first.
            keep: whether the cells that are pointed to are wanted, too.

        Raises:
            DeviceError: not even the smallest chunk fits into memory.
        """
        known = torch.cat([reference.labels for reference in references])
        origins = torch.cat([reference.origin for reference in references])
        settled = self._settled(references) if self.skips else None
        needed = None if settled is None else settled < 0
        labels, origin = self._standing(references, settled)
        kept = torch.full((self.config.topk or 0, len(labels)), -1, device=labels.device) if keep else None
        if not self.features.temporal and self.centre is None:
            self._prepared(references[0], self._radii(references)[0])  # it settles the centre, searched or not
        for cells, pointers in self._pointers(target, references, None if self.config.search_all else needed):
            labels[cells] = self._transfer(pointers, known, origins)
            wanted = torch.ones_like(cells, dtype=torch.bool) if needed is None else needed.flatten()[cells]
            origin[cells[wanted]] = follow(pointers, origins)[wanted]
            if kept is not None:
                strongest = torch.where(pointers.weights > 0, pointers.cells, -1)
                kept[: len(strongest), cells] = strongest
        if kept is not None and needed is not None:
            kept[:, ~needed.flatten()] = -1
        return Pointed(labels, origin, known, kept)

    def refine(
        self, pointed: Pointed, references: list[Reference], patch: Patch, labels: Tensor, *, cells: Tensor
    ) -> Tensor:
        """Return labels (h*w, L*4) with some cells' found again, by their fine cells.

        Args:
            pointed: what the frame points to, with its cells.
            references: that it was found in.
            patch: the frame's fine features.
            labels: (h*w, L*4), what was found.
            cells: (h*w,) bool, which; none that only one label can come to is taken.
        """
        keys = FineKeys.of([reference.patch for reference in references], shape=self.shape)
        assert pointed.cells is not None, "they were kept"
        assert self.config.topk is not None, "else nothing is refined"
        chosen = torch.nonzero(cells & (pointed.cells >= 0).any(0))[:, 0]
        if keys is None or not len(chosen):
            return labels
        labels[chosen] = refined(
            labels[chosen],
            chosen,
            target=patch,
            keys=keys,
            known=pointed.known,
            pointed=pointed.cells[:, chosen],
            temperature=self.config.temperature,
            topk=self.config.topk,
        )
        return labels

    def centre_of(self, trunk: Tensor) -> Tensor | None:
        """Return the mean key (C, 1, 1) of a frame (Ct, h, w), for `centre`; None of frames embedded together."""
        if self.features.temporal:
            return None
        return self._keys(self.features.embed(trunk[None])[0]).mean((1, 2), keepdim=True)

    def affinity_at(self, target: Tensor, references: list[Reference], *, cell: int) -> Affinity:
        """Return the affinity of one cell, (K, 1); arguments else as `point`."""
        needed = torch.zeros(self.shape, dtype=torch.bool, device=target.device)
        needed.view(-1)[cell] = True
        ((_, affinity),) = self._pointers(target, references, needed)
        return affinity

    def _settled(self, references: list[Reference]) -> Tensor:
        """Return the channel that all windows of a cell hold alone, -1 where there is none: (h, w) int64."""
        parts, window = self.config.label_scale**2, self.config.window
        held = [
            reference.held(radius, shape=self.shape, window=window, parts=parts)
            for reference, radius in zip(references, self._radii(references), strict=True)
        ]
        high, low = torch.stack(held).amax(0)
        return torch.where(high == -low, high, -1).long()

    def _standing(self, references: list[Reference], settled: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the labels and origins of settled cells: one channel alone, and where the cell was when annotated.

        Only what a person labelled is in the window for sure at the same place; else the newest frame stands for it.
        """
        newest = references[-1]
        origin = next((one for one in reversed(references) if one.annotated), newest).origin.clone()
        found = torch.zeros_like(newest.labels)
        if settled is not None:
            parts = self.config.label_scale**2
            alone = torch.arange(found.shape[1] // parts, device=found.device).repeat_interleave(parts)
            found += settled.view(-1, 1) == alone
        return found, origin

    def _pointers(
        self, target: Tensor, references: list[Reference], needed: Tensor | None
    ) -> Iterator[tuple[Tensor, Affinity]]:
        """Yield cells (Q,) and their affinity (K, Q), span by span, of all that are needed (h, w) or of all."""
        device = target.device
        spans = list(self.tiling.spans(needed, tall=device.type != "cpu"))
        if not spans:
            return
        groups = self._groups(target, references)

        def of(span: Span) -> tuple[Tensor, Affinity]:
            cells = self.tiling.cells(span, device=device)
            wanted = cells >= 0 if needed is None else (cells >= 0) & needed.flatten()[cells.clamp(min=0)]
            pointers = self._within_memory(groups, span)
            return cells[wanted], Affinity(pointers.weights[:, wanted], pointers.cells[:, wanted])

        yield from in_parallel(of, spans, threads=self.threads if device.type == "cpu" else 1)

    def _transfer(self, pointers: Affinity, labels: Tensor, origin: Tensor) -> Tensor:
        if self.reach is None:
            return transfer(pointers, labels)
        return transfer_near(pointers, labels, position=labels[:, :2], reach=self.reach)

    def _within_memory(self, groups: list[Group], span: Span) -> Affinity:
        """Return a span's affinity, in smaller and smaller chunks while memory runs out."""
        while True:
            try:
                return self._of_span(groups, span)
            except RuntimeError as error:
                if not ran_out_of_memory(error):
                    raise
                self.share /= 2
                if self.share < SMALLEST:
                    raise DeviceError(
                        "out of memory even in the smallest chunks", hint="use a smaller --size, --context or --radius"
                    ) from error
            for search in self._searches.values():
                search.release()
            log.warning("out of memory: going on with chunks of %g of the usual size", self.share)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _of_span(self, groups: list[Group], span: Span) -> Affinity:
        topk = self.config.topk
        found = merge([part for group in groups for part in self._search(group, span)], topk)
        return affinity(found, self.config.temperature)

    def _search(self, group: Group, span: Span) -> Iterator[Candidates]:
        """Yield the candidates of a span in the frames of one group, cells counted over the whole window."""
        cells, topk = self.shape[0] * self.shape[1], self.config.topk
        if group.radius is None:
            for position, keys in enumerate(group.keys, start=group.first):
                found = self._full(group.query, keys, span)
                yield Candidates(found.similarity, found.cells + position * cells)
            return
        local = self._local(group.radius, group.query)
        tiles = self.tiling.columns * span.shape[0]  # of whole rows: what is left out must not move where a pass ends
        step = max(1, int(SCRATCH * self.share) // local.bytes(tiles))
        for begin in range(0, len(group.keys), step):
            found = local.candidates(group.tiles, group.keys[begin : begin + step], span=span, topk=topk)
            yield Candidates(found.similarity, found.cells + (group.first + begin) * cells)

    def _full(self, query: Tensor, keys: Tensor, span: Span) -> Candidates:
        """Return the candidates of a span among all cells of one frame, in chunks of target cells."""
        count = self.shape[0] * self.shape[1]
        cells = self.tiling.cells(span, device=query.device).clamp(min=0)
        part = max(1, int(FULL * self.share))
        found = [
            full_candidates(query.flatten(1)[:, some], keys, count=count, topk=self.config.topk)
            for some in cells.split(part)
        ]
        return Candidates(
            torch.cat([part.similarity for part in found], 1), torch.cat([part.cells for part in found], 1)
        )

    def _radii(self, references: list[Reference]) -> list[int | None]:
        """Return how far each reference is searched."""
        config = self.config
        wide = config.radius if config.annotated_radius == "same" else config.annotated_radius
        return [
            None
            if reference.everywhere
            else self._within_grid(wide if reference.annotated and config.keep_annotated else config.radius)
            for reference in references
        ]

    def _groups(self, target: Tensor, references: list[Reference]) -> list[Group]:
        """Return the window cut where the query, or the radius, changes."""
        radii = self._radii(references)
        if self.features.temporal:
            return list(self._temporal_groups(target, references, radii))
        query = self._as_query(self.features.embed(target[None])[0])
        tiles = self.tiling.cut(query)
        groups: list[Group] = []
        for position, (reference, radius) in enumerate(zip(references, radii, strict=True)):
            key = self._prepared(reference, radius)
            if groups and groups[-1].radius == radius:
                groups[-1] = Group(query, tiles, (*groups[-1].keys, key), groups[-1].first, radius)
            else:
                groups.append(Group(query, tiles, (key,), position, radius))
        return groups

    def _within_grid(self, radius: int | None) -> int | None:
        """Return the radius, None where it takes in the whole grid: the full search finds the same in less memory."""
        down, across = (length - 1 for length in self.shape)
        far = max(down, across) if self.config.window == "square" else math.hypot(down, across)
        return None if radius is None or radius >= far else radius

    def _temporal_groups(self, target: Tensor, references: list[Reference], radii: list[int | None]) -> Iterator[Group]:
        """Yield a group per reference; those embedded together share the target's embedding.

        `temporal` references and the target are embedded at once, in time order, the target last; the earliest
        is repeated while there are fewer.
        """
        size = self.features.temporal
        for begin in range(0, len(references), size):
            batch = references[begin : begin + size]
            frames = [reference.trunk for reference in batch]
            stack = torch.stack([frames[0]] * (size - len(frames)) + frames + [target])  # (T, Ct, h, w)
            embedded = self.features.embed(stack)  # (T, C, h, w)
            query = self._as_query(embedded[-1])
            tiles = self.tiling.cut(query)
            for number in range(len(batch)):
                keys = self._as_keys(embedded[size - len(batch) + number])
                radius = radii[begin + number]
                yield Group(query, tiles, (self._layout(keys, radius),), begin + number, radius)

    def _prepared(self, reference: Reference, radius: int | None) -> Tensor:
        """Return a reference's keys in the layout that a search with `radius` reads, made once."""
        layout = f"radius {radius}"
        if layout not in reference.prepared:
            keys = self._as_keys(self.features.embed(reference.trunk[None])[0])
            reference.prepared[layout] = self._layout(keys, radius)
        return reference.prepared[layout]

    def _as_query(self, features: Tensor) -> Tensor:
        query = as_query(with_neighbours(features.float(), self.config.patch), self.similarity)
        return query.to(features.dtype)

    def _as_keys(self, features: Tensor) -> Tensor:
        """Return keys (C, h, w) less one vector, the same for all keys of the run.

        That takes the same amount from all similarities of a target cell, so the softmax does not change; but what is
        left is small, and bfloat16 rounds it finely. Where each group has a query of its own it would not cancel.
        """
        keys = self._keys(features)
        if self.features.temporal:
            return keys.to(features.dtype)
        if self.centre is None:
            self.centre = keys.mean((1, 2), keepdim=True)
        return (keys - self.centre).to(features.dtype)

    def _keys(self, features: Tensor) -> Tensor:
        return as_keys(with_neighbours(features.float(), self.config.patch), self.similarity)

    def _layout(self, keys: Tensor, radius: int | None) -> Tensor:
        if radius is None:
            return full_layout(keys)
        return self._local(radius, keys).prepare(keys)

    def _local(self, radius: int, features: Tensor) -> LocalSearch:
        if radius not in self._searches:
            self._searches[radius] = LocalSearch(
                self.shape, radius, window=self.config.window, dtype=features.dtype, device=features.device
            )
        return self._searches[radius]


def ran_out_of_memory(error: RuntimeError) -> bool:
    """Return whether torch says that memory ran out; the CPU and cuBLAS say so only in words."""
    words = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in words)

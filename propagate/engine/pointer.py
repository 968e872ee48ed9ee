"""From a target's features to its labels: search the window, weigh the candidates, copy (Vondrick 3.1, CorrFlow 3.3).

The grid is taken in strips of rows, so that neither affinity nor candidates of the whole frame ever exist at once.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from propagate.config import PropagateConfig
from propagate.encoders.features import FeatureExtractor
from propagate.engine.window import Reference
from propagate.errors import DeviceError
from propagate.ops.attention import (
    TILE,
    Candidates,
    LocalSearch,
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
from propagate.values import Affinity

log = logging.getLogger(__name__)
T = TypeVar("T")
PASS = 8  # reference frames searched in one pass
SMALLEST = 1 / 64  # of the usual chunk, below which running out of memory is an error


@dataclass(frozen=True)
class Group:
    """References that one query searches with one radius: `first` is the position of the first in the window."""

    query: Tensor  # (C, h, w)
    keys: tuple[Tensor, ...]
    first: int
    radius: int | None


class Pointer:
    """Points from target cells into the window.

    Args:
        features: embeds a target together with its references.
        config: radius, window, patch, temperature, topk.
        reach: cells; labels are source coordinates, averaged only over candidates this near to the strongest one's.
    """

    def __init__(self, features: FeatureExtractor, config: PropagateConfig, *, reach: float | None = None) -> None:
        self.features, self.config, self.reach = features, config, reach
        self.shape, self.similarity = features.shape, features.similarity
        self.share = 1.0  # of the usual chunk; halved when memory runs out
        self.centre: Tensor | None = None  # (C, 1, 1) float32, the mean key of the first reference frame
        self._searches: dict[int, LocalSearch] = {}

    def point(self, target: Tensor, references: list[Reference]) -> tuple[Tensor, Tensor]:
        """Return the labels (h*w, L) and origins (h*w, 2) of a target frame.

        Args:
            target: (Ct, h, w), from the features' `encode`.
            references: at least one, oldest first.

        Raises:
            DeviceError: not even the smallest chunk fits into memory.
        """
        labels = torch.cat([reference.labels for reference in references])
        origin = torch.cat([reference.origin for reference in references])
        groups = self._groups(target, references)
        parts = []
        for strip in range(-(-self.shape[0] // TILE)):
            pointers = self._within_memory(groups, strip)
            parts.append((self._transfer(pointers, labels, origin), follow(pointers, origin)))
        return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])

    def affinities(self, target: Tensor, references: list[Reference]) -> Iterator[Affinity]:
        """Yield the affinity of each strip of rows, top to bottom; arguments as `point`."""
        groups = self._groups(target, references)
        for strip in range(-(-self.shape[0] // TILE)):
            yield self._within_memory(groups, strip)

    def _transfer(self, pointers: Affinity, labels: Tensor, origin: Tensor) -> Tensor:
        if self.reach is None:
            return transfer(pointers, labels)
        return transfer_near(pointers, labels, position=labels[:, :2], reach=self.reach)

    def _within_memory(self, groups: list[Group], strip: int) -> Affinity:
        """Return a strip's affinity, in smaller and smaller chunks while memory runs out."""
        while True:
            try:
                return self._strip(groups, strip)
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

    def _strip(self, groups: list[Group], strip: int) -> Affinity:
        topk = self.config.topk
        found = merge([part for group in groups for part in self._search(group, strip)], topk)
        return affinity(found, self.config.temperature)

    def _search(self, group: Group, strip: int) -> Iterator[Candidates]:
        """Yield the candidates of a strip in the frames of one group, cells counted over the whole window."""
        cells = self.shape[0] * self.shape[1]
        step = max(1, int(PASS * self.share)) if group.radius is not None else 1
        for begin in range(0, len(group.keys), step):
            keys = group.keys[begin : begin + step]
            if group.radius is not None:
                found = self._local(group.radius, group.query).candidates(
                    group.query, keys, strip=strip, topk=self.config.topk
                )
            else:
                found = self._full(group.query, keys[0], strip)
            yield Candidates(found.similarity, found.cells + (group.first + begin) * cells)

    def _full(self, query: Tensor, keys: Tensor, strip: int) -> Candidates:
        """Return the candidates of a strip among all cells of one frame, in chunks of target cells."""
        count = self.shape[0] * self.shape[1]
        rows = query[:, strip * TILE : (strip + 1) * TILE].flatten(1)  # (C, Q)
        parts = rows.split(max(1, int(rows.shape[1] * self.share)), dim=1)
        found = [full_candidates(part, keys, count=count, topk=self.config.topk) for part in parts]
        return Candidates(
            torch.cat([part.similarity for part in found], 1), torch.cat([part.cells for part in found], 1)
        )

    def _groups(self, target: Tensor, references: list[Reference]) -> list[Group]:
        """Return the window cut where the query, or the radius, changes."""
        config = self.config
        wide = config.radius if config.annotated_radius == "same" else config.annotated_radius
        radii = [
            self._within_grid(wide if reference.annotated and config.keep_annotated else config.radius)
            for reference in references
        ]
        if self.features.temporal:
            return list(self._temporal_groups(target, references, radii))
        query = self._as_query(self.features.embed(target[None])[0])
        groups: list[Group] = []
        for position, (reference, radius) in enumerate(zip(references, radii, strict=True)):
            key = self._prepared(reference, radius)
            if groups and groups[-1].radius == radius:
                groups[-1] = Group(query, (*groups[-1].keys, key), groups[-1].first, radius)
            else:
                groups.append(Group(query, (key,), position, radius))
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
            for number in range(len(batch)):
                keys = self._as_keys(embedded[size - len(batch) + number])
                radius = radii[begin + number]
                yield Group(query, (self._layout(keys, radius),), begin + number, radius)

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
        keys = as_keys(with_neighbours(features.float(), self.config.patch), self.similarity)
        if self.features.temporal:
            return keys.to(features.dtype)
        if self.centre is None:
            self.centre = keys.mean((1, 2), keepdim=True)
        return (keys - self.centre).to(features.dtype)

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

"""Masks: an id per pixel <-> a probability per object and cell (Vondrick 3.3, segment tracking)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from propagate.labels.protocol import Described, Trace, total
from propagate.ops.grid import Grid, average_to_cells, upsample, upsampling_matrices
from propagate.ops.upsampling import Neighbours, strongest_along_edges, three_by_three
from propagate.values import Annotation, Frame, Kind, ObjectId, ObjectState

SHRUNK = 0.4  # of its largest annotated area: on davis_dev's fifteen the truth is below it in bmx-bumps (29 % of the
# frames, behind trees) and soccerball (15 %, behind trees) only
CHUNK = 16  # channels brought to full size at once


@dataclass(frozen=True)
class Extent:
    """Where an object's pixels are.

    Attributes:
        area: how many they are.
        box: (x, y, width, height).
        centroid: (x, y).
        touches_border: whether one lies at the frame's border.
    """

    area: int
    box: tuple[int, int, int, int]
    centroid: tuple[float, float]
    touches_border: bool


class MaskLabels:
    """Masks of the objects `ids`; channel 0 is the background, channel n + 1 the n-th id.

    Args:
        ids: positive, ascending, over all annotated frames.
    """

    kind: Kind = "probability"
    reach: float | None = None
    sees_luma = False
    peak = 1.0

    def __init__(self, ids: tuple[ObjectId, ...]) -> None:
        if not ids or any(not isinstance(number, int) or number < 1 for number in ids):
            raise ValueError(f"mask ids must be positive whole numbers, not {ids}")
        if list(ids) != sorted(set(ids)):
            raise ValueError(f"mask ids must ascend, none twice, not {ids}")
        self.ids = ids
        self.channels = len(ids) + 1
        self._numbers = np.array([0, *ids])  # channel -> id
        self._small = bool(self._numbers[-1] < 256)  # a mask is of bytes
        self._channels = np.zeros(self._numbers[-1] + 1, np.int64)  # id -> channel
        self._channels[self._numbers] = np.arange(self.channels)
        self._around: tuple[Grid, Neighbours] | None = None
        self._matrices: tuple[Grid, tuple[Tensor, Tensor]] | None = None

    def wants_finer(self, annotation: Annotation, grid: Grid) -> bool:
        """Return True: outlines are."""
        return True

    def encode(self, annotation: Annotation, grid: Grid) -> Tensor:
        """Return the share of each cell that each object covers: (L, h, w), summing to 1."""
        if annotation.array.shape != grid.video:
            raise ValueError(f"a mask must be {grid.video} as its frame, not {annotation.array.shape}")
        channels = torch.from_numpy(np.searchsorted(self._numbers, annotation.array).astype(np.int64))
        parts = [
            average_to_cells(torch.stack([channels == number for number in part]), grid)
            for part in torch.arange(self.channels).split(CHUNK)
        ]
        return torch.cat(parts)

    def nothing(self, grid: Grid) -> Tensor:
        """Return background everywhere: (L, h, w)."""
        soft = torch.zeros(self.channels, grid.rows, grid.columns)
        soft[0] = 1
        return soft

    def combine(self, predicted: Tensor | None, annotation: Annotation, encoded: Tensor) -> Tensor:
        """Return labels in which the annotation's ids are as given; others keep what the given objects do not cover.

        A complete annotation ends the objects that it lacks.
        """
        if predicted is None or annotation.complete:
            return encoded
        kept = torch.tensor([number not in annotation.ids for number in self.ids], device=encoded.device)
        free = 1 - total(encoded[1:])  # (1, h, w)
        objects = torch.where(kept[:, None, None], predicted[1:] * free, encoded[1:])
        return torch.cat([(1 - total(objects)).clamp(min=0), objects])

    def decode(
        self, soft: Tensor, grid: Grid, *, frame: Frame, annotation: Annotation | None, edges: float = 0.0
    ) -> NDArray[np.generic]:
        """Return the id of the most probable object at each pixel, (H, W).

        An annotation's pixels are kept as given.
        """
        names = torch.from_numpy(self._numbers).to(soft.device, torch.uint8 if self._small else torch.int32)
        array: NDArray[np.generic]
        if edges:
            array = self._along_edges(soft, grid, frame, edges, names=names).cpu().numpy()
        else:
            array = names[self._most_probable(soft, grid)].cpu().numpy()
        if annotation is not None:
            array = self._as_given(array, annotation)
        return array.astype(np.uint8 if self._small else np.uint16)

    def describe(
        self,
        array: NDArray[np.generic],
        soft: Tensor,
        *,
        annotation: Annotation | None,
        trace: Trace | None,
        last: Mapping[ObjectId, bool],
    ) -> Described:
        """Return the mask as it is, and a state per object."""
        shrunk = self._shrunk(soft, None if annotation is not None else trace)
        return array, self._states(soft, self._extents(array), trace=trace, last=last, shrunk=shrunk)

    def named(self, annotation: Annotation) -> tuple[ObjectId, ...]:
        """Return the ids that an annotation shows."""
        return tuple(name for name in self.ids if name in annotation.ids)

    def confidence(self, soft: Tensor, trace: Trace | None) -> NDArray[np.float64]:
        """Return how sure each object's labels are: how probable, and how many come from the object itself."""
        certainty, agreement, _ = self._confidence(soft, trace)
        return np.clip(certainty * agreement, 0, 1)[1:]

    def merged(
        self, arrays: Sequence[NDArray[np.generic]], owners: Sequence[tuple[ObjectId, ...]]
    ) -> NDArray[np.generic]:
        """Return a mask (H, W) of which each mask gives its owners' pixels; where two meet the later one holds."""
        result = np.zeros_like(arrays[0])
        for array, own in zip(arrays, owners, strict=True):
            result = np.where(np.isin(array, own), array, result)
        return result

    def _as_given(self, array: NDArray[np.generic], annotation: Annotation) -> NDArray[np.generic]:
        """Return ids (H, W) with the annotation's own pixels for the ids that it fixes."""
        given = annotation.array
        if annotation.complete:
            return given
        return np.where(given != 0, given, np.where(np.isin(array, annotation.ids), 0, array))

    def _extents(self, array: NDArray[np.generic]) -> dict[int, Extent]:
        """Return the extent of each object of a mask (H, W), by channel, from the runs of equal pixels in its rows."""
        begins = np.ones(array.shape, bool)
        np.not_equal(array[:, 1:], array[:, :-1], out=begins[:, 1:])
        starts = np.flatnonzero(begins)  # (N,)
        channels = self._channels[array.ravel()[starts]]
        order = np.argsort(channels, kind="stable")  # an object's runs together, from top to bottom
        order = order[np.count_nonzero(channels == 0) :]
        y, x = np.divmod(starts, array.shape[1])
        length = np.diff(starts, append=array.size)
        channels, y, x, length = channels[order], y[order], x[order], length[order]
        first = np.flatnonzero(np.diff(channels, prepend=0))
        if not len(first):
            return {}
        area = np.add.reduceat(length, first)
        left, right = np.minimum.reduceat(x, first), np.maximum.reduceat(x + length, first)
        top, bottom = y[first], np.maximum.reduceat(y, first) + 1
        middle_x = (np.add.reduceat(x * length + length * (length - 1) // 2, first) - area * left) / area + left
        middle_y = (np.add.reduceat(y * length, first) - area * top) / area + top
        border = (top == 0) | (left == 0) | (bottom == array.shape[0]) | (right == array.shape[1])
        boxes = np.stack([left, top, right - left, bottom - top], 1).tolist()
        centroids = np.stack([middle_x, middle_y], 1).tolist()
        parts = zip(channels[first].tolist(), area.tolist(), boxes, centroids, border.tolist(), strict=True)
        return {number: Extent(size, tuple(box), tuple(xy), edge) for number, size, box, xy, edge in parts}

    def _states(
        self,
        soft: Tensor,
        extents: Mapping[int, Extent],
        *,
        trace: Trace | None,
        last: Mapping[ObjectId, bool],
        shrunk: NDArray[np.bool_],
    ) -> tuple[ObjectState, ...]:
        """Return area, box, centroid, confidence and flags of each object."""
        certainty, agreement, rivals = self._confidence(soft, trace)
        states = []
        for number, name in enumerate(self.ids, start=1):
            extent = extents.get(number)
            if extent is None:
                gone = ("vanished",) if name in last else ()
                states.append(ObjectState(name, 0.0, visible=False, area=0, flags=gone))
                continue
            named = {
                "reappeared": last.get(name) is False,
                "border": extent.touches_border,
                "swapped": bool(rivals[number]),
                "shrunk": bool(shrunk[number]),
            }
            flags = tuple(flag for flag, holds in named.items() if holds)
            confidence = min(1.0, float(certainty[number] * agreement[number]))  # rounding may pass 1
            states.append(ObjectState(name, confidence, True, extent.area, extent.box, extent.centroid, flags))
        return tuple(states)

    def _shrunk(self, soft: Tensor, trace: Trace | None) -> NDArray[np.bool_]:
        """Return per channel whether most of the object is missing: hidden, gone but for a rest, or far away."""
        if trace is None or not trace.annotated:
            return np.zeros(self.channels, bool)
        largest = torch.stack([labels.sum((1, 2)) for labels in trace.annotated.values()]).amax(0)  # (L,) cells
        return (soft.sum((1, 2)) < SHRUNK * largest).cpu().numpy()

    def _confidence(
        self, soft: Tensor, trace: Trace | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Return per channel: mean top probability, agreement with the annotated frames, and whether a rival is there.

        Agreement is the share of the object's cells whose chain of strongest pointers ends on the object itself.
        """
        top, channel = soft.max(0)
        flat = channel.flatten().cpu().numpy()
        cells = np.bincount(flat, minlength=self.channels)
        count, empty = np.maximum(cells, 1), cells == 0
        certainty = np.bincount(flat, weights=top.flatten().cpu().numpy(), minlength=self.channels) / count
        certainty[empty] = soft.flatten(1).amax(1).cpu().numpy()[empty]
        if trace is None:
            return certainty, np.ones(self.channels), np.zeros(self.channels, bool)
        ends = np.asarray(self._ends(trace, channel.shape))
        pairs = np.bincount(flat * self.channels + ends.ravel(), minlength=self.channels**2)
        table = pairs.reshape(self.channels, self.channels)
        agreement = np.where(empty, 0.5, np.diag(table) / count)
        others = table.copy()
        np.fill_diagonal(others, 0)
        return certainty, agreement, others[:, 1:].max(1) > np.diag(table)

    def _ends(self, trace: Trace, shape: torch.Size) -> NDArray[np.int64]:
        """Return the channel that each sub-cell's chain ends on in its annotated frame, (h, w)."""
        ends = torch.zeros(trace.frames.shape, dtype=torch.int64, device=trace.frames.device)
        for index, labels in trace.annotated.items():
            coarse = torch.nn.functional.avg_pool2d(labels, trace.scale).max(0).indices.flatten()
            ends = torch.where(trace.frames == index, coarse[trace.cells], ends)
        fine = ends.repeat_interleave(trace.scale, 0).repeat_interleave(trace.scale, 1)
        return fine[: shape[0], : shape[1]].cpu().numpy()

    def _most_probable(self, soft: Tensor, grid: Grid) -> Tensor:
        """Return the most probable channel at each pixel, (H, W) int64; channels absent from the frame are skipped."""
        matrices = self._upsampling(soft, grid)
        present = torch.nonzero(soft.flatten(1).amax(1) > 0)[:, 0]
        best = torch.zeros(grid.video, device=soft.device)
        channel = torch.zeros(grid.video, dtype=torch.int64, device=soft.device)
        for part in present.split(CHUNK):
            top, inner = upsample(soft[part], matrices).max(0)  # (H, W)
            better = top > best
            channel = torch.where(better, part[inner], channel)
            best = torch.where(better, top, best)
        return channel

    def _along_edges(self, soft: Tensor, grid: Grid, frame: Frame, edges: float, *, names: Tensor) -> Tensor:
        """Return the name of the most probable channel at each pixel, (H, W), of the cells that look like the pixel."""
        if self._around is None or self._around[0] != grid:
            self._around = (grid, three_by_three(grid, soft.device))
        rgb = torch.from_numpy(np.require(frame.rgb, requirements=["C", "W"])).to(soft.device).permute(2, 0, 1)
        return strongest_along_edges(soft, rgb, grid, names=names, around=self._around[1], sigma=edges)

    def _upsampling(self, soft: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
        if self._matrices is None or self._matrices[0] != grid:
            down, across = upsampling_matrices(grid)
            self._matrices = (grid, (down.to(soft.device), across.to(soft.device)))
        return self._matrices[1]

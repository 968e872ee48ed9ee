"""Keypoints: a sub-pixel place <-> a Gaussian on the grid (Vondrick 3.3, key-point tracking)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from propagate.labels.protocol import Described, Trace, total
from propagate.ops.grid import Grid
from propagate.values import Annotation, Frame, Kind, ObjectId, ObjectState

SIGMA = 1.0  # cells, of a point's Gaussian
REACH = 3  # cells around the peak that the place and the mass are taken from
NEAR = math.exp(-2)  # of the peak: a chain that ends within two sigma of the annotated place agrees
CROWDED = 2.0  # cells; flies 100 px long (keypoints_dev) are at 0.9: 24 frames on, their points are 8 px off, not 16. A
# horse's joints are at 4.0, and fine cells lose more of them: PCK@.1 .59, not .69
VISIBLE = 0.1  # confidence below which a point is absent; chosen on keypoints_dev


class KeypointLabels:
    """Points named `ids`; channel 0 is the background, channel n + 1 the n-th point.

    Args:
        ids: the points' names, in the order of the annotations' rows.
        visible: confidence below which a point is said to be absent.
    """

    kind: Kind = "probability"
    reach: float | None = None
    sees_luma = False
    peak = math.exp(-2) / (2 * math.pi * SIGMA**2)  # of a Gaussian of mass 1, two sigma from its place

    def __init__(self, ids: tuple[ObjectId, ...], *, visible: float = VISIBLE) -> None:
        if not ids:
            raise ValueError("at least one point is needed")
        self.ids, self.visible = ids, visible
        self.channels = len(ids) + 1

    def wants_finer(self, annotation: Annotation, grid: Grid) -> bool:
        """Return whether half of the points are nearer to another one than `CROWDED` cells: a small animal's."""
        places = grid.to_cells(annotation.array[self._given(annotation).numpy()].astype(np.float64))
        if len(places) < 2:
            return False
        apart = np.linalg.norm(places[:, None] - places[None], axis=2) + np.diag(np.full(len(places), np.inf))
        return bool(np.median(apart.min(1)) < CROWDED)

    def encode(self, annotation: Annotation, grid: Grid) -> Tensor:
        """Return a Gaussian of mass 1 at each annotated place and the background's share, (L, h, w)."""
        places = torch.from_numpy(grid.to_cells(annotation.array.astype(np.float64))).float()  # (L - 1, 2)
        dy = torch.arange(grid.rows)[None] - places[:, 1:]  # (L - 1, h)
        dx = torch.arange(grid.columns)[None] - places[:, :1]
        squared = dy.square()[:, :, None] + dx.square()[:, None, :]
        points = torch.exp(-squared / (2 * SIGMA**2))
        points = points / points.sum((1, 2), keepdim=True)  # also where the border cuts some of it off
        inside = self._given(annotation) & torch.from_numpy(_inside(annotation.array, grid.video))
        return _with_background(torch.where(inside[:, None, None], points, 0.0))

    def nothing(self, grid: Grid) -> Tensor:
        """Return background everywhere: (L, h, w)."""
        return _with_background(torch.zeros(len(self.ids), grid.rows, grid.columns))

    def combine(self, predicted: Tensor | None, annotation: Annotation, encoded: Tensor) -> Tensor:
        """Return labels with the annotated points as given; the others keep their prediction unless `complete`."""
        if predicted is None or annotation.complete:
            return encoded
        given = self._given(annotation).to(encoded.device)[:, None, None]
        return _with_background(torch.where(given, encoded[1:], predicted[1:]))

    def decode(
        self, soft: Tensor, grid: Grid, *, frame: Frame, annotation: Annotation | None, edges: float = 0.0
    ) -> NDArray[np.generic]:
        """Return the places (L, 2) x, y in pixels, NaN where nothing is left of a point or it left the picture."""
        cells_xy, mass, _ = self._peaks(soft[1:], None)
        places = grid.to_pixels(cells_xy)
        places[mass <= 0] = np.nan  # its peak would be the picture's corner
        if annotation is not None:
            given = self._given(annotation).numpy()
            places[given] = annotation.array[given]
        places[~_inside(places, grid.video)] = np.nan
        return places

    def describe(
        self,
        array: NDArray[np.generic],
        soft: Tensor,
        *,
        annotation: Annotation | None,
        trace: Trace | None,
        last: Mapping[ObjectId, bool],
    ) -> Described:
        """Return the places (L, 2) with NaN for a point of too little confidence, and a state per point."""
        confidence = self.confidence(soft, trace)
        if annotation is not None:
            confidence[self._given(annotation).numpy()] = 1.0
        places = np.where((confidence >= self.visible)[:, None], array.astype(np.float64), np.nan)
        return places, tuple(self._state(n, places, confidence, last) for n in range(len(self.ids)))

    def confidence(self, soft: Tensor, trace: Trace | None) -> NDArray[np.float64]:
        """Return how sure each point is: its mass, and how much of it comes from the point itself."""
        _, mass, agreement = self._peaks(soft[1:], trace)
        return np.minimum(mass, 1.0) * np.minimum(agreement, 1.0)  # rounding may pass 1

    def named(self, annotation: Annotation) -> tuple[ObjectId, ...]:
        """Return the points that an annotation places."""
        return tuple(name for name, given in zip(self.ids, self._given(annotation).tolist(), strict=True) if given)

    def merged(
        self, arrays: Sequence[NDArray[np.generic]], owners: Sequence[tuple[ObjectId, ...]]
    ) -> NDArray[np.generic]:
        """Return places (L, 2), each point's from the array of its owner; NaN for one that nobody owns."""
        result = np.full(arrays[0].shape, np.nan)
        for array, own in zip(arrays, owners, strict=True):
            rows = [self.ids.index(name) for name in own]
            result[rows] = array[rows]
        return result

    def _given(self, annotation: Annotation) -> Tensor:
        """Return which points the annotation places, (L - 1,) bool."""
        return torch.from_numpy(~np.isnan(annotation.array.astype(np.float64)).any(1))

    def _peaks(
        self, points: Tensor, trace: Trace | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return the places (L, 2) in cells, the mass near each, and the share of it that agrees when followed back.

        The place is the weighted mean of the cells around the highest one.
        """
        number, height, width = points.shape
        peak = points.flatten(1).argmax(1)  # (L,)
        along = torch.arange(-REACH, REACH + 1, device=points.device)
        rows = (peak // width)[:, None, None] + along[None, :, None]  # (L, n, 1)
        columns = (peak % width)[:, None, None] + along[None, None, :]  # (L, 1, n)
        exists = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        cells = rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)  # (L, n, n)
        weight = points.flatten(1).gather(1, cells.flatten(1)).view_as(cells) * exists
        mass = weight.sum((1, 2))
        share = weight / mass.clamp(min=1e-12)[:, None, None]
        x = _uncut((share * columns).sum((1, 2)), columns[:, 0], width)
        y = _uncut((share * rows).sum((1, 2)), rows[:, :, 0], height)
        place = torch.stack([x, y], 1)
        agreement = torch.ones(number) if trace is None else (share * self._agrees(cells, trace)).sum((1, 2))
        return place.double().cpu().numpy(), mass.double().cpu().numpy(), agreement.double().cpu().numpy()

    def _agrees(self, cells: Tensor, trace: Trace) -> Tensor:
        """Return whether the chain of strongest pointers of sub-cells (L, n, n) ends near the annotated point."""
        width = trace.frames.shape[1] * trace.scale
        coarse = (cells // width // trace.scale) * trace.frames.shape[1] + cells % width // trace.scale
        frames, ends = trace.frames.flatten()[coarse], trace.cells.flatten()[coarse]
        agrees = torch.zeros_like(cells, dtype=torch.float32)
        for index, labels in trace.annotated.items():
            points = torch.nn.functional.avg_pool2d(labels[1:], trace.scale).flatten(1)
            near = (points > NEAR * points.amax(1, keepdim=True)).float()
            there = near.gather(1, ends.flatten(1)).view_as(agrees)
            agrees = torch.where(frames == index, there, agrees)
        return agrees

    def _state(
        self, number: int, places: NDArray[np.float64], confidence: NDArray[np.float64], last: Mapping[ObjectId, bool]
    ) -> ObjectState:
        name, (x, y) = self.ids[number], places[number]
        visible = not math.isnan(x)
        if visible:
            flags = ("reappeared",) if last.get(name) is False else ()
        else:
            flags = ("vanished",) if name in last else ()
        place = (float(x), float(y)) if visible else None
        return ObjectState(name, float(confidence[number]), visible, centroid=place, flags=flags)


def _uncut(mean: Tensor, cells: Tensor, count: int) -> Tensor:
    """Return where Gaussians (L,) lie that have this `mean` over the cells (L, n) of one axis, 0 to `count` - 1.

    Away from the border that is the mean; the border cuts some of a Gaussian off, which draws its mean inward.
    """
    exists = (cells >= 0) & (cells < count)  # (L, n)
    place = mean
    for _ in range(8):  # Newton's steps
        weight = torch.exp(-(cells - place[:, None]).square() / (2 * SIGMA**2)) * exists
        weight = weight / weight.sum(1, keepdim=True)
        expected = (weight * cells).sum(1)
        slope = (weight * (cells - expected[:, None]).square()).sum(1) / SIGMA**2
        place = (place + (mean - expected) / slope.clamp(min=0.1)).clamp(-0.5, count - 0.5)
    return torch.where(exists.all(1), mean, place)


def _with_background(points: Tensor) -> Tensor:
    """Return (L - 1, h, w) points with the background in front; where points crowd a cell they share it."""
    covered = total(points)
    points = points / covered.clamp(min=1)
    return torch.cat([(1 - covered).clamp(min=0), points])


def _inside(places: NDArray[np.generic], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which places (L, 2) x, y lie in a picture of (height, width); NaN does not."""
    x, y = places[:, 0].astype(np.float64), places[:, 1].astype(np.float64)
    return (x >= -0.5) & (x <= size[1] - 0.5) & (y >= -0.5) & (y <= size[0] - 0.5)

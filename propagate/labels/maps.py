"""Maps: any planes of numbers over a frame, probabilities and values side by side, carried in one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from propagate.ops.grid import Grid, average_to_cells, upsample, upsampling_matrices
from propagate.values import Annotation, Frame, Kind, ObjectId


@dataclass(frozen=True)
class MapPlane:
    """What one plane of a map is.

    Attributes:
        name: of the plane.
        kind: probability or value.
        depth: channels: of values or probabilities as given; of categories, how many there are.
        categories: the ids of a categorical plane, ascending, one a channel; empty for any other.
    """

    name: str
    kind: Kind
    depth: int
    categories: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.depth < 1 or (self.categories and len(self.categories) != self.depth):
            raise ValueError(f"plane {self.name!r} has {self.depth} channels for the categories {self.categories}")


class MapLabels:
    """Planes concatenated as channels: categories one-hot, anything else as it is.

    An annotation's array, and the decoded one, is (H, W, d) float32: a channel for the ids of a categorical plane, and
    all channels of any other; `planes` takes it apart and `stacked` puts it together.

    Args:
        planes: what they are, in order.
    """

    reach: float | None = None
    sees_luma = False
    peak = 1.0

    def __init__(self, planes: Sequence[MapPlane]) -> None:
        if not planes:
            raise ValueError("a map needs at least one plane")
        self.parts = tuple(planes)
        self.ids: tuple[ObjectId, ...] = tuple(plane.name for plane in planes)
        self.channels = sum(plane.depth for plane in planes)
        # Sum-to-one checks and hard feedback are for one distribution over all channels; several planes have several.
        self.kind: Kind = "probability" if len(planes) == 1 and planes[0].kind == "probability" else "value"
        self._matrices: tuple[Grid, tuple[Tensor, Tensor]] | None = None

    def wants_finer(self, annotation: Annotation, grid: Grid) -> bool:
        """Return True: where one category ends and another begins is."""
        return True

    def encode(self, annotation: Annotation, grid: Grid) -> Tensor:
        """Return the mean of every channel over each cell: (L, h, w)."""
        parts = []
        for plane, array in zip(self.parts, self.planes(annotation.array).values(), strict=True):
            if plane.categories:
                array = array[..., None] == np.array(plane.categories)  # (H, W, d)
            parts.append(average_to_cells(torch.from_numpy(np.moveaxis(array, 2, 0).astype(np.float32)), grid))
        return torch.cat(parts)

    def nothing(self, grid: Grid) -> Tensor:
        """Return zeros, and the first channel of every probability plane: (L, h, w)."""
        soft = torch.zeros(self.channels, grid.rows, grid.columns)
        for plane, first in zip(self.parts, self._starts(), strict=True):
            if plane.kind == "probability":
                soft[first] = 1
        return soft

    def combine(self, predicted: Tensor | None, annotation: Annotation, encoded: Tensor) -> Tensor:
        """Return the annotation's planes as given; those it does not name keep their prediction."""
        if predicted is None or annotation.complete:
            return encoded
        kept = [predicted if plane.name not in annotation.ids else encoded for plane in self.parts]
        ends = [(first, first + plane.depth) for plane, first in zip(self.parts, self._starts(), strict=True)]
        return torch.cat([labels[low:high] for labels, (low, high) in zip(kept, ends, strict=True)])

    def decode(
        self, soft: Tensor, grid: Grid, *, frame: Frame, annotation: Annotation | None, edges: float = 0.0
    ) -> NDArray[np.generic]:
        """Return the planes at every pixel, (H, W, d) float32, the annotation's own as given."""
        full = upsample(soft, self._upsampling(grid, soft.device))
        given = {} if annotation is None else self.planes(annotation.array)
        named = () if annotation is None else self.ids if annotation.complete else annotation.ids
        arrays = {}
        for plane, first in zip(self.parts, self._starts(), strict=True):
            carried = full[first : first + plane.depth]
            arrays[plane.name] = given[plane.name] if plane.name in named else _decoded(plane, carried)
        return self.stacked(arrays)

    def planes(self, array: NDArray[np.generic]) -> dict[str, NDArray[np.generic]]:
        """Return the planes of an array (H, W, d): (H, W) int32 ids of categories, (H, W, d) float32 of any other."""
        found: dict[str, NDArray[np.generic]] = {}
        first = 0
        for plane in self.parts:
            if plane.categories:
                found[plane.name] = array[..., first].astype(np.int32)
            else:
                found[plane.name] = array[..., first : first + plane.depth].astype(np.float32)
            first += 1 if plane.categories else plane.depth
        return found

    def stacked(self, arrays: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float32]:
        """Return planes by name as one array (H, W, d); the inverse of `planes`."""
        return np.concatenate([np.atleast_3d(arrays[plane.name]) for plane in self.parts], axis=2).astype(np.float32)

    def _starts(self) -> list[int]:
        """Return the first channel of each plane."""
        return [sum(plane.depth for plane in self.parts[:number]) for number in range(len(self.parts))]

    def _upsampling(self, grid: Grid, device: torch.device) -> tuple[Tensor, Tensor]:
        if self._matrices is None or self._matrices[0] != grid:
            down, across = upsampling_matrices(grid)
            self._matrices = (grid, (down.to(device), across.to(device)))
        return self._matrices[1]


def describe_plane(name: str, array: NDArray[np.generic], kind: Kind) -> MapPlane:
    """Return what a plane is: (H, W) integers are categories, their ids those that occur.

    Args:
        name: of the plane.
        array: (H, W) integers, or (H, W, d) numbers.
        kind: probability or value.
    """
    if array.ndim == 2 and kind == "probability":
        ids = tuple(int(number) for number in np.unique(array))
        return MapPlane(name, kind, len(ids), ids)
    return MapPlane(name, kind, 1 if array.ndim == 2 else array.shape[2])


def _decoded(plane: MapPlane, carried: Tensor) -> NDArray[np.generic]:
    """Return a plane (H, W) of ids, or (H, W, d), of its channels (d, H, W)."""
    if plane.categories:
        return np.asarray(np.array(plane.categories, np.int32)[carried.argmax(0).cpu().numpy()])
    return np.ascontiguousarray(carried.permute(1, 2, 0).cpu().numpy())

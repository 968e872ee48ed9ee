"""What a label type must offer to be carried: encode onto the grid, combine with a prediction, decode back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from propagate.ops.grid import Grid
from propagate.values import Annotation, Frame, Kind, ObjectId, ObjectState


@dataclass(frozen=True)
class Trace:
    """Where the chain of strongest pointers of each sub-cell's cell ends, for agreement with the annotated frames.

    Attributes:
        frames: (h, w) int64, the index of the annotated frame.
        cells: (h, w) int64, the cell of that frame.
        annotated: annotated frame -> its soft labels (L, h', w') on the label grid.
        scale: label sub-cells on a cell's side, h' = h * scale.
    """

    frames: Tensor
    cells: Tensor
    annotated: dict[int, Tensor]
    scale: int


class LabelType(Protocol):
    """A label type. `soft` is always (L, h, w) on the label grid, float32.

    Attributes:
        kind: probability or value.
        ids: what its channels mean to the user.
        channels: L.
        reach: cells, when channels 0 and 1 are source coordinates that must not be averaged over two sources.
        sees_luma: whether the encoder must be shown luma only, repeated three times.
    """

    kind: Kind
    ids: tuple[ObjectId, ...]
    channels: int
    reach: float | None
    sees_luma: bool

    def encode(self, annotation: Annotation, grid: Grid) -> Tensor:
        """Return an annotation's labels (L, h, w)."""

    def nothing(self, grid: Grid) -> Tensor:
        """Return the labels (L, h, w) of a frame on which there is nothing."""

    def combine(self, predicted: Tensor | None, annotation: Annotation, encoded: Tensor) -> Tensor:
        """Return the labels of an annotated frame: what the annotation fixes, and the prediction for the rest."""

    def revise(self, soft: Tensor, back: Tensor, annotation: Annotation, *, own: Annotation | None) -> Tensor:
        """Return the labels (L, h, w) of an earlier frame, made to agree with a later annotation.

        Args:
            soft: (L, h, w), the earlier frame's labels.
            back: (L, h, w), the later frame's labels carried back to it.
            annotation: what a person gave on the later frame.
            own: what a person gave on the earlier frame; it is not overruled.
        """

    def decode(
        self,
        soft: Tensor,
        grid: Grid,
        *,
        frame: Frame,
        annotation: Annotation | None,
        trace: Trace | None,
        last: Mapping[ObjectId, bool],
        edges: float = 0.0,
    ) -> tuple[NDArray[np.generic], tuple[ObjectState, ...]]:
        """Return the labels in original pixels, exactly the annotation's where it fixes them, and a state per object.

        Args:
            soft: (L, h, w).
            grid: the label grid.
            frame: the frame that the labels belong to.
            annotation: what a person gave on it.
            trace: None where nothing was propagated.
            last: for the ids that were ever visible, whether they were on the frame before.
            edges: Lab units that hard labels do not cross on their way to the pixels; 0 interpolates linearly.
        """

"""What a label type must offer to be carried: encode onto the grid, combine with a prediction, decode back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from propagate.ops.grid import Grid
from propagate.values import Annotation, Frame, Kind, ObjectId, ObjectState

Described = tuple[NDArray[np.generic], tuple[ObjectState, ...]]  # labels in pixels, and a state per object


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
        self, soft: Tensor, grid: Grid, *, frame: Frame, annotation: Annotation | None, edges: float = 0.0
    ) -> NDArray[np.generic]:
        """Return the labels in original pixels, exactly the annotation's where it fixes them.

        Args:
            soft: (L, h, w).
            grid: the label grid.
            frame: the frame that the labels belong to.
            annotation: what a person gave on it.
            edges: Lab units that hard labels do not cross on their way to the pixels; 0 interpolates linearly.
        """


@runtime_checkable
class ObjectLabels(LabelType, Protocol):
    """A label type whose ids are objects or points, of which each frame says whether and where they are."""

    def describe(
        self,
        array: NDArray[np.generic],
        soft: Tensor,
        *,
        annotation: Annotation | None,
        trace: Trace | None,
        last: Mapping[ObjectId, bool],
    ) -> Described:
        """Return the decoded labels without what is too doubtful to be shown, and a state per object.

        Args:
            array: from `decode`.
            soft: (L, h, w), that it was decoded from.
            annotation: what a person gave on the frame.
            trace: None where nothing was propagated.
            last: for the ids that were ever visible, whether they were on the frame before.
        """


def read_labels(
    label_type: LabelType,
    soft: Tensor,
    grid: Grid,
    *,
    frame: Frame,
    annotation: Annotation | None = None,
    trace: Trace | None = None,
    last: Mapping[ObjectId, bool] | None = None,
    edges: float = 0.0,
) -> Described:
    """Return the labels of a frame in its pixels, and a state per object where the label type has objects.

    Args: as of `LabelType.decode` and `ObjectLabels.describe`.
    """
    array = label_type.decode(soft, grid, frame=frame, annotation=annotation, edges=edges)
    if not isinstance(label_type, ObjectLabels):
        return array, ()
    return label_type.describe(array, soft, annotation=annotation, trace=trace, last=last or {})


def total(objects: Tensor) -> Tensor:
    """Return the sum (1, h, w) of channels (L, h, w), added one after the other.

    An object that is nowhere then changes no bit of it; torch.sum adds in an order that depends on how many channels,
    cells and threads there are.
    """
    summed: Tensor = reduce(torch.add, objects.split(1))
    return summed

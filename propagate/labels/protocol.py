"""What a label type must offer to be carried: encode onto the grid, combine with a prediction, decode back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from propagate.ops.grid import Grid
from propagate.values import Annotation, Frame, Kind, ObjectId, ObjectState

ROUNDING = 1e-5  # by which probabilities may pass 1
CERTAIN = 1e-4  # by which the sum of many weights may miss 1
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
        peak: of probabilities, what an object has at least in a cell that it is read from.
    """

    kind: Kind
    ids: tuple[ObjectId, ...]
    channels: int
    reach: float | None
    sees_luma: bool
    peak: float

    def wants_finer(self, annotation: Annotation, grid: Grid) -> bool:
        """Return whether what is annotated is better followed on cells of half the size, where labels meet."""

    def encode(self, annotation: Annotation, grid: Grid) -> Tensor:
        """Return an annotation's labels (L, h, w)."""

    def nothing(self, grid: Grid) -> Tensor:
        """Return the labels (L, h, w) of a frame on which there is nothing."""

    def combine(self, predicted: Tensor | None, annotation: Annotation, encoded: Tensor) -> Tensor:
        """Return the labels of an annotated frame: what the annotation fixes, and the prediction for the rest."""

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

    def named(self, annotation: Annotation) -> tuple[ObjectId, ...]:
        """Return the ids that an annotation places."""

    def confidence(self, soft: Tensor, trace: Trace | None) -> NDArray[np.float64]:
        """Return how sure the labels (L, h, w) of each id are, in [0, 1]; `trace` as of `describe`."""

    def merged(
        self, arrays: Sequence[NDArray[np.generic]], owners: Sequence[tuple[ObjectId, ...]]
    ) -> NDArray[np.generic]:
        """Return decoded labels of which each array gives its owners' part; where two meet the later one holds."""

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


@dataclass(frozen=True)
class Part:
    """Labels of which only some ids count.

    Attributes:
        ids: those that count.
        soft: (L, h, w), of all ids.
        trace: as of `ObjectLabels.describe`.
    """

    ids: tuple[ObjectId, ...]
    soft: Tensor
    trace: Trace | None


def read_parts(
    label_type: LabelType,
    parts: Sequence[Part],
    grid: Grid,
    *,
    frame: Frame,
    annotation: Annotation | None,
    last: Mapping[ObjectId, bool],
    edges: float,
) -> Described:
    """Return the labels of a frame in its pixels, and a state per object, each part read for itself.

    Args:
        label_type: of objects.
        parts: no id counts in two of them; where objects meet, those of the later part hold.
        grid: the label grid.
        frame, annotation, last, edges: as of `read_labels`.
    """
    assert isinstance(label_type, ObjectLabels), "other labels are all of one part"
    owners = [part.ids for part in parts]
    given = [annotation if _speaks_for(label_type, annotation, own) else None for own in owners]
    arrays = [
        label_type.decode(part.soft, grid, frame=frame, annotation=known, edges=edges)
        for part, known in zip(parts, given, strict=True)
    ]
    array = label_type.merged(arrays, owners)
    found = [
        label_type.describe(array, part.soft, annotation=known, trace=part.trace, last=last)
        for part, known in zip(parts, given, strict=True)
    ]
    states = {one.id: one for own, (_, objects) in zip(owners, found, strict=True) for one in objects if one.id in own}
    if len(states) < len(label_type.ids):  # the others are annotated on later frames
        _, nowhere = label_type.describe(array, label_type.nothing(grid), annotation=None, trace=None, last={})
        states = {one.id: states.get(one.id, one) for one in nowhere}
    array = label_type.merged([described for described, _ in found], owners)
    return array, tuple(states[name] for name in label_type.ids)


def _speaks_for(label_type: LabelType, annotation: Annotation | None, own: tuple[ObjectId, ...]) -> bool:
    return annotation is not None and not set(own).isdisjoint(speaks_for(label_type, annotation))


def spoken_for(label_type: LabelType, annotation: Annotation) -> tuple[ObjectId, ...]:
    """Return the ids that an annotation places; all where the label type has no objects."""
    return label_type.named(annotation) if isinstance(label_type, ObjectLabels) else label_type.ids


def speaks_for(label_type: LabelType, annotation: Annotation) -> tuple[ObjectId, ...]:
    """Return the objects of which an annotation says where they are, or, being complete, that they are not there."""
    return label_type.ids if annotation.complete else spoken_for(label_type, annotation)


def joined(parts: Sequence[tuple[Tensor, tuple[ObjectId, ...]]], ids: tuple[ObjectId, ...]) -> Tensor:
    """Return labels (L, h, w) of which each part gives its own ids' channels, and the background is what they leave.

    An object stays as it is wherever the parts leave room for it; where they do not, later parts come first.

    Args:
        parts: labels (L, h, w) of all ids, and which of these are the part's own.
        ids: of all.
    """
    soft = torch.zeros_like(parts[0][0])
    free = torch.ones_like(soft[:1])  # (1, h, w)
    for labels, own in reversed(parts):
        channels = torch.tensor([1 + ids.index(name) for name in own], device=soft.device)
        objects = labels[channels]
        covered = total(objects)
        objects = objects * torch.where(covered > free + ROUNDING, free / covered.clamp(min=ROUNDING), 1.0)
        soft[channels] = objects
        free = (free - total(objects)).clamp(min=0)
    soft[:1] = free
    return soft


def total(objects: Tensor) -> Tensor:
    """Return the sum (1, h, w) of channels (L, h, w), added one after the other.

    An object that is nowhere then changes no bit of it; torch.sum adds in an order that depends on how many channels,
    cells and threads there are.
    """
    summed: Tensor = reduce(torch.add, objects.split(1))
    return summed


def made_certain(soft: Tensor, *, share: float) -> Tensor:
    """Return probabilities (L, h, w) where a cell with one of at least `share` holds that one alone.

    What is copied from cells that all hold one label is then exactly that label, though weights sum to one up to
    rounding only; and what is left of a label far from its object does not spread on.

    Args:
        soft: summing to 1.
        share: above one half; at most 1 - CERTAIN counts.
    """
    most = soft >= min(share, 1 - CERTAIN)  # at most one channel of a cell
    return torch.where(most.any(0), most.to(soft.dtype), soft)

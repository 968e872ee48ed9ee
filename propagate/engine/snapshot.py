"""What the recursion leaves behind on a frame: from it labels are read again, or the recursion goes on, at any time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from propagate.config import PropagateConfig
from propagate.encoders.features import Box
from propagate.labels.protocol import (
    LabelType,
    ObjectLabels,
    Part,
    Trace,
    joined,
    made_certain,
    read_labels,
    read_parts,
    total,
)
from propagate.ops.grid import Grid
from propagate.values import Annotation, Frame, Labels, ObjectId, ObjectState, Prediction, Source


@dataclass(frozen=True)
class GroupState:
    """What one frame adds to a group of objects between the same two annotated frames.

    Attributes:
        ids: the group's objects.
        soft: (L, h, w) float32, labels of all ids as the group sees them; the group's own are what counts.
        origin: (h*w, 2) int64, the annotated frame and its cell where each cell's chain of strongest pointers ends.
        box: where the frame has fine features, in cells; None where it has none.
        start: the annotated frame that the labels come from; None where all that was given is that nothing is there.
        end: the annotated frame that comes next; None where there is none.
        flags: what is said of objects besides: "disputed".
    """

    ids: tuple[ObjectId, ...]
    soft: Tensor
    origin: Tensor | None = None
    box: Box | None = None
    start: int | None = None
    end: int | None = None
    flags: Mapping[ObjectId, tuple[str, ...]] = field(default_factory=dict)

    def on(self, device: torch.device | str) -> GroupState:
        """Return the state with its tensors on `device`."""
        origin = None if self.origin is None else self.origin.to(device)
        return replace(self, soft=self.soft.to(device), origin=origin)


@dataclass(frozen=True)
class FrameState:
    """All that one frame adds to a run, but for the frame itself and its features.

    Attributes:
        index: of the frame.
        source: where its labels come from; a frame enters the window unless it is "none" or "undecodable".
        ids: of the label type that it was made with.
        grid: of the features.
        soft: (L, h, w) float32, the labels of all objects on the label grid; None while nothing is labelled.
        groups: what it adds to each group, those annotated last in the end; none where nothing is labelled, or labels
            are not pointed to.
        last: which of the objects that were seen were visible on the frame before; known to who decodes.
    """

    index: int
    source: Source
    ids: tuple[ObjectId, ...]
    grid: Grid
    soft: Tensor | None = None
    groups: tuple[GroupState, ...] = ()
    last: Mapping[ObjectId, bool] = field(default_factory=dict)

    @classmethod
    def of_groups(
        cls, index: int, groups: Sequence[GroupState], *, source: Source, ids: tuple[ObjectId, ...], grid: Grid
    ) -> FrameState:
        """Return the state of a frame from what it adds to each group, at least one."""
        soft = groups[0].soft if len(groups) == 1 else joined_groups(groups, ids)
        return cls(index, source, ids, grid, soft, tuple(groups))

    def group_of(self, name: ObjectId) -> GroupState:
        """Return what the frame left behind of an object's group.

        Raises:
            ValueError: the object is in no group.
        """
        found = next((group for group in self.groups if name in group.ids), None)
        if found is None:
            raise ValueError(f"object {name} is not labelled on frame {self.index}")
        return found

    def labels_only(self) -> FrameState:
        """Return the state with the labels and nothing else that is large."""
        return replace(self, groups=tuple(replace(group, origin=None, box=None) for group in self.groups))

    @property
    def entered(self) -> bool:
        """Whether later frames looked at it."""
        return self.source in ("annotated", "propagated")

    def on(self, device: torch.device | str) -> FrameState:
        """Return the state with its tensors on `device`."""
        groups = tuple(group.on(device) for group in self.groups)
        return self._with(groups, None if self.soft is None else self.soft.to(device))

    def for_ids(self, ids: tuple[ObjectId, ...]) -> FrameState:
        """Return the state as a label type with more `ids` would have left it: the new ones are nowhere.

        Raises:
            ValueError: an id of the state is not among `ids`, or its channels are not a background and one an id.
        """
        if ids == self.ids:
            return self
        if not set(self.ids) <= set(ids):
            raise ValueError(f"the labels of frame {self.index} have the ids {self.ids}, which are not among {ids}")
        places = torch.tensor([0, *(1 + ids.index(name) for name in self.ids)])  # of the channels that there are
        count = 1 + len(ids)
        soft = None if self.soft is None else _spread(self.soft, places=places, count=count)
        groups = tuple(replace(group, soft=_spread(group.soft, places=places, count=count)) for group in self.groups)
        return replace(self, ids=ids)._with(groups, soft)

    def _with(self, groups: tuple[GroupState, ...], soft: Tensor | None) -> FrameState:
        """Return the state with other groups; what one group alone leaves behind is held once."""
        return replace(self, groups=groups, soft=groups[0].soft if len(groups) == 1 else soft)


Lookup = Callable[[int], FrameState]  # from the index of a frame that is done to what it left behind
Decoded = tuple[NDArray[np.generic], tuple[ObjectState, ...], Labels | None]  # in pixels, per object, and as they were


def joined_groups(groups: Sequence[GroupState], ids: tuple[ObjectId, ...]) -> Tensor:
    """Return the labels (L, h, w) of all groups, of which each gives its own objects."""
    return joined([(group.soft, group.ids) for group in groups], ids)


def _spread(labels: Tensor, *, places: Tensor, count: int) -> Tensor:
    """Return labels (L, h, w) whose channels have become those at `places` of `count`; the others are zero."""
    if len(labels) != len(places):
        raise ValueError(f"labels of {len(labels)} channels have no ids to add to")
    spread = torch.zeros((count, *labels.shape[1:]), dtype=labels.dtype, device=labels.device)
    return spread.index_copy_(0, places.to(labels.device), labels)


HELD = 16  # annotated frames whose labels a decoder holds


class Decoder:
    """Makes the predictions of states: labels in the video's pixels, and what is known of each object.

    It needs no network, so that a run's outputs can be made again from its states alone.

    Args:
        annotations: what a person gave, as of `Propagation`.
        label_type: the label type.
        config: edges, and label_scale for frames on which nothing is labelled.
        device: where labels are decoded.
    """

    def __init__(
        self,
        annotations: Sequence[Annotation],
        *,
        label_type: LabelType,
        config: PropagateConfig,
        device: torch.device | str = "cpu",
    ) -> None:
        self.annotations = {annotation.frame: annotation for annotation in annotations}
        if label_type.reach is not None:  # colours and texture are where they come from: cell by cell
            config = replace(config, label_scale=1)
        self.label_type, self.config, self.device = label_type, config, torch.device(device)
        self._given: dict[tuple[int, int], Tensor] = {}  # annotated frame and its scale -> its labels

    @torch.inference_mode()
    def decode(self, frame: Frame, state: FrameState) -> Prediction:
        """Return the prediction of a frame.

        Args:
            frame: the frame.
            state: what was left behind on it.

        Raises:
            ValueError: the state's ids are not among the label type's.
        """
        state = state.for_ids(self.label_type.ids).on(self.device)
        grid = state.grid.finer(self._scale(state))
        known = None if state.soft is None else self.annotations.get(frame.index)
        edges = 0.0 if state.soft is None else self.config.edges

        def read(soft: Tensor | None) -> Decoded:
            there = self.label_type.nothing(grid).to(self.device) if soft is None else soft
            if len(state.groups) > 1:
                parts = [Part(one.ids, one.soft, self.trace(state, one)) for one in state.groups]
                array, objects = read_parts(
                    self.label_type, parts, grid, frame=frame, annotation=known, last=state.last, edges=edges
                )
            else:
                array, objects = read_labels(
                    self.label_type,
                    there,
                    grid,
                    frame=frame,
                    annotation=known,
                    trace=self.trace(state, state.groups[0]) if state.groups else None,
                    last=state.last,
                    edges=edges,
                )
            more = {name: flags for group in state.groups for name, flags in group.flags.items()}
            objects = tuple(replace(one, flags=(*one.flags, *more.get(one.id, ()))) for one in objects)
            return array, objects, Labels(there, self.label_type.kind)

        return prediction_of(frame, state, read)

    def without(self, prediction: Prediction, absent: Sequence[ObjectId]) -> Prediction:
        """Return a prediction without the objects that a person said are absent; what is said of others stays."""
        assert isinstance(self.label_type, ObjectLabels), "only objects can be absent"
        array = self.label_type.merged([prediction.array], [tuple(i for i in prediction.ids if i not in absent)])
        objects = tuple(_absent(one) if one.id in absent else one for one in prediction.objects)
        labels = prediction.labels
        if labels is not None:  # their share is the background's
            soft, gone = labels.soft.clone(), [1 + prediction.ids.index(name) for name in absent]
            soft[:1] += total(soft[gone])
            soft[gone] = 0
            labels = Labels(soft, labels.kind)
        return replace(prediction, array=array, objects=objects, labels=labels)

    def trace(self, state: FrameState, group: GroupState) -> Trace | None:
        """Return where the chains of one of the state's groups end."""
        if group.origin is None:
            return None
        shape, scale = (state.grid.rows, state.grid.columns), self._scale(state)
        frames, cells = (column.view(shape) for column in group.origin.unbind(1))
        ends = {end for end in (group.start, group.end) if end is not None}
        return Trace(frames, cells, {end: self._labels_given(end, state.grid, scale) for end in sorted(ends)}, scale)

    def _labels_given(self, index: int, grid: Grid, scale: int) -> Tensor:
        """Return the labels (L, h, w) of an annotated frame."""
        if (index, scale) not in self._given:
            annotation = self.annotations[index]
            encoded = self.label_type.encode(annotation, grid.finer(scale)).to(self.device)
            soft = self.label_type.combine(None, annotation, encoded)
            if self.label_type.kind == "probability":
                soft = made_certain(soft, share=1.0)
            while len(self._given) >= HELD:  # however many frames are labelled
                del self._given[next(iter(self._given))]
            self._given[index, scale] = soft
        return self._given[index, scale]

    def _scale(self, state: FrameState) -> int:
        """Return how many label cells there are on a cell's side: outlines may have been refined, or not."""
        return self.config.label_scale if state.soft is None else state.soft.shape[1] // state.grid.rows


def prediction_of(frame: Frame, state: FrameState, read: Callable[[Tensor | None], Decoded]) -> Prediction:
    """Return the prediction of a frame: nothing where nothing is labelled yet, doubted where it could not be decoded.

    Args:
        frame: the frame.
        state: what was left behind on it.
        read: decodes labels, or those of a frame on which there is nothing.
    """
    array, objects, labels = read(state.soft)
    if state.soft is None:
        objects = tuple(ObjectState(id=name, confidence=0.0, visible=False) for name in state.ids)
    elif state.source == "undecodable":
        objects = tuple(replace(one, confidence=0.0, flags=(*one.flags, "undecodable")) for one in objects)
    return Prediction(frame, array, state.ids, state.source, objects, labels)


def _absent(state: ObjectState) -> ObjectState:
    """Return what is known of an object that a person said is absent."""
    flags = ("absent", *(flag for flag in state.flags if flag == "undecodable"))
    return ObjectState(state.id, 1.0, visible=False, area=None if state.area is None else 0, flags=flags)

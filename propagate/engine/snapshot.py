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
from propagate.labels.protocol import LabelType, ObjectLabels, Part, Trace, joined, read_labels, read_parts, total
from propagate.ops.grid import Grid
from propagate.values import Annotation, Frame, Labels, ObjectId, ObjectState, Prediction, Source


@dataclass(frozen=True)
class GroupState:
    """What one frame adds to a group of objects that are annotated on the same frames.

    Attributes:
        ids: the group's objects.
        soft: (L, h, w) float32, labels of all ids as the group sees them; the group's own are what counts.
        origin, revised, centre, box: as of `FrameState`, of the group.
    """

    ids: tuple[ObjectId, ...]
    soft: Tensor
    origin: Tensor | None = None
    revised: Mapping[int, Tensor] = field(default_factory=dict)
    centre: Tensor | None = None
    box: Box | None = None

    def on(self, device: torch.device | str) -> GroupState:
        """Return the state with its tensors on `device`."""
        origin, centre = (None if tensor is None else tensor.to(device) for tensor in (self.origin, self.centre))
        revised = {index: labels.to(device) for index, labels in self.revised.items()}
        return replace(self, soft=self.soft.to(device), origin=origin, centre=centre, revised=revised)


@dataclass(frozen=True)
class FrameState:
    """All that one frame adds to a run, but for the frame itself and its features.

    It holds what its one group of objects left behind, or else `groups`.

    Attributes:
        index: of the frame.
        source: where its labels come from; a frame enters the window unless it is "none" or "undecodable".
        ids: of the label type that it was made with.
        grid: of the features.
        soft: (L, h, w) float32, the labels on the label grid; None while nothing is labelled.
        origin: (h*w, 2) int64, the annotated frame and its cell where each cell's chain of strongest pointers ends;
            None for a frame that does not enter the window.
        last: which of the objects ever seen were visible on the frame before.
        visible: the same after this frame.
        revised: an annotated frame's: the labels (h*w, L*f*f) that it gave each frame of the window.
        centre: (C, 1, 1), what the pointer takes from all keys of the run; on the first frame that pointed, only.
        box: where the frame has fine features, in cells; None where it has none.
        groups: where there are several, those annotated last in the end; `soft` is then of all of them, and `origin`,
            `revised`, `centre` and `box` stand here.
    """

    index: int
    source: Source
    ids: tuple[ObjectId, ...]
    grid: Grid
    soft: Tensor | None = None
    origin: Tensor | None = None
    last: Mapping[ObjectId, bool] = field(default_factory=dict)
    visible: Mapping[ObjectId, bool] = field(default_factory=dict)
    revised: Mapping[int, Tensor] = field(default_factory=dict)
    centre: Tensor | None = None
    box: Box | None = None
    groups: tuple[GroupState, ...] = ()

    @classmethod
    def of_groups(
        cls, index: int, groups: Sequence[GroupState], *, source: Source, ids: tuple[ObjectId, ...], grid: Grid
    ) -> FrameState:
        """Return the state of a frame from what it adds to each group, at least one."""
        if len(groups) == 1:
            (one,) = groups
            state = cls(index, source, ids, grid, one.soft, one.origin)
            return replace(state, revised=one.revised, centre=one.centre, box=one.box)
        return cls(index, source, ids, grid, joined_groups(groups, ids), groups=tuple(groups))

    def group_of(self, name: ObjectId) -> GroupState:
        """Return what the frame left behind of an object's group.

        Raises:
            ValueError: nothing is labelled yet, or the object is in no group.
        """
        found = next((group for group in self.groups if name in group.ids), None)
        if found is not None:
            return found
        if self.soft is None or self.groups:
            raise ValueError(f"object {name} is not labelled on frame {self.index}")
        return GroupState(self.ids, self.soft, self.origin, self.revised, self.centre, self.box)

    def soft_of(self, name: ObjectId | None) -> Tensor | None:
        """Return the labels (L, h, w) as an object's group sees them, or of all; None where it is in no group."""
        if name is None or not self.groups:
            return self.soft
        return next((group.soft for group in self.groups if name in group.ids), None)

    def labels_only(self) -> FrameState:
        """Return the state with the labels and nothing else that is large."""
        groups = tuple(GroupState(group.ids, group.soft) for group in self.groups)
        return replace(self, origin=None, revised={}, centre=None, box=None, groups=groups)

    @property
    def entered(self) -> bool:
        """Whether later frames looked at it."""
        return self.source in ("annotated", "propagated")

    def on(self, device: torch.device | str) -> FrameState:
        """Return the state with its tensors on `device`."""
        soft, origin, centre = (
            None if tensor is None else tensor.to(device) for tensor in (self.soft, self.origin, self.centre)
        )
        revised = {index: labels.to(device) for index, labels in self.revised.items()}
        groups = tuple(group.on(device) for group in self.groups)
        return replace(self, soft=soft, origin=origin, centre=centre, revised=revised, groups=groups)

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
        soft = None if self.soft is None else _spread(self.soft, 0, places=places, count=count)
        revised = _spread_flat(self.revised, places=places, count=count)
        groups = tuple(
            replace(
                group,
                soft=_spread(group.soft, 0, places=places, count=count),
                revised=_spread_flat(group.revised, places=places, count=count),
            )
            for group in self.groups
        )
        return replace(self, ids=ids, soft=soft, revised=revised, groups=groups)


Lookup = Callable[[int], FrameState]  # from the index of a frame that is done to what it left behind
Decoded = tuple[NDArray[np.generic], tuple[ObjectState, ...], Labels | None]  # in pixels, per object, and as they were


def joined_groups(groups: Sequence[GroupState], ids: tuple[ObjectId, ...]) -> Tensor:
    """Return the labels (L, h, w) of all groups, of which each gives its own objects."""
    return joined([(group.soft, group.ids) for group in groups], ids)


def _spread_flat(labels: Mapping[int, Tensor], *, places: Tensor, count: int) -> dict[int, Tensor]:
    """Return labels (h*w, L*f*f) by frame, with channels as of `_spread`."""
    return {
        index: _spread(flat.view(len(flat), len(places), -1), 1, places=places, count=count).flatten(1)
        for index, flat in labels.items()
    }


def _spread(labels: Tensor, axis: int, *, places: Tensor, count: int) -> Tensor:
    """Return labels whose channels along `axis` have become those at `places` of `count`; the others are zero."""
    if labels.shape[axis] != len(places):
        raise ValueError(f"labels of {labels.shape[axis]} channels have no ids to add to")
    shape = (*labels.shape[:axis], count, *labels.shape[axis + 1 :])
    return torch.zeros(shape, dtype=labels.dtype, device=labels.device).index_copy_(
        axis, places.to(labels.device), labels
    )


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
        self.annotated: dict[int, FrameState] = {}  # annotated frames, their labels only

    @torch.inference_mode()
    def decode(self, frame: Frame, state: FrameState, *, lookup: Lookup | None = None) -> Prediction:
        """Return the prediction of a frame.

        Args:
            frame: the frame.
            state: what was left behind on it.
            lookup: finds the states of annotated frames that are not in `annotated`.

        Raises:
            ValueError: the state's ids are not among the label type's.
        """
        state = state.for_ids(self.label_type.ids).on(self.device)
        grid = state.grid.finer(self._scale(state))
        known = None if state.soft is None else self.annotations.get(frame.index)
        edges = 0.0 if state.soft is None else self.config.edges

        def read(soft: Tensor | None) -> Decoded:
            there = self.label_type.nothing(grid).to(self.device) if soft is None else soft
            if state.groups:
                parts = [Part(one.ids, one.soft, self._trace(state, one, lookup)) for one in state.groups]
                array, objects = read_parts(
                    self.label_type, parts, grid, frame=frame, annotation=known, last=state.last, edges=edges
                )
            else:
                trace = self._trace(state, None, lookup)
                array, objects = read_labels(
                    self.label_type,
                    there,
                    grid,
                    frame=frame,
                    annotation=known,
                    trace=trace,
                    last=state.last,
                    edges=edges,
                )
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

    def _trace(self, state: FrameState, group: GroupState | None, lookup: Lookup | None) -> Trace | None:
        """Return where the chains of one of the state's groups end, or of all objects where there is one group."""
        origin = state.origin if group is None else group.origin
        if origin is None:
            return None
        if lookup is not None:
            self._find(origin[:, 0].unique().tolist(), lookup)
        shape = (state.grid.rows, state.grid.columns)
        frames, cells = (column.view(shape) for column in origin.unbind(1))
        annotated = {
            index: soft
            for index, known in self.annotated.items()
            if (soft := known.soft_of(None if group is None else group.ids[0])) is not None
        }
        return Trace(frames, cells, annotated, self._scale(state))

    def _scale(self, state: FrameState) -> int:
        """Return how many label cells there are on a cell's side: outlines may have been refined, or not."""
        return self.config.label_scale if state.soft is None else state.soft.shape[1] // state.grid.rows

    def _find(self, indices: Sequence[int], lookup: Lookup) -> None:
        """Take in the labels of annotated frames that chains end on."""
        for index in indices:
            if index not in self.annotated:
                self.annotated[index] = lookup(index).for_ids(self.label_type.ids).labels_only().on(self.device)


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

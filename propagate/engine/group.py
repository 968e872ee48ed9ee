"""Objects between the same two annotated frames of theirs: their window, and their labels from frame to frame.

What is given of one object must not move another, nor what is given beyond the annotated frame that comes next. So the
labels of an object on a frame depend on the two frames on which it is annotated last before and next after it, and on
the pictures between; objects between the same two frames are one group. Other objects that these annotations show are
their rivals there. Mostly there is one group.

A group goes one way. The other way is the same in a video of which the frames are numbered backward, see `mirrored`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from propagate.config import PropagateConfig
from propagate.encoders.features import Box, View
from propagate.engine.pointer import Pointer, Reference
from propagate.engine.refinement import Patch, box_around, outline
from propagate.engine.snapshot import GroupState, Lookup
from propagate.labels.protocol import LabelType, ObjectLabels, made_certain, speaks_for
from propagate.ops.grid import Grid, fold, unfold
from propagate.values import Annotation, Frame, ObjectId

Around = tuple[int | None, int | None]  # the annotated frame that labels come from, and the one that comes next
LAST = 1 << 30  # the mirrored index of frame 0
GONE = 0.5  # of its peak, that no cell of an object has any more once it is gone


def mirrored(index: int) -> int:
    """Return the index of a frame where frames are numbered backward; the inverse is the same."""
    return LAST - index


def mirrored_annotations(annotations: Sequence[Annotation]) -> list[Annotation]:
    """Return annotations of a video of which the frames are numbered backward."""
    return [replace(annotation, frame=mirrored(annotation.frame)) for annotation in annotations]


def mirrored_frame(frame: Frame) -> Frame:
    """Return a frame of a video of which the frames are numbered backward."""
    return replace(frame, index=mirrored(frame.index))


def certain(soft: Tensor, label_type: LabelType, *, doubt: float) -> Tensor:
    """Return labels (L, h, w), with what is doubted by no more than `doubt` of its peak made certain."""
    if label_type.kind != "probability":
        return soft
    return made_certain(soft, share=1 - doubt * label_type.peak)


@dataclass(frozen=True)
class Seen:
    """A frame as a group meets it.

    Attributes:
        index: of the frame.
        view: the frame as it was encoded.
        grid: of the features.
        shot: the number of the shot that it belongs to.
        prepared: frames that groups started from to the frame's keys; groups that started from one frame share them.
    """

    index: int
    view: View
    grid: Grid
    shot: int = 0
    prepared: dict[int, dict[str, Tensor]] = field(default_factory=dict)

    @property
    def trunk(self) -> Tensor:
        """What is kept of it, (Ct, h, w)."""
        return self.view.trunk


class Window:
    """The frames that the next target looks at: the annotated frames at the ends, and the most recent ones.

    Args:
        context: how many recent frames.
        ends: annotated frames, the one that the labels come from first.
        keep: whether these stay; else they are looked at only where there is no recent frame.
    """

    def __init__(self, context: int, *, ends: Sequence[Reference] = (), keep: bool = True) -> None:
        self.ends, self.keep = tuple(ends), keep
        self._recent: deque[Reference] = deque(maxlen=context)

    def add(self, reference: Reference) -> None:
        """Take in the newest frame; the oldest recent one leaves."""
        self._recent.append(reference)

    def forget(self) -> None:
        """Let go of the recent frames: what comes next does not look like them."""
        self._recent.clear()

    def references(self) -> list[Reference]:
        """Return the frames to look at, the ends first, then the recent ones, oldest first; none twice."""
        ends = self.ends if self.keep or not self._recent else ()
        kept = {reference.index: reference for reference in (*ends, *self._recent)}
        return list(kept.values())


class ObjectGroup:
    """The recursion of some objects from an annotated frame of theirs up to the next one.

    Args:
        ids: of the objects.
        start: what is given on the frame that their labels come from.
        end: what is given of them next; None when nothing is.
        label_type: of all objects.
        config: see `PropagateConfig`.
    """

    def __init__(
        self,
        ids: tuple[ObjectId, ...],
        start: Annotation,
        end: Annotation | None,
        *,
        label_type: LabelType,
        config: PropagateConfig,
    ) -> None:
        self.ids, self.start, self.end = ids, start, end
        self.label_type, self.config = label_type, config
        self.window = Window(config.context)
        self._centre: Tensor | None = None  # (C, 1, 1), what the pointer takes from all keys
        self._shot = 0  # of the newest frame
        self._shots: dict[int, int] = {}  # annotated frame -> its shot
        self._shown: set[int] = set()  # annotated frames with one of the objects
        self._gone = False  # whether nothing was left of the objects on the newest frame

    @property
    def order(self) -> tuple[int, int]:
        """Where the group stands among others: those annotated last come last."""
        return self.start.frame, self.label_type.ids.index(self.ids[0])

    @property
    def lacks(self) -> bool:
        """Whether what is given on the first frame says nothing of some values, which are then as predicted."""
        return lacks(self.label_type, self.start)

    def begin(
        self, seen: Seen, beyond: Seen | None, pointer: Pointer, *, predicted: Tensor | None = None
    ) -> GroupState:
        """Return what the annotated frame that the labels come from leaves behind; the window then holds both ends.

        Args:
            seen: the frame.
            beyond: the frame of `end`, None where it is not to be had.
            pointer: over the grid.
            predicted: (L, h, w), the frame's labels as far as they are predicted; None where nothing is.
        """
        self._centre = pointer.centre_of(seen.trunk)
        self._shot, self._gone, self._shots, self._shown = seen.shot, False, {seen.index: seen.shot}, set()
        state, reference = self._given(self.start, seen, pointer, predicted)
        ends = [reference]
        if self.end is not None and beyond is not None and not lacks(self.label_type, self.end):
            ends.append(self._given(self.end, beyond, pointer)[1])
            self._shots[beyond.index] = beyond.shot
        self.window = Window(self.config.context, ends=ends, keep=self.config.keep_annotated)
        self.window.add(reference)
        return replace(state, end=None)  # what comes next does not matter here, and may be given later

    def labelled(self, seen: Seen, pointer: Pointer) -> GroupState:
        """Return what a frame leaves behind, labelled from the window; it enters the window.

        Args:
            seen: the frame.
            pointer: over its grid.
        """
        pointer.centre = self._centre
        if seen.shot != self._shot:
            self.window.forget()
        self._shot = seen.shot
        references = self._searched(seen.index)
        pointed = pointer.point(seen.trunk, references, keep=pointer.refines)
        soft = self._unfolded(pointed.labels, pointer)
        patch = None
        if pointer.refines:
            cells = outline(soft, peak=self.label_type.peak)
            patch = self._patch(seen, box_around(cells), pointer)
        if patch is not None:
            labels = pointer.refine(pointed, references, patch, self._folded(soft), cells=cells.flatten())
            soft = self._unfolded(labels, pointer)
        state = self._state(soft, pointed.origin, patch)
        self._enter(seen, state, patch)
        return state

    def _searched(self, index: int) -> list[Reference]:
        """Return the window of a frame.

        What is given next is looked at from half the way on: before, the object may look otherwise than there. Where an
        object may be anywhere, all annotated frames are, and are searched everywhere: in another shot, and once nothing
        is left of the objects, for they may come back where they are.
        """
        found = []
        for one in self.window.references():
            lost = self._gone or self._shots.get(one.index) != self._shot
            if one.annotated and one.index in self._shown and lost:
                found.append(replace(one, everywhere=True))
            elif self.end is None or one.index != self.end.frame or self._is_near(index, one.index):
                found.append(one)
        return found

    def _is_near(self, index: int, end: int) -> bool:
        """Return whether what is given next is looked at from a frame: it is nearer, or the start in another shot."""
        return 2 * index >= self.start.frame + end or self._shots[self.start.frame] != self._shot

    def _enter(self, seen: Seen, state: GroupState, patch: Patch | None) -> None:
        """Let a labelled frame be one of the recent ones."""
        self.window.add(self._reference(seen, state, patch, annotated=False))
        self._gone = not self._is_there(state.soft)

    def _is_there(self, soft: Tensor) -> bool:
        """Return whether labels (L, h, w) show any of the objects; values always do."""
        if self.label_type.kind != "probability":
            return True
        own = [1 + self.label_type.ids.index(name) for name in self.ids]
        return bool(soft[own].amax() >= GONE * self.label_type.peak)

    def restore(self, before: int, find: Lookup, see: Callable[[int], Seen | None], pointer: Pointer) -> None:
        """Take up the recursion before any frame after the first.

        Args:
            before: index of the frame that is labelled next.
            find: finds the states of frames before it.
            see: encodes a frame again; None for one that cannot be had.
            pointer: over the grid.
        """
        first = see(self.start.frame)
        assert first is not None, "it was labelled from"
        beyond = None if self.end is None else see(self.end.frame)
        known = find(self.start.frame).group_of(self.ids[0]).soft if self.lacks else None
        self.begin(first, beyond, pointer, predicted=known)
        recent: list[int] = []
        for index in range(before - 1, self.start.frame, -1):
            if len(recent) == self.config.context:
                break
            if find(index).entered:
                recent.append(index)
        for index in reversed(recent):
            state, seen = find(index).group_of(self.ids[0]), see(index)
            assert seen is not None, "it was labelled"
            if seen.shot != self._shot:
                self.window.forget()
            self._shot = seen.shot
            self._enter(seen, state, self._patch(seen, state.box, pointer))

    def _given(
        self, annotation: Annotation, seen: Seen, pointer: Pointer, predicted: Tensor | None = None
    ) -> tuple[GroupState, Reference]:
        """Return what an annotated frame leaves behind, and the frame as a reference: each cell's origin is itself."""
        encoded = self.label_type.encode(annotation, seen.grid.finer(self.config.label_scale)).to(seen.trunk.device)
        soft = certain(self.label_type.combine(predicted, annotation, encoded), self.label_type, doubt=0)
        cells = torch.arange(seen.grid.rows * seen.grid.columns, device=soft.device)
        own = torch.stack([torch.full_like(cells, annotation.frame), cells], 1)  # (h*w, 2)
        box = box_around(outline(soft, peak=self.label_type.peak)) if pointer.refines else None
        patch = self._patch(seen, box, pointer)
        state = self._state(soft, own, patch)
        if self._is_there(soft):
            self._shown.add(annotation.frame)
        return state, self._reference(seen, state, patch, annotated=True)

    def _state(self, soft: Tensor, origin: Tensor, patch: Patch | None) -> GroupState:
        end = None if self.end is None else self.end.frame
        return GroupState(self.ids, soft, origin, None if patch is None else patch.box, self.start.frame, end)

    def _reference(self, seen: Seen, state: GroupState, patch: Patch | None, *, annotated: bool) -> Reference:
        assert state.origin is not None, "a frame that enters the window has origins"
        prepared = seen.prepared.setdefault(self.start.frame, {})
        labels = self._as_reference(state.soft)
        return Reference(seen.index, seen.trunk, labels, state.origin, annotated, patch, prepared=prepared)

    def _unfolded(self, labels: Tensor, pointer: Pointer) -> Tensor:
        """Return carried labels (h*w, L*f*f) as (L, h*f, w*f), with what is certain made so."""
        soft = unfold(labels.T.reshape(-1, *pointer.shape), self.config.label_scale)
        return certain(soft, self.label_type, doubt=1 - self.config.certain)

    def _folded(self, soft: Tensor) -> Tensor:
        """Return labels (L, h*f, w*f) as (h*w, L*f*f)."""
        return fold(soft, self.config.label_scale).flatten(1).T.contiguous()

    def _patch(self, seen: Seen, box: Box | None, pointer: Pointer) -> Patch | None:
        """Return the fine features in a box, None where there is none."""
        return None if box is None else Patch.of(box, pointer.features.closer(seen.view, box), pointer.similarity)

    def _as_reference(self, soft: Tensor) -> Tensor:
        """Return labels (L, h, w) as a reference holds them, (h*w, L*f*f): as they are fed back, sub-cells folded."""
        if self.config.feedback == "hard" and self.label_type.kind == "probability":
            soft = torch.nn.functional.one_hot(soft.argmax(0), soft.shape[0]).permute(2, 0, 1).float()
        return self._folded(soft)


def lacks(label_type: LabelType, annotation: Annotation) -> bool:
    """Return whether an annotation of values, which are all labelled together, names only some of them."""
    whole = annotation.complete or isinstance(label_type, ObjectLabels)
    return not whole and not set(label_type.ids) <= {*annotation.ids}


def ends_of(annotations: Mapping[int, Annotation], frame: int, *, label_type: LabelType) -> dict[ObjectId, Around]:
    """Return for each object the annotated frames that its labels on a frame depend on: up to the frame, and after it.

    Args:
        annotations: what was given, by frame.
        frame: its index.
        label_type: of the objects.
    """
    found: dict[ObjectId, Around] = dict.fromkeys(label_type.ids, (None, None))
    for index in sorted(annotations):
        for name in speaks_for(label_type, annotations[index]):
            before, after = found[name]
            if index <= frame:
                found[name] = (index, after)
            elif after is None:
                found[name] = (before, index)
    return found


def by_ends(ends: Mapping[ObjectId, Around]) -> dict[Around, tuple[ObjectId, ...]]:
    """Return the objects between each two annotated frames, as of `ends_of`."""
    found: dict[Around, tuple[ObjectId, ...]] = {}
    for name, pair in ends.items():
        found[pair] = (*found.get(pair, ()), name)
    return found

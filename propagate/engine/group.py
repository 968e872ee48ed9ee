"""Objects that are annotated on the same frames: their window, and their labels from frame to frame.

What is given of one object must not move another. So the objects are grouped by the frames on which they are annotated,
and each group is labelled as if only the annotations that speak for it had been given; other objects that these
annotations show are its rivals there. Mostly there is one group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from propagate.config import PropagateConfig
from propagate.encoders.features import Box, View
from propagate.engine.pointer import Pointer
from propagate.engine.refinement import Patch, box_around, outline
from propagate.engine.snapshot import GroupState, Lookup
from propagate.engine.window import Reference, Window, kept_annotated
from propagate.labels.protocol import LabelType, made_certain, spoken_for
from propagate.ops.grid import Grid, fold, unfold
from propagate.values import Annotation, ObjectId


def certain(soft: Tensor, label_type: LabelType, *, doubt: float) -> Tensor:
    """Return labels (L, h, w), with what is doubted by no more than `doubt` of its peak made certain."""
    if label_type.kind != "probability":
        return soft
    return made_certain(soft, share=1 - doubt * label_type.peak)


def revised(
    references: Sequence[Reference],
    known: Reference,
    *,
    annotations: Mapping[int, Annotation],
    pointer: Pointer,
    label_type: LabelType,
    config: PropagateConfig,
) -> list[Reference]:
    """Return older references with labels that agree with a newly annotated frame.

    Each is pointed from into the annotated frame, and takes over what the annotation fixes, unless a person fixed it on
    that frame too.

    Args:
        references: the window before the annotated frame.
        known: the annotated frame.
        annotations: all annotations, by frame.
        pointer: over the grid of the references.
        label_type: the label type.
        config: label_scale, certain.
    """
    scale, found = config.label_scale, []
    for reference in references:
        back = pointer.point(reference.trunk, [known]).labels  # (h*w, L)
        soft, carried = (
            unfold(flat.T.reshape(-1, *pointer.shape), scale) for flat in (reference.labels, back)
        )  # (L, h, w)
        carried = certain(carried, label_type, doubt=1 - config.certain)
        labels = label_type.revise(soft, carried, annotations[known.index], own=annotations.get(reference.index))
        found.append(replace(reference, labels=fold(labels, scale).flatten(1).T.contiguous()))
    return found


@dataclass(frozen=True)
class Seen:
    """A frame as a group meets it.

    Attributes:
        index: of the frame.
        view: the frame as it was encoded.
        grid: of the features.
        prepared: first annotated frames of groups to the frame's keys; groups that began on the same frame share them.
    """

    index: int
    view: View
    grid: Grid
    prepared: dict[int, dict[str, Tensor]]

    @property
    def trunk(self) -> Tensor:
        """What is kept of it, (Ct, h, w)."""
        return self.view.trunk


@dataclass(frozen=True)
class Remembered:
    """A reference frame without its features, which are computed anew."""

    annotated: bool
    labels: Tensor
    origin: Tensor
    box: Box | None


class ObjectGroup:
    """The recursion of some objects; what is annotated of others does not reach it.

    Args:
        ids: of the objects.
        label_type: of all objects.
        config: see `PropagateConfig`.

    Attributes:
        annotations: what speaks for the objects, by frame.
        window: the frames that the next target looks at.
        centred: whether what the pointer takes from all keys is known, and stands in a state.
        pending: frames of the window whose features are still to be computed again.
    """

    def __init__(self, ids: tuple[ObjectId, ...], *, label_type: LabelType, config: PropagateConfig) -> None:
        self.ids, self.label_type, self.config = ids, label_type, config
        self.annotations: dict[int, Annotation] = {}
        self.window = Window(config.context, keep_annotated=config.keep_annotated, max_annotated=config.max_annotated)
        self.centred = False
        self.pending: dict[int, Remembered] = {}

    def part(self, ids: tuple[ObjectId, ...]) -> ObjectGroup:
        """Return a group of some of the objects, which has the same past."""
        group = ObjectGroup(ids, label_type=self.label_type, config=self.config)
        group.annotations, group.centred = dict(self.annotations), self.centred
        group.window = self.window.copy()
        return group

    @property
    def first(self) -> int:
        """The frame on which the objects were annotated first."""
        return min(self.annotations)

    def labelled(self, seen: Seen, pointer: Pointer, centres: dict[int, Tensor]) -> GroupState:
        """Return what a frame leaves behind, labelled from the window and by its annotation; it enters the window.

        Args:
            seen: the frame.
            pointer: over its grid.
            centres: first annotated frames of groups to what the pointer takes from all their keys, (C, 1, 1); it is
                found when a group first points.
        """
        annotation = self.annotations.get(seen.index)
        pointer.centre = centres.get(self.first)
        soft, origin, patch = self._point(seen, pointer)
        if annotation is not None:
            soft, origin = self._annotate(annotation, seen, soft, origin)
            box = box_around(outline(soft, peak=self.label_type.peak)) if pointer.refines else None
            patch = self._patch(seen, box, pointer)
        assert soft is not None, "the window holds a frame, or this one is annotated"
        assert origin is not None
        box = None if patch is None else patch.box
        kept = Remembered(annotation is not None, self._as_reference(soft), origin, box)
        reference = self._reference(seen, kept, patch)
        changed = {} if annotation is None else self._revise(reference, pointer)
        self.window.add(reference)
        if pointer.centre is not None:
            centres[self.first] = pointer.centre
        told, self.centred = self.centred, pointer.centre is not None
        centre = None if told else pointer.centre
        return GroupState(self.ids, soft, origin, revised=changed, centre=centre, box=box)

    def restore(self, before: int, find: Lookup, centres: dict[int, Tensor] | None) -> None:
        """Take up the recursion before any frame.

        Args:
            before: index of the frame that is labelled next.
            find: finds the states of frames before it.
            centres: as of `labelled`, to be filled; None when the encoder has none.
        """
        if centres is not None:
            states = (find(index).group_of(self.ids[0]) for index in range(self.first, before))
            centre = next((state.centre for state in states if state.centre is not None), None)
            self.centred = centre is not None
            if centre is not None:
                centres[self.first] = centre
        self.pending = {index: self._remembered(index, find) for index in self._kept(before, find)}

    def recall(self, seen: Seen, pointer: Pointer) -> None:
        """Take a frame of the restored window in, with its features."""
        kept = self.pending.pop(seen.index, None)
        if kept is not None:
            self.window.add(self._reference(seen, kept, self._patch(seen, kept.box, pointer)))

    def _kept(self, before: int, find: Lookup) -> set[int]:
        """Return the frames of the window before a frame."""
        recent: list[int] = []
        for index in range(before - 1, self.first - 1, -1):
            if len(recent) == self.config.context:
                break
            if find(index).entered:
                recent.append(index)
        given = sorted(self.annotations)
        return {*recent, *(kept_annotated(given, self.config.max_annotated) if self.config.keep_annotated else ())}

    def _remembered(self, index: int, find: Lookup) -> Remembered:
        """Return a frame of the window with its labels as the last annotated frame after it left them."""
        state = find(index).group_of(self.ids[0])
        last = max(self.annotations)
        labels = find(last).group_of(self.ids[0]).revised[index] if last > index else self._as_reference(state.soft)
        assert state.origin is not None, "a frame that enters the window has origins"
        return Remembered(index in self.annotations, labels, state.origin, state.box)

    def _reference(self, seen: Seen, kept: Remembered, patch: Patch | None) -> Reference:
        prepared = seen.prepared.setdefault(self.first, {})
        return Reference(seen.index, seen.trunk, kept.labels, kept.origin, kept.annotated, patch, prepared)

    def _point(self, seen: Seen, pointer: Pointer) -> tuple[Tensor | None, Tensor | None, Patch | None]:
        """Return soft labels (L, h, w), origins (h*w, 2) and patch of a target; nothing while the window is empty."""
        references = self.window.references()
        if not references:
            return None, None, None
        refines = pointer.refines
        pointed = pointer.point(seen.trunk, references, keep=refines)
        soft = self._unfolded(pointed.labels, pointer)
        if not refines:
            return soft, pointed.origin, None
        cells = outline(soft, peak=self.label_type.peak)
        patch = self._patch(seen, box_around(cells), pointer)
        if patch is not None:
            labels = pointer.refine(pointed, references, patch, self._folded(soft), cells=cells.flatten())
            soft = self._unfolded(labels, pointer)
        return soft, pointed.origin, patch

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

    def _annotate(
        self, annotation: Annotation, seen: Seen, soft: Tensor | None, origin: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return labels and origins of an annotated frame: where the annotation speaks, a cell's origin is itself."""
        grid, scale = seen.grid, self.config.label_scale
        encoded = self.label_type.encode(annotation, grid.finer(scale)).to(seen.trunk.device)
        combined = certain(self.label_type.combine(soft, annotation, encoded), self.label_type, doubt=0)
        cells = torch.arange(grid.rows * grid.columns, device=combined.device)
        own = torch.stack([torch.full_like(cells, annotation.frame), cells], 1)  # (h*w, 2)
        if soft is None or origin is None or annotation.complete:
            return combined, own
        changed = fold((combined - soft).abs(), scale).amax(0).flatten() > 1e-3
        return combined, torch.where(changed[:, None], own, origin)

    def _as_reference(self, soft: Tensor) -> Tensor:
        """Return labels (L, h, w) as a reference holds them, (h*w, L*f*f): as they are fed back, sub-cells folded."""
        if self.config.feedback == "hard" and self.label_type.kind == "probability":
            soft = torch.nn.functional.one_hot(soft.argmax(0), soft.shape[0]).permute(2, 0, 1).float()
        return self._folded(soft)

    def _revise(self, known: Reference, pointer: Pointer) -> dict[int, Tensor]:
        """Let the frames before a newly annotated one agree with it; return their labels."""
        found = revised(
            self.window.references(),
            known,
            annotations=self.annotations,
            pointer=pointer,
            label_type=self.label_type,
            config=self.config,
        )
        self.window.replace(found)
        return {reference.index: reference.labels for reference in found}


def regrouped(
    groups: Sequence[ObjectGroup], annotation: Annotation, *, label_type: LabelType, config: PropagateConfig
) -> list[ObjectGroup]:
    """Return the groups once an annotation speaks for some objects; those annotated last come last.

    A group that it speaks for in part falls apart; objects that were annotated on no frame before it are a new group.
    """
    named, found = spoken_for(label_type, annotation), list[ObjectGroup]()
    for group in groups:
        inside = group.ids if annotation.complete else tuple(name for name in group.ids if name in named)
        outside = tuple(name for name in group.ids if name not in inside)
        parts = [group.part(ids) for ids in (inside, outside) if ids] if inside and outside else [group]
        if inside:
            parts[0].annotations[annotation.frame] = annotation
        found += parts
    known = {name for group in groups for name in group.ids}
    if new := tuple(name for name in named if name not in known):
        found.append(ObjectGroup(new, label_type=label_type, config=config))
        found[-1].annotations[annotation.frame] = annotation
    return sorted(found, key=lambda group: sorted(group.annotations, reverse=True))

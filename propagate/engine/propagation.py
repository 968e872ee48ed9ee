"""The recursion: each frame is labelled from the frames before it, and becomes one of them (Vondrick 3.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from propagate.config import PropagateConfig
from propagate.encoders.features import FeatureExtractor, check_features
from propagate.encoders.protocol import Encoder
from propagate.engine.pointer import Pointer, ran_out_of_memory
from propagate.engine.recursion import advance, by_frame, check_size
from propagate.engine.snapshot import Decoder, FrameState, Lookup
from propagate.engine.window import Reference, Window, kept_annotated
from propagate.errors import DeviceError
from propagate.labels.protocol import LabelType
from propagate.ops.grid import Grid, fold, unfold
from propagate.values import Annotation, Frame, Prediction, Source


def revised(
    references: Sequence[Reference],
    known: Reference,
    *,
    annotations: Mapping[int, Annotation],
    pointer: Pointer,
    label_type: LabelType,
    scale: int,
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
        scale: label sub-cells on a cell's side.
    """
    found = []
    for reference in references:
        back, _ = pointer.point(reference.trunk, [known])  # (h*w, L)
        soft, carried = (
            unfold(flat.T.reshape(-1, *pointer.shape), scale) for flat in (reference.labels, back)
        )  # (L, h, w)
        labels = label_type.revise(soft, carried, annotations[known.index], own=annotations.get(reference.index))
        found.append(replace(reference, labels=fold(labels, scale).flatten(1).T.contiguous()))
    return found


@dataclass(frozen=True)
class Remembered:
    """A reference frame without its features, which are computed anew."""

    index: int
    annotated: bool
    labels: Tensor
    origin: Tensor


class Propagation:
    """Carries labels from frame to frame; holds the window and nothing else.

    Args:
        annotations: what a person gave; the result depends on the set, not on the order.
        label_type: the label type.
        encoder: features; already on its device.
        config: see `PropagateConfig`.
        device: where the tensors live.
    """

    def __init__(
        self,
        annotations: Sequence[Annotation],
        *,
        label_type: LabelType,
        encoder: Encoder,
        config: PropagateConfig,
        device: torch.device | str = "cpu",
    ) -> None:
        self.annotations = by_frame(annotations)
        self.decoder = Decoder(annotations, label_type=label_type, config=config, device=device)
        self.label_type, self.config, self.device = label_type, self.decoder.config, self.decoder.device
        self.encoder = encoder
        check_features(encoder, config)  # refused now, not on the first frame
        self.features: FeatureExtractor | None = None  # known from the first frame on, as its size is
        self._search: Pointer | None = None
        self._pending: dict[int, Remembered] = {}
        self._begin()

    def _begin(self) -> None:
        """Let the window be empty."""
        config = self.config
        self.window = Window(config.context, keep_annotated=config.keep_annotated, max_annotated=config.max_annotated)
        self.decoder.annotated.clear()
        self._state: FrameState | None = None
        self._centre: Tensor | None = None
        if self._search is not None:
            self._search.centre = None

    def step(self, frame: Frame) -> Prediction:
        """Return the labels of the next frame.

        Raises:
            InputError: the frame's size differs from the frames before it.
            DeviceError: out of memory in the smallest chunks.
        """
        annotation = self.annotations.get(frame.index)
        prediction, self._state = advance(self, frame, annotation=annotation, before=self._state)
        return prediction

    @property
    def ready(self) -> bool:
        """Whether the window holds a frame."""
        return bool(self.window.references())

    def decode(self, frame: Frame, state: FrameState) -> Prediction:
        """Return the prediction of what a frame left behind, the annotated frames before it being known."""
        return self.decoder.decode(frame, state)

    def labelled(self, frame: Frame, annotation: Annotation | None) -> FrameState:
        """Return what a frame leaves behind, labelled from the window and by its annotation; it enters the window."""
        grid = self.measure(frame)
        centred = self.centre is not None
        trunk = self._encode(frame)
        soft, origin = self._point(trunk)
        if annotation is not None:
            soft, origin = self._annotate(annotation, soft, origin)
        assert soft is not None, "the window holds a frame, or this one is annotated"
        assert origin is not None
        reference = self._reference(frame.index, trunk, soft, origin)
        changed = {} if annotation is None else self._revise(reference)
        self.window.add(reference)
        source: Source = "propagated" if annotation is None else "annotated"
        centre = None if centred else self.centre
        ids = self.label_type.ids
        return FrameState(frame.index, source, ids, grid, soft, origin, revised=changed, centre=centre)

    @property
    def centre(self) -> Tensor | None:
        """What the pointer takes from all keys of the run, (C, 1, 1), once it has pointed."""
        return self._centre if self._search is None else self._search.centre

    def state(self) -> FrameState:
        """Return what the frame last stepped left behind, on the CPU.

        Raises:
            ValueError: no frame was stepped yet.
        """
        if self._state is None:
            raise ValueError("no frame was stepped yet, so that none left anything behind")
        return self._state.on("cpu")

    def restore(self, before: int, lookup: Lookup) -> frozenset[int]:
        """Take up the recursion before any frame; return the frames to show to `recall`, in order, before `step`.

        What follows is bit for bit what it would be had all frames before been stepped here.

        Args:
            before: index of the frame that is stepped next.
            lookup: finds the states of frames before it; it is asked for those that matter, once each.

        Raises:
            ValueError: a state's ids are not among the label type's.
        """
        self._begin()
        given = [index for index in sorted(self.annotations) if index < before]
        if not given:
            return frozenset()
        find = cache(lambda index: lookup(index).for_ids(self.label_type.ids).on(self.device))
        annotated = [index for index in given if find(index).entered]
        self.decoder.annotated |= {index: _known(find(index).soft) for index in annotated}
        self._state = find(before - 1)
        if annotated:
            self._set_centre(range(annotated[0], before), find)
        self._pending = {
            index: self._remembered(index, annotated, find) for index in self._kept(annotated, before, find)
        }
        return frozenset(self._pending)

    def _kept(self, annotated: list[int], before: int, find: Lookup) -> set[int]:
        """Return the frames of the window before a frame."""
        recent: list[int] = []
        for index in range(before - 1, annotated[0] - 1 if annotated else before - 1, -1):
            if len(recent) == self.config.context:
                break
            if find(index).entered:
                recent.append(index)
        kept = kept_annotated(annotated, self.config.max_annotated) if self.config.keep_annotated else []
        return {*recent, *kept}

    def _remembered(self, index: int, annotated: list[int], find: Lookup) -> Remembered:
        """Return a frame of the window with its labels as the last annotated frame after it left them."""
        state = find(index)
        later = [other for other in annotated if other > index]
        labels = find(later[-1]).revised[index] if later else self._as_reference(_known(state.soft))
        return Remembered(index, index in annotated, labels, _known(state.origin))

    def _set_centre(self, indices: Iterable[int], find: Lookup) -> None:
        """Let the pointer take from all keys what it took on the first frame that pointed."""
        if self.encoder.temporal:
            return
        self._centre = next((state.centre for state in map(find, indices) if state.centre is not None), None)
        if self._search is not None:
            self._search.centre = self._centre

    @torch.inference_mode()
    def recall(self, frame: Frame) -> None:
        """Compute again the features of a frame that a restored state remembers."""
        kept = self._pending.pop(frame.index)
        self.measure(frame)
        self.window.add(Reference(frame.index, self._encode(frame), kept.labels, kept.origin, kept.annotated))

    def measure(self, frame: Frame) -> Grid:
        """Return the features' grid, settled on the first frame; hold every later one to its size."""
        if self.features is None:
            luma_only = self.label_type.sees_luma
            self.features = FeatureExtractor(
                self.encoder, self.config, frame.size, device=self.device, luma_only=luma_only
            )
            self._search = Pointer(self.features, self.config, reach=self.label_type.reach)
            self._search.centre = self._centre
        check_size(frame, self.features.grid.video)
        return self.features.grid

    @property
    def grid(self) -> Grid:
        """The grid of the features."""
        assert self.features is not None, "known from the first frame on"
        return self.features.grid

    @property
    def label_grid(self) -> Grid:
        """The grid of the labels: the features' grid, or sub-cells of it."""
        return self.grid.finer(self.config.label_scale)

    @property
    def pointer(self) -> Pointer:
        """What points into the window."""
        assert self._search is not None, "known from the first frame on"
        return self._search

    def _encode(self, frame: Frame) -> Tensor:
        assert self.features is not None
        try:
            return self.features.encode(frame.rgb)
        except RuntimeError as error:
            if not ran_out_of_memory(error):
                raise
            raise DeviceError("out of memory while encoding a frame", hint="use a smaller --size") from error

    def _point(self, trunk: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return soft labels (L, h, w) and origins (h*w, 2) of a target, or nothing while the window is empty."""
        references = self.window.references()
        if not references:
            return None, None
        labels, origin = self.pointer.point(trunk, references)
        return unfold(labels.T.reshape(-1, *self.pointer.shape), self.config.label_scale), origin

    def _annotate(self, annotation: Annotation, soft: Tensor | None, origin: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return labels and origins of an annotated frame: where the annotation speaks, a cell's origin is itself."""
        encoded = self.label_type.encode(annotation, self.label_grid).to(self.device)
        combined = self.label_type.combine(soft, annotation, encoded)
        self.decoder.annotated[annotation.frame] = combined
        own = self._own_origin(annotation.frame)
        if soft is None or origin is None or annotation.complete:
            return combined, own
        changed = fold((combined - soft).abs(), self.config.label_scale).amax(0).flatten() > 1e-3
        return combined, torch.where(changed[:, None], own, origin)

    def _own_origin(self, index: int) -> Tensor:
        cells = torch.arange(self.grid.rows * self.grid.columns, device=self.device)
        return torch.stack([torch.full_like(cells, index), cells], 1)  # (h*w, 2)

    def _reference(self, index: int, trunk: Tensor, soft: Tensor, origin: Tensor) -> Reference:
        return Reference(index, trunk, self._as_reference(soft), origin, index in self.annotations)

    def _as_reference(self, soft: Tensor) -> Tensor:
        """Return labels (L, h, w) as a reference holds them, (h*w, L*f*f): as they are fed back, sub-cells folded."""
        if self.config.feedback == "hard" and self.label_type.kind == "probability":
            soft = torch.nn.functional.one_hot(soft.argmax(0), soft.shape[0]).permute(2, 0, 1).float()
        return fold(soft, self.config.label_scale).flatten(1).T.contiguous()

    def _revise(self, known: Reference) -> dict[int, Tensor]:
        """Let the frames before a newly annotated one agree with it; return their labels."""
        found = revised(
            self.window.references(),
            known,
            annotations=self.annotations,
            pointer=self.pointer,
            label_type=self.label_type,
            scale=self.config.label_scale,
        )
        self.window.replace(found)
        return {reference.index: reference.labels for reference in found}


def _known(tensor: Tensor | None) -> Tensor:
    """Return the tensor of a frame that entered the window."""
    assert tensor is not None, "a frame that enters the window has labels and origins"
    return tensor

"""The recursion: each frame is labelled from the frames before it, and becomes one of them (Vondrick 3.3)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from propagate.config import PropagateConfig
from propagate.encoders.features import as_asked, beside_color
from propagate.encoders.protocol import Encoder
from propagate.engine.pointer import Pointer, ran_out_of_memory
from propagate.engine.window import Reference, Window
from propagate.errors import DeviceError, InputError
from propagate.labels.protocol import LabelType, Trace
from propagate.ops.color import to_input
from propagate.ops.grid import Grid, fold, unfold
from propagate.values import Annotation, Frame, Labels, ObjectId, ObjectState, Prediction, Source


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


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Remembered:
    """What a snapshot keeps of one reference frame: everything but its features, which are computed anew."""

    index: int
    annotated: bool
    labels: Tensor
    origin: Tensor


@dataclass(frozen=True)
class Snapshot:
    """The state between two frames.

    Attributes:
        next: the index of the next frame.
        references: oldest first.
        annotated: annotated frame -> its soft labels (L, h, w).
        last: visibility of every object ever seen, on the frame before.
        soft: (L, h, w), the last labels.
        centre: (C, 1, 1), what the pointer takes from all keys.
    """

    next: int
    references: tuple[Remembered, ...]
    annotated: dict[int, Tensor]
    last: dict[ObjectId, bool]
    soft: Tensor | None
    centre: Tensor | None = None


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
        self.annotations = {annotation.frame: annotation for annotation in annotations}
        if len(self.annotations) < len(annotations):
            raise ValueError("a frame is annotated twice: which of the two holds would depend on their order")
        if label_type.reach is not None:  # colours and texture are where they come from: cell by cell
            config = replace(config, label_scale=1)
        self.label_type, self.config, self.device = label_type, config, torch.device(device)
        self.encoder = encoder  # as asked from the first frame on
        beside_color(encoder, config)  # refused now where it cannot be
        self.window = Window(config.context, keep_annotated=config.keep_annotated, max_annotated=config.max_annotated)
        self.grid: Grid | None = None
        self._search: Pointer | None = None
        self._next = 0
        self._annotated: dict[int, Tensor] = {}
        self._last: dict[ObjectId, bool] = {}
        self._soft: Tensor | None = None
        self._centre: Tensor | None = None
        self._pending: dict[int, Remembered] = {}

    @torch.inference_mode()
    def step(self, frame: Frame) -> Prediction:
        """Return the labels of the next frame.

        Raises:
            InputError: the frame's size differs from the frames before it.
            DeviceError: out of memory in the smallest chunks.
        """
        annotation = self.annotations.get(frame.index)
        self._measure(frame)
        self._next = frame.index + 1
        if frame.undecodable:
            return self._repeat(frame)
        if annotation is None and not self.window.references():
            return self._empty(frame, "none")
        trunk = self._encode(frame)
        soft, origin = self._point(trunk)
        source: Source = "propagated" if annotation is None else "annotated"
        if annotation is not None:
            soft, origin = self._annotate(annotation, soft, origin)
        trace = self._trace(origin)
        assert soft is not None, "the window holds a frame, or this one is annotated"
        assert origin is not None
        reference = self._reference(frame.index, trunk, soft, origin)
        if annotation is not None:
            self._revise(reference)
        self.window.add(reference)
        self._soft = soft
        return self._predict(frame, soft, trace, source)

    def snapshot(self) -> Snapshot:
        """Return the state after the last step, on the CPU."""
        references = tuple(
            Remembered(kept.index, kept.annotated, kept.labels.cpu(), kept.origin.cpu())
            for kept in self.window.references()
        )
        annotated = {index: labels.cpu() for index, labels in self._annotated.items()}
        soft = None if self._soft is None else self._soft.cpu()
        centre = None if self._search is None or self._search.centre is None else self._search.centre.cpu()
        return Snapshot(self._next, references, annotated, dict(self._last), soft, centre)

    def restore(self, snapshot: Snapshot) -> frozenset[int]:
        """Take up a state; return the frames that must be shown to `recall`, in order, before the next `step`."""
        self._next = snapshot.next
        self._annotated = {index: labels.to(self.device) for index, labels in snapshot.annotated.items()}
        self._last = dict(snapshot.last)
        self._soft = None if snapshot.soft is None else snapshot.soft.to(self.device)
        self._centre = None if snapshot.centre is None else snapshot.centre.to(self.device)
        self._pending = {kept.index: kept for kept in snapshot.references}
        return frozenset(self._pending)

    @torch.inference_mode()
    def recall(self, frame: Frame) -> None:
        """Compute again the features of a frame that a restored state remembers."""
        kept = self._pending.pop(frame.index)
        self._measure(frame)
        self.window.add(
            Reference(
                frame.index,
                self._encode(frame),
                kept.labels.to(self.device),
                kept.origin.to(self.device),
                kept.annotated,
            )
        )

    def _measure(self, frame: Frame) -> None:
        """Settle the grid on the first frame; hold every later one to its size."""
        if self.grid is None:
            self.encoder = as_asked(self.encoder, self.config, frame.size)
            self.grid = Grid.of(
                frame.size, size=self.config.size, stride=self.encoder.stride, offset=self.encoder.offset
            )
        elif frame.size != self.grid.video:
            (height, width), (first_height, first_width) = frame.size, self.grid.video
            raise InputError(
                f"frame {frame.index} is {width}x{height} but the video began as {first_width}x{first_height}",
                hint="split the video where its size changes",
            )

    @property
    def label_grid(self) -> Grid:
        """The grid of the labels: the features' grid, or sub-cells of it."""
        assert self.grid is not None, "known from the first frame on"
        return self.grid.finer(self.config.label_scale)

    def _encode(self, frame: Frame) -> Tensor:
        assert self.grid is not None
        try:
            picture = to_input(frame.rgb, self.grid.input, device=self.device, luma_only=self.label_type.sees_luma)
            return self.encoder.encode(picture)[0]
        except RuntimeError as error:
            if not ran_out_of_memory(error):
                raise
            raise DeviceError("out of memory while encoding a frame", hint="use a smaller --size") from error

    def _point(self, trunk: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return soft labels (L, h, w) and origins (h*w, 2) of a target, or nothing while the window is empty."""
        references = self.window.references()
        if not references:
            return None, None
        assert self.grid is not None
        shape = (self.grid.rows, self.grid.columns)
        labels, origin = self._pointer(shape).point(trunk, references)
        return unfold(labels.T.reshape(-1, *shape), self.config.label_scale), origin

    def _pointer(self, shape: tuple[int, int]) -> Pointer:
        if self._search is None:
            self._search = Pointer(self.encoder, self.config, shape=shape, reach=self.label_type.reach)
            self._search.centre = self._centre
        return self._search

    def _annotate(self, annotation: Annotation, soft: Tensor | None, origin: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return labels and origins of an annotated frame: where the annotation speaks, a cell's origin is itself."""
        encoded = self.label_type.encode(annotation, self.label_grid).to(self.device)
        combined = self.label_type.combine(soft, annotation, encoded)
        self._annotated[annotation.frame] = combined
        own = self._own_origin(annotation.frame)
        if soft is None or origin is None or annotation.complete:
            return combined, own
        changed = fold((combined - soft).abs(), self.config.label_scale).amax(0).flatten() > 1e-3
        return combined, torch.where(changed[:, None], own, origin)

    def _own_origin(self, index: int) -> Tensor:
        assert self.grid is not None
        cells = torch.arange(self.grid.rows * self.grid.columns, device=self.device)
        return torch.stack([torch.full_like(cells, index), cells], 1)  # (h*w, 2)

    def _reference(self, index: int, trunk: Tensor, soft: Tensor, origin: Tensor) -> Reference:
        if self.config.feedback == "hard" and self.label_type.kind == "probability":
            soft = torch.nn.functional.one_hot(soft.argmax(0), soft.shape[0]).permute(2, 0, 1).float()
        labels = fold(soft, self.config.label_scale).flatten(1).T.contiguous()  # (h*w, L)
        return Reference(index, trunk, labels, origin, index in self.annotations)

    def _revise(self, known: Reference) -> None:
        """Let the frames before a newly annotated one agree with it."""
        assert self.grid is not None
        shape = (self.grid.rows, self.grid.columns)
        self.window.replace(
            revised(
                self.window.references(),
                known,
                annotations=self.annotations,
                pointer=self._pointer(shape),
                label_type=self.label_type,
                scale=self.config.label_scale,
            )
        )

    def _trace(self, origin: Tensor | None) -> Trace | None:
        if origin is None or self.grid is None:
            return None
        shape = (self.grid.rows, self.grid.columns)
        return Trace(origin[:, 0].view(shape), origin[:, 1].view(shape), dict(self._annotated), self.config.label_scale)

    def _predict(self, frame: Frame, soft: Tensor, trace: Trace | None, source: Source) -> Prediction:
        array, states = self.label_type.decode(
            soft,
            self.label_grid,
            frame=frame,
            annotation=self.annotations.get(frame.index),
            trace=trace,
            last=self._last,
            edges=self.config.edges,
        )
        for state in states:
            if state.visible or state.id in self._last:
                self._last[state.id] = state.visible
        return Prediction(frame, array, self.label_type.ids, source, states, Labels(soft, self.label_type.kind))

    def _empty(self, frame: Frame, source: Source) -> Prediction:
        """Return a frame on which nothing is labelled yet."""
        soft = self.label_type.nothing(self.label_grid).to(self.device)
        array, _ = self.label_type.decode(soft, self.label_grid, frame=frame, annotation=None, trace=None, last={})
        states = tuple(ObjectState(id=name, confidence=0.0, visible=False) for name in self.label_type.ids)
        return Prediction(frame, array, self.label_type.ids, source, states, Labels(soft, self.label_type.kind))

    def _repeat(self, frame: Frame) -> Prediction:
        """Return the last labels again for a frame that could not be decoded; it does not enter the window."""
        if frame.index in self.annotations:
            log.warning("frame %d is annotated but cannot be decoded: it is not looked at", frame.index)
        if self._soft is None:
            return self._empty(frame, "undecodable")
        prediction = self._predict(frame, self._soft, None, "undecodable")
        states = tuple(
            replace(state, confidence=0.0, flags=(*state.flags, "undecodable")) for state in prediction.objects
        )
        return replace(prediction, objects=states)


def run(frames: Iterable[Frame], propagation: Propagation) -> Iterator[Prediction]:
    """Yield a prediction per frame, holding only the window."""
    for frame in frames:
        yield propagation.step(frame)

"""The loop of all baselines: set on annotated frames, moved to the others by a displacement field, or left in place."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from propagate.baselines.warped_labels import THRESHOLD, Cargo, cargo_of
from propagate.errors import InputError
from propagate.labels.protocol import LabelType
from propagate.ops.color import LUMA
from propagate.values import Annotation, Frame, ObjectId, ObjectState, Prediction, Source


def luma(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the luma (H, W) in [0, 1] of a picture (H, W, 3).

    Equal pixels have equal luma to the last bit, wherever they lie; a matrix product does not promise that.
    """
    red, green, blue = (rgb[:, :, channel] * np.float32(weight / 255) for channel, weight in enumerate(LUMA))
    return np.asarray(red + green + blue, np.float32)


def luma_only(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture (H, W, 3) as its luma three times: colours to be found must not guide their own transfer."""
    return np.repeat(np.rint(luma(rgb) * 255).astype(np.uint8)[:, :, None], 3, axis=2)


log = logging.getLogger(__name__)

# (target rgb (H, W, 3) uint8, reference rgb) -> (2, H, W) float32 pixels, dx and dy: target pixel p shows p + flow(p)
Estimate = Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float32]]


def carry(
    frames: Iterable[Frame],
    annotations: Sequence[Annotation],
    *,
    label_type: LabelType,
    estimate: Estimate | None = None,
    first: bool = False,
    threshold: float = THRESHOLD,
) -> Iterator[Prediction]:
    """Yield a prediction per frame.

    Args:
        frames: in order.
        annotations: what is known of some of the frames; the result depends on the set, not on the order.
        label_type: the label type.
        estimate: the flow between two pictures; None leaves everything in its place.
        first: move from the annotated frame in one step, not from frame to frame.
        threshold: an object's least warped score, of masks only.

    Raises:
        InputError: the frames change their size.
    """
    carrying = Carrying(annotations, label_type=label_type, estimate=estimate, first=first, threshold=threshold)
    for frame in frames:
        yield carrying.step(frame)


class Carrying:
    """The state between two frames: a source picture with its labels, and the labels said last.

    Args: as of `carry`.
    """

    def __init__(
        self,
        annotations: Sequence[Annotation],
        *,
        label_type: LabelType,
        estimate: Estimate | None,
        first: bool,
        threshold: float,
    ) -> None:
        self.annotations = {annotation.frame: annotation for annotation in annotations}
        if len(self.annotations) < len(annotations):
            raise ValueError("a frame is annotated twice: which of the two holds would depend on their order")
        self.label_type, self.estimate, self.first, self.threshold = label_type, estimate, first, threshold
        self._size: tuple[int, int] | None = None
        self._cargo: Cargo | None = None
        self._source: tuple[NDArray[np.uint8], Tensor] | None = None
        self._carried: Tensor | None = None
        self._last: dict[ObjectId, bool] = {}

    @torch.inference_mode()
    def step(self, frame: Frame) -> Prediction:
        """Return the labels of the next frame.

        Raises:
            InputError: the frame's size differs from the frames before it.
        """
        cargo = self._measure(frame)
        annotation = self.annotations.get(frame.index)
        if frame.undecodable:
            return self._repeat(frame, cargo)
        if annotation is None and self._source is None:
            return self._empty(frame, cargo, "none")
        seen = luma_only(frame.rgb) if self.label_type.sees_luma and self.estimate else frame.rgb
        carried = self._moved(seen, cargo)
        source: Source = "propagated"
        if annotation is not None:
            carried, source = cargo.take(carried, annotation), "annotated"
        assert carried is not None, "there is a source, or the frame is annotated"
        if annotation is not None or not self.first:
            self._source = (seen, carried)
        self._carried = carried
        return self._predict(frame, cargo, carried, source)

    def _moved(self, seen: NDArray[np.uint8], cargo: Cargo) -> Tensor | None:
        """Return the source's labels on the picture `seen`; nothing where there is no source yet."""
        if self._source is None or self.estimate is None:
            return None if self._source is None else self._source[1]
        picture, carried = self._source
        pair = (picture, seen) if cargo.forward else (seen, picture)
        return cargo.moved(carried, torch.from_numpy(self.estimate(*pair)))

    def _measure(self, frame: Frame) -> Cargo:
        """Settle the grid on the first frame; hold every later one to its size."""
        if self._cargo is None or self._size is None:
            self._size = frame.size
            self._cargo = cargo_of(self.label_type, frame.size, threshold=self.threshold)
        elif frame.size != self._size:
            (height, width), (first_height, first_width) = frame.size, self._size
            raise InputError(
                f"frame {frame.index} is {width}x{height} but the video began as {first_width}x{first_height}",
                hint="split the video where its size changes",
            )
        return self._cargo

    def _predict(self, frame: Frame, cargo: Cargo, carried: Tensor, source: Source) -> Prediction:
        annotation = self.annotations.get(frame.index) if source == "annotated" else None
        array, states, labels = cargo.decode(carried, frame=frame, annotation=annotation, last=self._last)
        for state in states:
            if state.visible or state.id in self._last:
                self._last[state.id] = state.visible
        return Prediction(frame, array, self.label_type.ids, source, states, labels)

    def _empty(self, frame: Frame, cargo: Cargo, source: Source) -> Prediction:
        """Return a frame on which nothing is labelled yet."""
        array, _, labels = cargo.decode(cargo.nothing(), frame=frame, annotation=None, last={})
        states = tuple(ObjectState(id=name, confidence=0.0, visible=False) for name in self.label_type.ids)
        return Prediction(frame, array, self.label_type.ids, source, states, labels)

    def _repeat(self, frame: Frame, cargo: Cargo) -> Prediction:
        """Return the last labels again for a frame that could not be decoded; nothing is moved from it or to it."""
        if frame.index in self.annotations:
            log.warning("frame %d is annotated but cannot be decoded: it is not looked at", frame.index)
        if self._carried is None:
            return self._empty(frame, cargo, "undecodable")
        prediction = self._predict(frame, cargo, self._carried, "undecodable")
        states = tuple(
            replace(state, confidence=0.0, flags=(*state.flags, "undecodable")) for state in prediction.objects
        )
        return replace(prediction, objects=states)

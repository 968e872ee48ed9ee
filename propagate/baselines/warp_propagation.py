"""Labels that are set on annotated frames and warped to the others by a displacement field, or left in place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from propagate.baselines.warped_labels import THRESHOLD, WarpedLabels, warped_labels
from propagate.engine.recursion import Visibility, advance, by_frame, check_size
from propagate.engine.snapshot import Decoded, FrameState, prediction_of
from propagate.labels.protocol import LabelType
from propagate.ops.color import LUMA
from propagate.ops.grid import Grid
from propagate.values import Annotation, Frame, Prediction, Source

# (target rgb (H, W, 3) uint8, reference rgb) -> (2, H, W) float32 pixels, dx and dy: target pixel p shows p + flow(p)
Estimate = Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float32]]


def luma(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the luma (H, W) in [0, 1] of a picture (H, W, 3).

    Equal pixels have equal luma to the last bit, wherever they lie; a matrix product does not promise that.
    """
    red, green, blue = (rgb[:, :, channel] * np.float32(weight / 255) for channel, weight in enumerate(LUMA))
    return np.asarray(red + green + blue, np.float32)


def luma_only(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture (H, W, 3) as its luma three times: colours to be found must not guide their own transfer."""
    return np.repeat(np.rint(luma(rgb) * 255).astype(np.uint8)[:, :, None], 3, axis=2)


def warp_labels(
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
    warping = WarpPropagation(annotations, label_type=label_type, estimate=estimate, first=first, threshold=threshold)
    state: FrameState | None = None
    seen = Visibility(warping.annotations, label_type)
    for frame in frames:
        state = advance(warping, frame, annotation=warping.annotations.get(frame.index), before=state)
        prediction = warping.decode(frame, replace(state, last=seen.before(frame.index)))
        seen.add(frame.index, {one.id: one.visible for one in prediction.objects})
        yield prediction


def identity(
    frames: Iterable[Frame], annotations: Sequence[Annotation], *, label_type: LabelType
) -> Iterator[Prediction]:
    """Return an iterator that gives every frame the labels of the annotated frame before it, pixel by pixel.

    Args:
        frames: in order.
        annotations: what is known of some of the frames.
        label_type: the label type.

    Raises:
        InputError: the frames change their size (while iterating).
    """
    return warp_labels(frames, annotations, label_type=label_type)


class WarpPropagation:
    """Brings labels from a source picture to the next frame along a flow; the source is all that it remembers.

    Args: as of `warp_labels`.
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
        self.annotations = by_frame(annotations)
        self.label_type, self.estimate, self.first, self.threshold = label_type, estimate, first, threshold
        self._labels: WarpedLabels | None = None
        self._source: tuple[NDArray[np.uint8], Tensor] | None = None

    @property
    def ready(self) -> bool:
        """Whether there is a source."""
        return self._source is not None

    def measure(self, frame: Frame) -> Grid:
        """Return the grid of the first frame's pixels; hold every later frame to its size."""
        if self._labels is None:
            self._labels = warped_labels(self.label_type, frame.size, threshold=self.threshold)
        check_size(frame, self._labels.grid.video)
        return self._labels.grid

    def labelled(self, frame: Frame, annotation: Annotation | None) -> FrameState:
        """Return the labels that come from the source, as the annotation corrects them; they may be the next source."""
        assert self._labels is not None, "known from the first frame on"
        seen = luma_only(frame.rgb) if self.label_type.sees_luma and self.estimate else frame.rgb
        labels = self._moved(seen, self._labels)
        if annotation is not None:
            labels = self._labels.take(labels, annotation)
        assert labels is not None, "there is a source, or the frame is annotated"
        if annotation is not None or not self.first:
            self._source = (seen, labels)
        source: Source = "propagated" if annotation is None else "annotated"
        return FrameState(frame.index, source, self.label_type.ids, self._labels.grid, labels)

    def decode(self, frame: Frame, state: FrameState) -> Prediction:
        """Return the prediction of a frame's labels."""
        warped = self._labels
        assert warped is not None, "known from the first frame on"
        annotation = self.annotations[frame.index] if state.source == "annotated" else None

        def read(labels: Tensor | None) -> Decoded:
            there = warped.nothing() if labels is None else labels
            return warped.decode(there, frame=frame, annotation=annotation, last=state.last)

        return prediction_of(frame, state, read)

    def _moved(self, seen: NDArray[np.uint8], labels: WarpedLabels) -> Tensor | None:
        """Return the source's labels on the picture `seen`; nothing where there is no source yet."""
        if self._source is None or self.estimate is None:
            return None if self._source is None else self._source[1]
        picture, before = self._source
        pair = (picture, seen) if labels.forward else (seen, picture)
        return labels.moved(before, torch.from_numpy(self.estimate(*pair)))

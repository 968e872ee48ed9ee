"""One step of the recursion: a frame is labelled from the frames before it, and becomes one of them (Vondrick 3.3)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import torch

from propagate.engine.snapshot import FrameState
from propagate.errors import InputError
from propagate.labels.protocol import LabelType
from propagate.ops.grid import Grid
from propagate.values import Annotation, Frame, Prediction

log = logging.getLogger(__name__)


class Transport(Protocol):
    """How labels come from earlier frames to the next: by pointing into a window, or by warping along a flow.

    Attributes:
        label_type: the label type.
    """

    label_type: LabelType

    @property
    def ready(self) -> bool:
        """Whether there is a frame that labels can come from."""

    def measure(self, frame: Frame) -> Grid:
        """Return the grid, settled on the first frame; refuse a later frame of another size."""

    def labelled(self, frame: Frame, annotation: Annotation | None) -> FrameState:
        """Return what a frame leaves behind, and remember of it what later frames need."""

    def decode(self, frame: Frame, state: FrameState) -> Prediction:
        """Return the prediction of what a frame left behind."""


@torch.inference_mode()
def advance(
    transport: Transport, frame: Frame, *, annotation: Annotation | None, before: FrameState | None
) -> tuple[Prediction, FrameState]:
    """Return a frame's prediction and what it leaves behind.

    Args:
        transport: how labels come to the frame.
        frame: the next frame.
        annotation: what a person gave on it.
        before: what the frame before left behind; None on the first.

    Raises:
        InputError: the frame's size differs from the frames before it.
        DeviceError: out of memory in the smallest chunks.
    """
    grid, ids = transport.measure(frame), transport.label_type.ids
    if frame.undecodable:  # the last labels again; it is looked at by no other frame
        if annotation is not None:
            log.warning("frame %d is annotated but cannot be decoded: it is not looked at", frame.index)
        left = before.labels_only() if before else FrameState(frame.index, "none", ids, grid)
        state = replace(left, index=frame.index, source="undecodable")
    elif annotation is None and not transport.ready:
        state = FrameState(frame.index, "none", ids, grid)
    else:
        state = transport.labelled(frame, annotation)
    last = dict(before.visible) if before else {}
    prediction = transport.decode(frame, replace(state, last=last))
    seen = {one.id: one.visible for one in prediction.objects if one.visible or one.id in last}
    return prediction, replace(state, last=last, visible={**last, **seen})


def by_frame(annotations: Sequence[Annotation]) -> dict[int, Annotation]:
    """Return annotations by their frame.

    Raises:
        ValueError: a frame has two.
    """
    found = {annotation.frame: annotation for annotation in annotations}
    if len(found) < len(annotations):
        raise ValueError("a frame is annotated twice: which of the two holds would depend on their order")
    return found


def check_size(frame: Frame, size: tuple[int, int]) -> None:
    """Refuse a frame that is not as large as the first.

    Args:
        frame: a later frame.
        size: (height, width) of the first.

    Raises:
        InputError: it has another size.
    """
    if frame.size != size:
        (height, width), (first_height, first_width) = frame.size, size
        raise InputError(
            f"frame {frame.index} is {width}x{height} but the video began as {first_width}x{first_height}",
            hint="split the video where its size changes",
        )

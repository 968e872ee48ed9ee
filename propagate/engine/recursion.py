"""One step of the recursion: a frame is labelled from the frames before it, and becomes one of them (Vondrick 3.3)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import torch

from propagate.engine.snapshot import FrameState
from propagate.errors import InputError
from propagate.labels.protocol import LabelType, speaks_for
from propagate.ops.grid import Grid
from propagate.values import Annotation, Frame, ObjectId

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


@torch.inference_mode()
def advance(
    transport: Transport, frame: Frame, *, annotation: Annotation | None, before: FrameState | None
) -> FrameState:
    """Return what a frame leaves behind.

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
        return replace(left, index=frame.index, source="undecodable")
    if annotation is None and not transport.ready:
        return FrameState(frame.index, "none", ids, grid)
    return transport.labelled(frame, annotation)


class Visibility:
    """Which objects were visible on the frame before, of those that were ever seen since a person last gave them.

    What was given before that does not matter, so that what is said of a frame changes only where its labels may.

    Args:
        annotations: what was given, by frame.
        label_type: of the objects.
    """

    def __init__(self, annotations: Mapping[int, Annotation], label_type: LabelType) -> None:
        self._given = {index: speaks_for(label_type, one) for index, one in annotations.items()}
        self._visible: dict[ObjectId, bool] = {}

    def before(self, index: int) -> dict[ObjectId, bool]:
        """Return, for the objects that were seen, whether they were on the frame before `index`."""
        given = self._given.get(index, ())
        return {name: visible for name, visible in self._visible.items() if name not in given}

    def add(self, index: int, visible: Mapping[ObjectId, bool]) -> None:
        """Take in which objects are visible on a frame."""
        before = self.before(index)
        self._visible = {name: there for name, there in visible.items() if there or name in before}


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

"""The labels that are warped: on the grid of pixels, or points as places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from propagate.engine.snapshot import Decoded
from propagate.labels.colors import VIVID, ColorLabels, as_picture, as_tensor, colored, length, luma_of
from propagate.labels.keypoints import KeypointLabels
from propagate.labels.masks import MaskLabels
from propagate.labels.protocol import LabelType, read_labels
from propagate.ops.grid import Grid
from propagate.ops.upsampling import sample
from propagate.values import Annotation, Frame, Labels, ObjectId, ObjectState

THRESHOLD = 0.5  # an object's least warped score: as often right as wrong


class WarpedLabels(Protocol):
    """Labels of one frame as a tensor, and how they are set, moved and read.

    Attributes:
        grid: that labels are decoded on.
        forward: whether `moved` follows the flow from the reference to the target, not back from the target.
    """

    grid: Grid
    forward: bool

    def nothing(self) -> Tensor:
        """Return the labels of a frame on which there is nothing."""

    def take(self, labels: Tensor | None, annotation: Annotation) -> Tensor:
        """Return the labels of an annotated frame: what the annotation fixes, and the prediction for the rest."""

    def moved(self, labels: Tensor, flow: Tensor) -> Tensor:
        """Return labels after a motion (2, H, W) in pixels, dx and dy, in the direction of `forward`."""

    def decode(
        self, labels: Tensor, *, frame: Frame, annotation: Annotation | None, last: Mapping[ObjectId, bool]
    ) -> Decoded:
        """Return the labels in pixels, the objects' states, and the soft labels; arguments as of `read_labels`."""


class PixelLabels:
    """Any label type on a grid of one-pixel cells, where encoding and decoding are exact.

    Args:
        label_type: the label type.
        size: (height, width) of the frames.
        threshold: of a mask's warped score: a pixel is the object of the highest score if that is above it.
    """

    forward = False

    def __init__(self, label_type: LabelType, size: tuple[int, int], *, threshold: float) -> None:
        self.label_type, self.threshold = label_type, threshold
        self.grid = pixel_grid(size)

    def nothing(self) -> Tensor:
        """Return the label type's labels (L, H, W) of an empty frame."""
        return self.label_type.nothing(self.grid)

    def take(self, labels: Tensor | None, annotation: Annotation) -> Tensor:
        """Return the labels (L, H, W), combined as the label type does it."""
        return self.label_type.combine(labels, annotation, self.label_type.encode(annotation, self.grid))

    def moved(self, labels: Tensor, flow: Tensor) -> Tensor:
        """Return labels (L, H, W) of which each pixel p is what was at p + flow(p), the border held beyond the edge."""
        x, y = places(self.grid.video)
        return sample(labels, x + flow[0], y + flow[1])

    def decode(
        self, labels: Tensor, *, frame: Frame, annotation: Annotation | None, last: Mapping[ObjectId, bool]
    ) -> Decoded:
        """Return what the label type decodes; masks are cut at the threshold, and sure by their mean score."""
        kept = Labels(labels, self.label_type.kind)
        if isinstance(self.label_type, ColorLabels) and annotation is None:
            return colored_frame(labels, frame, self.label_type), (), kept
        cut = isinstance(self.label_type, MaskLabels) and annotation is None
        soft = above(labels, self.threshold) if cut else labels
        array, states = read_labels(self.label_type, soft, self.grid, frame=frame, annotation=annotation, last=last)
        return array, scored(states, soft, labels) if cut else states, kept


class Places:
    """Keypoints as places (L, 2) x, y in float64 pixels, NaN where a point is not known: no grid rounds them.

    Args:
        label_type: of the points.
        size: (height, width) of the frames.
    """

    forward = True

    def __init__(self, label_type: KeypointLabels, size: tuple[int, int]) -> None:
        self.label_type = label_type
        self.grid = Grid.of(size, size=1, stride=1, offset=0.0)  # decoding wants a grid, but takes only places

    def nothing(self) -> Tensor:
        """Return unknown places (L, 2)."""
        return torch.full((len(self.label_type.ids), 2), torch.nan, dtype=torch.float64)

    def take(self, labels: Tensor | None, annotation: Annotation) -> Tensor:
        """Return the places (L, 2): the annotated ones as given, the others as warped unless it is complete."""
        given = torch.from_numpy(annotation.array.astype(np.float64))
        if labels is None or annotation.complete:
            return given
        return torch.where(given.isnan().any(1, keepdim=True), labels, given)

    def moved(self, labels: Tensor, flow: Tensor) -> Tensor:
        """Return places (L, 2), each moved by the flow at its own sub-pixel place; off the picture, by the border's."""
        known = labels.nan_to_num()
        step = sample(flow.double(), known[:, :1], known[:, 1:])  # (2, L, 1)
        return labels + step[:, :, 0].T

    def decode(
        self, labels: Tensor, *, frame: Frame, annotation: Annotation | None, last: Mapping[ObjectId, bool]
    ) -> Decoded:
        """Return the places (L, 2) as they are, NaN off the picture, and a state per point of confidence 1 or 0."""
        exact = Annotation(frame.index, labels.numpy(), self.label_type.ids)  # given places are kept as they are
        soft = self.label_type.nothing(self.grid)
        array, states = read_labels(self.label_type, soft, self.grid, frame=frame, annotation=exact, last=last)
        return array, states, None


def warped_labels(label_type: LabelType, size: tuple[int, int], *, threshold: float = THRESHOLD) -> WarpedLabels:
    """Return how a label type is warped over frames of (height, width)."""
    if isinstance(label_type, KeypointLabels):
        return Places(label_type, size)
    return PixelLabels(label_type, size, threshold=threshold)


def pixel_grid(size: tuple[int, int]) -> Grid:
    """Return the grid whose cells are the pixels of a frame of (height, width)."""
    return Grid.of(size, size=min(size), stride=1, offset=0.0)


def places(size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the columns x and the rows y of all pixels, (H, W) each."""
    y, x = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    return x, y


def above(soft: Tensor, threshold: float) -> Tensor:
    """Return hard labels (L, H, W) of soft ones: the object of the highest score if it is above the threshold.

    Channel 0, the background, is what no object is.
    """
    best, channel = soft[1:].max(0)  # (H, W)
    hard = torch.zeros_like(soft)
    return hard.scatter_(0, torch.where(best > threshold, channel + 1, 0)[None], 1.0)


def scored(states: tuple[ObjectState, ...], hard: Tensor, soft: Tensor) -> tuple[ObjectState, ...]:
    """Return masks' states, in the order of the channels, with the mean warped score of what each object covers.

    Args:
        states: one an object.
        hard: (L, H, W), the object of each pixel.
        soft: (L, H, W), the scores.
    """
    mean = (hard * soft).flatten(1).sum(1) / hard.flatten(1).sum(1).clamp(min=1)
    pairs = zip(states, mean[1:].clamp(max=1).tolist(), strict=True)
    return tuple(replace(state, confidence=confidence) for state, confidence in pairs)


def colored_frame(soft: Tensor, frame: Frame, label_type: ColorLabels) -> NDArray[np.uint8]:
    """Return the frame's own luma in the chroma of labels (3, H, W) at its own pixels: nothing is smoothed.

    The third label is the chroma's length before any averaging, to which a mean of unlike hues is brought back.
    """
    luma = luma_of(as_tensor(frame.rgb), label_type.luma)
    chroma = soft[:2] * (soft[2] / length(soft[:2]).clamp(min=1e-3)).clamp(1, VIVID)
    return as_picture(colored(luma, chroma, weights=label_type.luma))

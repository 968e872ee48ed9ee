"""The reference window: which frames a target may look at, and what is kept of each."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import torch
from torch import Tensor

from propagate.engine.refinement import Patch
from propagate.ops.local import Window as Shape
from propagate.ops.local import window_maximum


@dataclass(frozen=True)
class Reference:
    """What is kept of one reference frame.

    Attributes:
        index: of the frame.
        trunk: (Ct, h, w), from the encoder's `encode`.
        labels: (h*w, L) float32, soft labels, sub-cells folded into channels.
        origin: (h*w, 2) int64, the annotated frame and its cell that the chain of strongest pointers ends at.
        annotated: whether a person labelled it.
        patch: its fine features, of where its labels meet.
        prepared: searches to keys in the layout that the search reads; filled by the pointer.
        extremes: radii to what `held` found.
    """

    index: int
    trunk: Tensor
    labels: Tensor
    origin: Tensor
    annotated: bool
    patch: Patch | None = None
    prepared: dict[str, Tensor] = field(default_factory=dict, repr=False, compare=False)
    extremes: dict[int | None, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def held(self, radius: int | None, *, shape: tuple[int, int], window: Shape, parts: int) -> Tensor:
        """Return the highest channel that the window of each cell holds, and minus the lowest: (2, h, w) float32.

        A cell that holds one channel alone holds that; any other holds the highest and the lowest there could be.

        Args:
            radius: in cells; None takes in the whole grid.
            shape: (h, w) of the grid.
            window: shape of what lies within the radius.
            parts: sub-cells of a cell.
        """
        if radius not in self.extremes:
            alone = (self.labels.view(len(self.labels), -1, parts) == 1).all(2)  # (h*w, L)
            channel, one = alone.float().argmax(1), alone.any(1)
            high, low = torch.where(one, channel, alone.shape[1]), torch.where(one, channel, -1)
            pair = torch.stack([high, -low]).float().view(2, *shape)
            self.extremes[radius] = window_maximum(pair, radius, window)
        return self.extremes[radius]


def kept_annotated(indices: list[int], limit: int) -> list[int]:
    """Return which annotated frames stay, oldest first: the first and the most recent, `limit` in all."""
    return indices if len(indices) <= limit else [indices[0], *indices[len(indices) - limit + 1 :]]


class Window:
    """The frames that the next target looks at: annotated frames that stay, and the most recent ones.

    Args:
        context: how many recent frames.
        keep_annotated: whether annotated frames stay once they are no longer recent.
        max_annotated: how many of them at most.
    """

    def __init__(self, context: int, *, keep_annotated: bool, max_annotated: int) -> None:
        self.keep_annotated, self.max_annotated = keep_annotated, max_annotated
        self._recent: deque[Reference] = deque(maxlen=context)
        self._annotated: list[Reference] = []

    def copy(self) -> Window:
        """Return a window of the same frames, which goes its own way from here."""
        window = Window(self._recent.maxlen or 0, keep_annotated=self.keep_annotated, max_annotated=self.max_annotated)
        window._recent, window._annotated = self._recent.copy(), list(self._annotated)
        return window

    def add(self, reference: Reference) -> None:
        """Take in the newest frame; the oldest recent one leaves."""
        self._recent.append(reference)
        if reference.annotated and self.keep_annotated:
            self._annotated.append(reference)
            stay = kept_annotated([kept.index for kept in self._annotated], self.max_annotated)
            self._annotated = [kept for kept in self._annotated if kept.index in stay]

    def replace(self, references: list[Reference]) -> None:
        """Put references in the place of those of the same frames."""
        by_index = {reference.index: reference for reference in references}
        self._annotated = [by_index.get(kept.index, kept) for kept in self._annotated]
        self._recent = deque((by_index.get(kept.index, kept) for kept in self._recent), maxlen=self._recent.maxlen)

    def references(self) -> list[Reference]:
        """Return the frames to look at, oldest first, none twice."""
        kept = {reference.index: reference for reference in (*self._annotated, *self._recent)}
        return [kept[index] for index in sorted(kept)]

"""Draws the clips of a training run, and cuts them from their frames.

A clip depends on its step and index, the seed, the shots and the form of a clip, and on nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from propagate.errors import InputError
from propagate.training.data.shots import Shot
from propagate.training.protocol import ClipForm


@dataclass(frozen=True)
class ClipPlace:
    """Where one training clip lies.

    Attributes:
        shot: the shot.
        positions: of its T frames within the shot, in playing order.
        box: (left, top, width, height) of the crop of each frame, in pixels of the footage.
        mirrored: whether left and right are exchanged.
    """

    shot: Shot
    positions: tuple[int, ...]
    box: tuple[int, int, int, int]
    mirrored: bool

    @property
    def name(self) -> str:
        """The clip in messages: its video and frames."""
        frames = ",".join(str(self.shot.start + position) for position in self.positions)
        return f"{self.shot.source}, frames {frames}"


class ClipSampler:
    """Draws clips: first a group of shots, then a shot of it, then start, direction and crop.

    All groups are equally likely, however long their videos are; within a group a shot is as likely as it is long.

    Args:
        shots: of the footage; those too short for a clip are left out.
        form: number, rate and size of a clip's frames.
        seed: of the random numbers, 0 or more.

    Attributes:
        left_out: how many shots are too short.

    Raises:
        InputError: all shots are too short.
    """

    def __init__(self, shots: Sequence[Shot], form: ClipForm, *, seed: int) -> None:
        groups: dict[str, list[Shot]] = {}
        for shot in shots:
            if shot.frames >= reach(shot, form):
                groups.setdefault(shot.group, []).append(shot)
        if not groups:
            wanted = f"{form.frames} frames" + (f" at {form.rate:g} a second" if form.rate else "")
            raise InputError(f"none of {len(shots)} shots is long enough for a clip of {wanted}")
        self._form, self._seed = form, seed
        self._groups = [groups[name] for name in sorted(groups)]
        self._ends = [np.cumsum([shot.frames for shot in group]) for group in self._groups]
        self.left_out = len(shots) - sum(len(group) for group in self._groups)

    def draw(self, step: int, index: int) -> ClipPlace:
        """Return clip `index` of step `step`; it is the same in every process."""
        random = np.random.default_rng((self._seed, step, index))
        number = int(random.integers(len(self._groups)))
        ends = self._ends[number]
        shot = self._groups[number][int(np.searchsorted(ends, random.integers(ends[-1]), side="right"))]
        start = int(random.integers(shot.frames - reach(shot, self._form) + 1))
        positions = range(start, start + reach(shot, self._form), distance(shot, self._form))
        backward, mirrored = random.random(2) < 0.5
        return ClipPlace(
            shot=shot,
            positions=tuple(reversed(positions)) if backward and self._form.backward else tuple(positions),
            box=_box(shot.size, self._form, random),
            mirrored=bool(mirrored) and self._form.flip,
        )


def fill_clip(out: NDArray[np.uint8], frames: NDArray[np.uint8], place: ClipPlace) -> None:
    """Cut, resize (bilinear, antialiased) and perhaps mirror the frames of a clip.

    Args:
        out: (T, 3, S, S), is filled with the clip.
        frames: (T, h, w, 3) of the footage.
        place: where the clip lies in them.
    """
    left, top, width, height = place.box
    cut = torch.from_numpy(frames[:, top : top + height, left : left + width]).permute(0, 3, 1, 2)
    sized = torch.nn.functional.interpolate(cut, size=out.shape[2:], mode="bilinear", antialias=True)
    picture = sized.numpy()  # (T, 3, S, S)
    np.copyto(out, picture[..., ::-1] if place.mirrored else picture)


def distance(shot: Shot, form: ClipForm) -> int:
    """Return how many frames of a shot lie from one frame of a clip to the next, for the rate nearest to the form's."""
    if form.rate is None or form.rate >= shot.rate:
        return 1
    below = math.floor(shot.rate / form.rate)
    lower, higher = form.rate - shot.rate / (below + 1), shot.rate / below - form.rate
    return below if higher <= lower else below + 1


def reach(shot: Shot, form: ClipForm) -> int:
    """Return how many frames of a shot a clip spans, the first and last included."""
    return (form.frames - 1) * distance(shot, form) + 1


def _box(size: tuple[int, int], form: ClipForm, random: np.random.Generator) -> tuple[int, int, int, int]:
    height, width = size
    if form.framing == "squash":
        return 0, 0, width, height
    share = random.uniform(*form.scale)
    side = min(height, width, max(1, round(share * min(height, width))))
    left, top = random.integers(width - side + 1), random.integers(height - side + 1)
    return int(left), int(top), side, side

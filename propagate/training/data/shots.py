"""Shots, and what keeps their frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True)
class Shot:
    """One shot: neighbouring frames without a cut.

    Attributes:
        source: the video.
        group: what its video belongs to, such as a repository; clips are drawn evenly over groups.
        start: position of its first frame among the kept frames of the video.
        frames: how many.
        rate: kept frames a second.
        size: (height, width) of the frames.
    """

    source: Path
    group: str
    start: int
    frames: int
    rate: float
    size: tuple[int, int]

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.source.name} from frame {self.start}"


class FrameStore(Protocol):
    """Where the frames of shots are kept; it may be asked by several threads at once."""

    def read(self, shot: Shot, positions: Sequence[int]) -> NDArray[np.uint8]:
        """Return the frames (T, h, w, 3) at these positions within the shot."""
        ...


LARGE = 1.0  # of a change; cuts between unrelated clips have 1.1 to 2.8, motion at walking pace below 0.2
ALONE = 2.0  # times the greatest change among the neighbours
REACH = 4  # steps before and after that count as neighbours
SIDE = 32  # pixels of the small colour picture
_BINS = 4  # a channel, of the histogram
_NOISE = 9.0  # variance in grey levels below which there is no arrangement, such as in black


class CutFinder:
    """The changes between the frames of one video, taken in one by one, and the cuts that they show.

    It keeps one number a frame, so a video may be of any length.
    """

    def __init__(self) -> None:
        self._changes: list[float] = []
        self._grey: NDArray[np.float32] | None = None
        self._colors: NDArray[np.float32] | None = None

    def add(self, rgb: NDArray[np.uint8]) -> None:
        """Take in the next frame (H, W, 3)."""
        small = _small(rgb)
        grey, colors = _arrangement(small), _histogram(small)
        if self._grey is not None and self._colors is not None:
            moved = np.abs(colors - self._colors).sum() / 2
            self._changes.append(1.0 - float((grey * self._grey).sum()) + 2.0 * float(moved))
        self._grey, self._colors = grey, colors

    def cuts(self) -> list[int]:
        """Return the positions of the frames, among those added, that begin a new shot; 0 is not among them."""
        changes = np.array(self._changes)
        return [int(index) + 1 for index in np.flatnonzero(changes > LARGE) if _stands_alone(changes, int(index))]


def _stands_alone(changes: NDArray[np.float64], index: int) -> bool:
    around = np.concatenate([changes[max(0, index - REACH) : index], changes[index + 1 : index + 1 + REACH]])
    return around.size == 0 or bool(changes[index] > ALONE * around.max())


def _small(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture as (SIDE, SIDE, 3), antialiased."""
    picture = torch.from_numpy(np.require(rgb, requirements=["C", "W"])).permute(2, 0, 1)[None]
    small = torch.nn.functional.interpolate(picture, size=(SIDE, SIDE), mode="bilinear", antialias=True)
    return small[0].permute(1, 2, 0).numpy()


def _arrangement(small: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Half as many grey pixels, of mean 0 and length 1 (shorter where there is nothing but noise)."""
    half = SIDE // 2
    grey = small.astype(np.float32).mean(2).reshape(half, 2, half, 2).mean((1, 3)).ravel()
    grey -= grey.mean()
    unit: NDArray[np.float32] = grey / np.sqrt(grey.size * (np.mean(grey * grey) + _NOISE))
    return unit


def _histogram(small: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The share of pixels in each of the _BINS**3 colours, each pixel shared out between the nearest ones.

    With hard borders a flat area that grows darker by one level would change its colour altogether.
    """
    places = np.clip(small.reshape(-1, 3, 1) * np.float32(_BINS / 256) - 0.5, 0, _BINS - 1)
    red, green, blue = np.clip(1 - np.abs(places - np.arange(_BINS, dtype=np.float32)), 0, None).transpose(1, 0, 2)
    pairs = (red[:, :, None] * green[:, None, :]).reshape(len(red), -1)
    share: NDArray[np.float32] = pairs.T @ blue / len(red)
    return share

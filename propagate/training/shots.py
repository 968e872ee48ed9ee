"""Shots, and what keeps their frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
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

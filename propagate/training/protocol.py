"""What passes between the rooms of training: how clips are asked for, and what an objective is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

if TYPE_CHECKING:
    import torch

    from propagate.encoders.protocol import Encoder


@dataclass(frozen=True)
class ClipForm:
    """What a training clip is.

    Attributes:
        frames: T.
        rate: frames a second, the nearest that the footage has; None takes neighbouring frames of the footage.
        size: pixels, the side of the square that the encoder sees.
        framing: "squash" brings the whole picture to the square (Vondrick 3.4, CorrFlow 4), "crop" cuts a random
            square, the same on all frames.
        scale: of a crop: its side as a share of the picture's short side, drawn evenly from this range.
        flip: mirror half of the clips.
        backward: play half of the clips backward.
    """

    frames: int
    rate: float | None
    size: int
    framing: Literal["squash", "crop"] = "crop"
    scale: tuple[float, float] = (0.6, 1.0)
    flip: bool = True
    backward: bool = False


class Objective(Protocol):
    """A loss over clips and what is learnt besides the encoder; an `nn.Module`, so that it can be saved and wrapped.

    Called as a module: `objective(clips, progress=..., random=...)` returns losses by name, "loss" being the total.
    """

    @property
    def name(self) -> str:
        """Its name in `OBJECTIVES`."""
        ...

    @property
    def encoder(self) -> Encoder:
        """What is trained and exported; an `nn.Module` in the objective."""
        ...

    @property
    def form(self) -> ClipForm:
        """The clips that it wants."""
        ...

    def fit(self, frames: Tensor) -> None:
        """Learn what must be known before the first step (colour clusters), from (N, 3, H, W) in [0, 1] of the data."""
        ...

    def record(self) -> dict[str, Any]:
        """Return what is saved with the weights besides them, plain data: {"clusters": [[a, b], ...]}."""
        ...

    def forward(self, clips: Tensor, *, progress: float, random: torch.Generator) -> dict[str, Tensor]:
        """Return losses by name, scalars.

        Args:
            clips: (B, T, 3, S, S) in [0, 1], float32, on the objective's device.
            progress: share of the run that is done, from 0 to 1, for schedules inside the objective.
            random: on the CPU; all chance is drawn from it, so that a step can be repeated.
        """
        ...


class Validation(Protocol):
    """What scores an encoder during training, on the same data every time."""

    def __call__(self, encoder: Encoder) -> dict[str, float]:
        """Return figures by name: "J" and "F", of which more is better, "L1", of which less is; perhaps none."""
        ...

    def picture(self, encoder: Encoder) -> NDArray[np.uint8] | None:
        """Return a picture (H, W, 3) of what the encoder does; None when there is nothing to show."""
        ...


def as_module(objective: Objective) -> nn.Module:
    """Return the objective as the module that it is."""
    assert isinstance(objective, nn.Module)
    return objective
